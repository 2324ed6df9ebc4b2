//! The place of a job in its trace (spec 11), and who decides whether it is recorded.
//!
//! - A submission names its trace, or a span below which the job belongs. Without either the job begins a trace.
//! - Whether a trace is recorded is its caller's decision, if the caller says. Otherwise it follows from the trace's id
//!   ([`Sampling`]), so that everybody who decides by the same rule decides alike.
//! - What is decided is part of the job's first record: a job has one span with one id, however many gateways drive it.
//! - Who comes after the job (its agent, tools, children) continues below the job's span if that is recorded, and
//!   otherwise below its caller's: nobody's parent is a span that is never told of.

use moorline_types::{JobId, SpanId, TraceContext, TraceFlags, TraceId, TraceRef, TraceState};
use serde::{Deserialize, Serialize};

use crate::digest::Parts;
use crate::record::Accepted;

/// Which traces are recorded whose caller has not decided it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// How many of 2^56 traces.
    threshold: u64,
}

/// So many traces there are, by the bits of their ids that are random (W3C Trace Context, level 2).
const TRACES: u64 = 1 << 56;

impl Sampling {
    /// All of them.
    pub const ALL: Self = Self { threshold: TRACES };

    /// So many of a million; more than that is all.
    pub fn per_million(share: u32) -> Self {
        let threshold = u128::from(share.min(1_000_000)) * u128::from(TRACES) / 1_000_000;
        Self { threshold: u64::try_from(threshold).unwrap_or(TRACES) }
    }

    /// Whether this trace is recorded. The higher numbers are, as OpenTelemetry's probability sampling has it.
    pub fn samples(self, trace: TraceId) -> bool {
        let random = trace.to_bytes()[9..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        random >= TRACES - self.threshold
    }
}

/// How this gateway takes part in traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Participation {
    /// Which traces are recorded whose caller has not decided it.
    pub sampling: Sampling,
    /// Whether spans of recorded traces are exported. Otherwise the gateway only hands contexts on.
    pub exports: bool,
}

impl Participation {
    /// Hands contexts on.
    pub const DEFAULT: Self = Self { sampling: Sampling::ALL, exports: false };
}

impl Default for Participation {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The job's span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpan {
    /// Its id.
    pub id: SpanId,
    /// Whether it is exported when the job has ended.
    pub recorded: bool,
    /// The span of the submitter.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<SpanId>,
    /// Whether the trace is recorded.
    pub flags: TraceFlags,
    /// What tracing systems hand on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub state: Option<TraceState>,
}

impl JobSpan {
    /// The trace and the span of a job whose submitter says this of its trace.
    pub fn begin(job: JobId, asked: Option<TraceRef>, participation: Participation) -> (TraceId, Self) {
        let Participation { sampling, exports } = participation;
        let trace = asked.as_ref().map_or_else(|| TraceId::of_job(job), TraceRef::trace_id);
        let (parent, flags, state) = match asked {
            Some(TraceRef::Parent(TraceContext { span, flags, state, .. })) => (Some(span), flags, state),
            Some(TraceRef::Id(_)) | None => (None, TraceFlags::of(sampling.samples(trace)), None),
        };
        let recorded = exports && flags.is_sampled();
        (trace, Self { id: SpanId::of_job(job), recorded, parent, flags, state })
    }
}

impl Accepted {
    /// Below what the agent and its tools continue the job's trace. `None` only for a job of an earlier version whose
    /// submitter named no trace.
    pub fn trace_context(&self, job: JobId) -> Option<TraceContext> {
        let trace = self.trace_id?;
        Some(match self.span.as_deref() {
            Some(JobSpan { id, recorded, parent, flags, state }) => {
                let span = parent.filter(|_| !recorded).unwrap_or(*id);
                TraceContext { trace, span, flags: *flags, state: state.clone() }
            }
            None => TraceContext { trace, span: SpanId::of_job(job), flags: TraceFlags::default(), state: None },
        })
    }

    /// Below what a child of the job continues its trace: the span of the delegation, if it is recorded.
    pub fn trace_of_child(&self, job: JobId, delegate_id: &str) -> Option<TraceRef> {
        let context = self.trace_context(job)?;
        let span = match self.recorded_span() {
            Some(_) => operation_span(job, Operation::Delegation, delegate_id),
            None => context.span,
        };
        Some(TraceRef::Parent(TraceContext { span, ..context }))
    }

    /// The job's span, if it is exported.
    pub fn recorded_span(&self) -> Option<&JobSpan> {
        self.span.as_deref().filter(|span| span.recorded)
    }
}

/// What has a span of its own within a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A call of a tool, by its `call_id`.
    ToolCall,
    /// The start of a child, by its `delegate_id`.
    Delegation,
    /// A delegation that was refused, by the number of its record.
    RefusedDelegation,
    /// A question whether something may be done, by its number.
    Authorize,
    /// A batch on its way into the journal.
    Commit,
}

/// The span of an operation: a function of the job and of what the job calls the operation, so that it is the same
/// whichever gateway tells of it.
pub fn operation_span(job: JobId, operation: Operation, name: &str) -> SpanId {
    let purpose = match operation {
        Operation::ToolCall => "span of a tool call",
        Operation::Delegation => "span of a delegation",
        Operation::RefusedDelegation => "span of a refused delegation",
        Operation::Authorize => "span of a question",
        Operation::Commit => "span of a commit",
    };
    let digest = Parts::new(purpose).with(job.to_bytes()).with(name).finish();
    SpanId::from_bytes(digest.head())
}

#[cfg(test)]
mod tests {
    use moorline_types::Timestamp;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

    fn job() -> JobId {
        JobId::mint(Timestamp::from_unix_millis(1_700_000_000_000), [0xab; 10])
    }

    fn asked(flags: &str) -> Option<TraceRef> {
        Some(format!("{PARENT}-{flags}").parse().unwrap())
    }

    fn exporting(sampling: Sampling) -> Participation {
        Participation { sampling, exports: true }
    }

    fn accepted(asked: Option<TraceRef>, participation: Participation) -> Accepted {
        let (trace, span) = JobSpan::begin(job(), asked, participation);
        Accepted { trace_id: Some(trace), span: Some(Box::new(span)), ..crate::record::tests::accepted() }
    }

    #[test]
    fn a_job_without_a_trace_begins_one_of_its_own() {
        let (trace, span) = JobSpan::begin(job(), None, exporting(Sampling::ALL));
        assert_eq!(trace, TraceId::of_job(job()));
        assert_eq!((span.parent, span.recorded, span.flags.is_sampled()), (None, true, true));
    }

    #[test]
    fn whether_a_trace_is_recorded_is_its_callers_decision() {
        let none = Sampling::per_million(0);
        for (asked, sampling, sampled) in [
            (asked("01"), none, true),
            (asked("00"), Sampling::ALL, false),
            (None, none, false),
            (None, Sampling::ALL, true),
            (Some(TraceRef::Id(TraceId::of_job(job()))), none, false),
        ] {
            let (_, span) = JobSpan::begin(job(), asked.clone(), exporting(sampling));
            assert_eq!((span.recorded, span.flags.is_sampled()), (sampled, sampled), "{asked:?}");
        }
    }

    #[test]
    fn an_agent_continues_below_a_span_that_is_told_of() {
        let only_handing_on = Participation::default();
        let own = SpanId::of_job(job()).to_string();
        for (asked, participation, below) in [
            (asked("01"), exporting(Sampling::ALL), own.as_str()),
            (asked("00"), exporting(Sampling::ALL), "00f067aa0ba902b7"),
            (asked("01"), only_handing_on, "00f067aa0ba902b7"),
            (None, only_handing_on, own.as_str()),
        ] {
            let accepted = accepted(asked, participation);
            let context = accepted.trace_context(job()).unwrap();
            assert_eq!(context.span.as_str(), below, "{context}");
            assert_eq!(Some(context.trace), accepted.trace_id);
            let Some(TraceRef::Parent(child)) = accepted.trace_of_child(job(), "dlg_1") else { panic!("no parent") };
            assert_eq!((child.trace, child.flags), (context.trace, context.flags));
            assert_eq!(child.span == context.span, accepted.recorded_span().is_none());
        }
    }

    #[test]
    fn a_share_of_the_traces_is_sampled_and_a_larger_share_contains_it() {
        let traces: Vec<_> = (0..=255_u8)
            .map(|n| TraceId::of_job(JobId::mint(Timestamp::from_unix_millis(1), [0, 0, 0, n, 9, 9, 9, 9, 9, 9])))
            .collect();
        let sampled = |share| traces.iter().filter(|trace| Sampling::per_million(share).samples(**trace)).count();
        assert_eq!((sampled(0), sampled(500_000), sampled(1_000_000)), (0, 128, 256));
        for trace in traces {
            assert!(!Sampling::per_million(100_000).samples(trace) || Sampling::per_million(200_000).samples(trace));
        }
    }

    #[test]
    fn spans_of_operations_are_told_apart_and_stay_the_same() {
        let span = |operation, name| operation_span(job(), operation, name);
        assert_eq!(span(Operation::ToolCall, "call_1"), span(Operation::ToolCall, "call_1"));
        assert_ne!(span(Operation::ToolCall, "call_1"), span(Operation::ToolCall, "call_2"));
        assert_ne!(span(Operation::ToolCall, "1"), span(Operation::Delegation, "1"));
    }
}
