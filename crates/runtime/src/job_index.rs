//! Every job by its principal, in the order of creation: [`moorline_core::listing`] over the store.
//!
//! What announces a job, here and in [`crate::job_lists`], is written soon after it has begun, and its ending soon after it
//! has ended; of a job that begins and ends within [`LINGER`] everything is written once. Jobs share these commits, and
//! nobody waits for them but who reads: what waits is written before anything is read.
//!
//! A crash loses what waits. The next start notes it again, guided by [`OpenJobs`]: a job is among those from its first
//! record on, until the commit that notes its end. In a journal of an earlier version there may be an entry without a job,
//! which is not shown.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline_core::job::{Job, Status};
use moorline_core::listing::{Entry, Range};
use moorline_core::record::Accepted;
use moorline_store::{AppendError, Change, Collection, DocKey, Expect, ReadError, Store};
use moorline_types::{Batch, JobId, PrincipalId, Timestamp, Units};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::ended::Ended;
use crate::job_lists;
use crate::open_jobs::OpenJobs;
use crate::sync::lock;
use crate::tasks::{TaskKind, Tasks};

/// Entries that are read at once.
const PAGE: usize = 256;

/// How long what is noted of one job waits for others: as long as some dozens of short jobs take, which are then noted in
/// one commit that holds up whoever commits next for less than a millisecond.
const LINGER: Duration = Duration::from_millis(5);

/// Changes in one commit: some dozens of jobs.
const CHANGES_AT_ONCE: usize = 192;

/// How long the store has before what it refused is offered again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// See the module's documentation. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct JobIndex {
    store: Arc<dyn Store>,
    notes: Arc<Notes>,
}

/// What is not in the store yet.
#[derive(Debug, Default)]
struct Notes {
    waiting: Mutex<Waiting>,
    /// Told when something waits.
    noted: Notify,
    /// Whoever writes has it, so that commits are made in the order in which they were noted.
    writing: tokio::sync::Mutex<()>,
}

/// Bounded by the store: what comes here is of a job that it has taken a record of a moment ago, and while it refuses there
/// are no such jobs.
#[derive(Debug, Default)]
struct Waiting {
    /// Jobs of which nothing is noted.
    begun: BTreeMap<JobId, Arc<Accepted>>,
    /// What is to be noted of the ends of others.
    ended: Vec<Change>,
    /// Commits that are to be made before. The first may be under way.
    commits: VecDeque<Vec<Change>>,
}

/// What is noted of a job's end.
#[derive(Debug, Clone)]
pub(crate) struct End {
    /// How it has ended.
    pub(crate) status: Status,
    /// What was left of its budget; empty also if that is not known here.
    pub(crate) remaining: BTreeMap<Box<str>, Units>,
    /// The bytes of its records.
    pub(crate) bytes: u64,
}

impl End {
    /// The end of a job that is over, with so many bytes of records.
    pub(crate) fn of(job: &Job, bytes: u64) -> Self {
        Self { status: job.status(), remaining: remaining(job), bytes }
    }
}

/// What is left of a job's budget, by currency.
pub(crate) fn remaining(job: &Job) -> BTreeMap<Box<str>, Units> {
    job.authority().remaining().map(|(currency, left)| (currency.into(), left)).collect()
}

impl JobIndex {
    /// The index of this store, which is written from now on. Must be called in a runtime.
    pub(crate) fn start(store: Arc<dyn Store>, tasks: &Tasks) -> Self {
        let index = Self { store, notes: Arc::default() };
        let (writing, stopping) = (index.clone(), tasks.stopping().clone());
        tasks.spawn(TaskKind::JobIndex, async move { writing.write_all(&stopping).await });
        index
    }

    /// Takes note of a job whose first record is committed, or was by an earlier run.
    pub(crate) fn note_begun(&self, job: JobId, accepted: Arc<Accepted>) {
        lock(&self.notes.waiting).begun.insert(job, accepted);
        self.notes.noted.notify_one();
    }

    /// Takes note of how a job has ended: here, among what is over and among what is open, all in one commit. From then on
    /// the job may be removed.
    pub(crate) fn note_ended(&self, now: Timestamp, job: JobId, accepted: &Accepted, end: End) {
        let (owner, End { status, remaining, bytes }) = (&accepted.principal, end);
        let entry = Entry { ended: Some(status), remaining, ..Entry::of(accepted) };
        let end = [write(job, owner, &entry), Ended::job(now, job, owner, bytes), OpenJobs::removal(job)];
        let mut waiting = lock(&self.notes.waiting);
        if waiting.begun.remove(&job).is_some() {
            waiting.ended.extend(job_lists::entries(job, owner, &accepted.tags));
        }
        waiting.ended.extend(end);
        drop(waiting);
        self.notes.noted.notify_one();
    }

    async fn write_all(&self, stopping: &CancellationToken) {
        let mut is_refused = false;
        while !stopping.is_cancelled() {
            let again =
                async { if is_refused { tokio::time::sleep(RETRY_PAUSE).await } else { std::future::pending().await } };
            let linger = async {
                self.notes.noted.notified().await;
                tokio::time::sleep(LINGER).await;
            };
            tokio::select! {
                () = linger => {}
                () = again => {}
                () = stopping.cancelled() => {}
            }
            is_refused = !self.settle().await;
        }
    }

    /// Writes what waits. Answers whether nothing waits any more; if not, the store has refused it, and is offered it again.
    /// Dropping the future loses nothing.
    pub(crate) async fn settle(&self) -> bool {
        let _writing = self.notes.writing.lock().await;
        while let Some(commit) = self.notes.first_commit() {
            match self.store.append_with(Batch::default(), commit).await {
                Ok(_) => {}
                Err(error @ AppendError::Store { .. }) => {
                    tracing::warn!(%error, "how some jobs have begun or ended is not in the index yet");
                    return false;
                }
                Err(error) => tracing::error!(%error, "how some jobs have begun or ended is noted by the next start"),
            }
            lock(&self.notes.waiting).commits.pop_front();
        }
        true
    }

    /// What the index says of a job.
    pub(crate) async fn get(&self, job: JobId, principal: &PrincipalId) -> Result<Option<Entry>, ReadError> {
        self.settle().await;
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
        self.settle().await;
        let after = last.map(|job| range.key(job));
        let after = after.as_deref().unwrap_or(range.start());
        let documents = self.store.list(Collection::JobIndex, Some(after), PAGE).await?;
        let own = documents.iter().map_while(|(key, found)| Some((range.job(key.key())?, &found.value)));
        Ok(own.map(|(job, value)| (job, read(job, value))).collect())
    }
}

impl Notes {
    /// What is to be committed first. It stays until it is.
    fn first_commit(&self) -> Option<Vec<Change>> {
        let (begun, ended) = {
            let mut waiting = lock(&self.waiting);
            if let Some(first) = waiting.commits.front() {
                return Some(first.clone());
            }
            (std::mem::take(&mut waiting.begun), std::mem::take(&mut waiting.ended))
        };
        // Made without the lock: whoever notes something meanwhile is of a later commit.
        let mut changes: Vec<_> = begun.into_iter().flat_map(|(job, accepted)| announcement(job, &accepted)).collect();
        changes.extend(ended);
        let mut commits = VecDeque::new();
        while !changes.is_empty() {
            let following = changes.split_off(changes.len().min(CHANGES_AT_ONCE));
            commits.push_back(std::mem::replace(&mut changes, following));
        }
        let first = commits.front().cloned();
        lock(&self.waiting).commits = commits;
        first
    }
}

/// What announces a job.
fn announcement(job: JobId, accepted: &Accepted) -> Vec<Change> {
    let mut changes = job_lists::entries(job, &accepted.principal, &accepted.tags);
    changes.push(write(job, &accepted.principal, &Entry::of(accepted)));
    changes
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
