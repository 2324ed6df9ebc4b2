//! Submissions below a job (`parent_job_id`): whoever controls the job delegates in its place.
//!
//! The parent's own task makes the child, as it makes those of its agent, so the two cannot get in each other's way: one
//! order of delegations, one budget, one commit. A key that the submission has stands for the child with that commit, and
//! until then for nobody else: it goes with the request to the parent's task.

use moorline_core::Refusal;
use moorline_core::access::Action;
use moorline_types::Principal;
use tokio::sync::oneshot;

use super::{CONFIRM_PATIENCE, Gateway, ISSUE_PATIENCE, JobSummary, unavailable};
use crate::registry::{JobInput, SubmittedBelow};
use crate::ruled::Ruled;

impl Gateway {
    /// Makes a child of the job. Answers when it is durable.
    pub(crate) async fn delegate(
        &self,
        principal: &Principal,
        parent: &str,
        below: SubmittedBelow,
        ruled: &Ruled,
    ) -> Result<JobSummary, Refusal> {
        let JobSummary { job: id, status, .. } = self.find(principal, Action::Cancel, parent, ruled).await?;
        if status.is_terminal() {
            return Err(Refusal::JobEnded { status });
        }
        self.count_submit(&principal.id, self.quotas_of(principal).submits_per_sec)?;
        let (accepted, acceptance) = oneshot::channel();
        if let Some(handle) = self.0.registry.get(id) {
            let input = JobInput::Delegate { below: Box::new(below), accepted };
            // If it is over, the sender is dropped with the input, and that is noticed below.
            handle.inbox.send(input).await.unwrap_or_default();
        } else {
            drop(accepted);
        }
        let patience =
            if self.0.credentials.is_configured() { ISSUE_PATIENCE + CONFIRM_PATIENCE } else { CONFIRM_PATIENCE };
        let child = match tokio::time::timeout(patience, acceptance).await {
            Ok(Ok(answer)) => answer?,
            // The parent ended between the two.
            Ok(Err(_)) => {
                let JobSummary { status, .. } = self.find(principal, Action::Cancel, parent, ruled).await?;
                return Err(Refusal::JobEnded { status });
            }
            Err(_) => return Err(Refusal::StoreUnavailable { reason: "the child begins when it can be recorded" }),
        };
        let missing = || Refusal::JobNotFound { job: child.to_string() };
        self.summary(child).await.map_err(unavailable)?.ok_or_else(missing)
    }
}
