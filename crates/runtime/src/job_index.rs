//! Every job by its principal, in the order of creation: [`moorline_core::listing`] over the store.
//!
//! The entry is committed with the job's first record and gets the job's ending after its last. A crash in between
//! leaves one without an ending, which is then read from the journal; the next start repairs it, guided by
//! [`OpenJobs`]. In a journal of an earlier version there may be an entry without a job, which is not shown.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline_core::job::Status;
use moorline_core::listing::{Entry, Range};
use moorline_core::record::Accepted;
use moorline_store::{AppendError, Change, Collection, DocKey, Expect, ReadError, Store};
use moorline_types::{Batch, JobId, PrincipalId, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::ended::Ended;
use crate::job_lists;
use crate::open_jobs::OpenJobs;
use crate::sync::lock;

/// Entries that are read at once.
const PAGE: usize = 256;

/// How long what is noted of one job's end waits for others, so that jobs that end together share a commit: as long as
/// some short jobs take, and nothing to whoever lists jobs.
const LINGER: Duration = Duration::from_millis(2);

/// Changes in one commit of ends: some dozens of jobs, so that whoever commits next waits for less than a millisecond.
const CHANGES_AT_ONCE: usize = 192;

/// See the module's documentation. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct JobIndex {
    store: Arc<dyn Store>,
    /// Ends that are to be noted. Whoever put the first of them here notes all.
    ends: Arc<Mutex<Vec<Change>>>,
}

impl JobIndex {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, ends: Arc::default() }
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
        self.write(end(now, job, accepted, status, bytes).into()).await
    }

    /// The same, soon, together with other jobs that end. Returns when somebody else does it or it is done; `hurry` has
    /// it done at once. As open jobs, those whose ends cannot be noted are found by the next start, which does it.
    pub(crate) async fn end_soon(
        &self,
        now: Timestamp,
        job: JobId,
        accepted: &Accepted,
        status: Status,
        bytes: u64,
        hurry: &CancellationToken,
    ) {
        let is_first = {
            let mut ends = lock(&self.ends);
            let is_first = ends.is_empty();
            ends.extend(end(now, job, accepted, status, bytes));
            is_first
        };
        if !is_first {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(LINGER) => {}
            () = hurry.cancelled() => {}
        }
        let mut ends = std::mem::take(&mut *lock(&self.ends));
        while !ends.is_empty() {
            let following = ends.split_off(ends.len().min(CHANGES_AT_ONCE));
            if let Err(error) = self.write(ends).await {
                tracing::warn!(%error, "how some jobs have ended is not in the index yet");
            }
            ends = following;
        }
    }

    async fn write(&self, changes: Vec<Change>) -> Result<(), AppendError> {
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

fn end(now: Timestamp, job: JobId, accepted: &Accepted, status: Status, bytes: u64) -> [Change; 3] {
    let entry = Entry { ended: Some(status), ..Entry::of(accepted) };
    [write(job, &accepted.principal, &entry), Ended::job(now, job, &accepted.principal, bytes), OpenJobs::removal(job)]
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
