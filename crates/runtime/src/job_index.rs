//! Every job by its principal, in the order of creation: [`moorline_core::listing`] over the store.
//!
//! The entry is written before the job's first record and gets the job's ending after its last. A crash in between
//! leaves an entry without a job, which is not shown, or one without an ending, which is then read from the journal;
//! the next start repairs both, guided by [`OpenJobs`](crate::open_jobs::OpenJobs).

use std::sync::Arc;

use moorline_core::job::Status;
use moorline_core::listing::{Entry, Range};
use moorline_core::record::Accepted;
use moorline_store::{Collection, DocKey, Expect, PutError, ReadError, Store};
use moorline_types::{JobId, PrincipalId, Timestamp};

use crate::ended::Ended;

/// Entries that are read at once.
const PAGE: usize = 256;

/// See the module's documentation. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct JobIndex {
    store: Arc<dyn Store>,
    ended: Ended,
}

impl JobIndex {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let ended = Ended::new(Arc::clone(&store));
        Self { store, ended }
    }

    /// Takes note of a job that is about to begin.
    pub(crate) async fn add(&self, job: JobId, accepted: &Accepted) -> Result<(), PutError> {
        self.write(job, &accepted.principal, &Entry::of(accepted)).await
    }

    /// Takes note of how a job has ended.
    pub(crate) async fn end(
        &self,
        now: Timestamp,
        job: JobId,
        accepted: &Accepted,
        status: Status,
    ) -> Result<(), PutError> {
        let entry = Entry { ended: Some(status), ..Entry::of(accepted) };
        self.write(job, &accepted.principal, &entry).await?;
        // Last, because the job may be removed from then on, with its entry.
        self.ended.add_job(now, job, &accepted.principal).await
    }

    /// Removes the entry of a job that never began. One that stays is not shown.
    pub(crate) async fn remove(&self, job: JobId, principal: &PrincipalId) {
        if let Err(error) = self.store.delete(&key(&Range::of(principal), job), Expect::Any).await {
            tracing::debug!(%job, %error, "the entry of a job that never began stays in the index");
        }
    }

    /// Some entries of the principal's jobs after this one, in order, without those that do not decode. None at all is
    /// the end.
    pub(crate) async fn after(
        &self,
        range: &Range,
        last: Option<JobId>,
    ) -> Result<Vec<(JobId, Option<Entry>)>, ReadError> {
        let after = last.map(|job| range.key(job));
        let after = after.as_deref().unwrap_or(range.start());
        let documents = self.store.list(Collection::JobIndex, Some(after), PAGE).await?;
        let own = documents.iter().map_while(|(key, found)| Some((range.job(key.key())?, &found.value)));
        Ok(own.map(|(job, value)| (job, read(job, value))).collect())
    }

    async fn write(&self, job: JobId, principal: &PrincipalId, entry: &Entry) -> Result<(), PutError> {
        self.store.put(&key(&Range::of(principal), job), entry.encode().into(), Expect::Any).await.map(drop)
    }
}

fn read(job: JobId, value: &[u8]) -> Option<Entry> {
    Entry::decode(value).map_err(|error| tracing::error!(%job, %error, "an entry of the index does not decode")).ok()
}

fn key(range: &Range, job: JobId) -> DocKey {
    DocKey::new(Collection::JobIndex, range.key(job)).expect("a digest and a job's id are a valid key by their form")
}
