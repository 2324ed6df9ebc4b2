//! Submissions that arrive together: each is answered in its turn, as if it had come alone.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::collections::BTreeSet;

use common::Bench;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// More than are gathered before the first is answered.
const MANY: usize = 100;

fn submission(session: &str, number: usize, agent: &str) -> Value {
    json!({
        "arcp": "1.1", "id": format!("msg_{number}"), "type": "job.submit", "session_id": session,
        "payload": { "agent": agent, "input": { "echo": { "events": 1 } } },
    })
}

#[tokio::test]
async fn what_is_sent_in_one_go_is_answered_in_its_order() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let session = client.session.clone().unwrap();
    let mut sent: Vec<_> =
        (0..MANY).map(|n| submission(&session, n, if n % 7 == 3 { "nobody" } else { "echo" })).collect();
    let ping = json!({
        "arcp": "1.1", "id": "msg_ping", "type": "session.ping", "session_id": session, "payload": { "nonce": "n" },
    });
    sent.insert(MANY / 2, ping);
    client.send_together(&sent).await;

    let (mut answered, mut numbers, mut running) = (Vec::new(), Vec::new(), BTreeSet::new());
    while answered.len() < sent.len() || !running.is_empty() {
        let frame = client.recv().await.unwrap();
        match frame["type"].as_str().unwrap() {
            "job.accepted" => {
                running.insert(frame["job_id"].as_str().unwrap().to_owned());
                answered.push(frame["payload"]["request_id"].clone());
            }
            "session.error" => {
                assert_eq!(frame["payload"]["code"], "AGENT_NOT_AVAILABLE", "{frame}");
                answered.push(frame["payload"]["request_id"].clone());
            }
            "session.pong" => answered.push(json!("msg_ping")),
            kind => {
                assert!(kind.starts_with("job."), "{frame}");
                numbers.push(frame["event_seq"].as_u64().unwrap());
                let job = frame["job_id"].as_str().unwrap();
                assert!(running.contains(job), "nothing of a job precedes its acceptance: {frame}");
                if kind == "job.result" {
                    running.remove(job);
                }
            }
        }
    }
    assert_eq!(answered, sent.iter().map(|frame| frame["id"].clone()).collect::<Vec<_>>());
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_client_that_goes_right_after_its_submissions_has_its_jobs_run() {
    let bench = Bench::start().await;
    let (mut client, token) = bench.open(&bench.hello()).await;
    let session = client.session.clone().unwrap();
    client.send_together(&(0..5).map(|n| submission(&session, n, "echo")).collect::<Vec<_>>()).await;
    client.send_raw(Message::Close(None)).await;
    while client.recv().await.is_some() {}
    let mut hello = bench.hello();
    hello["payload"]["resume"] = json!({ "session_id": session, "resume_token": token, "last_event_seq": 0 });
    let (mut client, _) = bench.open(&hello).await;
    for _ in 0..5 {
        client.recv_type("job.result").await;
    }
}
