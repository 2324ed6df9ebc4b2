//! What a gateway session needs of the jobs.

use std::sync::Arc;

use moorline_core::Refusal;
use moorline_core::record::Accepted;
use moorline_store::{ReadError, Store};
use moorline_types::{JobId, PrincipalId, Quotas};
use tokio::sync::oneshot;

use super::{Gateway, JobSummary};
use crate::registry::{JobHandle, JobInput};

impl Gateway {
    /// Accepts the job of a gateway session: no session of ours has submitted it.
    pub(crate) async fn accept_unwatched(&self, accepted: Accepted, quotas: Quotas) -> Result<JobSummary, Refusal> {
        self.accept(accepted, quotas).await
    }

    /// The job, if it has not ended.
    pub(crate) fn open_job(&self, job: JobId) -> Option<JobHandle> {
        self.0.registry.get(job)
    }

    /// Every job that has not ended.
    pub(crate) fn all_open_jobs(&self) -> Vec<(JobId, JobHandle)> {
        self.0.registry.all()
    }

    /// What the journal says of a job that has ended; `None` if there is no such job any more.
    pub(crate) async fn ended_job(&self, job: JobId) -> Result<Option<JobSummary>, ReadError> {
        Ok(self.read_summary(job).await?.filter(|job| job.status.is_terminal()))
    }

    /// Asks for a job's end, on behalf of somebody whose right to do so was looked at, or of nobody. What comes of it is
    /// seen in the job's records.
    pub(crate) async fn end_job(&self, job: JobId, by: Option<PrincipalId>, reason: &str) {
        let (confirmed, _confirmation) = oneshot::channel();
        self.tell(job, JobInput::Cancel { by, reason: Some(reason.to_owned()), confirmed }).await;
    }

    /// The store.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }
}
