//! Whoever comes back soon is served from memory, and from the store where that does not reach.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use std::sync::Arc;

use common::{Bench, assert_dense, logs, options, principal, request, see_to_end};
use moorline_core::Refusal;
use moorline_core::resume::ResumeToken;
use moorline_runtime::{Attached, ResumeRequest};
use moorline_store::{StoreFault, TailLimits};
use moorline_types::{EventSeq, Scopes};

async fn resume(bench: &Bench, token: &ResumeToken, last: u64) -> Result<Attached, Refusal> {
    let request = ResumeRequest {
        session: None,
        token: token.clone(),
        last: EventSeq::new(last),
        epoch: None,
        accepts_gap: false,
    };
    bench.gateway.resume_session(principal("ada", Scopes::JOBS), request).await
}

/// A session that has seen a job of ten events to its end, and was parked.
async fn parked(bench: &Bench) -> ResumeToken {
    let Attached { mut session, token, .. } =
        bench.gateway.open_session(principal("ada", Scopes::JOBS), "test".to_owned()).await.unwrap();
    let job = session.submit(request("counter", "10")).await.unwrap().job;
    assert_dense(&see_to_end(&mut session, job).await);
    session.park().await;
    token
}

/// Five events and the result.
async fn assert_the_rest_is_seen(attached: Attached) {
    let mut session = attached.session;
    let mut seen = Vec::new();
    while seen.len() < 6 {
        seen.extend(session.next().await.unwrap());
    }
    let numbers: Vec<_> = seen.iter().map(|delivery| delivery.event_seq.get()).collect();
    assert_eq!(numbers, [6, 7, 8, 9, 10, 11]);
    assert_eq!(logs(&seen), ["6", "7", "8", "9", "10"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_soon_does_not_depend_on_a_store_that_cannot_be_read() {
    let bench = Bench::start().await;
    let token = parked(&bench).await;
    bench.store.faults().refuse_reads(StoreFault::Io);
    assert_the_rest_is_seen(resume(&bench, &token, 5).await.unwrap()).await;
}

/// With a token from before, and one that was never given: what is remembered is looked at as what is stored.
#[tokio::test(start_paused = true)]
async fn what_is_remembered_lets_in_nobody_whom_the_store_would_not() {
    let bench = Bench::start().await;
    let first = parked(&bench).await;
    let second = resume(&bench, &first, 11).await.unwrap();
    let token = second.token.clone();
    second.session.park().await;
    let third = resume(&bench, &token, 11).await.unwrap();
    let newest = third.token.clone();
    let mut session = third.session;
    session.confirm().await;
    session.park().await;
    bench.store.faults().refuse_reads(StoreFault::Io);
    for old in [&first, &token] {
        assert_eq!(resume(&bench, old, 0).await.map(drop).unwrap_err(), Refusal::ResumeUnknown);
    }
    // Refusals have changed nothing.
    resume(&bench, &newest, 11).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_to_what_is_not_in_memory_any_more_is_served_by_the_store() {
    let bench = Bench::start().await;
    let token = parked(&bench).await;
    let store = Arc::new(bench.store.reopen(TailLimits::default()));
    let bench = Bench::over(Arc::clone(&store), options()).await;
    store.faults().refuse_reads(StoreFault::Io);
    let refused = resume(&bench, &token, 5).await.map(drop).unwrap_err();
    assert!(matches!(refused, Refusal::StoreUnavailable { .. }), "{refused}");
    store.faults().allow();
    assert_the_rest_is_seen(resume(&bench, &token, 5).await.unwrap()).await;
}
