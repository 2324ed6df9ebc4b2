//! One envelope and the message in it.

use moorline_types::{EventSeq, MessageId, TraceContext, TraceId};

use crate::vendor::Extensions;
use crate::{JobRef, SessionRef};

/// One envelope (spec 5) with its message: a [`crate::ClientMessage`], a [`crate::RuntimeMessage`], or an
/// [`crate::Encoded`] payload on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<M> {
    /// What its sender calls it.
    pub id: MessageId,
    /// The session, once there is one.
    pub session_id: Option<SessionRef>,
    /// The job that it is about.
    pub job_id: Option<JobRef>,
    /// The trace that it belongs to.
    pub trace_id: Option<TraceId>,
    /// Its sender's place in that trace, if the sender says so ([`crate::trace`]).
    pub trace_parent: Option<TraceContext>,
    /// The session's number of what it reports (spec 8.3).
    pub event_seq: Option<EventSeq>,
    /// Whether a receiver that does not know the message's type may ignore it: `extensions.optional`.
    pub optional: bool,
    /// Our own extensions of the envelope.
    pub extensions: Extensions,
    /// The message.
    pub message: M,
}

impl<M> Frame<M> {
    /// An envelope with nothing but its id and its message.
    pub const fn new(id: MessageId, message: M) -> Self {
        Self {
            id,
            session_id: None,
            job_id: None,
            trace_id: None,
            trace_parent: None,
            event_seq: None,
            optional: false,
            extensions: Extensions::NONE,
            message,
        }
    }

    /// The same envelope around what `wrap` makes of the message.
    pub fn map<N>(self, wrap: impl FnOnce(M) -> N) -> Frame<N> {
        let Self { id, session_id, job_id, trace_id, trace_parent, event_seq, optional, extensions, message } = self;
        let message = wrap(message);
        Frame { id, session_id, job_id, trace_id, trace_parent, event_seq, optional, extensions, message }
    }
}
