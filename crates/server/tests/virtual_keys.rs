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
