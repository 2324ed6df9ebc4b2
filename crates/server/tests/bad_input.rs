//! Whatever a client sends: it is told what is wrong, and nobody else notices.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use common::{Bench, Client, MAX_FRAME, hello_with, service_options};
use moorline_server::connection::ServiceOptions;
use moorline_types::Millis;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

async fn assert_error(client: &mut Client, code: &str, fragment: &str, context: &str) {
    let error = client.recv().await.unwrap_or_else(|| panic!("{context}: no answer"));
    assert_eq!(error["type"], "session.error", "{context}: {error}");
    assert_eq!(error["payload"]["code"], code, "{context}: {error}");
    let message = error["payload"]["message"].as_str().unwrap_or_default();
    assert!(message.contains(fragment), "{context}: {message}");
    assert!(error["session_id"].as_str().is_some_and(|id| id.starts_with("sess_")), "{context}: {error}");
}

/// The connection and the gateway still work.
async fn assert_goes_on(client: &mut Client) {
    assert_eq!(client.echo(json!({ "n": 7 })).await, json!({ "n": 7 }));
}

#[tokio::test]
async fn before_the_hello_everything_else_is_refused_and_closed() {
    let bench = Bench::start().await;
    let mut victim = bench.client().await;
    let envelope = |message_type: &str, payload: Value| {
        json!({ "arcp": "1.1", "id": "msg_1", "type": message_type, "payload": payload }).to_string()
    };
    for (frame, fragment) in [
        (Message::text("not json"), "not JSON"),
        (Message::text(""), "not JSON"),
        (Message::text("[]"), "JSON object"),
        (Message::text("{}"), "id: missing"),
        (Message::binary(vec![0xff; 8]), "not UTF-8 text"),
        (Message::text(r#"{"arcp":"1.0","id":"m","type":"session.hello","payload":{}}"#), "version 1.1"),
        (Message::text(envelope("session.ping", json!({ "nonce": "n" }))), "must be session.hello"),
        (Message::text(envelope("job.submit", json!({ "agent": "echo" }))), "must be session.hello"),
        (Message::text(envelope("session.hello", json!({}))), "payload.client"),
        (Message::text(envelope("session.welcome", json!({}))), "session.welcome"),
    ] {
        let context = format!("{frame:?}");
        let mut client = bench.connect().await;
        client.send_raw(frame).await;
        assert_error(&mut client, "INVALID_REQUEST", fragment, &context).await;
        assert!(matches!(client.recv_message().await, Some(Message::Close(_)) | None), "{context}: still open");
    }
    assert_goes_on(&mut victim).await;
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_closed() {
    let bench = Bench::start().await;
    for auth in [
        json!(null),
        json!({ "scheme": "bearer" }),
        json!({ "scheme": "bearer", "token": "mlk_wrong" }),
        json!({ "scheme": "anonymous", "token": "x" }),
        json!({ "scheme": "bearer", "token": "x".repeat(10_000) }),
    ] {
        let mut client = bench.connect().await;
        client.send(&hello_with(&auth)).await;
        let error = client.recv().await.unwrap();
        assert_eq!(error["type"], "session.error", "{auth}");
        let code = error["payload"]["code"].as_str().unwrap();
        assert!(matches!(code, "UNAUTHENTICATED" | "INVALID_REQUEST"), "{auth}: {error}");
        assert!(matches!(client.recv_message().await, Some(Message::Close(_)) | None), "{auth}: still open");
    }
}

#[tokio::test]
async fn without_a_hello_the_connection_is_closed_at_the_deadline() {
    let options = ServiceOptions { hello_deadline: Millis::new(200), ..service_options() };
    let bench = Bench::with(options, 10).await;
    let mut client = bench.connect().await;
    assert_error(&mut client, "INVALID_REQUEST", "session.hello", "no hello").await;
    assert!(matches!(client.recv_message().await, Some(Message::Close(_)) | None));
}

#[tokio::test]
async fn in_a_session_a_bad_frame_is_answered_and_the_connection_goes_on() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let session = client.session.clone().unwrap();
    let envelope = |message_type: &str, payload: Value| {
        json!({ "arcp": "1.1", "id": "msg_1", "type": message_type, "session_id": session, "payload": payload })
            .to_string()
    };
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    for (frame, code, fragment) in [
        (Message::text("not json"), "INVALID_REQUEST", "not JSON"),
        (Message::text("{\"arcp\":\"1.1\""), "INVALID_REQUEST", "not JSON"),
        (Message::text("null"), "INVALID_REQUEST", "JSON object"),
        (Message::binary(b"{}".to_vec()), "INVALID_REQUEST", "text"),
        (
            Message::text(format!(
                r#"{{"arcp":"1.1","id":"m","type":"job.submit","payload":{{"agent":"echo","input":{deep}}}}}"#
            )),
            "INVALID_REQUEST",
            "deep",
        ),
        (Message::text(envelope("job.dance", json!({}))), "INVALID_REQUEST", "job.dance"),
        (Message::text(envelope("job.event", json!({}))), "INVALID_REQUEST", "job.event"),
        (
            Message::text(envelope("session.hello", json!({ "client": { "name": "x" } }))),
            "INVALID_REQUEST",
            "has a session already",
        ),
        (Message::text(envelope("job.submit", json!({ "agent": 7 }))), "INVALID_REQUEST", "payload.agent"),
        (Message::text(envelope("job.submit", json!({ "agent": "Echo!" }))), "INVALID_REQUEST", "payload.agent"),
        (Message::text(envelope("job.submit", json!({ "agent": "nobody" }))), "AGENT_NOT_AVAILABLE", "nobody"),
        (Message::text(envelope("job.submit", json!({ "agent": "echo@99" }))), "AGENT_VERSION_NOT_AVAILABLE", "99"),
        (
            Message::text(envelope("job.submit", json!({ "agent": "echo", "max_runtime_sec": -1 }))),
            "INVALID_REQUEST",
            "max_runtime_sec",
        ),
        (
            Message::text(envelope("job.submit", json!({ "agent": "echo", "idempotency_key": "" }))),
            "INVALID_REQUEST",
            "idempotency_key",
        ),
        (Message::text(envelope("job.cancel", json!({}))), "INVALID_REQUEST", "job_id"),
        (Message::text(envelope("job.cancel", json!({ "job_id": "job_nope" }))), "JOB_NOT_FOUND", "job_nope"),
        (Message::text(envelope("job.subscribe", json!({ "job_id": "job_nope" }))), "JOB_NOT_FOUND", "job_nope"),
        (
            Message::text(envelope("session.ack", json!({ "last_processed_seq": 1 }))),
            "INVALID_REQUEST",
            "event_seq 1 was not sent",
        ),
        (Message::text(envelope("session.list_jobs", json!({ "cursor": "x" }))), "INVALID_REQUEST", "cursor"),
        (
            Message::text(
                r#"{"arcp":"1.1","id":"m","type":"job.submit","session_id":"sess_other","payload":{"agent":"echo"}}"#,
            ),
            "INVALID_REQUEST",
            "another session",
        ),
    ] {
        let context = frame.to_string().chars().take(120).collect::<String>();
        client.send_raw(frame).await;
        assert_error(&mut client, code, fragment, &context).await;
    }
    assert_goes_on(&mut client).await;
}

#[tokio::test]
async fn an_unknown_message_that_may_be_ignored_is_ignored() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    client
        .send(&json!({
            "arcp": "1.1", "id": "m", "type": "x-vendor.acme.wave", "payload": {}, "extensions": { "optional": true },
            "unheard_of": [1, 2, 3],
        }))
        .await;
    assert_goes_on(&mut client).await;
}

#[tokio::test]
async fn an_oversize_frame_is_refused_before_it_is_read() {
    let bench = Bench::start().await;
    let mut other = bench.client().await;
    let mut client = bench.client().await;
    client.send_raw(Message::text("x".repeat(MAX_FRAME + 1))).await;
    assert_error(&mut client, "INVALID_REQUEST", "limit", "oversize").await;
    let Some(Message::Close(Some(close))) = client.recv_message().await else { panic!("no close frame") };
    assert_eq!(u16::from(close.code), 1009);
    assert_goes_on(&mut other).await;
}

/// Every field of every payload that a client sends, replaced by what it must not be.
#[tokio::test]
async fn every_field_of_every_payload_may_be_wrong_and_the_connection_goes_on() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let samples = [
        ("session.ping", json!({ "nonce": "n", "sent_at": "2026-05-13T19:42:13Z" })),
        ("session.pong", json!({ "ping_nonce": "n", "received_at": "2026-05-13T19:42:13Z" })),
        ("session.ack", json!({ "last_processed_seq": 1 })),
        (
            "session.list_jobs",
            json!({ "filter": { "status": ["running"], "agent": "echo" }, "limit": 5, "cursor": "c" }),
        ),
        (
            "job.submit",
            json!({
                "agent": "nobody", "input": {}, "lease_request": { "fs.read": ["/a"] },
                "lease_constraints": { "expires_at": "2999-05-13T19:42:13Z" }, "idempotency_key": "k",
                "max_runtime_sec": 5, "parent_job_id": "job_x", "delegate_id": "d",
            }),
        ),
        ("job.cancel", json!({ "job_id": "job_x", "reason": "r" })),
        ("job.subscribe", json!({ "job_id": "job_x", "history": true, "from_event_seq": 0 })),
        ("job.unsubscribe", json!({ "job_id": "job_x" })),
        ("session.resume", json!({ "resume_token": "rt", "last_event_seq": 1 })),
    ];
    let huge = "x".repeat(20_000);
    let wrong = [
        json!(null),
        json!(7),
        json!(-1),
        json!(1.5),
        json!(true),
        json!(""),
        json!(huge),
        json!([]),
        json!({}),
        json!([[]]),
        json!(u64::MAX),
    ];
    let mut sent = 0;
    for (message_type, payload) in &samples {
        for field in payload.as_object().unwrap().keys() {
            for value in &wrong {
                let mut payload = payload.clone();
                payload[field] = value.clone();
                client.say(&format!("msg_{sent}"), message_type, payload).await;
                sent += 1;
            }
        }
    }
    assert!(sent > 200, "{sent} frames");
    // Whatever was answered, the last answer is the result of work that is done.
    client.say("msg_last", "job.submit", json!({ "agent": "echo", "input": "still here" })).await;
    let result = client.recv_type("job.result").await;
    assert_eq!(result["payload"]["result"], "still here");
}

#[tokio::test]
async fn an_address_has_no_more_connections_than_it_may() {
    let bench = Bench::with(service_options(), 2).await;
    let mut first = bench.client().await;
    let second = bench.client().await;
    assert!(tokio_tungstenite::connect_async(&bench.url).await.is_err(), "a third one is turned away");
    drop(second);
    let connected = async {
        while tokio_tungstenite::connect_async(&bench.url).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(common::PATIENCE, connected).await.expect("there is room again");
    assert_goes_on(&mut first).await;
}

async fn http(bench: &Bench, request: &str) -> String {
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn plain_http_finds_health_and_readiness_and_is_told_where_arcp_is() {
    let bench = Bench::start().await;
    for (path, status, fragment) in [
        ("/healthz", "200", "ok"),
        ("/readyz", "200", "ready"),
        ("/arcp", "426", "WebSocket"),
        ("/nowhere", "404", "/arcp"),
    ] {
        let answer =
            http(&bench, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        assert!(answer.contains(fragment), "{path}: {answer}");
    }
    bench.store.faults().refuse_writes(moorline_store::StoreFault::Full);
    let answer = http(&bench, "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    bench.store.faults().allow();
}
