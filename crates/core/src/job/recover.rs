//! A job from its records.

use moorline_types::{Committed, EventKind, JobId, Record, StreamSeq, Timestamp, WorkerSeq};

use super::cancel::Cancellation;
use super::{Effect, Job, JobLimits, Status};
use crate::record::{Corrupt, EventText, Fact};

/// Why records make no job.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// There are none, or the first does not accept the job.
    #[error("the stream of {job} does not begin with its acceptance")]
    NoBeginning {
        /// The job.
        job: JobId,
    },
    /// A record that a job's stream never has.
    #[error("the stream of {job} holds a record of kind {kind:?}")]
    ForeignRecord {
        /// The job.
        job: JobId,
        /// The record's kind.
        kind: moorline_types::RecordKind,
    },
    /// A record that does not decode.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// A job that is being made of its records, one after the other: what has been taken in need not be kept.
#[derive(Debug)]
pub struct Recovery {
    job: Job,
}

impl Recovery {
    /// Begins with the first record of the job's stream.
    ///
    /// # Errors
    /// If it does not accept the job.
    pub fn begin(job: JobId, first: &Record, limits: JobLimits) -> Result<Self, RecoverError> {
        let Fact::Accepted(accepted) = Fact::decode(first)? else { return Err(RecoverError::NoBeginning { job }) };
        let mut job = Job::new(first.at, job, accepted, limits);
        job.head = first.seq;
        Ok(Self { job })
    }

    /// Takes in the next record of the stream.
    ///
    /// # Errors
    /// If a job's stream has no such record.
    pub fn replay(&mut self, record: &Record) -> Result<(), RecoverError> {
        self.job.replay(record)
    }

    /// Passes over events that are not in the journal any more, up to and including this place, the last report among which
    /// had this number. To be used only where events say nothing about the job itself: it has no budget.
    pub fn pass_over(&mut self, through: StreamSeq, reported: WorkerSeq) {
        self.job.head = self.job.head.max(through);
        self.job.note_reported((reported > WorkerSeq::ZERO).then_some(reported));
    }

    /// The job, after the last record. Its deadlines go on counting from where they were, except for its waiting for a
    /// worker, which there could not have been. If a worker runs it, it waits for that worker's next attachment; if a
    /// cancellation was asked for before any did, it ends.
    pub fn finish(self, now: Timestamp) -> Job {
        let mut job = self.job;
        job.pending_since = now;
        job.authority.handle_recovered();
        if job.status == Status::Pending && job.cancel.is_some() {
            job.end_cancelled(now);
        }
        if !job.status.is_terminal() {
            // The gateway may have died between a cost and what it was about to say of it.
            job.tell_remaining(now);
        }
        job
    }
}

impl Job {
    /// A job that begins with this record, which is committed: a child, whose parent has recorded it.
    ///
    /// # Errors
    /// If it does not accept the job.
    pub fn begin(now: Timestamp, job: JobId, first: &Record, limits: JobLimits) -> Result<Self, RecoverError> {
        let mut job = Recovery::begin(job, first, limits)?.finish(now);
        job.authority.handle_begun();
        job.effects.push_back(Effect::Dispatch);
        Ok(job)
    }

    /// The job that these records make: all of its stream, in order. For a stream that is not in memory there is
    /// [`Recovery`].
    ///
    /// # Errors
    /// See [`RecoverError`].
    pub fn recover<R: AsRef<Record>>(
        now: Timestamp,
        job: JobId,
        records: impl IntoIterator<Item = Committed<R>>,
        limits: JobLimits,
    ) -> Result<Self, RecoverError> {
        let mut records = records.into_iter();
        let first = records.next().ok_or(RecoverError::NoBeginning { job })?;
        let mut recovery = Recovery::begin(job, first.get().as_ref(), limits)?;
        for record in records {
            recovery.replay(record.get().as_ref())?;
        }
        Ok(recovery.finish(now))
    }

    fn note_reported(&mut self, worker_seq: Option<WorkerSeq>) {
        if let Some(worker_seq) = worker_seq {
            self.reported = worker_seq;
            self.acknowledged = worker_seq;
        }
    }

    fn replay(&mut self, record: &Record) -> Result<(), RecoverError> {
        if let Some(spans) = &mut self.spans {
            // What was finished before was told before.
            drop(spans.handle_committed(record, self.authority.remaining()));
        }
        // Most of a long stream is events, of which little is asked for.
        if let Some(event) = EventText::of(record) {
            self.head = record.seq;
            self.note_reported(event.worker_seq);
            self.streaming |= event.kind == EventKind::ResultChunk.as_str();
            if event.kind == EventKind::Metric.as_str() {
                self.authority.replay_metric(event.worker_seq.is_some(), event.body());
            }
            return Ok(());
        }
        let fact = Fact::decode(record)?;
        self.head = record.seq;
        self.note_reported(fact.worker_seq());
        match fact {
            Fact::Started(started) => {
                self.worker = Some(started.worker);
                self.status = Status::Running;
                self.started_at = Some(record.at);
            }
            Fact::Event(event) => {
                self.streaming |= event.kind == EventKind::ResultChunk;
                if event.kind == EventKind::Metric {
                    self.authority.replay_metric(event.worker_seq.is_some(), event.body.get());
                }
            }
            Fact::DelegationHeld(held) => self.children.replay_held(held),
            Fact::Delegated(delegated) => self.children.replay_delegated(delegated),
            Fact::DelegationRefused(refused) => self.children.replay_refused(refused),
            Fact::ChildEnded(ended) => self.children.replay_ended(ended),
            Fact::Reserved(reserved) => self.authority.replay_reserved(reserved),
            Fact::Settled(settled) => self.authority.replay_settled(&settled),
            Fact::CancelRequested(request) => {
                let grace = self.limits.cancel_grace;
                self.cancel = Some(Cancellation::new(request.reason, record.at, grace, true));
            }
            Fact::CredentialRotated(rotated) => self.credentials.replay(record.at, &rotated),
            Fact::Result(_) => self.status = Status::Success,
            Fact::Error(failure) => {
                self.status = Status::of(failure.cause);
                self.failure = Some(failure);
            }
            Fact::Accepted(_)
            | Fact::Opened(_)
            | Fact::Attached(_)
            | Fact::History(_)
            | Fact::Detached(_)
            | Fact::Closed(_)
            | Fact::Subscribed(_)
            | Fact::Notice(_) => {
                return Err(RecoverError::ForeignRecord { job: self.id, kind: record.kind });
            }
        }
        Ok(())
    }
}
