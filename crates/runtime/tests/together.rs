//! Submissions that are finished together: one commit, and each its own job.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use common::{Bench, assert_dense, principal, reached, request, see, see_to_end};
use moorline_core::Refusal;
use moorline_core::quota::Quota;
use moorline_runtime::session::{Finished, Prepared};
use moorline_runtime::{Delivery, JobSummary, SessionHandle};
use moorline_store::{Store, StoreFault};
use moorline_types::{Offset, Principal, Quotas, Scopes, StreamId};

async fn open(bench: &Bench, principal: Principal) -> SessionHandle {
    bench.gateway.open_session(principal, "test".to_owned()).await.unwrap().session
}

async fn prepared(session: &SessionHandle, agent: &str) -> Prepared {
    let checked = session.check_submission(request(agent, "2")).unwrap();
    assert!(checked.is_plain(), "nothing is in the way of others");
    checked.prepare().await
}

/// Finishes submissions to these agents together.
async fn finish(session: &mut SessionHandle, agents: &[&str]) -> Vec<Result<JobSummary, Refusal>> {
    let mut all = Vec::new();
    for agent in agents {
        all.push(prepared(session, agent).await);
    }
    session.finish_submissions(all).await.into_iter().map(|Finished { outcome, .. }| outcome).collect()
}

/// Everything that the session sees until so many jobs have ended.
async fn see_ends(session: &mut SessionHandle, jobs: usize) -> Vec<Delivery> {
    let mut seen = Vec::new();
    while seen.iter().filter(|delivery: &&Delivery| delivery.record.kind.is_last()).count() < jobs {
        seen.extend(see(session).await);
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn they_are_neighbours_in_the_journal_and_every_job_runs_and_is_seen() {
    let bench = Bench::start().await;
    let mut session = open(&bench, principal("ada", Scopes::JOBS)).await;
    let before = bench.store.tail().head();
    let jobs: Vec<_> = finish(&mut session, &["counter"; 3]).await.into_iter().map(|job| job.unwrap().job).collect();
    let streams: Vec<_> = jobs.iter().map(|job| StreamId::Job(*job)).chain([StreamId::Session(session.id())]).collect();
    let limit = moorline_store::ReadLimit::new(6, usize::MAX);
    let first = bench.store.read_streams(&streams, before, limit).await.unwrap().records;
    let offsets: Vec<_> = first.iter().map(|record| record.offset()).collect();
    assert_eq!(offsets, (1..=6).map(|n| Offset::new(before.get() + n)).collect::<Vec<_>>(), "nothing is in between");

    let seen = see_ends(&mut session, jobs.len()).await;
    assert_dense(&seen);
    assert_eq!(seen.len(), 3 * 3, "two events and a result of each");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_refused_for_itself_leaves_the_others_and_the_sessions_numbers_alone() {
    let bench = Bench::start().await;
    let mut bounded = principal("ada", Scopes::JOBS);
    bounded.grants.quotas = Quotas { submits_per_sec: Some(2), ..Quotas::default() };
    let mut session = open(&bench, bounded).await;
    let finished = finish(&mut session, &["counter", "nobody", "counter", "counter", "counter"]).await;
    let refused = |at: usize| finished[at].as_ref().unwrap_err();
    assert!(matches!(refused(1), Refusal::AgentNotAvailable { .. }), "{finished:?}");
    for at in [3, 4] {
        assert_eq!(reached(refused(at)), (Quota::SubmitsPerSec, 2, 2), "{finished:?}");
    }
    let last = finished[2].as_ref().unwrap().job;
    see_to_end(&mut session, last).await;
    common::pass(std::time::Duration::from_secs(1)).await;
    let [next] = &finish(&mut session, &["counter"]).await[..] else { panic!("one goes in, one comes out") };
    see_to_end(&mut session, next.as_ref().unwrap().job).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_store_refuses_it_refuses_for_all_and_nothing_of_it_is_kept() {
    let bench = Bench::start().await;
    let mut bounded = principal("ada", Scopes::JOBS);
    bounded.grants.quotas = Quotas { jobs: Some(2), ..Quotas::default() };
    let mut session = open(&bench, bounded).await;
    bench.store.faults().refuse_writes(StoreFault::Full);
    for outcome in finish(&mut session, &["counter", "counter"]).await {
        assert!(matches!(outcome, Err(Refusal::StoreUnavailable { .. })), "{outcome:?}");
    }
    bench.store.faults().allow();
    assert_eq!(bench.gateway.open_jobs(), 0);
    let finished = finish(&mut session, &["counter", "counter"]).await;
    assert!(finished.iter().all(Result::is_ok), "there is room for both: {finished:?}");
    assert_dense(&see_ends(&mut session, 2).await);
}
