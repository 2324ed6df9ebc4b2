//! Why something cannot be done in a session.

use std::fmt;

use super::{Fault, State};

/// Why something cannot be done in a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not in the state for that.
    #[error("the session is {state}; this needs one that is {needed}")]
    NotReady {
        /// Where it stands.
        state: State,
        /// Where it would have to.
        needed: StateNeeded,
    },
    /// Its worker is not attached at the moment.
    #[error("the session's worker is away and awaited; try again in a moment")]
    WorkerAway,
    /// It has failed.
    #[error("the session has failed: {}; close it and open another", .fault.message)]
    Faulted {
        /// What has.
        fault: Fault,
    },
    /// Too many commands wait.
    #[error("{limit} commands of this session wait for their answers, which is the limit; wait for one of them")]
    PendingCommandLimit {
        /// The limit.
        limit: usize,
    },
    /// One client may stream the events, and does.
    #[error("another client streams this session's events, and only one may at once")]
    SubscriberAlreadyActive,
    /// As many stream the events as may.
    #[error("{limit} clients stream this session's events, which is the limit")]
    SubscriberLimit {
        /// The limit.
        limit: usize,
    },
}

/// The state that something needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateNeeded {
    /// Commands are taken.
    Ready,
    /// It is not over.
    Open,
}

impl fmt::Display for StateNeeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Open => "not closed",
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartingWorker => f.write_str("starting its worker"),
            Self::Handshaking => f.write_str("opening its back end"),
            Self::Ready => f.write_str("ready"),
            Self::Reattaching => f.write_str("waiting for its worker"),
            Self::Closing(reason) => write!(f, "closing ({})", reason.as_str()),
            Self::Closed(reason) => write!(f, "closed ({})", reason.as_str()),
            Self::Faulted(fault) => write!(f, "faulted ({})", fault.message),
        }
    }
}
