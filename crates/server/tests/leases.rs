//! What a submission may lease, and what it then gets (spec 9.2, 9.6, 9.7).

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::{Bench, Client, hello_with, runtime_options};
use moorline_core::access::Unasked;
use moorline_runtime::RuntimeOptions;
use serde_json::{Value, json};

/// The hello with which everything can be leased.
fn leasing(mut hello: Value) -> Value {
    let features = hello["payload"]["capabilities"]["features"].as_array_mut().unwrap();
    features.extend(["cost.budget", "model.use", "lease_expires_at"].map(Value::from));
    hello
}

async fn client(bench: &Bench) -> Client {
    bench.open(&leasing(bench.hello())).await.0
}

/// Somebody whose key has these constraints.
async fn constrained(bench: &Bench, constraints: Value) -> Client {
    let mut admin = bench.open(&bench.hello_of_an_administrator()).await.0;
    let grants = json!({ "scopes": ["jobs"], "constraints": constraints });
    let request = json!({ "do": "create", "name": "test", "principal": "bounded", "grants": grants });
    admin.say("msg_keys", "x-vendor.moorline.keys", request).await;
    let report = admin.recv_type("x-vendor.moorline.keys_report").await;
    let hello = hello_with(&json!({ "scheme": "bearer", "token": report["payload"]["secret"] }));
    bench.open(&leasing(hello)).await.0
}

fn asking_for(lease: &Value) -> Value {
    json!({ "agent": "echo", "input": 1, "lease_request": lease })
}

async fn accepted(client: &mut Client, lease: Value) -> Value {
    client.say("msg_1", "job.submit", asking_for(&lease)).await;
    client.recv_type("job.accepted").await["payload"].clone()
}

async fn refused(client: &mut Client, lease: Value) -> Value {
    client.say("msg_1", "job.submit", asking_for(&lease)).await;
    client.recv_type("session.error").await["payload"].clone()
}

/// H13 and H14, as far as a submission goes: what is no amount and no normal pattern is refused before there is a job.
#[tokio::test]
async fn a_lease_that_cannot_be_read_is_refused_with_what_is_wrong_with_it() {
    let bench = Bench::start().await;
    let mut client = client(&bench).await;
    let budgets = ["NaN", "Inf", "1e3", "-1", "", "five", " 5", "0x5", "1000000000000000.1", "0.0000000000000000001"];
    for amount in budgets {
        let entry = format!("USD:{amount}");
        let error = refused(&mut client, json!({ "cost.budget": [entry] })).await;
        assert_eq!(error["code"], "INVALID_REQUEST", "{error}");
        assert_eq!(error["details"]["namespace"], "cost.budget", "{error}");
        assert_eq!(error["details"]["pattern"], json!(entry), "{error}");
    }
    for (namespace, pattern) in [
        ("fs.read", "/ws/../etc"),
        ("fs.read", "/ws//a"),
        ("fs.read", "/ws/"),
        ("fs.write", "ws/a"),
        ("net.fetch", "HTTPS://example.com/"),
        ("net.fetch", "https://example.com:443/"),
        ("net.fetch", "https://example.com/%2e%2e/a"),
        ("net.fetch", "ftp://example.com/"),
        ("tool.call", "git/../rm"),
        ("model.use", "fast/**x"),
    ] {
        let error = refused(&mut client, json!({ namespace: [pattern] })).await;
        assert_eq!(error["code"], "INVALID_REQUEST", "{pattern}: {error}");
        assert_eq!(error["details"]["field"], "payload.lease_request", "{error}");
        assert_eq!(error["details"]["namespace"], namespace, "{error}");
        assert_eq!(error["details"]["pattern"], pattern, "{error}");
        assert!(error["message"].as_str().unwrap().contains("must"), "the remedy is named: {error}");
    }
    assert_eq!(client.echo(json!(1)).await, json!(1), "nothing is lost for it");
}

#[tokio::test]
async fn an_acceptance_has_the_lease_and_the_counters_of_its_budget() {
    let bench = Bench::start().await;
    let mut client = client(&bench).await;
    let lease = json!({ "tool.call": ["git-*"], "cost.budget": ["USD:1.50", "credits:1000", "USD:0.1"] });
    let job = accepted(&mut client, lease.clone()).await;
    assert_eq!(job["lease"], lease);
    assert_eq!(job["budget"], json!({ "USD": 1.6, "credits": 1000 }), "amounts of a currency are added up");
    let job = accepted(&mut client, json!({ "tool.call": ["**"] })).await;
    assert_eq!(job.get("budget"), None, "what is not bounded is not counted");
}

#[tokio::test]
async fn a_budget_of_a_key_bounds_what_its_jobs_may_spend() {
    let bench = Bench::start().await;
    let mut client = constrained(&bench, json!({ "max_budget": ["USD:5"] })).await;
    let error = refused(&mut client, json!({ "cost.budget": ["USD:5.01"] })).await;
    assert_eq!(error["code"], "PERMISSION_DENIED", "{error}");
    let details = json!({ "constraint": "max_budget", "currency": "USD", "asked": "5.01", "limit": "5" });
    assert_eq!(error["details"], details);

    let job = accepted(&mut client, json!({ "cost.budget": ["USD:4"] })).await;
    assert_eq!(job["budget"], json!({ "USD": 4 }));
    let job = accepted(&mut client, json!({})).await;
    assert_eq!(job["budget"], json!({ "USD": 5 }), "leaving it out is no way around");
    assert_eq!(job["lease"], json!({ "cost.budget": ["USD:5"] }));
}

#[tokio::test]
async fn models_that_no_lease_names_are_allowed_where_the_operator_says_so() {
    let (bench, lax) = (Bench::start().await, Unasked { any_model: true, ..Unasked::default() });
    assert_eq!(accepted(&mut client(&bench).await, json!({})).await["lease"], json!({}));
    let bench = Bench::with_runtime(RuntimeOptions { unasked: lax, ..runtime_options() }).await;
    assert_eq!(accepted(&mut client(&bench).await, json!({})).await["lease"], json!({ "model.use": ["**"] }));
    let named = json!({ "model.use": ["fast/*"] });
    assert_eq!(accepted(&mut client(&bench).await, named.clone()).await["lease"], named);
}

#[tokio::test]
async fn what_was_not_negotiated_cannot_be_leased() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    for (lease, feature) in
        [(json!({ "cost.budget": ["USD:1"] }), "cost.budget"), (json!({ "model.use": ["**"] }), "model.use")]
    {
        let error = refused(&mut client, lease).await;
        assert_eq!((&error["code"], &error["details"]["feature"]), (&json!("INVALID_REQUEST"), &json!(feature)));
    }
}
