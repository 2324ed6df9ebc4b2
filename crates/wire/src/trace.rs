//! Where peers put the trace of a request (spec 11), in one table.
//!
//! | place | who |
//! | --- | --- |
//! | `trace_id`, 32 hexadecimal digits | every official SDK |
//! | `trace_id`, a whole `traceparent` | who follows the wording of the spec |
//! | [`TRACE_CONTEXT`] in `extensions`: `{"traceparent", "tracestate"?}` | tracing layers of the SDKs; our client |
//!
//! `trace_id` names the trace; what a tracing layer says counts beside it only if it is of that trace. A `trace_id` of a
//! client that is none is an error, because its author wrote it. What a tracing layer put there wrongly is left out, as
//! W3C asks: the client's own code knows nothing of it.

use std::borrow::Cow;

use moorline_types::{TraceContext, TraceId, TraceRef};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The key of `extensions` under which tracing layers put the caller's context.
pub const TRACE_CONTEXT: &str = "x-vendor.opentelemetry.tracecontext";

/// The trace of an envelope, and the caller's span in it if the caller says which.
pub(crate) fn of_envelope(
    trace_id: Option<TraceRef>,
    extension: Option<&RawValue>,
) -> (Option<TraceId>, Option<TraceContext>) {
    let layer = extension.and_then(of_extension);
    let trace = trace_id.as_ref().map(TraceRef::trace_id).or(layer.as_ref().map(|layer| layer.trace));
    let own = trace_id.and_then(TraceRef::into_parent);
    (trace, layer.filter(|layer| Some(layer.trace) == trace).or(own))
}

/// What stands under [`TRACE_CONTEXT`].
fn of_extension(raw: &RawValue) -> Option<TraceContext> {
    #[derive(Deserialize)]
    struct Carrier<'a> {
        #[serde(borrow)]
        traceparent: Cow<'a, str>,
        #[serde(borrow, default)]
        tracestate: Option<Cow<'a, str>>,
    }

    let Carrier { traceparent, tracestate } = serde_json::from_str(raw.get()).ok()?;
    let context: TraceContext = traceparent.parse().ok()?;
    Some(TraceContext { state: tracestate.and_then(|state| state.parse().ok()), ..context })
}

/// What is written under [`TRACE_CONTEXT`].
#[derive(serde::Serialize)]
pub(crate) struct Written {
    traceparent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<moorline_types::TraceState>,
}

impl From<&TraceContext> for Written {
    fn from(context: &TraceContext) -> Self {
        Self { traceparent: context.to_string(), tracestate: context.state.clone() }
    }
}
