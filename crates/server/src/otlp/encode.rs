//! Spans as messages of OTLP.

use std::collections::BTreeMap;

use moorline_core::span::{Attributes, Link, Name, Span, SpanEvent, SpanKind, SpanStatus, Value};
use moorline_types::TraceFlags;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{self as message, SpanKind as MessageKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Message, Status};

use crate::front::to_wire;

/// What the spans are made by, in the words of OTLP.
const SCOPE: &str = "moorline";

/// Of `flags` in OTLP: whether the two bits below mean something, and whether the parent is one of another process.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// What all spans have in common: which service they are of, and what its operator says of it.
pub(super) fn resource(service_name: &str, attributes: &BTreeMap<String, String>) -> Resource {
    let mut all = BTreeMap::from([("service.version", env!("CARGO_PKG_VERSION"))]);
    all.extend(attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    all.insert("service.name", service_name);
    Resource {
        attributes: all.into_iter().map(|(key, value)| key_value(key, text(value))).collect(),
        ..Resource::default()
    }
}

/// A request with these spans.
pub(super) fn request(resource: &Resource, spans: &[Span]) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: SCOPE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = spans.iter().map(span).collect();
    let of_scope = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
    let of_resource =
        ResourceSpans { resource: Some(resource.clone()), scope_spans: vec![of_scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![of_resource] }
}

fn span(span: &Span) -> Message {
    let Span { trace, id, parent, is_remote, state, name, kind, start, end, attributes, events, links, status } = span;
    let (error_type, status) = self::status(status);
    let attributes = self::attributes(attributes).chain(error_type.map(|code| key_value("error.type", text(&code))));
    Message {
        trace_id: trace.to_bytes().to_vec(),
        span_id: id.to_bytes().to_vec(),
        parent_span_id: parent.map(|parent| parent.to_bytes().to_vec()).unwrap_or_default(),
        trace_state: state.as_ref().map(ToString::to_string).unwrap_or_default(),
        // A span that is told of is of a trace that is sampled.
        flags: u32::from(TraceFlags::of(true).get()) | HAS_IS_REMOTE | if *is_remote { IS_REMOTE } else { 0 },
        name: self::name(*name).to_owned(),
        kind: self::kind(*kind).into(),
        start_time_unix_nano: start.as_nanos(),
        end_time_unix_nano: end.as_nanos(),
        attributes: attributes.collect(),
        events: events.iter().map(event).collect(),
        links: links.iter().map(link).collect(),
        status,
        ..Message::default()
    }
}

const fn name(name: Name) -> &'static str {
    match name {
        Name::Session => "arcp.session",
        Name::Job => "arcp.job",
        Name::ToolCall => "arcp.tool_call",
        Name::Authorize => "arcp.authorize",
        Name::Delegation => "arcp.delegate",
        Name::Commit => "moorline.commit",
    }
}

const fn kind(kind: SpanKind) -> MessageKind {
    match kind {
        SpanKind::Internal => MessageKind::Internal,
        SpanKind::Server => MessageKind::Server,
        SpanKind::Client => MessageKind::Client,
        SpanKind::Producer => MessageKind::Producer,
        SpanKind::Consumer => MessageKind::Consumer,
    }
}

/// The code of a failure, and what OTLP says of it: nothing, unless it failed or is known to have gone well.
fn status(status: &SpanStatus) -> (Option<String>, Option<Status>) {
    let failed = |code: &str| {
        let status = Status { code: StatusCode::Error.into(), message: code.to_owned() };
        (Some(code.to_owned()), Some(status))
    };
    match status {
        SpanStatus::Unset => (None, None),
        SpanStatus::Ok => (None, Some(Status { code: StatusCode::Ok.into(), message: String::new() })),
        SpanStatus::Ended(cause) => failed(to_wire::code_of(*cause).as_str()),
        SpanStatus::Failed(code) => failed(code),
    }
}

fn event(event: &SpanEvent) -> message::Event {
    message::Event {
        time_unix_nano: event.at.as_nanos(),
        name: event.name.to_owned(),
        attributes: attributes(&event.attributes).collect(),
        dropped_attributes_count: 0,
    }
}

fn link(link: &Link) -> message::Link {
    message::Link {
        trace_id: link.trace.to_bytes().to_vec(),
        span_id: link.span.to_bytes().to_vec(),
        flags: u32::from(TraceFlags::of(true).get()) | HAS_IS_REMOTE,
        ..message::Link::default()
    }
}

fn attributes(attributes: &Attributes) -> impl Iterator<Item = KeyValue> {
    attributes.iter().map(|(key, value)| {
        let value = match value {
            Value::Text(value) => text(value),
            Value::Number(number) => any_value::Value::IntValue(i64::try_from(*number).unwrap_or(i64::MAX)),
        };
        key_value(key, value)
    })
}

fn text(text: &str) -> any_value::Value {
    any_value::Value::StringValue(text.to_owned())
}

fn key_value(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
