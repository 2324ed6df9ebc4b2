//! What a worker reports about a job.
//!
//! A worker numbers its reports about a job from 1. Each is taken in once, in order: one that was taken in before is
//! acknowledged again, one that skips a number is refused, because something between was lost on the way.

use moorline_types::{Capability, EventKind, Fence, Json, Timestamp, WorkerId, WorkerSeq};

use super::{Denied, Job, Status};
use crate::delegation::{Delegation, Found};
use crate::record::{Cause, Event, Fact, Failure, Output, Started};

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The agent did something.
    Event {
        /// What it is about.
        kind: EventKind,
        /// When.
        ts: Timestamp,
        /// The kind's fields, checked by the caller.
        body: Json,
    },
    /// The agent delegates.
    Delegate {
        /// What it asks for.
        delegation: Box<Delegation>,
        /// What is known of the agent and of the room for another job.
        found: Box<Found>,
    },
    /// The agent is done.
    Result {
        /// With what.
        output: Output,
        /// The same in a line for people.
        summary: Option<String>,
    },
    /// The agent has failed.
    Failure {
        /// Why.
        cause: Cause,
        /// The same for people.
        message: String,
        /// Whether the same submission may succeed later.
        retryable: bool,
        /// What a program may want to know.
        details: Option<Json>,
    },
}

impl Report {
    /// What is recorded in the place of an event that cannot be: a warning, as its kind and its body. Nothing else is
    /// lost for it.
    pub fn dropped(kind: &EventKind, problem: &str) -> (EventKind, Json) {
        let message = format!("an event of kind {kind} was dropped: {problem}");
        let body = Json::of(&serde_json::json!({ "level": "warn", "message": message }));
        (EventKind::Log, body.unwrap_or_else(|_| Json::null()))
    }

    /// The size of the JSON that it carries.
    pub fn carried_bytes(&self) -> usize {
        match self {
            Self::Event { body, .. } => body.get().len(),
            Self::Delegate { delegation, .. } => {
                delegation.wanted.as_ref().map_or(0, |wanted| wanted.input.get().len() + wanted.lease.get().len())
            }
            Self::Result { output: Output::Inline(json), .. } => json.get().len(),
            Self::Result { output: Output::Streamed { .. }, .. } => 0,
            Self::Failure { details, .. } => details.as_ref().map_or(0, |details| details.get().len()),
        }
    }
}

/// Why a report is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// It comes from an attachment that does not have the job.
    #[error("the report is from attachment {got}, the job is run by {}", describe(.current))]
    Stale {
        /// The attachment that reported.
        got: Fence,
        /// The attachment that has the job.
        current: Option<Fence>,
    },
    /// Reports before it are missing.
    #[error("report {got} came where {expected} was due: reports were lost on the way")]
    Gap {
        /// The number that was due.
        expected: WorkerSeq,
        /// The number that came.
        got: WorkerSeq,
    },
}

fn describe(fence: &Option<Fence>) -> String {
    fence.map_or_else(|| "nobody".to_owned(), |fence| format!("attachment {fence}"))
}

impl Job {
    /// A worker has the job, under this attachment: it has taken it up, or still runs it and is attached anew.
    pub fn handle_attached(&mut self, now: Timestamp, worker: WorkerId, fence: Fence) {
        let runs_it = self.worker == Some(worker);
        match self.status {
            Status::Pending => {
                self.worker = Some(worker);
                self.fence = Some(fence);
                self.status = Status::Running;
                self.started_at = Some(now);
                self.waiting.push(now, &Fact::Started(Started { worker, fence }));
                self.cancel_on_worker();
            }
            Status::Running if runs_it && self.fence == Some(fence) => {}
            Status::Running if runs_it => {
                self.fence = Some(fence);
                self.forget_asked();
                self.acknowledge();
                self.tell_credentials();
                self.cancel_on_worker();
            }
            // The ending is decided; its commit says the rest to the worker's new attachment.
            Status::Success | Status::Error | Status::Cancelled | Status::TimedOut if runs_it && !self.is_settled() => {
                self.fence = Some(fence);
            }
            // It ended while the worker was taking it up or was away, or another worker runs it.
            Status::Running | Status::Success | Status::Error | Status::Cancelled | Status::TimedOut => {
                self.effects.push_back(super::Effect::Kill { fence });
            }
        }
    }

    /// A worker asks whether the job may do something, having made its reports up to `after`.
    ///
    /// # Errors
    /// If the worker may not ask, or its reports are missing.
    pub fn handle_authorize(
        &self,
        now: Timestamp,
        fence: Fence,
        after: WorkerSeq,
        capability: &Capability,
        target: &str,
    ) -> Result<Result<(), Denied>, ReportError> {
        if self.fence != Some(fence) {
            return Err(ReportError::Stale { got: fence, current: self.fence });
        }
        if after > self.reported {
            return Err(ReportError::Gap { expected: self.reported.next(), got: after.next() });
        }
        if self.status.is_terminal() {
            return Ok(Err(Denied::Ended { status: self.status }));
        }
        Ok(self.authority.authorize(now, capability, target))
    }

    /// Whether a report of this number is the next one, and not one that is told again.
    pub fn expects(&self, worker_seq: WorkerSeq) -> bool {
        worker_seq == self.reported.next()
    }

    /// A worker reports something about the job.
    pub fn handle_report(
        &mut self,
        now: Timestamp,
        fence: Fence,
        worker_seq: WorkerSeq,
        report: Report,
    ) -> Result<(), ReportError> {
        if self.fence != Some(fence) {
            return Err(ReportError::Stale { got: fence, current: self.fence });
        }
        let expected = self.reported.next();
        if worker_seq > expected {
            return Err(ReportError::Gap { expected, got: worker_seq });
        }
        if worker_seq < expected {
            if worker_seq <= self.acknowledged {
                self.acknowledge();
            }
            return Ok(());
        }
        self.reported = worker_seq;
        self.worker_done |= matches!(report, Report::Result { .. } | Report::Failure { .. });
        if self.status.is_terminal() {
            if self.is_settled() {
                self.acknowledged = worker_seq;
                self.acknowledge();
            }
            return Ok(());
        }
        self.take_in(now, worker_seq, report);
        Ok(())
    }

    fn take_in(&mut self, now: Timestamp, number: WorkerSeq, report: Report) {
        let worker_seq = Some(number);
        match report {
            Report::Delegate { delegation, found } => self.delegate(now, number, *delegation, *found),
            Report::Event { kind, ts, body } => {
                self.streaming |= kind == EventKind::ResultChunk;
                let (kind, body) = self.charge(kind, body);
                self.waiting.push(now, &Fact::Event(Event { kind, ts, worker_seq, body }));
                self.tell_remaining(now);
            }
            Report::Result { .. } if self.cancel.is_some() => {
                let (cause, message) = (Cause::Cancelled, String::new());
                self.end(now, Failure { worker_seq, cause, message, retryable: false, details: None });
            }
            Report::Result { output: Output::Inline(_), .. } if self.streaming => {
                let message = "the agent returned an inline result after parts of a streamed one".to_owned();
                let cause = Cause::Agent;
                self.end(now, Failure { worker_seq, cause, message, retryable: true, details: None });
            }
            Report::Result { output, summary } => {
                let success = crate::record::Success { worker_seq, output, summary };
                self.end_with(now, Status::Success, Fact::Result(success));
            }
            // Nobody asked this job to stop: its worker did, for its own reasons.
            Report::Failure { cause: Cause::Cancelled, message, details, .. } if self.cancel.is_none() => {
                let cause = Cause::WorkerLost;
                self.end(now, Failure { worker_seq, cause, message, retryable: true, details });
            }
            Report::Failure { cause, message, retryable, details } => {
                self.end(now, Failure { worker_seq, cause, message, retryable, details });
            }
        }
    }
}
