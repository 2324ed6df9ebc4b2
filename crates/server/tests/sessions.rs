//! What a client of the default profile gets, envelope by envelope.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use std::time::Duration;

use common::{Bench, Client, PATIENCE, service_options};
use moorline_server::connection::ServiceOptions;
use moorline_types::Millis;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn the_welcome_has_what_every_official_client_needs() {
    let bench = Bench::start().await;
    let mut client = bench.connect().await;
    client.send(&bench.hello()).await;
    let welcome = client.recv().await.unwrap();
    let payload = &welcome["payload"];
    assert_eq!(welcome["arcp"], "1.1");
    assert!(welcome["id"].as_str().unwrap().starts_with("msg_"));
    assert_eq!(payload["session_id"], welcome["session_id"]);
    assert_eq!(payload["runtime"]["name"], "moorline");
    assert_eq!(payload["heartbeat_interval_sec"], 30);
    assert!(payload["accepted_at"].as_str().unwrap().ends_with('Z'));
    assert!(payload["resume_token"].as_str().unwrap().starts_with("rt_"));
    assert_eq!(payload["resume_window_sec"], 600);
    let features: Vec<_> = payload["capabilities"]["features"].as_array().unwrap().iter().collect();
    assert_eq!(features, ["heartbeat", "ack", "list_jobs", "subscribe", "progress", "result_chunk", "agent_versions"]);
    assert_eq!(payload["capabilities"]["agents"][0]["name"], "echo");
    let default = &payload["capabilities"]["agents"][0]["default"];
    assert_eq!(&payload["capabilities"]["agents"][0]["versions"][0], default);
}

#[tokio::test]
async fn a_job_is_accepted_then_seen_then_ended_and_only_what_is_numbered_is_numbered() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    client.send(&json!({
        "arcp": "1.1", "id": "msg_mine", "type": "job.submit", "session_id": client.session, "trace_id": trace,
        "payload": { "agent": "echo", "input": { "echo": { "events": 3 } }, "lease_request": { "fs.read": ["/a/**"] } },
    })).await;
    let accepted = client.recv().await.unwrap();
    assert_eq!(accepted["type"], "job.accepted");
    assert_eq!(accepted["payload"]["request_id"], "msg_mine");
    assert_eq!(accepted["payload"]["lease"], json!({ "fs.read": ["/a/**"] }));
    assert_eq!(accepted["payload"]["trace_id"], trace);
    assert!(accepted.get("event_seq").is_none());
    let mut numbers = Vec::new();
    let last = loop {
        let frame = client.recv().await.unwrap();
        assert_eq!(frame["job_id"], accepted["job_id"]);
        assert_eq!(frame["trace_id"], trace);
        numbers.push(frame["event_seq"].as_u64().unwrap());
        if frame["type"] != "job.event" {
            break frame;
        }
    };
    assert_eq!(last["type"], "job.result");
    assert_eq!(last["payload"]["final_status"], "success");
    assert!(last["payload"].get("result").is_some());
    assert!(last["payload"]["completed_at"].is_string());
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert!(numbers.len() >= 4, "three events and the result");
}

#[tokio::test]
async fn what_was_not_negotiated_is_told_as_a_status_under_the_same_number() {
    let bench = Bench::start().await;
    let mut with = bench.client().await;
    with.say("msg_1", "job.submit", json!({ "agent": "echo", "input": { "echo": { "events": 2 } } })).await;
    let job = with.recv_type("job.accepted").await["job_id"].clone();
    with.recv_type("job.result").await;
    let mut without = bench.connect().await;
    let mut hello = bench.hello();
    hello["payload"]["capabilities"]["features"] = json!(["subscribe"]);
    without.send(&hello).await;
    let welcome = without.recv().await.unwrap();
    without.session = welcome["session_id"].as_str().map(str::to_owned);
    assert!(welcome["payload"].get("heartbeat_interval_sec").is_none());
    without.say("msg_2", "job.subscribe", json!({ "job_id": job, "history": true })).await;
    let subscribed = without.recv().await.unwrap();
    assert_eq!(subscribed["type"], "job.subscribed", "before what it brings");
    assert_eq!(subscribed["payload"]["request_id"], "msg_2");
    assert_eq!(subscribed["payload"]["current_status"], "success");
    assert_eq!(subscribed["payload"]["subscribed_from"], 0);
    let mut next = 1;
    loop {
        let frame = without.recv().await.unwrap();
        assert_eq!(frame["event_seq"], next);
        assert_ne!(frame["payload"]["kind"], "progress");
        next += 1;
        if frame["type"] == "job.result" {
            break;
        }
    }
}

#[tokio::test]
async fn pings_are_answered_and_sent_and_silence_ends_the_connection_but_not_the_job() {
    // Whoever answers is to be heard in time on a busy machine too.
    let options = ServiceOptions { heartbeat_interval: Millis::from_secs(2), ..service_options() };
    let bench = Bench::with(options, 10).await;
    let mut client = bench.client().await;
    client.say("msg_p", "session.ping", json!({ "nonce": "p_1", "sent_at": "2026-05-13T19:42:13Z" })).await;
    let pong = client.recv_type("session.pong").await;
    assert_eq!(pong["payload"]["ping_nonce"], "p_1");
    client
        .say("msg_1", "job.submit", json!({ "agent": "echo", "input": { "echo": { "events": 3, "delay_ms": 2_000 } } }))
        .await;
    let job = client.recv_type("job.accepted").await["job_id"].clone();
    let ping = client.recv_type("session.ping").await;
    assert!(ping["payload"]["nonce"].is_string());
    let lost = client.recv_type("session.error").await;
    assert_eq!(lost["payload"]["code"], "HEARTBEAT_LOST");
    assert!(matches!(client.recv_message().await, Some(Message::Close(_)) | None));

    let mut again = bench.client().await;
    again.say("msg_2", "job.subscribe", json!({ "job_id": job, "history": true })).await;
    let pinger = async {
        loop {
            let frame = again.recv().await.unwrap();
            if frame["type"] == "session.ping" {
                again.say("msg_pong", "session.pong", json!({ "ping_nonce": frame["payload"]["nonce"] })).await;
            } else if frame["type"] == "job.result" {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, pinger).await.expect("the job ends although its client was lost");
}

/// Gateway and client are on one thread here, which stands still. Which of the two the gateway sees first then, the time or
/// what was said, is decided by chance.
#[tokio::test]
async fn a_client_that_has_spoken_while_the_gateway_stood_still_is_not_given_up() {
    const INTERVAL: Duration = Duration::from_millis(300);
    let interval = Millis::new(INTERVAL.as_millis().try_into().unwrap());
    let bench = Bench::with(ServiceOptions { heartbeat_interval: interval, ..service_options() }, 10).await;
    for round in 0..5 {
        let mut client = bench.client().await;
        client.say("msg_p", "session.ping", json!({ "nonce": "p_1", "sent_at": "2026-05-13T19:42:13Z" })).await;
        // not a wait: the whole process stands still
        std::thread::sleep(INTERVAL * 5 / 2);
        loop {
            match &client.recv().await.unwrap() {
                ping if ping["type"] == "session.ping" => {}
                pong => break assert_eq!(pong["payload"]["ping_nonce"], "p_1", "round {round}: {pong}"),
            }
        }
    }
}

#[tokio::test]
async fn both_ways_to_close_are_confirmed() {
    let bench = Bench::start().await;
    for message_type in ["session.close", "session.bye"] {
        let mut client = bench.client().await;
        client.say("msg_1", message_type, json!({ "reason": "done" })).await;
        let closed = client.recv_type("session.closed").await;
        assert_eq!(closed["payload"]["reason"], "done");
        let Some(Message::Close(Some(close))) = client.recv_message().await else { panic!("no close frame") };
        assert_eq!(u16::from(close.code), 1000);
    }
}

#[tokio::test]
async fn a_close_that_names_another_session_closes_neither() {
    let bench = Bench::start().await;
    let mut other = bench.client().await;
    for message_type in ["session.close", "session.bye"] {
        let mut client = bench.client().await;
        for named in [other.session.clone(), Some("sess_of_nobody".to_owned())] {
            let close = json!({
                "arcp": "1.1", "id": "msg_close", "type": message_type, "session_id": named, "payload": { "reason": "x" },
            });
            client.send(&close).await;
            let refused = client.recv_type("session.error").await["payload"].take();
            assert_eq!((&refused["code"], &refused["request_id"]), (&json!("INVALID_REQUEST"), &json!("msg_close")));
            assert!(refused["message"].as_str().unwrap().contains("another session"), "{refused}");
        }
        for still in [&mut client, &mut other] {
            assert_eq!(still.echo(json!(1)).await, json!(1), "{message_type}");
        }
    }
}

#[tokio::test]
async fn a_shutdown_says_goodbye() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let closing = bench.service.close_connections(PATIENCE);
    let (closed, ()) = tokio::join!(client.recv_type("session.closed"), closing);
    assert!(closed["payload"]["reason"].as_str().unwrap().contains("shutting down"));
    let Some(Message::Close(Some(close))) = client.recv_message().await else { panic!("no close frame") };
    assert_eq!(u16::from(close.code), 1001);
}

/// More than the sockets between the two hold.
const EVENTS: u64 = 60_000;

/// A client that never reads costs itself: its job ends, and others are served.
#[tokio::test]
async fn a_client_that_never_reads_delays_nobody() {
    let bench = Bench::start().await;
    let mut mute = bench.client().await;
    let mut other = bench.client().await;
    mute.say("msg_1", "job.submit", json!({ "agent": "echo", "input": { "echo": { "events": EVENTS } } })).await;
    let ended = async {
        while bench.gateway.open_jobs() > 0 {
            other.echo(json!(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE * 6, ended).await.expect("the job ends although nobody reads it");
    let seen = read_to_result(&mut mute).await;
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
    assert_eq!(seen.len() as u64, EVENTS + 1);
}

async fn read_to_result(client: &mut Client) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let frame: Value = client.recv().await.unwrap();
        numbers.extend(frame["event_seq"].as_u64());
        if frame["type"] == "job.result" {
            return numbers;
        }
    }
}
