//! A gateway session: a client's stateful session with a back end that only one process, its worker, may touch.
//!
//! ```text
//!  starting ──attached──▶ handshaking ──opened──▶ ready ◀──attached── reattaching
//!     │                        │                   │ └──────away──────▶   │
//!     │                        │        close, lease, grace               │
//!     ├────────────────────────┴───────────────────┼──────────────────────┤
//!     │                                            ▼                      │
//!     │                                         closing ──ended──▶ closed │
//!     └──────── worker or back end failed ──▶ faulted ──close──▶ closed ◀─┘
//! ```
//!
//! The session is a job that its worker runs, and its events are that job's records. So what is durable of it (owner,
//! tag, what it was opened with, what happened, how it ended) is the job's. This machine is what is ephemeral: who
//! watches, which commands wait for an answer, how long it may still be there.
//!
//! - `closed` is the end, and from `faulted` nothing else can be reached. Whatever races, there is one end: the first
//!   reason that is given is the reason.
//! - A command is answered once: by its worker, by its timeout, or by the session's end. What comes later is dropped. It
//!   is handed to the worker again when that attaches anew, under the name that it has, by which the worker knows it; so
//!   it is carried out at most once.
//! - A session that somebody watches from outside is not closed for its age. Whoever only looks on (an internal
//!   subscriber) keeps nothing alive, takes up no place and can bring nothing down.
//! - A deadline and a client that comes back are both decided here, one after the other: a session that was found to be
//!   over is over for everybody, and one that was not is not closed.
//!
//! Deliberately absent: what commands and events say, the worker's process, and a queue. A subscriber reads the journal;
//! here is only counted by how much it is behind.

mod commands;
mod items;
mod lifetime;
mod refused;
mod subscribers;
mod window;

use std::collections::{BTreeMap, VecDeque};

use moorline_types::{Fence, Millis, Timestamp};
use serde::{Deserialize, Serialize};

use commands::Pending;
use subscribers::Subscriber;

pub use commands::{Answer, CommandNumber};
pub use items::{ItemAccess, ItemAccessError, READ_CAPABILITY, WRITE_CAPABILITY};
pub use refused::{Refused, StateNeeded};
pub use subscribers::{Begin, Disconnect, OverflowPolicy, SubscriberId, SubscriberKind};
pub use window::{Gap, ReplayWindow, Retention};

/// What the operator decides about sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOptions {
    /// How long a worker may take from its start until its back end can be used.
    pub startup_timeout: Millis,
    /// How long a command may take whose session and sender do not say.
    pub command_timeout: Millis,
    /// Commands that may wait for their answers at once.
    pub max_pending_commands: usize,
    /// How long a session lasts in which no client does anything.
    pub lease: Millis,
    /// The clock of deadlines of leases and of grace: they are looked at together, once in so long.
    pub sweep_interval: Millis,
    /// How long a session lasts after its last subscriber has left; for as long as its lease if it is zero.
    pub detach_grace: Millis,
    /// Whether several clients may stream a session's events at once.
    pub multiple_subscribers: bool,
    /// How many, if they may.
    pub max_subscribers: usize,
    /// What becomes of a subscriber that does not keep up.
    pub overflow: OverflowPolicy,
    /// Events that a subscriber may be behind before it counts as one.
    pub queue_capacity: usize,
}

/// Where a session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its worker is being started.
    StartingWorker,
    /// Its worker opens the back end.
    Handshaking,
    /// Commands are taken.
    Ready,
    /// Its worker is away, or was not yet found again after the gateway's start.
    Reattaching,
    /// It is being closed.
    Closing(CloseReason),
    /// It is over, as somebody wished.
    Closed(CloseReason),
    /// It is over because something failed.
    Faulted(Fault),
}

/// Why a session is closed: a fixed vocabulary, durable as the reason of the job's cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloseReason {
    /// A client has asked for it.
    ClientClose,
    /// The gateway ends, and its workers with it.
    GatewayShutdown,
    /// No client has done anything for as long as its lease.
    LeaseExpired,
    /// Its last subscriber has not come back.
    DetachGraceExpired,
    /// Somebody has killed its worker.
    Killed,
    /// It could not be opened.
    OpenFailed,
}

impl CloseReason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::ClientClose,
        Self::GatewayShutdown,
        Self::LeaseExpired,
        Self::DetachGraceExpired,
        Self::Killed,
        Self::OpenFailed,
    ];

    /// As it is recorded and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientClose => "client-close",
            Self::GatewayShutdown => "gateway-shutdown",
            Self::LeaseExpired => "lease-expired",
            Self::DetachGraceExpired => "detach-grace-expired",
            Self::Killed => "killed",
            Self::OpenFailed => "open-failed",
        }
    }
}

/// What has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind of failure.
    pub kind: FaultKind,
    /// For people.
    pub message: String,
}

/// The kinds of failures that end a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The worker has ended, or has failed.
    WorkerFaulted,
    /// A subscriber did not keep up, and that is to be a fault.
    EventQueueOverflow,
}

impl FaultKind {
    /// As it is recorded: durable as the reason of the job's cancellation, if the gateway ends the session for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WorkerFaulted => "worker-faulted",
            Self::EventQueueOverflow => "event-queue-overflow",
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Hand a command to the worker.
    Send {
        /// Which.
        command: CommandNumber,
        /// Over which attachment of the worker.
        fence: Fence,
    },
    /// Answer a command's sender in the worker's place.
    Answer {
        /// Which.
        command: CommandNumber,
        /// With what.
        answer: Answer,
    },
    /// End a subscriber's stream.
    Disconnect {
        /// Whose.
        subscriber: SubscriberId,
        /// Why.
        reason: Disconnect,
    },
    /// Ask the worker to close its back end and to end.
    Close(CloseReason),
    /// End the worker's process at once.
    Kill,
}

/// What came of asking for a session's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// Whether somebody else had asked before.
    pub already: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct BackendSession {
    options: SessionOptions,
    state: State,
    fence: Option<Fence>,
    last_activity: Timestamp,
    lease_expires: Timestamp,
    detached: Option<Timestamp>,
    startup_deadline: Option<Timestamp>,
    pending: BTreeMap<CommandNumber, Pending>,
    next_command: CommandNumber,
    subscribers: BTreeMap<SubscriberId, Subscriber>,
    next_subscriber: SubscriberId,
    effects: VecDeque<Effect>,
}

impl BackendSession {
    /// A session whose worker is being started.
    pub fn open(now: Timestamp, options: SessionOptions) -> Self {
        let startup_deadline = Some(now + options.startup_timeout);
        Self::new(now, options, State::StartingWorker, startup_deadline, None)
    }

    /// A session that an earlier gateway has opened: its worker is waited for, its lease begins anew, and all who
    /// streamed its events count as having just left.
    pub fn adopt(now: Timestamp, options: SessionOptions) -> Self {
        Self::new(now, options, State::Reattaching, None, Some(now))
    }

    fn new(
        now: Timestamp,
        options: SessionOptions,
        state: State,
        startup_deadline: Option<Timestamp>,
        detached: Option<Timestamp>,
    ) -> Self {
        Self {
            options,
            state,
            fence: None,
            last_activity: now,
            lease_expires: now + options.lease,
            detached,
            startup_deadline,
            pending: BTreeMap::new(),
            next_command: CommandNumber::FIRST,
            subscribers: BTreeMap::new(),
            next_subscriber: SubscriberId::FIRST,
            effects: VecDeque::new(),
        }
    }

    /// Where the session stands.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// What the operator decided.
    pub const fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The worker has the session, under this attachment: for the first time, or again. `is_open` says whether its back
    /// end is known to have been opened.
    pub fn handle_attached(&mut self, fence: Fence, is_open: bool) {
        let next = match self.state {
            State::StartingWorker | State::Handshaking | State::Reattaching if is_open => State::Ready,
            State::StartingWorker | State::Handshaking => State::Handshaking,
            // What it was doing when the gateway went away it still does.
            State::Reattaching => State::Handshaking,
            State::Ready => State::Ready,
            State::Closing(_) | State::Closed(_) | State::Faulted(_) => return,
        };
        if next == State::Ready {
            self.startup_deadline = None;
        }
        self.state = next;
        if self.fence.replace(fence) != Some(fence) {
            self.send_again(fence);
        }
    }

    /// The back end can be used.
    pub fn handle_opened(&mut self) {
        if matches!(self.state, State::Handshaking | State::StartingWorker) {
            self.state = State::Ready;
            self.startup_deadline = None;
        }
    }

    /// The worker's link is lost; it may come back.
    pub fn handle_away(&mut self) {
        self.fence = None;
        if self.state == State::Ready {
            self.state = State::Reattaching;
        }
    }

    /// The worker has ended the session: as it was asked to, or because something has failed, which `fault` says.
    pub fn handle_ended(&mut self, fault: Option<String>) {
        let end = match (&self.state, fault) {
            (State::Closed(_) | State::Faulted(_), _) => return,
            (State::Closing(reason), _) => State::Closed(*reason),
            (State::StartingWorker | State::Handshaking | State::Ready | State::Reattaching, fault) => {
                let message = fault.unwrap_or_else(|| "the worker has ended the session".to_owned());
                State::Faulted(Fault { kind: FaultKind::WorkerFaulted, message })
            }
        };
        self.end(end);
    }

    /// Somebody wants the session to end in order.
    pub fn handle_close(&mut self, reason: CloseReason) -> Closing {
        match self.state {
            State::StartingWorker | State::Handshaking | State::Ready | State::Reattaching => {
                self.close(reason, Effect::Close(reason));
                Closing { already: false }
            }
            State::Closing(_) | State::Closed(_) => Closing { already: true },
            // There is nothing left to close but the memory of it.
            State::Faulted(_) => {
                self.state = State::Closed(reason);
                Closing { already: false }
            }
        }
    }

    /// Somebody wants the session to end at once. One that is being closed is not waited for any longer.
    pub fn handle_kill(&mut self) -> Closing {
        match self.state {
            State::StartingWorker | State::Handshaking | State::Ready | State::Reattaching => {
                self.close(CloseReason::Killed, Effect::Kill);
                Closing { already: false }
            }
            State::Closing(_) => {
                if !self.effects.contains(&Effect::Kill) {
                    self.effects.push_back(Effect::Kill);
                }
                Closing { already: true }
            }
            State::Closed(_) => Closing { already: true },
            State::Faulted(_) => {
                self.state = State::Closed(CloseReason::Killed);
                Closing { already: false }
            }
        }
    }

    fn close(&mut self, reason: CloseReason, effect: Effect) {
        self.state = State::Closing(reason);
        self.startup_deadline = None;
        self.answer_all();
        self.effects.push_back(effect);
    }

    /// A subscriber has not kept up, here or with an earlier gateway, and that is a fault of the session.
    pub fn handle_overflow_fault(&mut self) {
        if matches!(self.state, State::Closing(_) | State::Closed(_) | State::Faulted(_)) {
            return;
        }
        self.effects.push_back(Effect::Kill);
        let message = "the session's event stream queue overflowed".to_owned();
        self.end(State::Faulted(Fault { kind: FaultKind::EventQueueOverflow, message }));
    }

    fn end(&mut self, end: State) {
        self.state = end;
        self.startup_deadline = None;
        self.answer_all();
        self.disconnect_all();
    }
}

#[cfg(test)]
mod tests;
