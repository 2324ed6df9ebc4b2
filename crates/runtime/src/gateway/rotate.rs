//! Another value for a job's credential, at an administrator's word: the one before may have become known to somebody.

use moorline_core::Refusal;
use moorline_types::{CredentialId, JobId};
use tokio::sync::oneshot;

use super::{CONFIRM_PATIENCE, Gateway, ISSUE_PATIENCE, unavailable};
use crate::registry::JobInput;

impl Gateway {
    /// Has the job's credential of this name, or the only one that it has, issued anew, whoever's job it is. Answers which
    /// one it is when the new value is the job's; the one before is being withdrawn then.
    ///
    /// # Errors
    /// If there is no such job or credential, the job is over, or nothing was issued; the value of before is good then.
    pub async fn rotate_credential(&self, job: &str, name: Option<CredentialId>) -> Result<CredentialId, Refusal> {
        let not_found = || Refusal::JobNotFound { job: job.to_owned() };
        let id: JobId = job.parse().map_err(|_| not_found())?;
        let (rotated, rotation) = oneshot::channel();
        if let Some(handle) = self.0.registry.get(id) {
            // If it is over, the sender is dropped with the input, and that is noticed below.
            handle.inbox.send(JobInput::Rotate { name, rotated }).await.unwrap_or_default();
        } else {
            drop(rotated);
        }
        match tokio::time::timeout(ISSUE_PATIENCE + CONFIRM_PATIENCE, rotation).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => {
                let summary = self.summary(id).await.map_err(unavailable)?.ok_or_else(not_found)?;
                Err(Refusal::JobEnded { status: summary.status })
            }
            Err(_) => Err(Refusal::StoreUnavailable { reason: "the new value is the job's when it can be recorded" }),
        }
    }
}
