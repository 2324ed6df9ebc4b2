//! Acknowledgements (spec 6.5), and what a client is shown of a job from a number on (spec 7.6).

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::{Bench, Client, runtime_options};
use moorline_runtime::RuntimeOptions;
use serde_json::{Value, json};

async fn submit(client: &mut Client, events: u64, delay_ms: u64) -> Value {
    let input = json!({ "echo": { "events": events, "delay_ms": delay_ms } });
    client.say("msg_submit", "job.submit", json!({ "agent": "echo", "input": input })).await;
    client.recv_type("job.accepted").await["job_id"].clone()
}

async fn to_the_end(client: &mut Client) -> Vec<Value> {
    let mut frames = Vec::new();
    loop {
        let frame = client.recv().await.unwrap();
        let ended = matches!(frame["type"].as_str(), Some("job.result" | "job.error"));
        if frame["event_seq"].is_u64() {
            frames.push(frame);
        }
        if ended {
            return frames;
        }
    }
}

fn numbers(frames: &[Value]) -> Vec<u64> {
    frames.iter().map(|frame| frame["event_seq"].as_u64().unwrap()).collect()
}

fn is_notice(frame: &&Value) -> bool {
    frame["payload"]["body"]["phase"] == "back_pressure"
}

#[tokio::test]
async fn a_client_that_falls_behind_is_told_once_until_it_has_caught_up() {
    let bench = Bench::with_runtime(RuntimeOptions { back_pressure_lag: 10, ..runtime_options() }).await;
    let mut client = bench.client().await;
    submit(&mut client, 300, 1).await;
    let mut frames = Vec::new();
    let mut notices = 0;
    while frames.last().is_none_or(|frame: &Value| frame["type"] != "job.result") {
        let frame = client.recv().await.unwrap();
        if is_notice(&&frame) {
            let details = &frame["payload"]["body"]["details"];
            assert_eq!(details["threshold"], 10, "{frame}");
            assert!(details["current_seq"].as_u64().unwrap() > details["last_ack"].as_u64().unwrap() + 10, "{frame}");
            assert_eq!((&frame["type"], &frame["payload"]["kind"]), (&json!("job.event"), &json!("status")));
            notices += 1;
            // It is told again only if it catches up and falls behind once more.
            if notices < 3 {
                client.say("msg_a", "session.ack", json!({ "last_processed_seq": frame["event_seq"] })).await;
            }
        }
        frames.push(frame);
    }
    assert_eq!(notices, 3);
    assert_eq!(numbers(&frames), (1..=304).collect::<Vec<_>>(), "the notices are numbered like everything else");
}

#[tokio::test]
async fn a_client_that_acknowledges_in_time_is_never_told() {
    let bench = Bench::with_runtime(RuntimeOptions { back_pressure_lag: 50, ..runtime_options() }).await;
    let mut client = bench.client().await;
    submit(&mut client, 200, 1).await;
    loop {
        let frame = client.recv().await.unwrap();
        assert!(!is_notice(&&frame), "{frame}");
        if frame["type"] == "job.result" {
            return;
        }
        client.say("msg_a", "session.ack", json!({ "last_processed_seq": frame["event_seq"] })).await;
    }
}

#[tokio::test]
async fn an_acknowledgement_of_what_was_not_sent_is_refused_and_takes_nothing_away() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    submit(&mut client, 3, 0).await;
    to_the_end(&mut client).await;
    client.say("msg_a", "session.ack", json!({ "last_processed_seq": 5 })).await;
    let refused = client.recv_type("session.error").await;
    assert_eq!(refused["payload"]["code"], "INVALID_REQUEST");
    assert_eq!(refused["payload"]["details"], json!({ "last_processed_seq": 5, "last": 4 }), "{refused}");
    // What others see of the job does not depend on what its submitter acknowledges.
    client.say("msg_b", "session.ack", json!({ "last_processed_seq": 4 })).await;
    assert_eq!(client.echo(json!("still here")).await, "still here");
}

#[tokio::test]
async fn acknowledging_leaves_the_history_of_the_job_to_others() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let job = submit(&mut client, 3, 0).await;
    let seen = to_the_end(&mut client).await;
    client.say("msg_a", "session.ack", json!({ "last_processed_seq": 4 })).await;
    client.echo(json!(1)).await;
    let mut other = bench.client().await;
    other.say("msg_1", "job.subscribe", json!({ "job_id": job, "history": true })).await;
    let shown = to_the_end(&mut other).await;
    let payloads = |frames: &[Value]| frames.iter().map(|frame| frame["payload"].clone()).collect::<Vec<_>>();
    assert_eq!(payloads(&shown), payloads(&seen));
}

/// `from_event_seq` is a number of the submitter's session, and what follows it is shown.
#[tokio::test]
async fn history_begins_after_the_number_of_the_submitters_session() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    submit(&mut client, 4, 0).await;
    let first = to_the_end(&mut client).await.len() as u64;
    let job = submit(&mut client, 5, 0).await;
    let seen = to_the_end(&mut client).await;
    assert_eq!(numbers(&seen)[0], first + 1);
    for from in [0, 1, first, first + 1, first + 3, first + 5, first + 6, first + 100] {
        let mut other = bench.client().await;
        let subscribe = json!({ "job_id": job, "history": true, "from_event_seq": from });
        other.say("msg_1", "job.subscribe", subscribe).await;
        let subscribed = other.recv_type("job.subscribed").await;
        assert_eq!(subscribed["payload"]["subscribed_from"], 0, "{subscribed}");
        let due: Vec<_> = seen.iter().filter(|frame| frame["event_seq"].as_u64().unwrap() > from).collect();
        let shown = if due.is_empty() { Vec::new() } else { to_the_end(&mut other).await };
        let payloads: Vec<_> = shown.iter().map(|frame| &frame["payload"]).collect();
        assert_eq!(payloads, due.iter().map(|frame| &frame["payload"]).collect::<Vec<_>>(), "after {from}");
        assert_eq!(numbers(&shown), (1..=shown.len() as u64).collect::<Vec<_>>(), "in the subscriber's own numbers");
    }
}
