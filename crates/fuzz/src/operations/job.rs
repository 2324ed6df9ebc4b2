//! A job with its worker and its way into the journal.

use moorline_core::delegation::DelegationLimits;
use moorline_core::job::{Effect, Job, JobLimits, Lost, Report, Status};
use moorline_core::record::{Cause, Fact, Output};
use moorline_types::{Batch, EventKind, Fence, Json, Millis, StreamId, Timestamp, WorkerId, WorkerSeq};

use crate::bytes::Decisions;
use crate::journal::Journal;

pub(super) const LIMITS: JobLimits = JobLimits {
    cancel_grace: Millis::from_secs(30),
    max_pending: Millis::from_secs(300),
    delegation: DelegationLimits::DEFAULT,
    tracing: moorline_core::trace::Participation::DEFAULT,
};

#[derive(Debug)]
pub(super) struct JobRun {
    pub(super) job: Job,
    /// The worker's attachment.
    fence: Fence,
    /// Every report that the worker has made, which it keeps until it is acknowledged.
    made: Vec<Report>,
    /// What the store has been offered and has not answered.
    offered: Option<Batch>,
    released: bool,
}

impl JobRun {
    /// A job whose beginning is committed.
    pub(super) const fn new(job: Job) -> Self {
        Self { job, fence: Fence::FIRST, made: Vec::new(), offered: None, released: false }
    }

    /// The worker takes the job up, or is attached anew.
    pub(super) fn attach(&mut self, now: Timestamp) {
        self.fence = self.fence.next();
        self.job.handle_attached(now, worker(), self.fence);
    }

    /// The worker makes a report, and sends some of what it has made: what is not acknowledged, all of it from the
    /// beginning, or only the last.
    pub(super) fn report(&mut self, now: Timestamp, decisions: &mut Decisions<'_>) {
        let done = self.made.last().is_some_and(|report| !matches!(report, Report::Event { .. }));
        let number = self.made.len() + 1;
        let report = match decisions.below(16) {
            0..=10 => event(EventKind::Log, number),
            11 | 12 => event(EventKind::ResultChunk, number),
            13 => Report::Result { output: Output::Inline(Json::parse("42").unwrap()), summary: None },
            14 => Report::Result {
                output: Output::Streamed { result_id: "res_1".to_owned(), result_size: 2 },
                summary: None,
            },
            _ => Report::Failure { cause: Cause::Agent, message: "no".to_owned(), retryable: true, details: None },
        };
        if !done {
            self.made.push(report);
        }
        let first = match decisions.below(8) {
            0 => self.made.len(),
            1 => 1,
            _ => usize::try_from(self.job.acknowledged().get()).unwrap() + 1,
        };
        for (number, report) in self.made.iter().enumerate().map(|(at, report)| (at + 1, report)).skip(first - 1) {
            // A report that skips a number, or comes from an attachment of before, is refused.
            let _refused =
                self.job.handle_report(now, self.fence, WorkerSeq::new(number as u64), report.clone()).is_err();
        }
    }

    /// The worker is gone and does not come back.
    pub(super) fn lose_worker(&mut self, now: Timestamp) {
        self.job.handle_worker_lost(now, worker(), Lost::Ended);
    }

    /// Hands the store what is decided.
    pub(super) fn offer(&mut self) {
        if self.offered.is_none() {
            self.offered = self.job.poll_append();
        }
    }

    /// The store takes what it was offered.
    pub(super) fn commit(&mut self, now: Timestamp, journal: &mut Journal) {
        if let Some(batch) = self.offered.take() {
            journal.append(batch);
            self.job.handle_committed(now);
        }
        self.perform(journal);
    }

    /// The store refuses what it was offered.
    pub(super) fn refuse(&mut self, now: Timestamp) {
        if self.offered.take().is_some() {
            self.job.handle_refused(now);
        }
    }

    /// Everything that is decided is committed, whatever was refused before.
    pub(super) fn settle(&mut self, now: Timestamp, journal: &mut Journal) {
        self.offer();
        while self.offered.is_some() {
            self.commit(now, journal);
            self.offer();
        }
        self.perform(journal);
    }

    /// The gateway is killed: of what the store was offered it has all or nothing, and a new gateway reads the rest. The
    /// worker goes on, and is not attached to it yet.
    pub(super) fn crash(&mut self, now: Timestamp, journal: &mut Journal, committed: bool) {
        if let (Some(batch), true) = (self.offered.take(), committed) {
            journal.append(batch);
        }
        let id = self.job.id();
        self.job = Job::recover(now, id, journal.of(StreamId::Job(id)).cloned(), LIMITS).unwrap();
        assert_eq!(self.job.head(), journal.stream_head(StreamId::Job(id)));
        self.released = false;
    }

    fn perform(&mut self, journal: &Journal) {
        while let Some(effect) = self.job.poll_effect() {
            if let Effect::Acknowledge { worker_seq, .. } = &effect {
                let last = self.last_report(journal);
                assert!(*worker_seq <= last || self.ending(journal).is_some(), "{effect:?} after {last:?}");
            }
            if effect == Effect::Release {
                assert!(!self.released, "released twice");
                assert!(self.ending(journal).is_some(), "released before its end is committed");
                self.released = true;
            }
        }
    }

    fn last_report(&self, journal: &Journal) -> WorkerSeq {
        self.facts(journal).filter_map(|fact| fact.worker_seq()).max().unwrap_or(WorkerSeq::ZERO)
    }

    fn facts<'a>(&self, journal: &'a Journal) -> impl Iterator<Item = Fact> + 'a {
        journal.of(StreamId::Job(self.job.id())).map(|entry| Fact::decode(entry.get()).unwrap())
    }

    fn ending(&self, journal: &Journal) -> Option<Status> {
        self.facts(journal).find_map(|fact| status(&fact))
    }

    /// What must be so once the job is over.
    pub(super) fn check(&self, journal: &Journal) {
        let facts: Vec<Fact> = self.facts(journal).collect();
        let endings: Vec<Status> = facts.iter().filter_map(status).collect();
        assert_eq!(endings.len(), 1, "{facts:?}");
        assert!(facts.last().is_some_and(|last| status(last).is_some()), "nothing follows the end: {facts:?}");
        assert_eq!(endings[0], self.job.status());
        // What the worker reported is there once and in order, up to where the job ended.
        let reported: Vec<WorkerSeq> = facts.iter().filter_map(Fact::worker_seq).collect();
        assert_eq!(reported, (1..=reported.len() as u64).map(WorkerSeq::new).collect::<Vec<_>>());
        for fact in &facts {
            if let (Fact::Event(event), Some(number)) = (fact, fact.worker_seq()) {
                assert_eq!(event.body.get(), body(number.get()).get());
            }
        }
        if facts.iter().any(|fact| matches!(fact, Fact::CancelRequested(_))) {
            assert_eq!(endings[0], Status::Cancelled, "{facts:?}");
        }
    }
}

fn worker() -> WorkerId {
    WorkerId::mint(Timestamp::from_unix_millis(1), [3; 10])
}

fn event(kind: EventKind, number: usize) -> Report {
    Report::Event { kind, ts: Timestamp::from_unix_millis(7), body: body(number as u64) }
}

/// The body of the worker's report with this number.
fn body(number: u64) -> Json {
    Json::of(&number).unwrap()
}

const fn status(fact: &Fact) -> Option<Status> {
    if let Fact::Result(_) = fact {
        Some(Status::Success)
    } else if let Fact::Error(failure) = fact {
        Some(Status::of(failure.cause))
    } else {
        None
    }
}
