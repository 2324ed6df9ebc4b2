//! What is told of a trace: finished spans, as values.
//!
//! A span is made when what it tells of is over, from what is committed, so nobody is told of what did not happen. Its id
//! and its times are given, never drawn. How it travels (OTLP) is somebody else's business; so is what is lost on the way,
//! because the journal, not a trace, is the record of what happened.
//!
//! | span | made | below |
//! | --- | --- | --- |
//! | [`Name::Session`] | when the session is over for good | nothing: a trace of its own |
//! | [`Name::Job`] | when the job's end is committed | its submitter's span; else nothing, with a link to the session |
//! | [`Name::ToolCall`] | when the tool's answer is committed | the job |
//! | [`Name::Authorize`] | when an agent's question is answered, which is no record | the job |
//! | [`Name::Delegation`] | when the child's acceptance is committed, or that there is none | the job; the child is below it |
//! | [`Name::Commit`] | for the first and the last commit of a job, a slow one, and one that failed | the job |
//!
//! Attributes have the names of the spec (section 11) and of the official SDKs' tracing layers; those that begin with
//! `moorline.` are ours.

use std::time::Duration;

use moorline_types::{
    Capability, JobId, PrincipalId, SessionId, SpanId, StreamSeq, Timestamp, TraceContext, TraceId, TraceState,
};

use crate::record::Cause;
use crate::trace::{JobSpan, Operation, operation_span};

mod job;

pub use job::JobSpans;

/// A commit that takes longer than this has a span of its own: many times what one takes on a healthy disk, and since a
/// job has one commit under way, at most twenty such spans a second.
pub const SLOW_COMMIT: Duration = Duration::from_millis(50);

/// The longest text of an attribute that an agent or a client has a say in, in bytes: names, not documents.
pub const MAX_ATTRIBUTE_BYTES: usize = 256;

/// A moment, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// So many nanoseconds since 1970.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since 1970.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` it is.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self(at.as_unix_millis().saturating_mul(1_000_000))
    }
}

/// What a span is called: few names, so that they can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// A client's session (spec 6).
    Session,
    /// A job, from its acceptance to its end (spec 7).
    Job,
    /// A call of a tool (spec 8.2).
    ToolCall,
    /// An agent's question whether it may do something (spec 9.3).
    Authorize,
    /// The start of a child (spec 10).
    Delegation,
    /// A batch on its way into the journal.
    Commit,
}

/// Who waits for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpanKind {
    /// Neither.
    Internal,
    /// It serves a request of another process.
    Server,
    /// It waits for another process.
    Client,
    /// It starts what goes on after its end.
    Producer,
    /// It was started by somebody who did not wait.
    Consumer,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanStatus {
    /// Nobody says.
    Unset,
    /// Well.
    Ok,
    /// A job has ended without a result, or a delegation without a child.
    Ended(Cause),
    /// It failed, with this code.
    Failed(Box<str>),
}

/// What an attribute says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(Box<str>),
    /// A number.
    Number(u64),
}

/// Attributes by name.
pub type Attributes = Vec<(&'static str, Value)>;

/// What happened within a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanEvent {
    /// When.
    pub at: Moment,
    /// What.
    pub name: &'static str,
    /// More of it.
    pub attributes: Attributes,
}

/// Another span that has to do with one, in a trace of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its trace.
    pub trace: TraceId,
    /// Which it is.
    pub span: SpanId,
}

impl Link {
    /// To the span of a session.
    pub fn to_session(session: SessionId) -> Self {
        Self { trace: TraceId::of_session(session), span: SpanId::of_session(session) }
    }
}

/// A finished span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The trace that it belongs to.
    pub trace: TraceId,
    /// Its id.
    pub id: SpanId,
    /// The span above it.
    pub parent: Option<SpanId>,
    /// Whether that is one of another process; not known without one.
    pub is_remote: bool,
    /// What tracing systems hand on.
    pub state: Option<TraceState>,
    /// What it is called.
    pub name: Name,
    /// Who waits for whom.
    pub kind: SpanKind,
    /// When it began.
    pub start: Moment,
    /// When it ended; not before it began.
    pub end: Moment,
    /// What is known of it.
    pub attributes: Attributes,
    /// What happened within it, in order.
    pub events: Vec<SpanEvent>,
    /// What else it has to do with.
    pub links: Vec<Link>,
    /// How it went.
    pub status: SpanStatus,
}

impl Span {
    /// One below `above`, with nothing known of it but when it was.
    fn below(above: &TraceContext, id: SpanId, name: Name, start: Moment, end: Moment) -> Self {
        Self {
            trace: above.trace,
            id,
            parent: Some(above.span),
            is_remote: false,
            state: above.state.clone(),
            name,
            kind: SpanKind::Internal,
            start,
            end: end.max(start),
            attributes: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            status: SpanStatus::Unset,
        }
    }
}

/// The span of a session that is over for good.
pub fn of_session(id: SessionId, principal: &PrincipalId, end: Timestamp) -> Span {
    let start = Moment::from(id.minted_at());
    Span {
        trace: TraceId::of_session(id),
        id: SpanId::of_session(id),
        parent: None,
        is_remote: false,
        state: None,
        name: Name::Session,
        kind: SpanKind::Server,
        start,
        end: Moment::from(end).max(start),
        attributes: vec![("arcp.session_id", text(&id.to_string())), ("enduser.id", text(principal.as_str()))],
        events: Vec::new(),
        links: Vec::new(),
        status: SpanStatus::Unset,
    }
}

/// A batch of a job on its way into the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit<'a> {
    /// The last of the job's records before it: no two batches that are committed have the same.
    pub after: StreamSeq,
    /// How many records.
    pub records: usize,
    /// Bytes of their bodies.
    pub bytes: usize,
    /// When it was handed to the store.
    pub start: Moment,
    /// When the store had answered.
    pub end: Moment,
    /// Why the store refused it, if it did.
    pub refused: Option<&'a str>,
}

impl Commit<'_> {
    /// Its span, below the job's.
    pub fn span(&self, job: JobId, trace: TraceId, span: &JobSpan) -> Span {
        let Self { after, records, bytes, start, end, refused } = *self;
        let above = below_job(trace, span);
        // A refused batch is offered again after the same record, so the time is part of the name.
        let id = operation_span(job, Operation::Commit, &format!("{after} {}", start.as_nanos()));
        Span {
            attributes: vec![
                ("moorline.commit.records", Value::Number(records as u64)),
                ("moorline.commit.bytes", Value::Number(bytes as u64)),
            ],
            status: refused.map_or(SpanStatus::Unset, |kind| SpanStatus::Failed(kind.into())),
            ..Span::below(&above, id, Name::Commit, start, end)
        }
    }
}

/// An agent's question whether it may do something, and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// What the job calls it.
    pub number: u64,
    /// What is to be done. To what is not told: it may be a secret.
    pub capability: &'a Capability,
    /// When it was looked at.
    pub start: Moment,
    /// When it was answered.
    pub end: Moment,
    /// With which code, if the answer is no.
    pub denied: Option<&'a str>,
}

impl Question<'_> {
    /// Its span, below the job's.
    pub fn span(&self, job: JobId, trace: TraceId, span: &JobSpan) -> Span {
        let Self { number, capability, start, end, denied } = *self;
        let id = operation_span(job, Operation::Authorize, &number.to_string());
        Span {
            attributes: vec![("arcp.job_id", text(&job.to_string())), ("arcp.capability", text(capability.as_str()))],
            status: denied.map_or(SpanStatus::Ok, |code| SpanStatus::Failed(code.into())),
            ..Span::below(&below_job(trace, span), id, Name::Authorize, start, end)
        }
    }
}

fn below_job(trace: TraceId, span: &JobSpan) -> TraceContext {
    TraceContext { trace, span: span.id, flags: span.flags, state: span.state.clone() }
}

/// Text for an attribute, cut to what one may have.
fn text(text: &str) -> Value {
    Value::Text(text[..text.floor_char_boundary(MAX_ATTRIBUTE_BYTES)].into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_a_trace_of_its_own_from_its_opening_on() {
        let id = SessionId::mint(Timestamp::from_unix_millis(5_000), [7; 10]);
        let span = of_session(id, &"ada".parse().unwrap(), Timestamp::from_unix_millis(9_000));
        assert_eq!((span.trace, span.id, span.parent), (TraceId::of_session(id), SpanId::of_session(id), None));
        assert_eq!(span.end.since(span.start), Duration::from_secs(4));
        let early = of_session(id, &"ada".parse().unwrap(), Timestamp::from_unix_millis(1));
        assert_eq!(early.start, early.end, "a clock that was set back");
    }
}
