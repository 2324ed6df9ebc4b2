//! The bodies of job events.

use moorline_types::{EventKind, Json};
use moorline_wire::event::{MAX_BODY_DEPTH, ToolOutcome};
use moorline_wire::{BodyError, Event, validate_body};

fn verdict(kind: &str, body: &str) -> String {
    match validate_body(&kind.parse().unwrap(), &Json::parse(body).unwrap()) {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_shapes_of_the_spec_pass() {
    for (kind, body) in [
        ("log", r#"{"level":"info","message":"m","attributes":{"a":1},"extra":[]}"#),
        ("thought", r#"{"text":"t"}"#),
        ("tool_call", r#"{"tool":"t","args":{"a":1},"call_id":"c"}"#),
        ("tool_result", r#"{"call_id":"c","result":null}"#),
        ("tool_result", r#"{"call_id":"c","error":{"code":"INTERNAL","message":"m"}}"#),
        ("status", r#"{"phase":"running"}"#),
        ("metric", r#"{"name":"cost.usd","value":-0.25,"unit":"USD","dimensions":{"m":"x"}}"#),
        ("artifact_ref", r#"{"uri":"file:///r","content_type":"text/plain","byte_size":3,"sha256":"ab"}"#),
        ("delegate", r#"{"agent":"a","child_job_id":"job_1","input":null,"whatever":1}"#),
        ("delegate", "{}"),
        ("progress", r#"{"current":5,"total":5,"units":"files","message":"m"}"#),
        ("progress", r#"{"current":0}"#),
        ("result_chunk", r#"{"result_id":"r","chunk_seq":0,"data":"","encoding":"utf8","more":false}"#),
        ("x-vendor.acme.heat", r#"{"anything":[1,2]}"#),
    ] {
        assert_eq!(verdict(kind, body), "ok", "{kind} {body}");
        Event::parse(kind, &Json::parse(body).unwrap()).unwrap();
    }
}

#[test]
fn what_a_strict_client_would_not_read_is_named() {
    for (kind, body, expected) in [
        (
            "log",
            r#"{"level":"INFO","message":"m"}"#,
            "body.level: must be one of: trace debug info warn error critical",
        ),
        ("log", r#"{"level":"info","message":""}"#, "body.message: must not be empty"),
        ("log", r#"{"level":"info"}"#, "body.message: missing"),
        ("log", r#"{"level":1,"message":"m"}"#, "body.level: expected a string, found a whole number"),
        ("log", "[]", "body: expected an object, found an array"),
        ("log", "null", "body: expected an object, found null"),
        ("thought", r#"{"text":null}"#, "body.text: expected a string, found null"),
        ("tool_call", r#"{"name":"t","arguments":{},"tool_call_id":"c"}"#, "body.tool: missing"),
        ("tool_call", r#"{"tool":"t","args":[],"call_id":"c"}"#, "body.args: must be an object"),
        ("tool_result", r#"{"call_id":"c"}"#, "body: must have a result or an error"),
        ("tool_result", r#"{"call_id":"c","result":1,"error":{}}"#, "body: must not have both a result and an error"),
        ("metric", r#"{"name":"n","value":"5"}"#, "body.value: expected a number, found a string"),
        ("metric", r#"{"name":"n","value":null}"#, "body.value: expected a number, found null"),
        ("artifact_ref", r#"{"uri":"u"}"#, "body.content_type: must not be empty"),
        ("progress", r#"{"current":2.5}"#, "body.current: must be a whole number, 0 or more"),
        ("progress", r#"{"current":-1}"#, "body.current: must be a whole number, 0 or more"),
        ("progress", r#"{"current":6,"total":5}"#, "body.current: must not be greater than total"),
        ("progress", r#"{"current":6,"units":""}"#, "body.units: must not be empty"),
        (
            "result_chunk",
            r#"{"result_id":"r","chunk_seq":0,"data":"","encoding":"hex","more":false}"#,
            "body.encoding: expected one of: utf8 base64, found another value",
        ),
        ("x-vendor.acme.heat", "7", "body: expected an object, found a whole number"),
    ] {
        assert_eq!(verdict(kind, body), expected, "{kind} {body}");
    }
}

#[test]
fn a_body_that_would_make_a_frame_too_deep_is_refused() {
    let nested = |depth: usize| {
        let body = format!(r#"{{"a":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
        Json::parse(&body).unwrap()
    };
    let kind: EventKind = "x-vendor.acme.deep".parse().unwrap();
    assert_eq!(validate_body(&kind, &nested(MAX_BODY_DEPTH)), Ok(()));
    assert_eq!(validate_body(&kind, &nested(MAX_BODY_DEPTH + 1)), Err(BodyError::TooDeep));
}

#[test]
fn a_client_reads_the_names_that_other_runtimes_use() {
    let parse = |kind: &str, body: &str| Event::parse(kind, &Json::parse(body).unwrap()).unwrap();
    let Event::ToolCall(call) = parse("tool_call", r#"{"name":"t","arguments":{"a":1},"tool_call_id":"c"}"#) else {
        panic!("a tool call")
    };
    assert_eq!((call.tool.as_str(), call.args.get(), call.call_id.as_str()), ("t", r#"{"a":1}"#, "c"));
    let Event::ToolResult(result) = parse("tool_result", r#"{"tool_call_id":"c","output":null}"#) else {
        panic!("a tool result")
    };
    assert_eq!(result.outcome(), Some(ToolOutcome::Result(&Json::null())));
    let Event::Metric(metric) = parse("metric", r#"{"name":"n","value":1,"dims":{"a":"b"}}"#) else {
        panic!("a metric")
    };
    assert!(metric.dimensions.is_some());
    let Event::ArtifactRef(artifact) = parse("artifact_ref", r#"{"uri":"u","media_type":"text/csv","size_bytes":4}"#)
    else {
        panic!("an artifact")
    };
    assert_eq!((artifact.content_type.as_str(), artifact.byte_size), ("text/csv", Some(4)));
    let Event::Log(log) = parse("log", r#"{"level":"WARNING","message":"m","fields":{}}"#) else {
        panic!("a log line")
    };
    assert_eq!(log.severity().unwrap().as_str(), "warn");
}

#[test]
fn a_kind_that_is_not_known_is_passed_on_as_it_is() {
    for kind in ["x-vendor.acme.heat", "telepathy"] {
        let body = Json::parse("[1]").unwrap();
        assert_eq!(Event::parse(kind, &body), Ok(Event::Other { kind: kind.into(), body }));
    }
    assert!(Event::parse("log", &Json::parse("[1]").unwrap()).is_err());
}
