//! What a program asks for.

use moorline_types::{EventSeq, TraceRef};
use moorline_wire::JobRef;
use moorline_wire::payload::Submit;
use moorline_wire::vendor::Overflow;

/// What to submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitRequest {
    /// The work.
    pub submit: Submit,
    /// The trace that it belongs to, or the span below which it does; without it the runtime begins one.
    pub trace: Option<TraceRef>,
    /// What is to happen if its updates are read too slowly; the runtime's default if not said. An extension of ours,
    /// which other runtimes ignore.
    pub overflow: Option<Overflow>,
}

impl From<Submit> for SubmitRequest {
    fn from(submit: Submit) -> Self {
        Self { submit, trace: None, overflow: None }
    }
}

/// What to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeRequest {
    /// The job.
    pub job: JobRef,
    /// Whether what has happened so far is wanted too.
    pub history: bool,
    /// With history: only what follows this number of the session that submitted the job.
    pub from: Option<EventSeq>,
    /// As [`SubmitRequest::overflow`].
    pub overflow: Option<Overflow>,
}

impl SubscribeRequest {
    /// A job from its beginning.
    pub const fn with_history(job: JobRef) -> Self {
        Self { job, history: true, from: None, overflow: None }
    }

    /// A job from here on.
    pub const fn live(job: JobRef) -> Self {
        Self { job, history: false, from: None, overflow: None }
    }
}
