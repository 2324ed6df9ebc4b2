//! A job from its records.

use moorline_types::{Committed, JobId, Record, Timestamp};

use super::cancel::Cancellation;
use super::{Job, JobLimits, Status};
use crate::record::{Corrupt, Fact};

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

impl Job {
    /// The job that these records make: all of its stream, in order. Its deadlines go on counting from where they were,
    /// except for its waiting for a worker, which there could not have been. If a worker runs it, it waits for that
    /// worker's next attachment; if a cancellation was asked for before any did, it ends.
    pub fn recover<R: AsRef<Record>>(
        now: Timestamp,
        job: JobId,
        records: impl IntoIterator<Item = Committed<R>>,
        limits: JobLimits,
    ) -> Result<Self, RecoverError> {
        let mut records = records.into_iter();
        let no_beginning = RecoverError::NoBeginning { job };
        let Some(first) = records.next() else { return Err(no_beginning) };
        let first = first.get().as_ref();
        let Fact::Accepted(accepted) = Fact::decode(first)? else { return Err(no_beginning) };
        let mut recovered = Self::new(first.at, job, accepted, limits);
        recovered.head = first.seq;
        for record in records {
            recovered.replay(record.get().as_ref())?;
        }
        recovered.pending_since = now;
        if recovered.status == Status::Pending && recovered.cancel.is_some() {
            recovered.end_cancelled(now);
        }
        Ok(recovered)
    }

    fn replay(&mut self, record: &Record) -> Result<(), RecoverError> {
        let fact = Fact::decode(record)?;
        self.head = record.seq;
        if let Some(worker_seq) = fact.worker_seq() {
            self.reported = worker_seq;
            self.acknowledged = worker_seq;
        }
        match fact {
            Fact::Started(started) => {
                self.worker = Some(started.worker);
                self.status = Status::Running;
                self.started_at = Some(record.at);
            }
            Fact::Event(event) => self.streaming |= event.kind == moorline_types::EventKind::ResultChunk,
            Fact::CancelRequested(request) => {
                let grace = self.limits.cancel_grace;
                self.cancel = Some(Cancellation::new(request.reason, record.at, grace, true));
            }
            Fact::Result(_) => self.status = Status::Success,
            Fact::Error(failure) => self.status = Status::of(failure.cause),
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
