//! What is left of a job's budget, for whoever subscribes to it (spec 7.6).
//!
//! A job that goes on says so itself, once all that it counts is committed: what a client was told does not become more by
//! a crash. Of one that is over it is in the index, or follows from its records.

use std::collections::BTreeMap;

use moorline_core::Refusal;
use moorline_core::lease::Terms;
use moorline_types::Units;
use tokio::sync::oneshot;

use super::{CONFIRM_PATIENCE, Gateway, JobSummary, unavailable};
use crate::job_index::remaining;
use crate::registry::JobInput;

impl Gateway {
    /// What is left of the job's budget, by currency; nothing is there if it has none.
    pub(crate) async fn remaining(&self, job: &JobSummary) -> Result<BTreeMap<Box<str>, Units>, Refusal> {
        let is_bounded = Terms::read(&job.accepted.lease).is_ok_and(|terms| !terms.budget.is_empty());
        if !is_bounded {
            return Ok(BTreeMap::new());
        }
        if let Some(handle) = self.0.registry.get(job.job) {
            let (told, answer) = oneshot::channel();
            // If it is over, the sender is dropped with the input, and that is noticed below.
            handle.inbox.send(JobInput::Remaining { told }).await.unwrap_or_default();
            match tokio::time::timeout(CONFIRM_PATIENCE, answer).await {
                Ok(Ok(remaining)) => return Ok(remaining),
                Ok(Err(_)) => {}
                Err(_) => {
                    return Err(Refusal::StoreUnavailable { reason: "what the job has spent cannot be recorded" });
                }
            }
        }
        let entry = self.0.index.get(job.job, &job.accepted.principal).await.map_err(unavailable)?;
        if let Some(entry) = entry.filter(|entry| !entry.remaining.is_empty()) {
            return Ok(entry.remaining);
        }
        let read = self.read_job(job.job).await.map_err(unavailable)?;
        Ok(read.as_ref().map(remaining).unwrap_or_default())
    }
}
