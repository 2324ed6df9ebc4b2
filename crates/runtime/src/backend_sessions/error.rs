//! Why something is not done with a gateway session.

use moorline_core::Refusal;
use moorline_core::backend_session::{ItemAccessError, Refused, State};
use moorline_types::{Millis, Scope, WorkerSeq};

use crate::view::ViewError;

/// Why something is not done with a gateway session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is none that the principal may know of.
    #[error("there is no session {session}; `ListSessions` shows those that there are")]
    NotFound {
        /// What was asked for.
        session: String,
    },
    /// The principal may look at it only.
    #[error("this identity may not do this with the session; it needs the scope `{}`", .needs.as_str())]
    Denied {
        /// The least scope that would be enough.
        needs: Scope,
    },
    /// The session is not as it would have to be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There are as many sessions as may be.
    #[error("there are {limit} sessions, which is the limit (`gateway.max_sessions`); close one")]
    SessionLimit {
        /// The limit.
        limit: usize,
    },
    /// There is no such back end.
    #[error("there is no back end {backend:?}; there are: {}", .known.join(", "))]
    UnknownBackend {
        /// What was asked for.
        backend: String,
        /// Those that there are.
        known: Vec<&'static str>,
    },
    /// The tag is none of the principal's.
    #[error("the tag is none of this identity's, so it cannot mark a session with it")]
    ForeignTag,
    /// The session did not become ready.
    #[error("the session could not be opened: {reason}")]
    OpenFailed {
        /// Why.
        reason: String,
    },
    /// The worker did not close its back end in time and was killed.
    #[error("the session's worker did not close its back end within {} ms and was killed", .after.get())]
    CloseFailed {
        /// How long was waited.
        after: Millis,
    },
    /// The command's answer did not come in time.
    #[error(
        "the command was not answered within {} ms, and may yet be carried out; ask again with the same command_id, which does not repeat it",
        .after.get()
    )]
    CommandTimeout {
        /// How long was waited.
        after: Millis,
    },
    /// The session ended before the command was answered.
    #[error("the session is {state}; the command may have been carried out")]
    SessionOver {
        /// Where it stands.
        state: State,
    },
    /// The principal's constraints do not allow the item.
    #[error("this identity may not {what} {item:?}")]
    ItemDenied {
        /// What was to be done.
        what: &'static str,
        /// The item.
        item: String,
    },
    /// The request makes no sense.
    #[error("{reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
    /// The subscriber did not keep up.
    #[error(
        "the session's event stream queue overflowed: more than {capacity} events wait; go on after {last_delivered}"
    )]
    Overflow {
        /// The bound.
        capacity: usize,
        /// The last number that was handed over.
        last_delivered: WorkerSeq,
    },
    /// The principal's constraints cannot be read.
    #[error(transparent)]
    Constraints(#[from] ItemAccessError),
    /// The gateway does not take it at the moment, or does not let the principal have more.
    #[error(transparent)]
    Gateway(#[from] Refusal),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] ViewError),
}
