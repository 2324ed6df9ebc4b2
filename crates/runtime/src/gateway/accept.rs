//! Accepting a job, in two steps: all that may take long, and the commit.

use moorline_core::Refusal;
use moorline_core::job::Job;
use moorline_core::record::Accepted;
use moorline_core::trace::JobSpan;
use moorline_store::Change;
use moorline_types::{Batch, JobId, Quotas, Record, SessionId, Timestamp, TraceId, TraceRef};

use super::{Gateway, JobSummary, no_entropy};
use crate::claims::FreeKey;
use crate::credentials::Pending;
use crate::mint;
use crate::open_jobs::OpenJobs;
use crate::registry::Place;
use crate::spans::{Timed, Worth};
use crate::stored::Room;
use crate::tasks::TaskKind;

/// A job that is to be accepted, and what is kept for it until then.
#[derive(Debug)]
pub(crate) struct Candidate {
    id: JobId,
    accepted: Accepted,
    place: Place,
    quotas: Quotas,
    /// The rate that it is to be counted against yet.
    per_sec: Option<u64>,
    key: Option<FreeKey>,
    issued: Option<Pending>,
}

/// What is committed when a job is accepted.
#[derive(Debug)]
struct Entry {
    records: Vec<Record>,
    changes: Vec<Change>,
    entering: Entering,
}

/// A job whose first record is being committed.
#[derive(Debug)]
struct Entering {
    job: Job,
    session: SessionId,
    place: Place,
    room: Room,
    /// Bytes of its session's record.
    of_session: u64,
    /// Bytes of its own.
    of_job: u64,
    timed: Option<Timed>,
    key: Option<FreeKey>,
    issued: Option<Pending>,
}

impl Candidate {
    /// Bytes of what was submitted.
    pub(crate) fn bytes(&self) -> usize {
        self.accepted.input.get().len() + self.accepted.lease.get().len()
    }
}

impl Gateway {
    /// Accepts a job that no session sees by having asked for it: [`Gateway::candidate`] and [`Gateway::enter_all`].
    pub(crate) async fn accept(&self, accepted: Accepted, quotas: Quotas) -> Result<JobSummary, Refusal> {
        let candidate = self.candidate(accepted, None, quotas, None, false).await?;
        self.enter_all(vec![candidate], |_, _, _| None).await.pop().expect("one goes in, one comes out")
    }

    /// Everything that comes before a job is accepted, which may take as long as an upstream does: its id, room for it, and
    /// a credential. Which trace it belongs to follows from what its submitter says of that. What was kept for it is given
    /// back when it is dropped.
    pub(crate) async fn candidate(
        &self,
        mut accepted: Accepted,
        trace: Option<TraceRef>,
        quotas: Quotas,
        key: Option<FreeKey>,
        takes_credentials: bool,
    ) -> Result<Candidate, Refusal> {
        if self.0.draining.is_cancelled() {
            return Err(Refusal::Draining);
        }
        let now = self.now();
        if let Some(expires_at) = accepted.expires_at.filter(|at| *at <= now) {
            return Err(Refusal::LeasePast { expires_at });
        }
        let place = self.0.registry.reserve(&accepted.principal, quotas)?;
        let id = mint::job_id(now).map_err(no_entropy)?;
        let (trace, span) = JobSpan::begin(id, trace, self.0.options.tracing);
        (accepted.trace_id, accepted.span) = (Some(trace), Some(Box::new(span)));
        let mut per_sec = quotas.submits_per_sec;
        let issued = if takes_credentials {
            // Before the upstream is: who submits too often does not make it issue too often.
            self.count_submit(&accepted.principal, per_sec.take())?;
            self.0.credentials.issue_for(id, &accepted).await?
        } else {
            None
        };
        accepted.credentials.extend(issued.as_ref().and_then(Pending::provisioned).cloned());
        Ok(Candidate { id, accepted, place, quotas, per_sec, key, issued })
    }

    /// Accepts jobs of one submitter in one commit: of each, its first record and the submitting session's, if there is one.
    /// With a key, the key stands for the job from then on. One that is refused for itself leaves the others alone; what the
    /// store refuses, it refuses for all. No two may have the same key. `attach` makes the session's record of a job, of
    /// which it is told how many others precede it.
    pub(crate) async fn enter_all(
        &self,
        candidates: Vec<Candidate>,
        mut attach: impl FnMut(Timestamp, JobId, u64) -> Option<Record>,
    ) -> Vec<Result<JobSummary, Refusal>> {
        let (mut records, mut changes, mut entering) = (Vec::new(), Vec::new(), Vec::new());
        let mut outcomes = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let earlier = entering.len() as u64;
            let entry = self.entry(candidate, |now, job| attach(now, job, earlier));
            outcomes.push(entry.map(|Entry { records: first, changes: with_it, entering: one }| {
                records.extend(first);
                changes.extend(with_it);
                entering.push(one);
            }));
        }
        let mut entered = self.commit(Batch::from(records), changes, entering).await.into_iter();
        outcomes
            .into_iter()
            .filter_map(|outcome| outcome.map_or_else(|refusal| Some(Err(refusal)), |()| entered.next()))
            .collect()
    }

    /// What is to be committed for a candidate, and the room for it.
    fn entry(
        &self,
        candidate: Candidate,
        attach: impl FnOnce(Timestamp, JobId) -> Option<Record>,
    ) -> Result<Entry, Refusal> {
        let Candidate { id, accepted, place, quotas, per_sec, key, issued } = candidate;
        let (session, principal) = (accepted.session, accepted.principal.clone());
        let now = self.now();
        let mut job = Job::accept(now, id, accepted, self.job_limits());
        // A start finds the job, and its key is taken: with its first record, or not at all.
        let mut changes = vec![OpenJobs::entry(id, job.owner())];
        changes.extend(key.as_ref().map(|key| key.claim(now, id)));
        changes.extend(issued.as_ref().map(Pending::change));
        // The session begins to see the job before the job begins, so nothing of it precedes the attachment.
        let mut records = Vec::from_iter(attach(now, id));
        let of_session = records.iter().map(|record| record.body.len() as u64).sum();
        records.extend(job.poll_append().into_iter().flat_map(|batch| batch.records));
        let bytes = records.iter().map(|record| record.body.len() as u64).sum();
        let room = self.0.stored.of(&principal).take(bytes, quotas.stored_bytes)?;
        // The last that is asked: what is refused for another reason is not held against the rate.
        self.count_submit(&principal, per_sec)?;
        let timed = Timed::begin(&job, &self.0.clock, &records);
        let entering =
            Entering { job, session, place, room, of_session, of_job: bytes - of_session, timed, key, issued };
        Ok(Entry { records, changes, entering })
    }

    /// Commits the first records of jobs, and lets the jobs begin.
    async fn commit(
        &self,
        batch: Batch,
        changes: Vec<Change>,
        entering: Vec<Entering>,
    ) -> Vec<Result<JobSummary, Refusal>> {
        if entering.is_empty() {
            return Vec::new();
        }
        let gateway = self.clone();
        let begun = async move {
            let appended = gateway.append_with(batch, changes).await.map(drop);
            entering.into_iter().map(|one| one.begin(&gateway, appended.clone())).collect()
        };
        // Whoever asked may stop waiting. What the store was offered may be committed all the same, and is driven then.
        self.0.tasks.see_through(TaskKind::Job, begun).await
    }
}

impl Entering {
    /// The store has answered: the job begins, or what was kept for it is given back.
    fn begin(self, gateway: &Gateway, appended: Result<(), Refusal>) -> Result<JobSummary, Refusal> {
        let Self { mut job, session, place, room, of_session, of_job, timed, key, issued } = self;
        if let Some(timed) = timed {
            let refused = appended.as_ref().err().map(|_| "refused");
            timed.end(&job, &gateway.0.clock, &gateway.0.jobs.spans, Worth::Always, refused);
        }
        appended?;
        room.keep();
        issued.into_iter().for_each(Pending::keep);
        drop(key);
        gateway.0.sessions.note_bytes(session, of_session);
        job.handle_committed(gateway.now());
        let Accepted { agent, version, trace_id, .. } = job.accepted();
        let trace_id = trace_id.as_ref().map(TraceId::as_str);
        tracing::debug!(job = %job.id(), trace_id, %agent, %version, "a job is accepted");
        Ok(gateway.0.jobs.start(job, place, of_job))
    }
}
