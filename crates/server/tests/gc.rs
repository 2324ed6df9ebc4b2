//! `x-vendor.moorline.gc` over real WebSockets.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::{Bench, Client};
use serde_json::{Value, json};

const GC: &str = "x-vendor.moorline.gc";
const REPORT: &str = "x-vendor.moorline.gc_report";

async fn admin(bench: &Bench) -> Client {
    bench.open(&bench.hello_of_an_administrator()).await.0
}

/// The reports of every step.
async fn collect(admin: &mut Client, request: Value) -> Vec<Value> {
    let mut reports = Vec::new();
    let mut request = request;
    loop {
        admin.say("msg_gc", GC, request.clone()).await;
        let report = admin.recv_type(REPORT).await;
        assert_eq!(
            (&report["payload"]["request_id"], &report["session_id"]),
            (&json!("msg_gc"), &json!(admin.session))
        );
        assert!(report.get("event_seq").is_none());
        reports.push(report["payload"].clone());
        match report["payload"].get("next_cursor") {
            Some(cursor) => request["cursor"] = cursor.clone(),
            None => return reports,
        }
    }
}

/// Submits an echo and waits for its end.
async fn run(client: &mut Client, n: usize) -> Value {
    client.say("msg_job", "job.submit", json!({ "agent": "echo", "input": n })).await;
    let job = client.recv_type("job.accepted").await["job_id"].clone();
    client.recv_type("job.result").await;
    job
}

/// Waits until so many jobs are noted as over, which is a little after their ends are seen.
async fn wait_until_over(admin: &mut Client, jobs: usize) {
    let over = async {
        while collect(admin, json!({ "older_than_ms": 0, "dry_run": true })).await[0]["jobs"] != json!(jobs) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(common::PATIENCE, over).await.expect("the jobs are over");
}

#[tokio::test]
async fn whoever_is_no_administrator_is_refused() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    let job = run(&mut client, 1).await;
    for request in [json!({ "older_than_ms": 0 }), json!({ "dry_run": true })] {
        client.say("msg_gc", GC, request).await;
        let refused = client.recv_type("session.error").await;
        assert_eq!(refused["payload"]["code"], "PERMISSION_DENIED", "{refused}");
        assert_eq!(refused["payload"]["request_id"], "msg_gc");
        assert_eq!(refused["payload"]["details"], json!({ "scope": "administer" }), "{refused}");
    }
    client.say("msg_s", "job.subscribe", json!({ "job_id": job, "history": true })).await;
    assert_eq!(client.recv_type("job.subscribed").await["payload"]["current_status"], "success");
}

#[tokio::test]
async fn bad_input_is_refused_and_removes_nothing() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    run(&mut client, 1).await;
    let mut admin = admin(&bench).await;
    for (request, fragment) in [
        (json!({ "older_than_ms": -1 }), "older_than_ms"),
        (json!({ "older_than_ms": "7d" }), "older_than_ms"),
        (json!({ "older_than_ms": 0.5 }), "older_than_ms"),
        (json!({ "older_than_ms": 0, "dry_run": "yes" }), "dry_run"),
        (json!({ "older_than_ms": 0, "dryrun": true }), "dryrun"),
        (json!({ "max_bytes": [] }), "max_bytes"),
        (json!({ "older_than_ms": 0, "cursor": "x" }), "cursor"),
        (json!({ "older_than_ms": 0, "cursor": "y".repeat(600) }), "cursor"),
        (json!([0]), "payload"),
    ] {
        admin.say("msg_bad", GC, request.clone()).await;
        let refused = admin.recv_type("session.error").await;
        assert_eq!(refused["payload"]["code"], "INVALID_REQUEST", "{request}: {refused}");
        assert!(refused["payload"].to_string().contains(fragment), "{request}: {refused}");
    }
    wait_until_over(&mut admin, 1).await;
}

#[tokio::test]
async fn what_is_over_goes_and_whoever_comes_back_is_told_by_whom() {
    let bench = Bench::start().await;
    let (mut client, token) = bench.open(&bench.hello()).await;
    let mut jobs = Vec::new();
    for n in 0..3 {
        jobs.push(run(&mut client, n).await);
    }
    let session = client.session.clone();
    drop(client);
    let mut admin = admin(&bench).await;
    wait_until_over(&mut admin, 3).await;
    let everything = json!({ "older_than_ms": 0 });
    for dry_run in [true, true, false] {
        let mut request = everything.clone();
        request["dry_run"] = json!(dry_run);
        let reports = collect(&mut admin, request).await;
        assert_eq!((&reports[0]["jobs"], &reports[0]["dry_run"]), (&json!(3), &json!(dry_run)), "{reports:?}");
        assert!(reports[0]["bytes_after"].as_u64() < reports[0]["bytes_before"].as_u64(), "{reports:?}");
        assert!(reports[0]["oldest"].as_str() <= reports[0]["newest"].as_str(), "{reports:?}");
    }
    assert_eq!(collect(&mut admin, everything).await[0]["jobs"], 0);

    let resume = |hello: Value| {
        let mut hello = hello;
        hello["payload"]["resume"] = json!({ "session_id": session, "resume_token": token, "last_event_seq": 1 });
        hello
    };
    let mut refused = bench.connect().await;
    refused.send(&resume(bench.hello())).await;
    let refused = refused.recv_type("session.error").await;
    assert_eq!(refused["payload"]["code"], "RESUME_WINDOW_EXPIRED", "{refused}");
    assert_eq!(refused["payload"]["details"]["oldest"], 4, "{refused}");
    let mut hello = resume(bench.hello());
    hello["payload"]["capabilities"]["features"].as_array_mut().unwrap().push(json!("x-vendor.moorline.gap"));
    hello["extensions"] = json!({ "x-vendor.moorline.resume": { "on_gap": "continue" } });
    let (mut back, _) = bench.open(&hello).await;
    let gap = back.recv_type("x-vendor.moorline.gap").await["payload"].clone();
    assert_eq!((&gap["from"], &gap["to"], &gap["next"]), (&json!(2), &json!(3), &json!(4)), "{gap}");
    assert_eq!(gap["reason"], "trimmed_by_operator");
    back.say("msg_s", "job.subscribe", json!({ "job_id": jobs[0], "history": true })).await;
    assert_eq!(back.recv_type("session.error").await["payload"]["code"], "JOB_NOT_FOUND");
    assert_eq!(back.echo(json!("on")).await, "on");
}
