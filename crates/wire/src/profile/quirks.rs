//! The table.

use moorline_types::EventKind;

use super::Profile;

/// What one peer's client needs.
#[derive(Debug)]
pub struct Quirks {
    /// How it is told that its hello is refused: one frame after the other, then the connection ends.
    pub refused_hello: &'static [Telling],
    /// How it is told that a submission is refused.
    pub refused_submit: Telling,
    /// How it is told that a cancellation is refused.
    pub refused_cancel: Telling,
    /// How it is told that a subscription is refused.
    pub refused_subscribe: Telling,
    /// How it is told that anything else is refused, or cannot be read.
    pub refused_other: Telling,
    /// Whether it reads only `error` as the `final_status` of a `job.error`; the code tells the rest.
    pub knows_only_error: bool,
    /// Whether it looks for an inline result under `output`.
    pub reads_output: bool,
    /// Whether a budget of numbers, as in the spec, is its end.
    pub no_budget: bool,
    /// Whether it looks for the details of an error as text, under `detail`.
    pub reads_detail: bool,
    /// Whether it takes every acceptance for the answer to the oldest submission that waits for one, so that answers must
    /// come in the order of the submissions. Others go by `request_id`.
    pub answers_in_order: bool,
    /// Which message it takes for the gateway's goodbye.
    pub goodbye: Goodbye,
    /// Other names under which it looks for fields of an event's body, by kind: the spec's name, then its own.
    pub aliases: &'static [(EventKind, Aliases)],
}

/// Names of fields: the spec's, then the peer's.
pub(super) type Aliases = &'static [(&'static str, &'static str)];

/// How a refusal is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Telling {
    /// `session.error` that names the request.
    SessionError,
    /// `job.error` of a job that there never was, with the request's trace.
    FreshJob,
    /// `job.error` of no job, in an envelope with the request's own id.
    Echo,
    /// The same, of the job that the request names.
    EchoOfJob,
    /// Not at all: whatever is said would end work that has nothing to do with it.
    Silence,
}

/// Which message says that the gateway ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Goodbye {
    /// `session.closed`.
    Closed,
    /// `session.bye`.
    Bye,
}

const SPEC: Quirks = Quirks {
    refused_hello: &[Telling::SessionError],
    refused_submit: Telling::SessionError,
    refused_cancel: Telling::SessionError,
    refused_subscribe: Telling::SessionError,
    refused_other: Telling::SessionError,
    knows_only_error: false,
    reads_output: false,
    no_budget: false,
    reads_detail: false,
    answers_in_order: false,
    goodbye: Goodbye::Closed,
    aliases: &[],
};

/// A `session.error` ends every invocation, list and subscription that waits. A `job.error` of an unknown job ends the
/// submission that waits, so a cancellation, which nobody waits for, must not be answered with one.
const TYPE_SCRIPT: Quirks = Quirks {
    refused_submit: Telling::FreshJob,
    refused_cancel: Telling::Silence,
    answers_in_order: true,
    aliases: &[(EventKind::Metric, &[("dimensions", "dims")])],
    ..SPEC
};

/// A `session.error` ends every job of the client, and is the only frame that ends a submission. What it cannot read
/// ends the client.
const PYTHON: Quirks = Quirks {
    refused_cancel: Telling::Silence,
    knows_only_error: true,
    no_budget: true,
    goodbye: Goodbye::Bye,
    aliases: &[
        (EventKind::ToolCall, &[("tool", "name"), ("args", "arguments"), ("call_id", "tool_call_id")]),
        (EventKind::ToolResult, &[("call_id", "tool_call_id"), ("result", "output")]),
        (EventKind::Metric, &[("dimensions", "attributes")]),
        (EventKind::ArtifactRef, &[("content_type", "media_type"), ("byte_size", "size_bytes")]),
    ],
    ..SPEC
};

/// Correlates refusals by `request_id`, and by `job_id` where a job is meant; acceptances by their order.
const GO: Quirks = Quirks {
    reads_output: true,
    answers_in_order: true,
    aliases: &[(EventKind::Log, &[("attributes", "fields")])],
    ..SPEC
};

/// A `session.error` ends everything that waits, and every job.
const C_SHARP: Quirks = Quirks { refused_cancel: Telling::Silence, reads_detail: true, answers_in_order: true, ..SPEC };

/// Does not know `session.error`. A `job.error` that names a job ends that job's handle.
const JAVA: Quirks = Quirks {
    refused_hello: &[Telling::SessionError, Telling::Echo],
    refused_submit: Telling::Echo,
    refused_cancel: Telling::Echo,
    refused_subscribe: Telling::EchoOfJob,
    refused_other: Telling::Echo,
    answers_in_order: true,
    ..SPEC
};

impl Profile {
    /// What the peer needs.
    pub const fn quirks(self) -> &'static Quirks {
        match self {
            Self::Spec => &SPEC,
            Self::TypeScript => &TYPE_SCRIPT,
            Self::Python => &PYTHON,
            Self::Go => &GO,
            Self::CSharp => &C_SHARP,
            Self::Java => &JAVA,
        }
    }
}
