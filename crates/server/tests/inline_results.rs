//! Streamed results for clients that have not agreed on `result_chunk`.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::{Bench, Client, runtime_options};
use moorline_types::limits::{MAX_INLINE_RESULT_BYTES, MAX_SENT_FRAME_BYTES};
use moorline_worker::sdk::{Agent, AgentDescription, Encoding, Failure, JobContext, Outcome};
use serde_json::{Value, json};

/// Streams `count` times `text`, after `before` log lines.
#[derive(Debug)]
struct Streamer;

#[derive(serde::Deserialize)]
struct Wanted {
    text: String,
    count: usize,
    base64: bool,
    before: usize,
}

#[async_trait]
impl Agent for Streamer {
    fn describe(&self) -> AgentDescription {
        AgentDescription {
            agent: "streamer@1.0.0".parse().unwrap(),
            description: "streams its result".to_owned(),
            capacity: 8,
            is_default: true,
        }
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        let wanted: Wanted = job.input().map_err(|error| error.into_failure())?;
        for number in 0..wanted.before {
            job.log(moorline_worker::sdk::Level::Info, format!("line {number}")).await?;
        }
        let encoding = if wanted.base64 { Encoding::Base64 } else { Encoding::Utf8 };
        let failed = |error: moorline_worker::sdk::StreamError| Failure::internal(&error);
        let mut stream = job.result_stream(encoding).map_err(failed)?;
        for _ in 0..wanted.count {
            stream.write_text(&wanted.text).await.map_err(failed)?;
        }
        stream.finish("all of it").await.map_err(failed)
    }
}

async fn bench() -> Bench {
    Bench::with_agents(runtime_options(), vec![Arc::new(Streamer)]).await
}

async fn client_with(bench: &Bench, features: Value) -> Client {
    let mut client = bench.connect().await;
    let mut hello = bench.hello();
    hello["payload"]["capabilities"]["features"] = features;
    client.send(&hello).await;
    client.session = client.recv_type("session.welcome").await["session_id"].as_str().map(str::to_owned);
    client
}

/// Runs a job to its end; checks that nothing is missing in the numbering and that no chunk is shown.
async fn end_of(client: &mut Client, input: Value) -> Value {
    client.say("m-1", "job.submit", json!({ "agent": "streamer", "input": input })).await;
    let mut next = 1;
    loop {
        let frame = client.recv().await.unwrap();
        if frame["type"] == "job.accepted" {
            continue;
        }
        assert_eq!(frame["event_seq"], next, "{}", frame["type"]);
        next += 1;
        assert_ne!(frame["payload"]["kind"], "result_chunk");
        if frame["type"] != "job.event" {
            return frame;
        }
    }
}

fn input(text: &str, count: usize, base64: bool, before: usize) -> Value {
    json!({ "text": text, "count": count, "base64": base64, "before": before })
}

#[tokio::test]
async fn a_streamed_text_is_told_inline() {
    let bench = bench().await;
    for (text, count, before) in [("", 0, 0), ("gr\u{fc}n ", 3, 0), ("0123456789abcdef", 50_000, 700)] {
        let mut client = client_with(&bench, json!(["progress"])).await;
        let result = end_of(&mut client, input(text, count, false, before)).await;
        assert_eq!(result["type"], "job.result");
        let payload = &result["payload"];
        assert!(payload["result"] == json!(text.repeat(count)), "{text:?} {count} times");
        assert!(payload.get("result_id").is_none() && payload.get("result_size").is_none());
        assert_eq!((&payload["summary"], &payload["final_status"]), (&json!("all of it"), &json!("success")));
    }
}

#[tokio::test]
async fn streamed_bytes_are_told_inline_with_their_encoding() {
    let bench = bench().await;
    let mut client = client_with(&bench, json!([])).await;
    let result = end_of(&mut client, input("any", 1, true, 0)).await;
    assert_eq!(result["payload"]["result"], json!({ "encoding": "base64", "data": "YW55" }));
}

#[tokio::test]
async fn what_does_not_fit_one_frame_is_told_as_an_error_with_the_remedy() {
    let bench = bench().await;
    // The second one fits as it is and not as JSON, where every character takes six.
    for (text, count) in [("x", MAX_INLINE_RESULT_BYTES + 1), ("\u{1}", MAX_INLINE_RESULT_BYTES / 2)] {
        let mut client = client_with(&bench, json!(["subscribe"])).await;
        let error = end_of(&mut client, input(&text.repeat(64), count / 64 + 1, false, 0)).await;
        assert_eq!(error["type"], "job.error");
        assert_eq!(error["payload"]["code"], "INTERNAL_ERROR", "{error}");
        let message = error["payload"]["message"].as_str().unwrap();
        assert!(message.contains("the job succeeded") && message.contains("result_chunk"), "{message}");
        assert_eq!(error["payload"]["details"]["feature"], "result_chunk");

        let mut with = client_with(&bench, json!(["subscribe", "result_chunk"])).await;
        with.say("m-2", "job.subscribe", json!({ "job_id": error["job_id"], "history": true })).await;
        let result = with.recv_type("job.result").await;
        assert_eq!(result["payload"]["result_id"], error["payload"]["details"]["result_id"], "{result}");
    }
}

#[tokio::test]
async fn an_inline_result_of_a_go_client_stays_within_a_frame() {
    let bench = bench().await;
    let mut client = bench.connect().await;
    let mut hello = bench.hello();
    hello["id"] = json!("0190b1f2-7c1e-7b3a-9a41-3f1c2d4e5f60");
    hello["payload"]["capabilities"]["features"] = json!([]);
    client.send(&hello).await;
    client.session = client.recv_type("session.welcome").await["session_id"].as_str().map(str::to_owned);
    let result = end_of(&mut client, input("0123456789abcdef", 50_000, false, 0)).await;
    assert!(result["payload"]["output"] == json!("0123456789abcdef".repeat(50_000)));
    assert!(result["payload"].get("result").is_none());
    assert!(result.to_string().len() <= MAX_SENT_FRAME_BYTES);
}
