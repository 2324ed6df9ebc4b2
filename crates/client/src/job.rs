//! A job as its client sees it.

use moorline_types::{EventSeq, Json, Timestamp};
use moorline_wire::payload::{Accepted, JobError, JobResult, Subscribed};
use moorline_wire::{BodyError, DecodeError, Event, JobRef, MessageType, Reason, payload};
use tokio::sync::{mpsc, oneshot, watch};

use crate::client::{answer, ended};
use crate::driver::Command;
use crate::error::{CallError, Ended};

/// Something about a job.
#[derive(Debug, Clone, PartialEq)]
pub enum JobUpdate {
    /// The job reported something.
    Event(JobEvent),
    /// Somebody asked for the job's end. How it ends follows.
    CancelRequested {
        /// Why, in the words of the one who asked.
        reason: Option<String>,
    },
    /// The session's numbering is broken: something about this or another job may be missing.
    Gap(Gap),
    /// A message about the job could not be read.
    Unreadable(DecodeError),
    /// The job ended, as a rule with a result. Terminal.
    Result {
        /// The session's number of it.
        seq: Option<EventSeq>,
        /// The end.
        result: JobResult,
    },
    /// The job ended without a result. Terminal.
    Error {
        /// The session's number of it.
        seq: Option<EventSeq>,
        /// The end.
        error: JobError,
    },
}

impl JobUpdate {
    /// Whether nothing follows.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Result { .. } | Self::Error { .. } => true,
            Self::Unreadable(error) => {
                matches!(error.message_type, Some(MessageType::JobResult | MessageType::JobError))
            }
            Self::Event(_) | Self::CancelRequested { .. } | Self::Gap(_) => false,
        }
    }
}

/// An event of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobEvent {
    /// The session's number of it.
    pub seq: Option<EventSeq>,
    /// When it was reported.
    pub ts: Timestamp,
    /// What it is about.
    pub kind: Box<str>,
    /// The kind's own fields, as they came.
    pub body: Json,
    /// The same read; an error if the body has not the shape of its kind.
    pub event: Result<Event, BodyError>,
}

impl JobEvent {
    pub(crate) fn new(seq: Option<EventSeq>, event: payload::JobEvent) -> Self {
        let payload::JobEvent { kind, ts, body } = event;
        Self { seq, ts, event: Event::parse(&kind, &body), kind, body }
    }
}

/// The number that was due, and the one that came. If it is a smaller one, the runtime repeats itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The number that was due.
    pub expected: EventSeq,
    /// The number that came.
    pub found: EventSeq,
}

/// How a handle came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The job was submitted.
    Accepted(Box<Accepted>),
    /// The job was subscribed to.
    Subscribed(Box<Subscribed>),
}

/// A job that this client watches.
///
/// Dropping it stops the watching, not the job. While it is held its updates have to be read: see the crate's
/// documentation about back-pressure.
#[derive(Debug)]
pub struct JobHandle {
    id: JobRef,
    opened: Opened,
    updates: mpsc::Receiver<JobUpdate>,
    commands: mpsc::WeakSender<Command>,
    ended: watch::Receiver<Option<Ended>>,
    call_timeout: std::time::Duration,
    over: bool,
}

/// A job that the runtime has confirmed.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) opened: Opened,
    pub(crate) updates: mpsc::Receiver<JobUpdate>,
}

impl JobHandle {
    pub(crate) fn new(
        opening: Opening,
        commands: mpsc::WeakSender<Command>,
        ended: watch::Receiver<Option<Ended>>,
        call_timeout: std::time::Duration,
    ) -> Self {
        let Opening { opened, updates } = opening;
        let id = match &opened {
            Opened::Accepted(accepted) => accepted.job_id.clone(),
            Opened::Subscribed(subscribed) => subscribed.job_id.clone(),
        };
        Self { id, opened, updates, commands, ended, call_timeout, over: false }
    }

    /// The job.
    pub const fn id(&self) -> &JobRef {
        &self.id
    }

    /// What the runtime said when the job was submitted or subscribed to.
    pub const fn opened(&self) -> &Opened {
        &self.opened
    }

    /// What the runtime said when it accepted the job; `None` if the job was subscribed to.
    pub fn accepted(&self) -> Option<&Accepted> {
        match &self.opened {
            Opened::Accepted(accepted) => Some(accepted),
            Opened::Subscribed(_) => None,
        }
    }

    /// The agent and the version that the job is bound to; empty if the runtime did not say.
    pub fn agent(&self) -> &str {
        match &self.opened {
            Opened::Accepted(accepted) => &accepted.agent,
            Opened::Subscribed(subscribed) => &subscribed.agent,
        }
    }

    /// The next update. After the terminal one, or after an error, there is none.
    ///
    /// Cancel safe: an update that is not returned stays in the queue.
    ///
    /// # Errors
    /// The connection ended before the job did. The job goes on.
    pub async fn next(&mut self) -> Option<Result<JobUpdate, Ended>> {
        if self.over {
            return None;
        }
        let Some(update) = self.updates.recv().await else {
            self.over = true;
            return Some(Err(ended(&self.ended)));
        };
        self.over = update.is_terminal();
        Some(Ok(update))
    }

    /// Asks for the job's end. See [`crate::Client::cancel`].
    ///
    /// # Errors
    /// The runtime refused, did not answer in time, or is not connected.
    pub async fn cancel(&self, reason: Option<Reason>) -> Result<(), CallError> {
        let Some(commands) = self.commands.upgrade() else {
            return Err(CallError::Disconnected(ended(&self.ended)));
        };
        let job = self.id.clone();
        let command = |reply: oneshot::Sender<Result<(), CallError>>| Command::Cancel { job, reason, reply };
        answer(&commands, &self.ended, self.call_timeout, command).await
    }
}
