//! The jobs that have not ended, by id: whom to ask about each, and how many each principal has.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use moorline_core::Refusal;
use moorline_core::delegation::Delegation;
use moorline_core::job::{ChildEnding, Job, Lost, Report, Status};
use moorline_core::quota::{Quota, QuotaReached};
use moorline_core::rate::TokenBucket;
use moorline_core::record::Accepted;
use moorline_types::{
    CredentialId, Fence, JobId, PrincipalId, Quotas, SessionId, StreamSeq, Timestamp, Units, WorkerId, WorkerSeq,
};
use moorline_worker::message::{Ask, AskId};
use tokio::sync::{mpsc, oneshot, watch};

use crate::claims::FreeKey;
use crate::intake::{Intake, MAX_REPORTS};
use crate::sync::lock;

/// Inputs that may wait for one job: as many reports as its intake admits, if each comes by itself, and room for
/// everybody else, questions among them.
pub(crate) const JOB_INBOX: usize = MAX_REPORTS + 64;

/// What can be told to a job.
#[derive(Debug)]
pub(crate) enum JobInput {
    /// A worker has it, under this attachment.
    Attached { worker: WorkerId, fence: Fence },
    /// Its worker reports. What the reports are numbered follows from the first.
    Reports { fence: Fence, first: WorkerSeq, reports: Vec<Report> },
    /// Its worker asks something, after the reports that were made before it.
    Ask { fence: Fence, id: AskId, after: WorkerSeq, ask: Ask },
    /// Its worker will not finish it.
    WorkerLost { worker: WorkerId, lost: Lost },
    /// Somebody with the right to wants it ended. Answered when the request is durable.
    Cancel { by: Option<PrincipalId>, reason: Option<String>, confirmed: oneshot::Sender<Result<(), Refusal>> },
    /// Somebody with the right to submits below it. Answered when the child is there.
    Delegate { below: Box<SubmittedBelow>, accepted: oneshot::Sender<Result<JobId, Refusal>> },
    /// Somebody with the right to wants its credential of this name, or the only one, to have another value. Answered when
    /// the new one is the job's.
    Rotate { name: Option<CredentialId>, rotated: oneshot::Sender<Result<CredentialId, Refusal>> },
    /// Somebody with the right to wants to know what is left of its budget. Answered when all that is counted is durable.
    Remaining { told: oneshot::Sender<BTreeMap<Box<str>, Units>> },
    /// The job that delegated it is to end, and it with that one.
    CancelByParent,
    /// A job that it has delegated has ended. May be said more than once.
    ChildEnded { ending: Box<ChildEnding> },
    /// A job that it has delegated is not in the journal any more.
    ChildMissing { child: JobId },
    /// Every job of the last run has its task again.
    FamilyRecovered,
    /// Records of it have left the journal, with bodies of so many bytes.
    Shortened { bytes: u64 },
    /// The gateway cannot go on with it.
    Abandon { message: String },
}

/// A submission below a job.
#[derive(Debug)]
pub(crate) struct SubmittedBelow {
    /// What is asked of the job.
    pub(crate) delegation: Delegation,
    /// The session in which it is asked.
    pub(crate) session: SessionId,
    /// Whether its client takes credentials.
    pub(crate) takes_credentials: bool,
    /// The key that the child is to have, if it has one.
    pub(crate) key: Option<FreeKey>,
}

/// What is known about a job without asking it, as far as it is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Where the job stands.
    pub status: Status,
    /// Its last record.
    pub head: StreamSeq,
    /// The last of its worker's reports that need not be sent again.
    pub acknowledged: WorkerSeq,
    /// The last attachment of its worker, once it has one.
    pub attached: Option<(WorkerId, Fence)>,
}

impl Progress {
    /// What is known about a job as it is.
    pub(crate) fn of(job: &Job) -> Self {
        let attached = job.worker().zip(job.fence());
        Self { status: job.status(), head: job.head(), acknowledged: job.acknowledged(), attached }
    }
}

/// A job that has not ended. Its inbox is closed when this gateway does not drive it any more.
#[derive(Debug, Clone)]
pub(crate) struct JobHandle {
    pub(crate) accepted: Arc<Accepted>,
    pub(crate) accepted_at: Timestamp,
    pub(crate) inbox: mpsc::Sender<JobInput>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) progress: watch::Receiver<Progress>,
    /// How it has ended, if a session was shown that before the job's own task had its say.
    pub(crate) ended: Option<Status>,
}

impl JobHandle {
    /// Where the job stands: never behind what any session was shown.
    pub(crate) fn status(&self) -> Status {
        self.ended.unwrap_or_else(|| self.progress.borrow().status)
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    jobs: HashMap<JobId, JobHandle>,
    /// Jobs of each principal, counted from the moment that one is being accepted.
    counts: HashMap<PrincipalId, Counts>,
    /// How often each principal that is bounded in this has submitted of late.
    rates: HashMap<PrincipalId, TokenBucket>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    /// Those that have not ended.
    jobs: u64,
    /// Those of them that no worker has begun.
    queued: u64,
}

/// Principals whose rate is known before those are forgotten that have not submitted for long enough: some hundred
/// kilobytes.
const MAX_IDLE_RATES: usize = 1024;

/// Room for one job of a principal. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    registry: Arc<Registry>,
    principal: PrincipalId,
    is_queued: bool,
}

impl Registry {
    /// Counts one more submission against a rate, as many as `limit` in a second.
    pub(crate) fn count_submit(&self, now: Timestamp, principal: &PrincipalId, limit: u64) -> Result<(), QuotaReached> {
        let rates = &mut lock(&self.state).rates;
        if rates.len() >= MAX_IDLE_RATES && !rates.contains_key(principal) {
            rates.retain(|_, bucket| !bucket.is_full(now));
        }
        let bucket = rates.entry(principal.clone()).or_insert_with(|| TokenBucket::full(now, limit));
        bucket.take(now, limit).map_err(|wait| QuotaReached {
            quota: Quota::SubmitsPerSec,
            limit,
            used: limit,
            retry_after: Some(wait),
        })
    }

    /// Takes room for one more job of the principal, which no worker has begun.
    pub(crate) fn reserve(self: &Arc<Self>, principal: &PrincipalId, quotas: Quotas) -> Result<Place, QuotaReached> {
        let mut state = lock(&self.state);
        let Counts { jobs, queued } = state.counts.get(principal).copied().unwrap_or_default();
        let jobs = Quota::Jobs.take(jobs, 1, quotas.jobs)?;
        let queued = Quota::Queued.take(queued, 1, quotas.queued)?;
        state.counts.insert(principal.clone(), Counts { jobs, queued });
        Ok(Place { registry: Arc::clone(self), principal: principal.clone(), is_queued: true })
    }

    /// Room for a job of the last run, which has been accepted whatever the limits are now.
    pub(crate) fn reserve_again(self: &Arc<Self>, principal: &PrincipalId) -> Place {
        let mut state = lock(&self.state);
        let counts = state.counts.entry(principal.clone()).or_default();
        counts.jobs += 1;
        counts.queued += 1;
        Place { registry: Arc::clone(self), principal: principal.clone(), is_queued: true }
    }

    pub(crate) fn insert(&self, job: JobId, handle: JobHandle) {
        lock(&self.state).jobs.insert(job, handle);
    }

    /// A session was shown the job's end.
    pub(crate) fn note_ended(&self, job: JobId, status: Status) {
        if let Some(handle) = lock(&self.state).jobs.get_mut(&job) {
            handle.ended = Some(status);
        }
    }

    /// Removes a job that is over. Answers it as it was known.
    pub(crate) fn remove(&self, job: JobId) -> Option<JobHandle> {
        lock(&self.state).jobs.remove(&job)
    }

    pub(crate) fn get(&self, job: JobId) -> Option<JobHandle> {
        lock(&self.state).jobs.get(&job).cloned()
    }

    /// Every job, in the order of their ids.
    pub(crate) fn all(&self) -> Vec<(JobId, JobHandle)> {
        let state = lock(&self.state);
        let mut jobs: Vec<_> = state.jobs.iter().map(|(job, handle)| (*job, handle.clone())).collect();
        jobs.sort_unstable_by_key(|(job, _)| *job);
        jobs
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.state).jobs.len()
    }
}

impl Place {
    /// The job does not wait for a worker any more.
    pub(crate) fn leave_queue(&mut self) {
        if std::mem::take(&mut self.is_queued)
            && let Some(counts) = lock(&self.registry.state).counts.get_mut(&self.principal)
        {
            counts.queued -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave_queue();
        let mut state = lock(&self.registry.state);
        if let Some(counts) = state.counts.get_mut(&self.principal) {
            counts.jobs -= 1;
            if counts.jobs == 0 {
                state.counts.remove(&self.principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let registry = Arc::new(Registry::default());
        let ada: PrincipalId = "ada".parse().unwrap();
        let bob: PrincipalId = "bob".parse().unwrap();
        let one = Quotas { jobs: Some(1), ..Quotas::default() };
        let place = registry.reserve(&ada, one).unwrap();
        let refused = registry.reserve(&ada, one).unwrap_err();
        assert_eq!((refused.quota, refused.limit, refused.used), (Quota::Jobs, 1, 1));
        assert!(registry.reserve(&bob, one).is_ok(), "one principal's jobs are not another's");
        drop(place);
        assert!(registry.reserve(&ada, one).is_ok());
        assert!(lock(&registry.state).counts.is_empty(), "who has no job is not known");
    }

    #[test]
    fn a_job_that_is_begun_makes_room_in_the_queue_and_not_among_the_jobs() {
        let registry = Arc::new(Registry::default());
        let ada: PrincipalId = "ada".parse().unwrap();
        let quotas = Quotas { jobs: Some(2), queued: Some(1), ..Quotas::default() };
        let mut first = registry.reserve(&ada, quotas).unwrap();
        assert_eq!(registry.reserve(&ada, quotas).unwrap_err().quota, Quota::Queued);
        first.leave_queue();
        first.leave_queue();
        let second = registry.reserve(&ada, quotas).unwrap();
        let refused = registry.reserve(&ada, quotas).unwrap_err();
        assert_eq!((refused.quota, refused.used), (Quota::Jobs, 2), "the jobs are counted first");
        drop((first, second, registry.reserve_again(&ada)));
        assert!(lock(&registry.state).counts.is_empty());
    }
}
