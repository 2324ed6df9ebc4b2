//! Credentials by virtual keys (spec 9.8): a real gateway over a WebSocket, and a real server of keys that fails on demand.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::time::Duration;

use common::virtual_keys::{Fault, Kit, MASTER};
use common::{Bench, Client};
use serde_json::{Value, json};

async fn bench(kit: &Kit, master: &str) -> Bench {
    Bench::issuing(&kit.config(master)).await
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = async {
        while !is_so() {
            // not a wait: a pause between two looks at what must come
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(common::PATIENCE, waited).await.unwrap_or_else(|_| panic!("{what}"));
}

async fn client(bench: &Bench) -> Client {
    until("credentials are offered", || bench.gateway.credentials().is_offered()).await;
    let mut hello = bench.hello();
    hello["payload"]["capabilities"]["features"] = json!(["model.use", "cost.budget", "provisioned_credentials"]);
    bench.open(&hello).await.0
}

fn submission(model: &str) -> Value {
    json!({ "agent": "echo", "input": 1, "lease_request": { "model.use": [model], "cost.budget": ["USD:0.5"] } })
}

#[tokio::test]
async fn a_job_has_a_virtual_key_that_is_deleted_when_its_end_is_told() {
    let kit = Kit::start(&["tier-fast/a"]).await;
    let bench = bench(&kit, MASTER).await;
    let mut client = client(&bench).await;
    client.say("msg_1", "job.submit", submission("tier-fast/*")).await;
    let accepted = client.recv_type("job.accepted").await;
    let credential = &accepted["payload"]["credentials"][0];
    assert_eq!(credential["endpoint"], format!("{}/v1", kit.url()));
    assert!(credential["value"].as_str().unwrap().starts_with("sk-virt-"));
    client.recv_type("job.result").await;
    assert!(!kit.opens(credential["value"].as_str().unwrap()));
}

/// A key that was made without an answer, one that cannot be deleted for a while, and models that there are not.
#[tokio::test]
async fn nothing_that_a_server_of_keys_does_wrong_leaves_a_key_behind() {
    let kit = Kit::start(&["tier-fast/a"]).await;
    let bench = bench(&kit, MASTER).await;
    let mut client = client(&bench).await;
    client.say("msg_1", "job.submit", submission("tier-slow/*")).await;
    let refused = client.recv_type("session.error").await;
    assert_eq!(refused["payload"]["code"], "INVALID_REQUEST");
    assert!(refused["payload"]["message"].as_str().unwrap().contains("model.use"), "{refused}");

    kit.fault("/key/generate", Fault::AnswerLost);
    client.say("msg_2", "job.submit", submission("tier-fast/*")).await;
    let refused = client.recv_type("session.error").await;
    assert_eq!(
        (&refused["payload"]["code"], &refused["payload"]["retryable"]),
        (&json!("INTERNAL_ERROR"), &json!(true))
    );
    kit.fault("/key/generate", Fault::None);
    until("the key without an answer is deleted", || kit.aliases().is_empty()).await;

    until("credentials are offered", || bench.gateway.credentials().is_offered()).await;
    kit.fault("/key/delete", Fault::Status(503));
    client.say("msg_3", "job.submit", submission("tier-fast/*")).await;
    client.recv_type("job.result").await;
    assert_eq!(kit.aliases().len(), 1, "the end does not wait for ever");
    kit.fault("/key/delete", Fault::None);
    bench.gateway.credentials().hurry();
    until("it is deleted at last", || kit.aliases().is_empty()).await;
    until("and forgotten", || bench.gateway.credentials().report().revocations.is_empty()).await;
}

#[tokio::test]
async fn a_master_key_that_is_not_taken_is_told_to_the_operator_and_repeated_to_nobody() {
    let kit = Kit::start(&["tier-fast/a"]).await;
    let bench = bench(&kit, "sk-wrong-77aa").await;
    let report = || bench.gateway.credentials().report();
    until("it was looked at", || report().trouble.is_some_and(|why| why.contains("master key"))).await;
    assert!(!bench.gateway.credentials().is_offered());
    assert!(!format!("{:?}", report()).contains("sk-wrong"));
}

async fn rotate(bench: &Bench, job: &Value) -> Value {
    let mut admin = bench.open(&bench.hello_of_an_administrator()).await.0;
    admin.say("msg_r", "x-vendor.moorline.credentials", json!({ "do": "rotate", "job_id": job })).await;
    loop {
        let frame = admin.recv().await.unwrap();
        if ["session.error", "x-vendor.moorline.credentials_report"].contains(&frame["type"].as_str().unwrap()) {
            return frame["payload"].clone();
        }
    }
}

/// The new key opens, the one before does not, its owner is told, and nobody but an administrator may.
#[tokio::test]
async fn a_key_is_replaced_at_an_administrators_word() {
    let kit = Kit::start(&["tier-fast/a"]).await;
    let bench = bench(&kit, MASTER).await;
    let mut client = client(&bench).await;
    let mut waiting = submission("tier-fast/*");
    waiting["input"] = json!({ "echo": { "events": 0, "delay_ms": 3_600_000 } });
    client.say("msg_1", "job.submit", waiting).await;
    let accepted = client.recv_type("job.accepted").await["payload"].clone();
    let (job, first) = (&accepted["job_id"], &accepted["credentials"][0]);

    let report = rotate(&bench, job).await;
    assert_eq!(report["rotated"], first["id"], "{report}");
    let told = loop {
        let event = client.recv_type("job.event").await["payload"]["body"].clone();
        if event["phase"] == "credential_rotated" {
            break event;
        }
    };
    assert!(kit.opens(told["value"].as_str().unwrap()) && told["id"] == first["id"]);
    until("the prior one is deleted", || !kit.opens(first["value"].as_str().unwrap())).await;

    kit.fault("/key/generate", Fault::Status(503));
    let refused = rotate(&bench, job).await;
    assert_eq!((&refused["code"], &refused["retryable"]), (&json!("INTERNAL_ERROR"), &json!(true)), "{refused}");
    assert!(kit.opens(told["value"].as_str().unwrap()), "the one before goes on");
    client.say("msg_2", "x-vendor.moorline.credentials", json!({ "do": "rotate", "job_id": job })).await;
    assert_eq!(client.recv_type("session.error").await["payload"]["code"], "PERMISSION_DENIED");
    client.say("msg_3", "job.cancel", json!({ "job_id": job })).await;
    client.recv_type("job.error").await;
    assert!(kit.aliases().is_empty());
}

fn plain() -> Value {
    json!({ "agent": "echo", "input": "quick" })
}

/// While a server of keys does not answer, the session goes on; and what was asked for is gone with its connection.
#[tokio::test]
async fn a_submission_that_waits_for_a_key_holds_up_nothing_else_of_its_session() {
    let kit = Kit::start(&["tier-fast/a"]).await;
    let bench = bench(&kit, MASTER).await;
    let mut client = client(&bench).await;
    kit.fault("/key/generate", Fault::Silent);
    client.say("msg_1", "job.submit", submission("tier-fast/*")).await;
    client.say("msg_2", "session.ping", json!({ "nonce": "n1" })).await;
    assert_eq!(client.recv().await.unwrap()["type"], "session.pong");
    client.say("msg_3", "job.submit", plain()).await;
    let accepted = client.recv_type("job.accepted").await;
    assert_eq!(accepted["payload"]["request_id"], "msg_3");
    client.recv_type("job.result").await;
    let long = json!({ "agent": "echo", "input": { "echo": { "events": 0, "delay_ms": 3_600_000 } } });
    client.say("msg_4", "job.submit", long).await;
    let job = client.recv_type("job.accepted").await["payload"]["job_id"].clone();
    client.say("msg_5", "job.cancel", json!({ "job_id": job })).await;
    client.recv_type("job.error").await;
    for n in 6..21 {
        client.say(&format!("msg_{n}"), "job.submit", submission("tier-fast/*")).await;
    }
    client.say("msg_21", "job.submit", submission("tier-fast/*")).await;
    let refused = client.recv_type("session.error").await["payload"].clone();
    assert_eq!((&refused["request_id"], &refused["code"]), (&json!("msg_21"), &json!("INTERNAL_ERROR")), "{refused}");
    // Whoever asks later is answered.
    let asked = || kit.asked().iter().filter(|asked| asked.starts_with("/key/generate")).count();
    until("all of them have asked", || asked() == 16).await;
    drop(client);
    kit.fault("/key/generate", Fault::None);
    until("what may be there is withdrawn", || bench.gateway.credentials().report().revocations.len() == 16).await;
    assert_eq!((kit.aliases().len(), bench.gateway.open_jobs()), (0, 0));
}

/// A client that takes acceptances by their order gets them in it.
#[tokio::test]
async fn a_client_that_goes_by_the_order_of_its_submissions_is_answered_in_it() {
    let kit = Kit::start(&["tier-fast/a"]).await;
    let bench = bench(&kit, MASTER).await;
    until("credentials are offered", || bench.gateway.credentials().is_offered()).await;
    let mut hello = bench.hello();
    hello["id"] = json!("msg_01ARZ3NDEKTSV4RRFFQ69G5FAV");
    hello["payload"]["capabilities"]["features"] = json!(["model.use", "cost.budget", "provisioned_credentials"]);
    let mut client = bench.open(&hello).await.0;
    for (id, submitted) in
        [("msg_1", submission("tier-fast/*")), ("msg_2", plain()), ("msg_3", submission("tier-fast/*"))]
    {
        client.say(id, "job.submit", submitted).await;
    }
    for id in ["msg_1", "msg_2", "msg_3"] {
        assert_eq!(client.recv_type("job.accepted").await["payload"]["request_id"], id);
    }
    // A name that is being used waits for whoever uses it, and everything else goes on.
    let named = |mut submission: Value| {
        submission["idempotency_key"] = json!("k");
        submission
    };
    client.say("msg_4", "job.submit", named(submission("tier-fast/*"))).await;
    client.say("msg_5", "job.submit", named(submission("tier-fast/*"))).await;
    let first = client.recv_type("job.accepted").await["payload"]["job_id"].clone();
    assert_eq!(client.recv_type("job.accepted").await["payload"]["job_id"], first);
}

#[tokio::test]
async fn the_same_submission_twice_at_once_is_one_job_and_one_key() {
    let kit = Kit::start(&["tier-fast/a"]).await;
    let bench = bench(&kit, MASTER).await;
    let mut client = client(&bench).await;
    let mut named = submission("tier-fast/*");
    (named["idempotency_key"], named["input"]) =
        (json!("k"), json!({ "echo": { "events": 0, "delay_ms": 3_600_000 } }));
    client.say("msg_1", "job.submit", named.clone()).await;
    client.say("msg_2", "job.submit", named).await;
    let both = [client.recv_type("job.accepted").await, client.recv_type("job.accepted").await];
    assert_eq!(both[0]["payload"]["job_id"], both[1]["payload"]["job_id"]);
    assert_eq!(both[0]["payload"]["credentials"], both[1]["payload"]["credentials"]);
    assert_eq!(kit.aliases().len(), 1);
}
