//! How much a principal may have: what is beyond it is refused with what there is and what there may be, and nothing
//! else changes.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{
    Bench, CAPACITY, all_over, memory, options, pass, principal, reached, request, see, see_to_end, with_history,
    with_quotas,
};
use moorline_core::Refusal;
use moorline_core::quota::Quota;
use moorline_runtime::{GcRequest, Retention, RuntimeOptions, SessionHandle};
use moorline_store::{MemoryStore, Store, TailLimits};
use moorline_types::{JobId, Millis, Principal, Quotas, Scopes, StreamId};

/// Room for a session and a few small jobs.
const SOME_BYTES: u64 = 4_000;

/// The input of a job that takes up half of that.
fn large(agent: &str) -> moorline_runtime::SubmitRequest {
    request(agent, &format!("\"{}\"", "x".repeat(2_000)))
}

fn quotas(text: &str) -> Quotas {
    serde_json::from_str(text).unwrap()
}

fn bounded(name: &str, text: &str) -> Principal {
    let mut bounded = principal(name, Scopes::JOBS);
    bounded.grants.quotas = quotas(text);
    bounded
}

async fn open(bench: &Bench, principal: Principal) -> SessionHandle {
    bench.gateway.open_session(principal, "test".to_owned()).await.unwrap().session
}

async fn refused(session: &mut SessionHandle, agent: &str) -> (Quota, u64, u64) {
    reached(&session.submit(request(agent, "null")).await.unwrap_err())
}

/// Submits large jobs until there is no room for another; answers with the refusal.
async fn fill(session: &mut SessionHandle) -> (Quota, u64, u64) {
    for _ in 0..10 {
        match session.submit(large("panicking")).await {
            Ok(summary) => drop(see_to_end(session, summary.job).await),
            Err(refusal) => return reached(&refusal),
        }
    }
    panic!("ten jobs of 2,000 bytes each are not too much");
}

async fn bytes_of(store: &MemoryStore, jobs: &[JobId], sessions: &[&SessionHandle]) -> u64 {
    let jobs = jobs.iter().map(|job| StreamId::Job(*job));
    let mut bytes = 0;
    for stream in jobs.chain(sessions.iter().map(|session| StreamId::Session(session.id()))) {
        bytes += store.stream_bytes(stream).await.unwrap();
    }
    bytes
}

#[tokio::test(start_paused = true)]
async fn jobs_that_no_worker_has_begun_are_bounded_and_one_that_is_begun_makes_room() {
    let bench = Bench::start().await;
    let mut session = open(&bench, bounded("ada", r#"{"queued":2}"#)).await;
    // As many as the agent runs at once.
    let mut begun = Vec::new();
    for _ in 0..CAPACITY {
        begun.push(session.submit(request("patient", "null")).await.unwrap().job);
        assert!(!see(&mut session).await.is_empty(), "it is begun");
    }
    for _ in 0..2 {
        session.submit(request("patient", "null")).await.unwrap();
    }
    assert_eq!(refused(&mut session, "patient").await, (Quota::Queued, 2, 2));
    assert_eq!(refused(&mut session, "counter").await, (Quota::Queued, 2, 2), "whichever agent is free");
    session.cancel(&begun[0].to_string(), None).await.unwrap();
    see_to_end(&mut session, begun[0]).await;
    pass(Duration::from_secs(1)).await;
    session.submit(request("patient", "null")).await.expect("one of the two is begun");
    assert_eq!(refused(&mut session, "patient").await, (Quota::Queued, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn what_a_principal_has_by_default_is_configured_and_a_key_may_say_otherwise() {
    let bench = Bench::over(memory(), with_quotas(quotas(r#"{"queued":0,"submits_per_sec":1}"#))).await;
    let mut ada = open(&bench, principal("ada", Scopes::JOBS)).await;
    assert_eq!(refused(&mut ada, "counter").await, (Quota::Queued, 0, 0));
    let mut bob = open(&bench, bounded("bob", r#"{"queued":5,"submits_per_sec":3}"#)).await;
    for _ in 0..3 {
        bob.submit(request("patient", "null")).await.unwrap();
    }
    assert_eq!(refused(&mut bob, "patient").await, (Quota::SubmitsPerSec, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_another_reason_is_not_held_against_the_rate() {
    let bench = Bench::start().await;
    let mut session = open(&bench, bounded("ada", r#"{"jobs":1,"submits_per_sec":2}"#)).await;
    let job = session.submit(request("patient", "null")).await.unwrap().job;
    for _ in 0..5 {
        assert_eq!(refused(&mut session, "patient").await, (Quota::Jobs, 1, 1));
        assert!(matches!(session.submit(request("nobody", "1")).await, Err(Refusal::AgentNotAvailable { .. })));
    }
    session.cancel(&job.to_string(), None).await.unwrap();
    see_to_end(&mut session, job).await;
    all_over(&bench.gateway).await;
    session.submit(request("patient", "null")).await.expect("it was the second submission in this second");
}

#[tokio::test(start_paused = true)]
async fn who_has_stored_too_much_submits_no_more_and_loses_nothing() {
    let bench = Bench::start().await;
    let quota = format!(r#"{{"stored_bytes":{SOME_BYTES}}}"#);
    let mut session = open(&bench, bounded("ada", &quota)).await;
    let running = session.submit(request("patient", "null")).await.unwrap().job;
    let (quota_reached, limit, used) = fill(&mut session).await;
    assert_eq!((quota_reached, limit), (Quota::StoredBytes, SOME_BYTES));
    assert!(used <= SOME_BYTES, "nothing is accepted that exceeds it: {used}");

    // Whoever may not submit may look, cancel and come back.
    let mut another = open(&bench, bounded("ada", &quota)).await;
    another.subscribe(&running.to_string(), with_history()).await.unwrap();
    another.cancel(&running.to_string(), None).await.unwrap();
    see_to_end(&mut another, running).await;
    assert_eq!(fill(&mut another).await.0, Quota::StoredBytes, "both sessions are one principal's");
    let mut bob = open(&bench, bounded("bob", &quota)).await;
    bob.submit(large("panicking")).await.expect("one principal's bytes are not another's");
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_what_the_store_has_of_the_principals_streams() {
    let bench = Bench::start().await;
    let mut session = open(&bench, principal("ada", Scopes::JOBS)).await;
    let mut jobs = Vec::new();
    for to in ["3", "700", "0"] {
        let job = session.submit(request("counter", to)).await.unwrap().job;
        see_to_end(&mut session, job).await;
        jobs.push(job);
    }
    session.subscribe(&jobs[0].to_string(), with_history()).await.unwrap();
    all_over(&bench.gateway).await;
    let expected = bytes_of(&bench.store, &jobs, &[&session]).await;
    let mut asking = open(&bench, bounded("ada", r#"{"stored_bytes":0}"#)).await;
    let expected = expected + bytes_of(&bench.store, &[], &[&asking]).await;
    assert_eq!(refused(&mut asking, "counter").await, (Quota::StoredBytes, 0, expected));

    // And the next run of the gateway counts the same, of what is over and of what is not.
    let open_job = session.submit(request("patient", "null")).await.unwrap().job;
    pass(Duration::from_secs(1)).await;
    let expected = bytes_of(&bench.store, &jobs, &[&session, &asking]).await;
    let store = Arc::new(bench.store.reopen(TailLimits::default()));
    let again = Bench::over(Arc::clone(&store), options()).await;
    let mut asking = open(&again, bounded("ada", r#"{"stored_bytes":0}"#)).await;
    let expected = expected + bytes_of(&store, &[open_job], &[&asking]).await;
    assert_eq!(refused(&mut asking, "counter").await, (Quota::StoredBytes, 0, expected));
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_makes_room_also_for_the_next_run() {
    let bench = Bench::start().await;
    let quota = format!(r#"{{"stored_bytes":{SOME_BYTES}}}"#);
    let mut session = open(&bench, bounded("ada", &quota)).await;
    fill(&mut session).await;
    session.close(None).await;
    all_over(&bench.gateway).await;
    // Counted by the notes of the last run.
    let store = Arc::new(bench.store.reopen(TailLimits::default()));
    let short = Retention { max_age: Some(Millis::from_secs(60)), max_bytes: None };
    let again = Bench::over(store, RuntimeOptions { retention: short, ..options() }).await;
    let mut session = open(&again, bounded("ada", &quota)).await;
    assert_eq!(fill(&mut session).await.0, Quota::StoredBytes);
    pass(Duration::from_secs(3_600)).await;
    again.gateway.retain().await;
    session.submit(large("panicking")).await.expect("what ended an hour ago is gone, and not counted");
}

#[tokio::test(start_paused = true)]
async fn an_administrator_who_removes_what_is_over_makes_room() {
    let bench = Bench::start().await;
    let quota = format!(r#"{{"stored_bytes":{SOME_BYTES}}}"#);
    let mut session = open(&bench, bounded("ada", &quota)).await;
    fill(&mut session).await;
    all_over(&bench.gateway).await;
    let admin = open(&bench, principal("root", Scopes::ADMIN)).await;
    let all = GcRequest { older_than: Some(Millis::new(0)), ..GcRequest::default() };
    assert!(admin.collect(all).await.unwrap().jobs > 0);
    let (_, _, used) = fill(&mut session).await;
    assert!(used > SOME_BYTES / 4, "there was room again, and it is used");
}
