//! Traces as clients see them (spec 11).

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::Bench;
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const LAYER: &str = "x-vendor.opentelemetry.tracecontext";

/// Submits a job with these fields of the envelope, and answers all that is said about it up to its end.
async fn said_of(bench: &Bench, envelope: Value) -> Vec<Value> {
    let mut client = bench.client().await;
    let mut submit = json!({
        "arcp": "1.1", "id": "msg_1", "type": "job.submit", "session_id": client.session,
        "payload": { "agent": "echo", "input": 1 },
    });
    submit.as_object_mut().unwrap().extend(envelope.as_object().unwrap().clone());
    client.send(&submit).await;
    let mut said = Vec::new();
    loop {
        let frame = client.recv().await.unwrap();
        let is_last = frame["type"] == "job.result";
        said.push(frame);
        if is_last {
            return said;
        }
    }
}

#[tokio::test]
async fn a_job_without_a_trace_begins_one_and_says_it_everywhere() {
    let bench = Bench::start().await;
    let mut traces = Vec::new();
    for _ in 0..2 {
        let said = said_of(&bench, json!({})).await;
        let trace = said[0]["payload"]["trace_id"].as_str().unwrap().to_owned();
        assert!(trace.len() == 32 && trace.bytes().all(|digit| digit.is_ascii_hexdigit()), "{trace}");
        assert!(said.iter().all(|frame| frame["trace_id"] == trace.as_str()), "{said:?}");
        traces.push(trace);
    }
    assert_ne!(traces[0], traces[1]);
}

#[tokio::test]
async fn the_trace_is_taken_from_wherever_a_client_puts_it() {
    let bench = Bench::start().await;
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    for envelope in [
        json!({ "trace_id": TRACE }),
        json!({ "trace_id": parent }),
        json!({ "extensions": { LAYER: { "traceparent": parent } } }),
        json!({ "trace_id": TRACE, "extensions": { LAYER: { "traceparent": "not one" } } }),
    ] {
        let said = said_of(&bench, envelope.clone()).await;
        assert!(said.iter().all(|frame| frame["trace_id"] == TRACE), "{envelope}: {said:?}");
    }
}

#[tokio::test]
async fn a_trace_id_that_is_none_is_refused_with_what_one_is_and_the_session_goes_on() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    for (bad, remedy) in [
        ("my trace".to_owned(), "32 lower-case hexadecimal digits"),
        (TRACE.to_uppercase(), "32 lower-case hexadecimal digits"),
        (format!("00-{TRACE}-00f067aa0ba902b7"), "00-<trace id>-<span id>-<flags>"),
    ] {
        client
            .send(&json!({
                "arcp": "1.1", "id": "msg_1", "type": "job.submit", "session_id": client.session, "trace_id": bad,
                "payload": { "agent": "echo", "input": 1 },
            }))
            .await;
        let error = client.recv_type("session.error").await;
        assert_eq!(error["payload"]["code"], "INVALID_REQUEST", "{error}");
        assert_eq!(error["payload"]["details"]["field"], "trace_id");
        assert!(error["payload"]["message"].as_str().unwrap().contains(remedy), "{error}");
    }
    let said = said_of(&bench, json!({})).await;
    assert_eq!(said.last().unwrap()["type"], "job.result");
}
