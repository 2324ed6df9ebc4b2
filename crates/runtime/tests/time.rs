//! The gateway's time over a restart.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Bench, CAPACITY, fact, memory, options, pass, request, see_to_end, with_history};
use moorline_core::record::{Cause, Fact};
use moorline_runtime::{RuntimeOptions, SubmitRequest};
use moorline_store::TailLimits;
use moorline_types::Millis;
use tokio::time::Instant;

/// A lease of an hour, of which a minute is left when the gateway is killed and the machine's clock is set back by all
/// that has passed.
#[tokio::test(start_paused = true)]
async fn a_lease_does_not_last_longer_when_the_clock_is_set_back_while_no_gateway_runs() {
    let store = memory();
    let patient = RuntimeOptions { max_pending: Millis::from_secs(86_400), ..options() };
    let bench = Bench::over(Arc::clone(&store), patient).await;
    let began = bench.gateway.now();
    let mut session = bench.session("ada").await;
    for _ in 0..CAPACITY {
        session.submit(request("stubborn", "null")).await.unwrap();
    }
    let expires_at = Some(began + Millis::from_secs(3_600));
    let waiting = session.submit(SubmitRequest { expires_at, ..request("stubborn", "null") }).await.unwrap().job;
    pass(Duration::from_secs(3_540)).await;
    let last = bench.gateway.now();
    bench.session("bob").await;

    let next = Arc::new(store.reopen(TailLimits::default()));
    let bench = Bench::over(next, patient).await;
    let started = Instant::now();
    assert!(bench.gateway.now() >= last, "the next start goes on from the last record");
    let mut session = bench.session("ada").await;
    session.subscribe(&waiting.to_string(), with_history()).await.unwrap();
    let seen = see_to_end(&mut session, waiting).await;
    let Fact::Error(failure) = fact(seen.last().unwrap()) else { panic!("{seen:?}") };
    assert_eq!(failure.cause, Cause::LeaseExpired);
    assert!(started.elapsed() < Duration::from_secs(90), "after the minute that was left, at the slower pace");
}
