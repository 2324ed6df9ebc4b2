//! Leases that end (spec 9.5).

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::{Bench, Client, LEASE};
use moorline_types::Timestamp;
use serde_json::{Value, json};

/// A long job whose lease ends then.
fn leased(expires_at: &str) -> Value {
    let input = json!({ "echo": { "events": 1, "delay_ms": 600_000 } });
    json!({ "agent": "echo", "input": input, "lease_constraints": { "expires_at": expires_at } })
}

fn soon(bench: &Bench) -> Timestamp {
    bench.gateway.now() + LEASE
}

async fn submit(client: &mut Client, payload: Value) -> Value {
    client.say("msg_submit", "job.submit", payload).await;
    client.recv_type("job.accepted").await
}

#[tokio::test]
async fn a_job_ends_when_its_lease_does_whatever_its_agent_is_doing() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let expires_at = soon(&bench).to_string();
    let accepted = submit(&mut client, leased(&expires_at)).await;
    assert_eq!(accepted["payload"]["lease_constraints"], json!({ "expires_at": expires_at }), "{accepted}");

    let mut observer = bench.client().await;
    observer.say("msg_1", "job.subscribe", json!({ "job_id": accepted["job_id"] })).await;
    let subscribed = observer.recv_type("job.subscribed").await;
    assert_eq!(subscribed["payload"]["lease_constraints"], json!({ "expires_at": expires_at }), "{subscribed}");

    for client in [&mut client, &mut observer] {
        let error = client.recv_type("job.error").await;
        let payload = &error["payload"];
        assert_eq!((&payload["code"], &payload["final_status"]), (&json!("LEASE_EXPIRED"), &json!("error")), "{error}");
        assert_eq!(payload["retryable"], false, "{error}");
        assert!(payload["message"].as_str().unwrap().contains(&expires_at), "{error}");
    }
}

#[tokio::test]
async fn a_lease_that_is_past_or_no_moment_in_utc_is_refused() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let past = bench.gateway.now().to_string();
    for expires_at in [past.as_str(), "2001-01-01T00:00:00Z", "2999-01-01T00:00:00+02:00", "tomorrow", ""] {
        client.say("msg_1", "job.submit", leased(expires_at)).await;
        let refused = client.recv_type("session.error").await;
        assert_eq!(refused["payload"]["code"], "INVALID_REQUEST", "{expires_at}: {refused}");
        assert!(refused["payload"]["message"].as_str().unwrap().contains("expires_at"), "{refused}");
    }
    // An offset of zero is UTC too, and a lease that is to come does no harm.
    let payload =
        json!({ "agent": "echo", "input": 1, "lease_constraints": { "expires_at": "2999-01-01T00:00:00+00:00" } });
    let accepted = submit(&mut client, payload).await;
    assert_eq!(accepted["payload"]["lease_constraints"]["expires_at"], "2999-01-01T00:00:00.000Z");
    client.recv_type("job.result").await;
}

/// A submission that is repeated after the lease has ended is the job that it was.
#[tokio::test]
async fn a_repeated_submission_is_answered_though_its_lease_has_ended() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let mut payload = leased(&soon(&bench).to_string());
    payload["idempotency_key"] = json!("once");
    let first = submit(&mut client, payload.clone()).await;
    client.recv_type("job.error").await;
    let again = submit(&mut client, payload).await;
    assert_eq!(again["job_id"], first["job_id"]);
}
