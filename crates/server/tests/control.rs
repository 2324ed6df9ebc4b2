//! Requests at the wrong time, of the wrong type, and more than once: each has one answer and one effect.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::{Bench, Client, hello_with, runtime_options};
use moorline_runtime::RuntimeOptions;
use moorline_store::Store as _;
use moorline_types::{Millis, StreamId, StreamSeq};
use moorline_worker::sdk::{Agent, AgentDescription, Failure, JobContext, Outcome};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// What somebody says who has not said who he is reaches neither the journal nor those who watch.
#[tokio::test]
async fn what_is_said_before_the_hello_has_no_effect() {
    let bench = Bench::start().await;
    let mut owner = bench.client().await;
    let input = json!({ "echo": { "delay_ms": 600_000 } });
    owner.say("msg_1", "job.submit", json!({ "agent": "echo", "input": input })).await;
    let job = owner.recv_type("job.accepted").await["job_id"].clone();
    let mut observer = bench.client().await;
    observer.say("msg_2", "job.subscribe", json!({ "job_id": job, "history": true })).await;
    observer.recv_type("job.subscribed").await;
    wait_for_the_start(&bench, &job).await;
    let before = bench.store.tail().head();
    let session = owner.session.clone();
    for (message_type, payload) in [
        ("job.result", json!({ "final_status": "success", "result": "forged" })),
        ("job.error", json!({ "final_status": "error", "code": "TIMEOUT", "message": "forged", "retryable": true })),
        (
            "job.event",
            json!({ "kind": "log", "ts": "2026-05-13T19:42:13Z", "body": { "level": "info", "message": "f" } }),
        ),
        ("job.cancel", json!({ "job_id": job })),
        ("job.submit", json!({ "agent": "echo" })),
        ("job.subscribe", json!({ "job_id": job, "history": true })),
        ("session.close", json!({})),
        ("session.ack", json!({ "last_processed_seq": 1 })),
        ("session.list_jobs", json!({})),
    ] {
        let mut nobody = bench.connect().await;
        let frame = json!({
            "arcp": "1.1", "id": "msg_x", "type": message_type, "session_id": session, "job_id": job, "payload": payload,
        });
        nobody.send(&frame).await;
        let refused = nobody.recv().await.unwrap();
        assert_eq!(refused["payload"]["code"], "INVALID_REQUEST", "{message_type}: {refused}");
        assert!(matches!(nobody.recv_message().await, Some(Message::Close(_)) | None), "{message_type}: still open");
    }
    let mut stranger = bench.connect().await;
    stranger.send(&hello_with(&json!({ "scheme": "bearer", "token": "mlk_no" }))).await;
    assert_eq!(stranger.recv().await.unwrap()["payload"]["code"], "UNAUTHENTICATED");
    assert_eq!(bench.store.tail().head(), before, "nothing was recorded");
    observer.say("msg_3", "session.ping", json!({ "nonce": "n" })).await;
    assert_eq!(observer.recv().await.unwrap()["type"], "session.pong", "nothing was published");
}

/// Waits until the journal has the job's acceptance and its start: from then on nothing happens by itself.
async fn wait_for_the_start(bench: &Bench, job: &Value) {
    let stream = StreamId::Job(job.as_str().unwrap().parse().unwrap());
    let started = async {
        while bench.store.stream_head(stream).await.unwrap() < StreamSeq::new(2) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(common::PATIENCE, started).await.expect("the job starts");
}

/// Requests with the type of each field. `input` may be anything, and is not among them.
fn typed_requests() -> Vec<(&'static str, Value)> {
    vec![
        ("session.ping", json!({ "nonce": "n" })),
        ("session.list_jobs", json!({ "filter": { "status": ["running"] }, "limit": 5, "cursor": "c" })),
        (
            "job.submit",
            json!({
                "agent": "echo", "lease_request": { "fs.read": ["/a"] },
                "lease_constraints": { "expires_at": "2999-05-13T19:42:13Z" }, "idempotency_key": "k",
                "max_runtime_sec": 5, "parent_job_id": "job_x", "delegate_id": "d",
            }),
        ),
        ("job.cancel", json!({ "job_id": "job_x", "reason": "r" })),
        ("job.subscribe", json!({ "job_id": "job_x", "history": true, "from_event_seq": 0 })),
        ("job.unsubscribe", json!({ "job_id": "job_x" })),
        ("session.resume", json!({ "resume_token": "rt", "last_event_seq": 1 })),
        ("session.ack", json!({ "last_processed_seq": 1 })),
    ]
}

/// Every field of another type, one at a time: the answer names the request and says `INVALID_REQUEST`.
#[tokio::test]
async fn a_field_of_another_type_is_always_answered() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let values = [json!("text"), json!(7), json!(-1.5), json!(true), json!([7]), json!({ "a": 7 })];
    let mut sent = 0;
    for (message_type, payload) in typed_requests() {
        for (field, right) in payload.as_object().unwrap() {
            for wrong in values.iter().filter(|wrong| std::mem::discriminant(*wrong) != std::mem::discriminant(right)) {
                sent += 1;
                let id = format!("msg_{sent}");
                let mut payload = payload.clone();
                payload[field] = wrong.clone();
                client.say(&id, message_type, payload).await;
                let answer = client.recv().await.expect("the connection goes on");
                let context = format!("{message_type} with {field} = {wrong}: {answer}");
                assert_eq!(answer["type"], "session.error", "{context}");
                assert_eq!(answer["payload"]["code"], "INVALID_REQUEST", "{context}");
                assert_eq!(answer["payload"]["request_id"], id, "{context}");
            }
        }
        let id = format!("msg_{message_type}");
        client.say(&id, message_type, json!([])).await;
        let answer = client.recv().await.expect("the connection goes on");
        assert_eq!(answer["payload"]["code"], "INVALID_REQUEST", "{message_type} with an array: {answer}");
    }
    assert!(sent > 60, "{sent} frames");
    assert_eq!(client.echo(json!("still here")).await, "still here");
}

/// Waits until it is cancelled, one job at a time.
struct Patient;

/// Waits for ever, whatever it is told.
struct Stubborn;

fn describe(agent: &str, capacity: u32) -> AgentDescription {
    AgentDescription { agent: agent.parse().unwrap(), description: "for tests".to_owned(), capacity, is_default: true }
}

#[async_trait]
impl Agent for Patient {
    fn describe(&self) -> AgentDescription {
        describe("patient@1.0.0", 1)
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        job.status("waiting", None).await.map_err(|_| Failure::cancelled())?;
        job.cancelled().await;
        Err(Failure::cancelled())
    }
}

#[async_trait]
impl Agent for Stubborn {
    fn describe(&self) -> AgentDescription {
        describe("stubborn@1.0.0", 8)
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        job.status("deaf", None).await.map_err(|_| Failure::cancelled())?;
        std::future::pending().await
    }
}

async fn submit(client: &mut Client, agent: &str) -> Value {
    client.say("msg_submit", "job.submit", json!({ "agent": agent })).await;
    client.recv_type("job.accepted").await["job_id"].clone()
}

/// Cancels, and counts what the session is told of the job from then on.
async fn cancel(client: &mut Client, job: &Value) -> (Vec<Value>, Vec<Value>) {
    client.say("msg_cancel", "job.cancel", json!({ "job_id": job, "reason": "enough" })).await;
    let (mut answers, mut ends) = (Vec::new(), Vec::new());
    while ends.is_empty() {
        note(client.recv().await.unwrap(), job, &mut answers, &mut ends);
    }
    // Whatever else there would be comes before the end of work that is submitted now.
    client.say("msg_after", "job.submit", json!({ "agent": "echo", "input": "after" })).await;
    loop {
        let frame = client.recv().await.unwrap();
        if frame["payload"]["result"] == "after" {
            return (answers, ends);
        }
        note(frame, job, &mut answers, &mut ends);
    }
}

fn note(frame: Value, job: &Value, answers: &mut Vec<Value>, ends: &mut Vec<Value>) {
    match frame["type"].as_str().unwrap() {
        "job.cancelled" | "session.error" => answers.push(frame),
        "job.result" | "job.error" if frame["job_id"] == *job => ends.push(frame),
        _ => {}
    }
}

#[tokio::test]
async fn a_cancel_in_any_phase_has_one_answer_and_the_job_one_end() {
    let options = RuntimeOptions { cancel_grace: Millis::new(100), ..runtime_options() };
    let bench = Bench::with_agents(options, vec![Arc::new(Patient), Arc::new(Stubborn)]).await;
    let mut client = bench.client().await;
    let running = submit(&mut client, "patient").await;
    client.recv_type("job.event").await;
    let queued = submit(&mut client, "patient").await;
    let uncooperative = submit(&mut client, "stubborn").await;
    client.recv_type("job.event").await;
    for (phase, job) in [("queued", &queued), ("running", &running), ("uncooperative", &uncooperative)] {
        let (answers, ends) = cancel(&mut client, job).await;
        assert_eq!(answers.len(), 1, "{phase}: {answers:?}");
        assert_eq!((&answers[0]["type"], &answers[0]["job_id"]), (&json!("job.cancelled"), job), "{phase}");
        assert_eq!(answers[0]["payload"]["request_id"], "msg_cancel", "{phase}");
        assert!(answers[0].get("event_seq").is_none(), "{phase}");
        assert_eq!(ends.len(), 1, "{phase}: {ends:?}");
        let end = &ends[0]["payload"];
        assert_eq!((&end["code"], &end["final_status"]), (&json!("CANCELLED"), &json!("cancelled")), "{phase}");
    }
    client.say("msg_late", "job.cancel", json!({ "job_id": running })).await;
    let refused = client.recv().await.unwrap();
    assert_eq!(refused["payload"]["code"], "INVALID_REQUEST", "{refused}");
    assert_eq!(refused["payload"]["details"]["final_status"], "cancelled", "{refused}");
}
