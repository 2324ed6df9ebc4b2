//! The audit trail as an administrator reads it, and what a stranger can do to it.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use common::trail::{trail, wait_for};
use common::{Bench, Client, hello_with, service_options};
use moorline_server::connection::ServiceOptions;
use serde_json::json;

async fn admin(bench: &Bench) -> Client {
    let mut admin = bench.connect().await;
    admin.send(&bench.hello_of_an_administrator()).await;
    admin.session = admin.recv().await.unwrap()["session_id"].as_str().map(str::to_owned);
    admin
}

#[tokio::test]
async fn what_a_client_does_is_in_the_trail_with_who_to_what_and_from_where() {
    let bench = Bench::start().await;
    let mut ada = bench.client().await;
    ada.say("msg_1", "job.submit", json!({ "agent": "echo", "input": "secret-input-93ab" })).await;
    let job = ada.recv_type("job.accepted").await["job_id"].as_str().unwrap().to_owned();
    ada.recv_type("job.result").await;
    ada.say("msg_2", "job.subscribe", json!({ "job_id": job, "history": true })).await;
    ada.recv_type("job.subscribed").await;
    let mut eve = bench.connect().await;
    eve.send(&bench.hello_of_another()).await;
    eve.session = eve.recv().await.unwrap()["session_id"].as_str().map(str::to_owned);
    for (id, message_type) in [("msg_3", "job.cancel"), ("msg_4", "job.subscribe")] {
        eve.say(id, message_type, json!({ "job_id": job })).await;
        assert_eq!(eve.recv().await.unwrap()["payload"]["code"], "JOB_NOT_FOUND");
    }

    let mut root = admin(&bench).await;
    let session = |client: &Client| json!(client.session);
    for (query, expected) in [
        (json!({ "action": "submit" }), json!({ "decision": "allowed", "who": "ada", "object": job })),
        (
            json!({ "action": "subscribe", "decision": "allowed" }),
            json!({
                "who": "ada", "object": job, "owner": "ada", "session": session(&ada), "relation": "owner",
                "scope": "observe",
            }),
        ),
        (
            json!({ "principal": "eve", "action": "cancel" }),
            json!({
                "decision": "refused", "object": job, "reason": "JOB_NOT_FOUND", "session": session(&eve), "owner": "ada",
                "relation": "stranger", "scope": "control_all",
            }),
        ),
        (
            json!({ "job": job, "decision": "refused", "action": "subscribe" }),
            json!({ "who": "eve", "reason": "JOB_NOT_FOUND", "owner": "ada", "scope": "observe_all" }),
        ),
        (
            json!({ "action": "session_open", "principal": "eve" }),
            json!({ "credential": bench.credential_of_another() }),
        ),
    ] {
        let entries = wait_for(&mut root, query.clone(), 1).await;
        assert_eq!(entries.len(), 1, "{query}: {entries:?}");
        assert_eq!(entries[0]["from"], "127.0.0.1", "{query}");
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(entries[0][field], *value, "{query} {field}: {}", entries[0]);
        }
    }
    let all = trail(&mut root, json!({})).await;
    assert!(!json!(all).to_string().contains("secret-input-93ab"), "{all:?}");
    // The look before this one may be of the same moment.
    assert!(trail(&mut root, json!({ "max_age_ms": 0, "principal": "eve" })).await.is_empty());
}

#[tokio::test]
async fn every_decision_is_in_the_trail_with_its_ground_and_its_trace() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let bench = Bench::start().await;
    let (mut ada, mut root) = (bench.client().await, admin(&bench).await);
    let submit = json!({
        "arcp": "1.1", "id": "msg_1", "type": "job.submit", "session_id": ada.session, "trace_id": TRACE,
        "payload": { "agent": "echo", "input": 1 },
    });
    ada.send(&submit).await;
    let job = ada.recv_type("job.accepted").await["job_id"].clone();
    ada.recv_type("job.result").await;
    ada.say("msg_2", "session.list_jobs", json!({})).await;
    ada.recv_type("session.jobs").await;
    ada.say("msg_3", "x-vendor.moorline.keys", json!({ "do": "list" })).await;
    assert_eq!(ada.recv_type("session.error").await["payload"]["code"], "PERMISSION_DENIED");
    root.say("msg_4", "job.cancel", json!({ "job_id": job })).await;
    root.recv_type("session.error").await;
    root.say("msg_5", "job.subscribe", json!({ "job_id": job, "history": true })).await;
    root.recv_type("job.result").await;
    root.say("msg_6", "x-vendor.moorline.gc", json!({ "older_than_ms": 0 })).await;
    root.recv_type("x-vendor.moorline.gc_report").await;

    let foreign = |scope: &str| json!({ "who": "root", "object": job, "owner": "ada", "relation": "stranger", "scope": scope, "trace_id": TRACE });
    for (query, expected) in [
        (json!({ "action": "submit" }), json!({ "who": "ada", "scope": "submit", "trace_id": TRACE })),
        (json!({ "action": "list" }), json!({ "who": "ada", "scope": "observe", "decision": "allowed" })),
        (json!({ "action": "keys" }), json!({ "who": "ada", "scope": "administer", "decision": "refused" })),
        (json!({ "action": "cancel" }), foreign("control_all")),
        (json!({ "action": "subscribe" }), foreign("observe_all")),
        (json!({ "action": "result" }), foreign("observe_all")),
        (
            json!({ "action": "gc" }),
            json!({ "who": "root", "scope": "administer", "session": root.session, "from": "127.0.0.1" }),
        ),
    ] {
        let entries = wait_for(&mut root, query.clone(), 1).await;
        assert_eq!(entries.len(), 1, "{query}: {entries:?}");
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(entries[0][field], *value, "{query} {field}: {}", entries[0]);
        }
    }
}

#[tokio::test]
async fn whoever_has_authenticated_and_gets_no_session_is_named() {
    let bench = Bench::start().await;
    let (mut eve, mut root) = (bench.connect().await, admin(&bench).await);
    let mut hello = bench.hello_of_another();
    hello["payload"]["resume"] =
        json!({ "session_id": root.session, "resume_token": "rt_unknown", "last_event_seq": 0 });
    eve.send(&hello).await;
    eve.recv_type("session.error").await;
    let entries = wait_for(&mut root, json!({ "action": "session_resume", "decision": "refused" }), 1).await;
    assert_eq!((&entries[0]["who"], &entries[0]["credential"]), (&json!("eve"), &bench.credential_of_another()));
}

#[tokio::test]
async fn a_lease_that_ends_is_in_the_trail() {
    let bench = Bench::start().await;
    let mut ada = bench.client().await;
    let end = (bench.gateway.now() + common::LEASE).to_string();
    let input = json!({ "echo": { "events": 1, "delay_ms": 600_000 } });
    let submit = json!({ "agent": "echo", "input": input, "lease_constraints": { "expires_at": end } });
    ada.say("msg_1", "job.submit", submit).await;
    let job = ada.recv_type("job.accepted").await["job_id"].as_str().unwrap().to_owned();
    let mut root = admin(&bench).await;
    let entries = wait_for(&mut root, json!({ "action": "lease_expiry" }), 1).await;
    assert_eq!((&entries[0]["object"], &entries[0]["owner"]), (&json!(job), &json!("ada")));
}

#[tokio::test]
async fn the_trail_is_for_administrators() {
    let bench = Bench::start().await;
    let mut ada = bench.client().await;
    ada.say("msg_1", "x-vendor.moorline.audit", json!({})).await;
    assert_eq!(ada.recv().await.unwrap()["payload"]["code"], "PERMISSION_DENIED");
    let mut root = admin(&bench).await;
    let refused = wait_for(&mut root, json!({ "action": "audit", "decision": "refused" }), 1).await;
    assert_eq!(refused[0]["who"], "ada");
}

#[tokio::test]
async fn a_stranger_neither_fills_the_trail_nor_gets_anything_of_his_own_into_it() {
    let options = ServiceOptions { free_failures: 1_000, ..service_options() };
    let bench = Bench::with(options, 100).await;
    for number in 0..40 {
        let mut stranger = bench.connect().await;
        let mut hello = hello_with(&json!({ "scheme": "bearer", "token": format!("stolen-{number}-token") }));
        hello["payload"]["client"]["name"] = json!("<script>intruder</script>");
        stranger.send(&hello).await;
        assert_eq!(stranger.recv().await.unwrap()["payload"]["code"], "UNAUTHENTICATED");
    }
    let mut root = admin(&bench).await;
    let entries = wait_for(&mut root, json!({ "action": "authenticate" }), 10).await;
    assert_eq!(entries.len(), 10, "the others are counted");
    for entry in entries {
        assert_eq!((&entry["decision"], &entry["from"]), (&json!("refused"), &json!("127.0.0.1")));
        assert!(!entry.to_string().contains("stolen") && !entry.to_string().contains("intruder"), "{entry}");
    }
}

#[tokio::test]
async fn who_fails_too_often_has_to_wait_and_who_is_connected_does_not_notice() {
    let options = ServiceOptions { free_failures: 3, ..service_options() };
    let bench = Bench::with(options, 100).await;
    let mut ada = bench.client().await;
    let mut shut_out = None;
    for _ in 0..10 {
        let Ok((socket, _)) = tokio_tungstenite::connect_async(&bench.url).await.map_err(|error| {
            shut_out = Some(error);
        }) else {
            break;
        };
        let mut guesser = Client { socket, session: None };
        guesser.send(&hello_with(&json!({ "scheme": "bearer", "token": "guess" }))).await;
        assert_eq!(guesser.recv().await.unwrap()["payload"]["code"], "UNAUTHENTICATED");
        assert!(!matches!(guesser.recv().await, Some(frame) if frame["type"] != "session.error"), "one attempt each");
    }
    let tungstenite::Error::Http(answer) = shut_out.expect("it is shut out") else {
        panic!("not by an answer");
    };
    assert_eq!(answer.status(), 429);
    let seconds: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    assert_eq!(ada.echo(json!({ "n": 1 })).await, json!({ "n": 1 }));
}
