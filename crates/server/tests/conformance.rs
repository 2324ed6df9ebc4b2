//! Sentences of the specification that no other test is about. `docs/CONFORMANCE.md` says which.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::{Bench, Client, runtime_options, service_options};
use moorline_server::connection::ServiceOptions;
use moorline_types::Millis;
use moorline_worker::sdk::{Agent, AgentDescription, Failure, JobContext, Outcome};
use serde_json::{Value, json};

async fn submit(client: &mut Client, payload: Value) -> Value {
    client.say("msg_submit", "job.submit", payload).await;
    client.recv_type("job.accepted").await
}

fn events(n: u64) -> Value {
    json!({ "agent": "echo", "input": { "echo": { "events": n } } })
}

/// An echo that waits until it is cancelled.
fn waiting() -> Value {
    json!({ "agent": "echo", "input": { "echo": { "delay_ms": 600_000 } } })
}

#[tokio::test]
async fn what_is_not_in_both_lists_is_refused_by_name() {
    let bench = Bench::start().await;
    let mut hello = bench.hello();
    hello["payload"]["capabilities"]["features"] = json!(["x-vendor.acme.dance"]);
    let mut client = bench.connect().await;
    client.send(&hello).await;
    let welcome = client.recv().await.unwrap();
    assert_eq!(welcome["payload"]["capabilities"]["features"], json!([]));
    client.session = welcome["session_id"].as_str().map(str::to_owned);
    for (message_type, payload, feature) in [
        ("job.subscribe", json!({ "job_id": "job_x" }), "subscribe"),
        ("session.ack", json!({ "last_processed_seq": 0 }), "ack"),
        ("session.list_jobs", json!({}), "list_jobs"),
    ] {
        client.say("msg_1", message_type, payload).await;
        let refused = client.recv().await.unwrap();
        assert_eq!(refused["payload"]["code"], "INVALID_REQUEST", "{refused}");
        assert!(refused["payload"]["message"].as_str().unwrap().contains(&format!("{feature:?}")), "{refused}");
    }
    assert_eq!(client.echo(json!(1)).await, json!(1), "what needs no feature is served");
}

#[tokio::test]
async fn a_session_that_was_lost_for_silence_is_resumed() {
    let options = ServiceOptions { heartbeat_interval: Millis::from_secs(1), ..service_options() };
    let bench = Bench::with(options, 10).await;
    let mut client = bench.connect().await;
    client.send(&bench.hello()).await;
    let welcome = client.recv().await.unwrap();
    client.session = welcome["session_id"].as_str().map(str::to_owned);
    let job = submit(&mut client, events(3)).await["job_id"].clone();
    let lost = client.recv_type("session.error").await;
    assert_eq!(lost["payload"]["code"], "HEARTBEAT_LOST");

    let mut hello = bench.hello();
    hello["payload"]["resume"] = json!({
        "session_id": client.session, "resume_token": welcome["payload"]["resume_token"], "last_event_seq": 0,
    });
    let mut back = bench.connect().await;
    back.send(&hello).await;
    assert_eq!(back.recv().await.unwrap()["session_id"], welcome["session_id"]);
    let first = back.recv_type("job.event").await;
    assert_eq!((&first["event_seq"], &first["job_id"]), (&json!(1), &job));
}

#[tokio::test]
async fn only_events_and_endings_are_numbered() {
    let options = ServiceOptions { heartbeat_interval: Millis::from_secs(3), ..service_options() };
    let bench = Bench::with(options, 10).await;
    let mut client = bench.client().await;
    let job = submit(&mut client, waiting()).await["job_id"].clone();
    client.say("msg_1", "session.ping", json!({ "nonce": "n" })).await;
    client.say("msg_2", "job.subscribe", json!({ "job_id": job })).await;
    client.say("msg_3", "job.subscribe", json!({ "job_id": "job_nobodys" })).await;
    client.recv_type("session.ping").await;
    client.say("msg_4", "job.cancel", json!({ "job_id": job })).await;
    let mut types = std::collections::BTreeSet::new();
    loop {
        let frame = client.recv().await.unwrap();
        let message_type = frame["type"].as_str().unwrap().to_owned();
        let numbered = matches!(message_type.as_str(), "job.event" | "job.result" | "job.error");
        assert_eq!(frame["event_seq"].is_u64(), numbered, "{frame}");
        if message_type == "job.event" {
            assert!(frame["payload"]["kind"].is_string() && frame["payload"]["body"].is_object(), "{frame}");
        }
        types.insert(message_type);
        if numbered && frame["type"] != "job.event" {
            assert_eq!(frame["event_seq"], 1, "a ping took no number: {frame}");
            break;
        }
    }
    assert!(types.contains("job.cancelled"), "{types:?}");
}

#[tokio::test]
async fn a_cancel_is_confirmed_and_then_ends_the_job_once() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let job = submit(&mut client, waiting()).await["job_id"].clone();
    client.say("msg_1", "job.cancel", json!({ "job_id": job, "reason": "enough" })).await;
    let confirmed = client.recv().await.unwrap();
    assert_eq!((&confirmed["type"], &confirmed["job_id"]), (&json!("job.cancelled"), &job));
    let end = client.recv().await.unwrap();
    assert_eq!((&end["type"], &end["job_id"]), (&json!("job.error"), &job));
    assert_eq!(end["payload"]["code"], "CANCELLED");
    assert_eq!(end["payload"]["final_status"], "cancelled");
}

#[tokio::test]
async fn the_version_of_a_job_is_told_and_stays() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    for named in ["echo", "echo@1.0.0"] {
        let accepted = submit(&mut client, json!({ "agent": named, "input": 1 })).await;
        assert_eq!(accepted["payload"]["agent"], "echo@1.0.0", "{named}");
        client.recv_type("job.result").await;
        client.say("msg_1", "job.subscribe", json!({ "job_id": accepted["job_id"] })).await;
        let subscribed = client.recv_type("job.subscribed").await;
        assert_eq!(subscribed["payload"]["agent"], "echo@1.0.0", "{named}");
    }
}

#[tokio::test]
async fn a_lease_without_limits_is_accepted_without_limits() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let accepted = submit(&mut client, json!({ "agent": "echo", "lease_request": { "tool.call": ["*"] } })).await;
    assert_eq!(accepted["payload"]["lease"], json!({ "tool.call": ["*"] }));
    for absent in ["lease_constraints", "budget", "credentials"] {
        assert!(accepted["payload"].get(absent).is_none(), "{absent}: {accepted}");
    }
}

#[tokio::test]
async fn a_subscription_without_a_job_is_refused() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    client.say("msg_1", "job.subscribe", json!({ "history": true })).await;
    let refused = client.recv().await.unwrap();
    assert_eq!(refused["payload"]["code"], "INVALID_REQUEST", "{refused}");
    assert!(refused["payload"]["message"].as_str().unwrap().contains("job_id"), "{refused}");
}

/// Says something, waits for its cancellation, and says something else.
struct Talkative;

#[async_trait]
impl Agent for Talkative {
    fn describe(&self) -> AgentDescription {
        AgentDescription {
            agent: "talkative@1.0.0".parse().unwrap(),
            description: "for tests".to_owned(),
            capacity: 8,
            is_default: true,
        }
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        job.thought("before").await.map_err(|_| Failure::cancelled())?;
        job.cancelled().await;
        job.thought("after").await.map_err(|_| Failure::cancelled())?;
        Err(Failure::cancelled())
    }
}

#[tokio::test]
async fn without_history_only_what_follows_is_seen() {
    let bench = Bench::with_agents(runtime_options(), vec![Arc::new(Talkative)]).await;
    let mut owner = bench.client().await;
    let job = submit(&mut owner, json!({ "agent": "talkative" })).await["job_id"].clone();
    assert_eq!(owner.recv_type("job.event").await["payload"]["body"]["text"], "before");
    let mut late = bench.client().await;
    late.say("msg_1", "job.subscribe", json!({ "job_id": job })).await;
    let subscribed = late.recv().await.unwrap();
    assert_eq!(subscribed["payload"]["replayed"], false, "{subscribed}");
    owner.say("msg_2", "job.cancel", json!({ "job_id": job })).await;
    let first = late.recv().await.unwrap();
    assert_eq!((&first["event_seq"], &first["payload"]["body"]["text"]), (&json!(1), &json!("after")), "{first}");
    assert_eq!(late.recv().await.unwrap()["type"], "job.error");
}

#[tokio::test]
async fn after_an_unsubscribe_nothing_of_the_job_is_seen() {
    let bench = Bench::start().await;
    let mut owner = bench.client().await;
    let job = submit(&mut owner, waiting()).await["job_id"].clone();
    let mut observer = bench.client().await;
    observer.say("msg_1", "job.subscribe", json!({ "job_id": job, "history": true })).await;
    observer.recv_type("job.subscribed").await;
    for id in ["msg_2", "msg_3"] {
        observer.say(id, "job.unsubscribe", json!({ "job_id": job })).await;
    }
    // Answered after what came before it.
    observer.say("msg_4", "session.ping", json!({ "nonce": "n" })).await;
    observer.recv_type("session.pong").await;
    owner.say("msg_5", "job.cancel", json!({ "job_id": job })).await;
    owner.recv_type("job.error").await;
    observer.say("msg_6", "job.submit", json!({ "agent": "echo", "input": 1 })).await;
    let accepted = observer.recv().await.unwrap();
    assert_eq!(accepted["type"], "job.accepted", "the other job's end is not seen: {accepted}");
    let result = observer.recv().await.unwrap();
    assert_eq!((&result["type"], &result["event_seq"]), (&json!("job.result"), &json!(1)), "{result}");
}

#[tokio::test]
async fn a_subscription_is_answered_with_what_the_job_may() {
    let bench = Bench::start().await;
    let mut owner = bench.client().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut payload = waiting();
    payload["lease_request"] = json!({ "fs.read": ["/srv/**"] });
    owner
        .send(&json!({
            "arcp": "1.1", "id": "msg_1", "type": "job.submit", "session_id": owner.session, "trace_id": trace,
            "payload": payload,
        }))
        .await;
    let job = owner.recv_type("job.accepted").await["job_id"].clone();
    let mut observer = bench.client().await;
    observer.say("msg_2", "job.subscribe", json!({ "job_id": job })).await;
    let subscribed = observer.recv_type("job.subscribed").await;
    let told = &subscribed["payload"];
    assert_eq!((&subscribed["job_id"], &told["job_id"]), (&job, &job));
    assert!(matches!(told["current_status"].as_str(), Some("pending" | "running")), "{told}");
    assert_eq!(told["lease"], json!({ "fs.read": ["/srv/**"] }));
    assert_eq!(told["trace_id"], trace);
    assert_eq!(told["parent_job_id"], json!(null));
    assert_eq!(told["subscribed_from"], 0);
    assert!(told.get("credentials").is_none());
}
