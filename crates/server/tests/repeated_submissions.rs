//! Idempotency keys over real WebSockets (spec 7.2).

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::collections::BTreeSet;

use common::{Bench, Client};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

fn submission(key: &str, input: &Value) -> Value {
    json!({ "agent": "echo", "input": input, "idempotency_key": key })
}

async fn submit(client: &mut Client, id: &str, payload: &Value) -> Value {
    client.say(id, "job.submit", payload.clone()).await;
    client.recv().await.unwrap()
}

/// Without what is the answer's own.
fn without_request(accepted: &Value) -> Value {
    let mut payload = accepted["payload"].clone();
    payload.as_object_mut().unwrap().remove("request_id");
    payload
}

#[tokio::test]
async fn the_same_key_a_hundred_times_at_once_from_two_sessions_is_one_job() {
    let bench = Bench::start().await;
    let mut clients = [bench.client().await, bench.client().await];
    let payload = submission("order 17", &json!({ "echo": { "events": 3 } }));
    for n in 0..50 {
        for client in &mut clients {
            client.say(&format!("msg_{n}"), "job.submit", payload.clone()).await;
        }
    }
    let mut accepted = Vec::new();
    for client in &mut clients {
        let (mut requests, mut numbers, mut ended) = (BTreeSet::new(), Vec::new(), false);
        while requests.len() < 50 || !ended {
            let frame = client.recv().await.unwrap();
            match frame["type"].as_str().unwrap() {
                "job.accepted" => {
                    requests.insert(frame["payload"]["request_id"].as_str().unwrap().to_owned());
                    accepted.push(without_request(&frame));
                }
                kind => {
                    assert!(kind.starts_with("job."), "{frame}");
                    numbers.push(frame["event_seq"].as_u64().unwrap());
                    ended |= kind == "job.result";
                }
            }
        }
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        assert!(numbers.len() >= 4, "three events and the result");
    }
    assert_eq!(accepted.len(), 100);
    assert!(accepted.iter().all(|payload| *payload == accepted[0]), "one answer for all");
    let mut client = bench.client().await;
    client.say("msg_l", "session.list_jobs", json!({})).await;
    let jobs = client.recv_type("session.jobs").await;
    assert_eq!(jobs["payload"]["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_repetition_after_the_end_gets_the_same_acceptance_and_then_the_whole_job() {
    let bench = Bench::start().await;
    let payload = submission("k", &json!({ "echo": { "events": 2 } }));
    let mut first = bench.client().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    first
        .send(&json!({
            "arcp": "1.1", "id": "msg_1", "type": "job.submit", "session_id": first.session, "trace_id": trace,
            "payload": payload,
        }))
        .await;
    let accepted = first.recv_type("job.accepted").await;
    let result = first.recv_type("job.result").await;

    let mut other = bench.client().await;
    other
        .send(&json!({
            "arcp": "1.1", "id": "msg_2", "type": "job.submit", "session_id": other.session,
            "trace_id": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "payload": payload,
        }))
        .await;
    let again = other.recv().await.unwrap();
    assert_eq!(again["type"], "job.accepted");
    assert_eq!(again["payload"]["request_id"], "msg_2");
    assert_eq!(again["payload"]["trace_id"], trace, "the job's");
    assert_eq!(without_request(&again), without_request(&accepted));
    let mut seen = Vec::new();
    loop {
        let frame = other.recv().await.unwrap();
        assert_eq!((&frame["job_id"], &frame["trace_id"]), (&accepted["job_id"], &json!(trace)));
        seen.push(frame["event_seq"].as_u64().unwrap());
        if frame["type"] == "job.result" {
            assert_eq!(frame["payload"], result["payload"]);
            break;
        }
    }
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_same_parameters_written_otherwise_are_the_same_and_others_are_not() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let first = r#"{"agent": "echo", "input": {"a": 1, "b": [100, "é"]}, "idempotency_key": "k"}"#;
    let same =
        r#"{"idempotency_key": "k", "lease_request": {}, "input": {"b":[1e2,"\u00e9"],"a":1.0}, "agent": "echo"}"#;
    let mut jobs = BTreeSet::new();
    for text in [first, same] {
        let session = client.session.clone().unwrap();
        let frame = format!(
            r#"{{"arcp": "1.1", "id": "m", "type": "job.submit", "session_id": "{session}", "payload": {text}}}"#
        );
        client.send_raw(Message::text(frame)).await;
        jobs.insert(client.recv_type("job.accepted").await["job_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(jobs.len(), 1);
    let job = jobs.pop_first().unwrap();
    client.recv_type("job.result").await;
    for (changed, value) in [
        ("input", json!({ "a": 1 })),
        ("agent", json!("echo@1.0.0")),
        ("max_runtime_sec", json!(60)),
        ("lease_request", json!({ "fs.read": ["/a"] })),
    ] {
        let mut payload: Value = serde_json::from_str(first).unwrap();
        payload[changed] = value;
        let refused = submit(&mut client, "msg_c", &payload).await;
        assert_eq!(refused["type"], "session.error", "{changed}: {refused}");
        assert_eq!(refused["payload"]["code"], "DUPLICATE_KEY");
        assert_eq!(refused["payload"]["request_id"], "msg_c");
        assert_eq!(refused["payload"]["retryable"], false);
        assert_eq!(refused["payload"]["details"]["existing_job_id"], job);
        assert!(refused.get("job_id").is_none(), "the job that has the key is not what failed: {refused}");
    }
    assert_eq!(client.echo(json!("on it goes")).await, "on it goes");
}

#[tokio::test]
async fn bad_keys_are_refused_before_anything_is_claimed() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    for key in [json!(""), json!(5), json!({}), json!("x".repeat(257))] {
        let refused = submit(&mut client, "msg_1", &json!({ "agent": "echo", "idempotency_key": key })).await;
        assert_eq!(refused["payload"]["code"], "INVALID_REQUEST", "{refused}");
    }
    let mut payload = submission("k", &json!(1));
    payload["agent"] = json!("nobody");
    let refused = submit(&mut client, "msg_2", &payload).await;
    assert_eq!(refused["payload"]["code"], "AGENT_NOT_AVAILABLE");
    payload["agent"] = json!("echo");
    assert_eq!(submit(&mut client, "msg_3", &payload).await["type"], "job.accepted", "the key is free");
}

#[tokio::test]
async fn the_same_key_of_another_principal_is_another_key() {
    let bench = Bench::start().await;
    let mut ada = bench.client().await;
    let hers = submit(&mut ada, "msg_1", &submission("k", &json!("secret"))).await;
    let mut eve = bench.connect().await;
    eve.send(&bench.hello_of_another()).await;
    eve.session = eve.recv().await.unwrap()["session_id"].as_str().map(str::to_owned);
    let other = submit(&mut eve, "msg_1", &submission("k", &json!("something else"))).await;
    assert_eq!(other["type"], "job.accepted");
    assert_ne!(other["job_id"], hers["job_id"]);
}

/// A client whose connection ends before it hears of the acceptance comes back and asks again.
#[tokio::test]
async fn a_session_that_is_resumed_and_submits_again_sees_its_job_once() {
    let bench = Bench::start().await;
    let mut client = bench.connect().await;
    client.send(&bench.hello()).await;
    let welcome = client.recv().await.unwrap();
    client.session = welcome["session_id"].as_str().map(str::to_owned);
    let payload = submission("k", &json!({ "echo": { "events": 5 } }));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    client
        .send(&json!({
            "arcp": "1.1", "id": "msg_1", "type": "job.submit", "session_id": client.session, "trace_id": trace,
            "payload": payload,
        }))
        .await;
    let accepted = client.recv_type("job.accepted").await;
    drop(client);

    let mut client = bench.connect().await;
    let mut hello = bench.hello();
    hello["payload"]["resume"] = json!({ "resume_token": welcome["payload"]["resume_token"], "last_event_seq": 0 });
    client.send(&hello).await;
    let resumed = client.recv().await.unwrap();
    assert_eq!(resumed["session_id"], welcome["session_id"], "{resumed}");
    client.session = resumed["session_id"].as_str().map(str::to_owned);
    client.say("msg_2", "job.submit", payload).await;
    let (mut numbers, mut answered, mut ended) = (Vec::new(), false, false);
    while !answered || !ended {
        let frame = client.recv().await.unwrap();
        match frame["type"].as_str().unwrap() {
            "job.accepted" => {
                assert_eq!(frame["job_id"], accepted["job_id"]);
                answered = true;
            }
            kind => {
                assert_eq!(frame["trace_id"], trace, "also on another connection than the submission's: {frame}");
                numbers.push(frame["event_seq"].as_u64().unwrap());
                ended |= kind == "job.result";
            }
        }
    }
    assert_eq!(numbers[..6], [1, 2, 3, 4, 5, 6], "{numbers:?}");
}
