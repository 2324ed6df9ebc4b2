//! Every job by its principal, in the order of creation: [`moorline_core::listing`] over the store.
//!
//! The entry is committed with the job's first record and gets the job's ending after its last. A crash in between
//! leaves one without an ending, which is then read from the journal; the next start repairs it, guided by
//! [`OpenJobs`]. In a journal of an earlier version there may be an entry without a job, which is not shown.

use std::sync::Arc;

use moorline_core::job::Status;
use moorline_core::listing::{Entry, Range};
use moorline_core::record::Accepted;
use moorline_store::{AppendError, Change, Collection, DocKey, Expect, ReadError, Store};
use moorline_types::{Batch, JobId, PrincipalId, Timestamp};

use crate::ended::Ended;
use crate::job_lists;
use crate::open_jobs::OpenJobs;

/// Entries that are read at once.
const PAGE: usize = 256;

/// See the module's documentation. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct JobIndex {
    store: Arc<dyn Store>,
}

impl JobIndex {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The entries of a job, to be committed with its first record.
    pub(crate) fn entries(job: JobId, accepted: &Accepted) -> Vec<Change> {
        let mut entries = job_lists::entries(job, &accepted.principal, &accepted.tags);
        entries.push(write(job, &accepted.principal, &Entry::of(accepted)));
        entries
    }

    /// Takes note of how a job has ended, and with how many bytes of records, here, among what is over and among what is
    /// open, all in one commit. From then on the job may be removed.
    pub(crate) async fn end(
        &self,
        now: Timestamp,
        job: JobId,
        accepted: &Accepted,
        status: Status,
        bytes: u64,
    ) -> Result<(), AppendError> {
        let entry = Entry { ended: Some(status), ..Entry::of(accepted) };
        let changes = vec![
            write(job, &accepted.principal, &entry),
            Ended::job(now, job, &accepted.principal, bytes),
            OpenJobs::removal(job),
        ];
        self.store.append_with(Batch::default(), changes).await.map(drop)
    }

    /// What the index says of a job.
    pub(crate) async fn get(&self, job: JobId, principal: &PrincipalId) -> Result<Option<Entry>, ReadError> {
        let document = self.store.get(&key(&Range::of(principal), job)).await?;
        Ok(document.and_then(|document| read(job, &document.value)))
    }

    /// Removes the entry of a job that is gone, or never began, and with it the job from every list. One that stays is
    /// not shown.
    pub(crate) async fn remove(&self, job: JobId, principal: &PrincipalId) {
        let removed = async {
            let entry = self.get(job, principal).await.ok().flatten();
            let mut changes = job_lists::removals(job, entry.iter().flat_map(|entry| &entry.tags));
            changes.push(Change::delete(key(&Range::of(principal), job), Expect::Any));
            self.store.append_with(Batch::default(), changes).await
        };
        if let Err(error) = removed.await {
            tracing::debug!(%job, %error, "the entry of a job that is gone stays in the index");
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
}

fn write(job: JobId, principal: &PrincipalId, entry: &Entry) -> Change {
    Change::put(key(&Range::of(principal), job), entry.encode().into(), Expect::Any)
}

fn read(job: JobId, value: &[u8]) -> Option<Entry> {
    Entry::decode(value).map_err(|error| tracing::error!(%job, %error, "an entry of the index does not decode")).ok()
}

fn key(range: &Range, job: JobId) -> DocKey {
    DocKey::new(Collection::JobIndex, range.key(job)).expect("a digest and a job's id are a valid key by their form")
}
