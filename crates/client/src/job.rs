//! A job as its client sees it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use moorline_types::{EventSeq, Json, Timestamp};
use moorline_wire::payload::{Accepted, JobError, JobResult, Subscribed, credential};
use moorline_wire::{BodyError, DecodeError, Event, JobRef, MessageType, Reason, payload};
use tokio::sync::{mpsc, watch};

use crate::client::{cancel, ended};
use crate::driver::{Command, Hold, Receipt};
use crate::error::{CallError, Ended};
use crate::gap::Gap;
use crate::state::{ConnectionState, SessionInfo};

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
    /// Something is missing here, of this or another job, or the numbers begin anew.
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

/// An event of a job. Its `Debug` form has no value of a credential.
#[derive(Clone, PartialEq)]
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

impl fmt::Debug for JobEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, ts, kind, body, event } = self;
        let mut debug = f.debug_struct("JobEvent");
        debug.field("seq", seq).field("ts", ts).field("kind", kind);
        match credential::shown(kind, body) {
            // What was read has what stood there.
            Cow::Owned(body) => debug.field("body", &body).finish_non_exhaustive(),
            Cow::Borrowed(body) => debug.field("body", body).field("event", event).finish(),
        }
    }
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
    updates: mpsc::Receiver<Queued>,
    commands: mpsc::WeakSender<Command>,
    state: watch::Receiver<ConnectionState>,
    info: watch::Receiver<Arc<SessionInfo>>,
    call_timeout: std::time::Duration,
    over: bool,
}

/// A job that the runtime has confirmed.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) opened: Opened,
    pub(crate) updates: mpsc::Receiver<Queued>,
}

/// What waits for the program.
#[derive(Debug)]
pub(crate) struct Queued {
    update: Result<JobUpdate, Ended>,
    /// Both go when the program takes the update.
    _receipt: Option<Arc<Receipt>>,
    _hold: Option<Arc<Hold>>,
}

impl Queued {
    pub(crate) const fn update(update: JobUpdate, receipt: Option<Arc<Receipt>>, hold: Arc<Hold>) -> Self {
        Self { update: Ok(update), _receipt: receipt, _hold: Some(hold) }
    }

    pub(crate) fn gap(gap: &Gap) -> Self {
        Self { update: Ok(JobUpdate::Gap(gap.clone())), _receipt: None, _hold: None }
    }

    /// The last thing that is said of a job that cannot be watched any longer.
    pub(crate) const fn end(why: Ended) -> Self {
        Self { update: Err(why), _receipt: None, _hold: None }
    }
}

impl JobHandle {
    pub(crate) fn new(
        opening: Opening,
        commands: mpsc::WeakSender<Command>,
        state: watch::Receiver<ConnectionState>,
        info: watch::Receiver<Arc<SessionInfo>>,
        call_timeout: std::time::Duration,
    ) -> Self {
        let Opening { opened, updates } = opening;
        let id = match &opened {
            Opened::Accepted(accepted) => accepted.job_id.clone(),
            Opened::Subscribed(subscribed) => subscribed.job_id.clone(),
        };
        Self { id, opened, updates, commands, state, info, call_timeout, over: false }
    }

    /// The job.
    pub const fn id(&self) -> &JobRef {
        &self.id
    }

    /// What the runtime said when the job was submitted or subscribed to; without the job's credentials once
    /// [`JobHandle::next`] has told of its end.
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
    /// The connection ended for good before the job did, or the job cannot be watched any longer. The job goes on. A
    /// connection that is lost and found again is no error.
    pub async fn next(&mut self) -> Option<Result<JobUpdate, Ended>> {
        if self.over {
            return None;
        }
        let Some(Queued { update, .. }) = self.updates.recv().await else {
            self.over = true;
            return Some(Err(ended(&self.state)));
        };
        self.over = update.as_ref().map_or(true, JobUpdate::is_terminal);
        if update.as_ref().is_ok_and(JobUpdate::is_terminal) {
            self.forget_credentials();
        }
        Some(update)
    }

    /// A value is not kept beyond the life of its job (spec 9.8.2).
    fn forget_credentials(&mut self) {
        match &mut self.opened {
            Opened::Accepted(accepted) => accepted.credentials = None,
            Opened::Subscribed(subscribed) => subscribed.credentials = None,
        }
    }

    /// Asks for the job's end. See [`crate::Client::cancel`].
    ///
    /// # Errors
    /// The runtime refused, did not answer in time, or is not connected.
    pub async fn cancel(&self, reason: Option<Reason>) -> Result<(), CallError> {
        let Some(commands) = self.commands.upgrade() else {
            return Err(CallError::Disconnected(ended(&self.state)));
        };
        cancel(&commands, &self.state, &self.info, self.call_timeout, self.id.clone(), reason).await
    }
}
