//! `session.list_jobs` over real WebSockets (spec 6.6).

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::{Bench, Client};
use moorline_core::listing::created_at;
use moorline_types::{JobId, Timestamp};
use serde_json::{Value, json};

async fn list(client: &mut Client, payload: Value) -> Value {
    client.say("msg_list", "session.list_jobs", payload).await;
    client.recv_type("session.jobs").await
}

/// Submits so many echoes and waits for their ends; their ids, oldest first.
async fn jobs(client: &mut Client, count: usize) -> Vec<Value> {
    let mut jobs = Vec::new();
    for n in 0..count {
        client.say("msg_1", "job.submit", json!({ "agent": "echo", "input": n })).await;
        jobs.push(client.recv_type("job.accepted").await["job_id"].clone());
        client.recv_type("job.result").await;
    }
    jobs
}

#[tokio::test]
async fn an_entry_has_what_every_official_client_needs() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    client
        .send(&json!({
            "arcp": "1.1", "id": "msg_1", "type": "job.submit", "session_id": client.session, "trace_id": trace,
            "payload": { "agent": "echo", "input": 1, "lease_request": { "fs.read": ["/a/**"] } },
        }))
        .await;
    let accepted = client.recv_type("job.accepted").await;
    let result = client.recv_type("job.result").await;
    let listed = list(&mut client, json!({ "filter": {} })).await;
    assert_eq!(listed["payload"]["request_id"], "msg_list");
    assert_eq!(listed["session_id"], json!(client.session));
    assert!(listed.get("event_seq").is_none());
    assert_eq!(listed["payload"].get("next_cursor"), Some(&Value::Null), "there, and null");
    // A job is made before it is accepted; when that was, is in its id.
    let id: JobId = accepted["job_id"].as_str().unwrap().parse().unwrap();
    let at = created_at(id).to_string();
    let accepted_at: Timestamp = accepted["payload"]["accepted_at"].as_str().unwrap().parse().unwrap();
    assert!(created_at(id) <= accepted_at, "{at} and {accepted_at}");
    assert_eq!(
        listed["payload"]["jobs"],
        json!([{
            "job_id": accepted["job_id"], "agent": accepted["payload"]["agent"], "status": "success",
            "lease": { "fs.read": ["/a/**"] }, "created_at": at, "submitted_at": at, "trace_id": trace,
            "last_event_seq": result["event_seq"],
        }])
    );
}

#[tokio::test]
async fn pages_follow_one_another_by_their_cursors() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let mut submitted = jobs(&mut client, 7).await;
    let mut other = bench.client().await;
    let mut seen = Vec::new();
    let mut cursor = Value::Null;
    for expected in [3, 3, 1] {
        let page = list(&mut other, json!({ "limit": 3, "cursor": cursor, "filter": null })).await;
        let page_jobs = page["payload"]["jobs"].as_array().unwrap().clone();
        assert_eq!(page_jobs.len(), expected);
        seen.extend(page_jobs.into_iter().map(|job| job["job_id"].clone()));
        cursor = page["payload"]["next_cursor"].clone();
    }
    assert_eq!(cursor, Value::Null);
    // Jobs of one millisecond are in the order of their ids.
    submitted.sort_by_key(ToString::to_string);
    assert_eq!(seen, submitted);
}

#[tokio::test]
async fn filters_are_applied_and_what_no_job_is_gives_an_empty_page() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    jobs(&mut client, 2).await;
    for (filter, expected) in [
        (json!({ "status": ["success"] }), 2),
        (json!({ "status": ["running", "pending"] }), 0),
        (json!({ "status": [] }), 2),
        (json!({ "agent": "echo" }), 2),
        (json!({ "agent": "echo@1.0.0" }), 2),
        (json!({ "agent": "echo@2" }), 0),
        (json!({ "created_after": "2020-01-01T00:00:00Z" }), 2),
        (json!({ "created_after": "9999-01-01T00:00:00Z" }), 0),
        (json!({ "created_before": "2020-01-01T00:00:00+00:00" }), 0),
        (json!({ "created_before": "9999-01-01T00:00:00Z", "agent": "echo", "status": ["success", "error"] }), 2),
    ] {
        let page = list(&mut client, json!({ "filter": filter, "limit": -1 })).await;
        assert_eq!(page["payload"]["jobs"].as_array().unwrap().len(), expected, "{filter}");
    }
}

#[tokio::test]
async fn a_cursor_is_refused_unless_it_is_the_principals_own_for_the_same_filter() {
    let bench = Bench::start().await;
    let mut ada = bench.client().await;
    jobs(&mut ada, 2).await;
    let cursor = list(&mut ada, json!({ "limit": 1 })).await["payload"]["next_cursor"].clone();
    let mut eve = bench.connect().await;
    eve.send(&bench.hello_of_another()).await;
    eve.session = eve.recv().await.unwrap()["session_id"].as_str().map(str::to_owned);
    assert_eq!(list(&mut eve, json!({})).await["payload"]["jobs"], json!([]));
    for (is_ada, payload) in [
        (false, json!({ "cursor": cursor })),
        (true, json!({ "cursor": cursor, "filter": { "agent": "echo" } })),
        (true, json!({ "cursor": "garbled" })),
        (true, json!({ "cursor": "x".repeat(600) })),
        (true, json!({ "filter": { "created_after": "yesterday" } })),
        (true, json!({ "filter": { "status": ["sleeping"] } })),
        (true, json!({ "limit": "ten" })),
    ] {
        let client = if is_ada { &mut ada } else { &mut eve };
        client.say("msg_bad", "session.list_jobs", payload.clone()).await;
        let refused = client.recv().await.unwrap();
        assert_eq!(refused["type"], "session.error", "{payload}");
        assert_eq!(refused["payload"]["code"], "INVALID_REQUEST", "{payload}");
        assert_eq!(refused["payload"]["request_id"], "msg_bad", "{payload}");
    }
    assert_eq!(list(&mut ada, json!({ "cursor": cursor })).await["payload"]["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn jobs_of_others_are_listed_when_asked_for_to_whoever_may_observe_them() {
    let bench = Bench::start().await;
    let mut ada = bench.client().await;
    let submitted = jobs(&mut ada, 2).await;
    let observable = json!({ "filter": { "x-vendor.moorline.whose": "observable" } });
    let mut eve = bench.open(&bench.hello_of_another()).await.0;
    assert_eq!(list(&mut eve, observable.clone()).await["payload"]["jobs"], json!([]), "she may not");
    let mut admin = bench.open(&bench.hello_of_an_administrator()).await.0;
    assert_eq!(list(&mut admin, json!({})).await["payload"]["jobs"], json!([]), "he has none of his own");
    let page = list(&mut admin, observable).await;
    let listed = page["payload"]["jobs"].as_array().unwrap();
    assert!(listed.iter().all(|job| submitted.contains(&job["job_id"])), "{page}");
    let owner = &listed[0]["x-vendor.moorline.owner"];
    assert!(owner.as_str().is_some_and(|owner| !owner.is_empty()), "{page}");
    let own = list(&mut ada, json!({})).await;
    assert!(own["payload"]["jobs"][0].get("x-vendor.moorline.owner").is_none(), "{own}");
    admin.say("msg_bad", "session.list_jobs", json!({ "filter": { "x-vendor.moorline.whose": "everybody" } })).await;
    assert_eq!(admin.recv_type("session.error").await["payload"]["code"], "INVALID_REQUEST");
}

#[tokio::test]
async fn a_listing_subscribes_to_nothing() {
    let bench = Bench::start().await;
    let mut submitter = bench.client().await;
    submitter.say("msg_1", "job.submit", json!({ "agent": "echo", "input": { "echo": { "events": 100 } } })).await;
    submitter.recv_type("job.accepted").await;
    let mut other = bench.client().await;
    assert_eq!(list(&mut other, json!({})).await["payload"]["jobs"].as_array().unwrap().len(), 1);
    submitter.recv_type("job.result").await;
    other.say("msg_2", "session.list_jobs", json!({})).await;
    assert_eq!(other.recv().await.unwrap()["type"], "session.jobs", "nothing of the job in between");
}

#[tokio::test]
async fn a_client_that_did_not_negotiate_lists_gets_none() {
    let bench = Bench::start().await;
    let mut client = bench.connect().await;
    let mut hello = bench.hello();
    hello["payload"]["capabilities"]["features"] = json!(["subscribe"]);
    client.send(&hello).await;
    client.session = client.recv().await.unwrap()["session_id"].as_str().map(str::to_owned);
    client.say("msg_1", "session.list_jobs", json!({})).await;
    let refused = client.recv().await.unwrap();
    assert_eq!(refused["payload"]["code"], "INVALID_REQUEST");
    assert_eq!(refused["payload"]["details"]["feature"], "list_jobs");
}
