//! Jobs from submission to end, with everything real but the disk and the clients' sockets.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use common::{
    Bench, assert_dense, fact, logs, memory, options, principal, reached, request, see, see_to_end, with_history,
    with_quotas,
};
use moorline_core::Refusal;
use moorline_core::job::Status;
use moorline_core::quota::Quota;
use moorline_core::record::{Cause, Fact, Output};
use moorline_runtime::SubscribeRequest;
use moorline_store::StoreFault;
use moorline_types::{Json, Quotas, RecordKind, Scopes};

fn counted(to: u64) -> Vec<String> {
    (1..=to).map(|n| n.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_session_sees_all_of_its_job_in_order_and_numbered_from_one() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let job = session.submit(request("counter", "1000")).await.unwrap();
    let seen = see_to_end(&mut session, job.job).await;
    assert_dense(&seen);
    assert_eq!(logs(&seen), counted(1000));
    let Fact::Result(result) = fact(seen.last().unwrap()) else { panic!("{seen:?}") };
    assert_eq!(result.output, Output::Inline(Json::parse("500500").unwrap()));
}

/// A client that goes away in the middle loses nothing: what its job reports is in the journal.
#[tokio::test(start_paused = true)]
async fn events_after_a_disconnect_are_durable() {
    let bench = Bench::start().await;
    let mut first = bench.session("ada").await;
    let job = first.submit(request("counter", "2000")).await.unwrap().job;
    let begun = see(&mut first).await;
    assert!(begun.len() < 2000, "the job still runs when the client goes");
    drop(first);

    let mut second = bench.session("ada").await;
    second.subscribe(&job.to_string(), with_history()).await.unwrap();
    let seen = see_to_end(&mut second, job).await;
    assert_dense(&seen);
    assert_eq!(logs(&seen), counted(2000));
}

/// An observer that does not read costs nothing and misses nothing.
#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_loses_nothing_and_delays_nobody() {
    let bench = Bench::start().await;
    let mut owner = bench.session("ada").await;
    let mut slow = bench.session("ada").await;
    let job = owner.submit(request("counter", "5000")).await.unwrap().job;
    slow.subscribe(&job.to_string(), with_history()).await.unwrap();
    slow.prepare().await.unwrap();
    let seen = see_to_end(&mut owner, job).await;
    assert_eq!(seen.len(), 5001);
    assert_eq!(logs(&see_to_end(&mut slow, job).await), counted(5000));
}

#[tokio::test(start_paused = true)]
async fn whoever_subscribes_after_the_end_sees_the_whole_job() {
    let bench = Bench::start().await;
    let mut owner = bench.session("ada").await;
    let job = owner.submit(request("counter", "3000")).await.unwrap().job;
    see_to_end(&mut owner, job).await;
    for _ in 0..3 {
        let mut late = bench.session("ada").await;
        let subscription = late.subscribe(&job.to_string(), with_history()).await.unwrap();
        assert_eq!(subscription.job.status, Status::Success);
        let seen = see_to_end(&mut late, job).await;
        assert_dense(&seen);
        assert_eq!(logs(&seen), counted(3000));
    }
}

#[tokio::test(start_paused = true)]
async fn a_submitter_that_subscribes_to_its_own_job_sees_nothing_twice() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let job = session.submit(request("counter", "500")).await.unwrap().job;
    let mut seen = see(&mut session).await;
    session.subscribe(&job.to_string(), with_history()).await.unwrap();
    seen.extend(see_to_end(&mut session, job).await);
    assert_dense(&seen);
    assert_eq!(logs(&seen), counted(500));
}

/// Also before the first of its requests has become more than a wish.
#[tokio::test(start_paused = true)]
async fn a_session_that_subscribes_twice_sees_nothing_twice() {
    let bench = Bench::start().await;
    let mut owner = bench.session("ada").await;
    let job = owner.submit(request("counter", "3000")).await.unwrap().job;
    see_to_end(&mut owner, job).await;
    let mut session = bench.session("ada").await;
    for replayed in [true, false, false] {
        let subscription = session.subscribe(&job.to_string(), with_history()).await.unwrap();
        assert_eq!(subscription.replayed, replayed);
    }
    assert_eq!(logs(&see_to_end(&mut session, job).await), counted(3000));
    // Seen to its end, it can be asked for again.
    session.subscribe(&job.to_string(), with_history()).await.unwrap();
    assert_eq!(logs(&see_to_end(&mut session, job).await), counted(3000));
}

#[tokio::test(start_paused = true)]
async fn many_jobs_of_one_session_share_one_dense_numbering() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let mut open = std::collections::BTreeSet::new();
    for _ in 0..32 {
        open.insert(session.submit(request("counter", "100")).await.unwrap().job);
    }
    let mut seen = Vec::new();
    while !open.is_empty() {
        let deliveries = see(&mut session).await;
        for delivery in &deliveries {
            if delivery.record.kind == RecordKind::JobResult {
                open.remove(&delivery.job);
            }
        }
        seen.extend(deliveries);
    }
    assert_eq!(seen.len(), 32 * 101);
    assert_dense(&seen);
}

#[tokio::test(start_paused = true)]
async fn cancelling_is_confirmed_and_ends_the_job_once() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    for agent in ["patient", "stubborn"] {
        let job = session.submit(request(agent, "null")).await.unwrap().job;
        session.cancel(&job.to_string(), Some("enough".to_owned())).await.unwrap();
        let seen = see_to_end(&mut session, job).await;
        let Fact::Error(failure) = fact(seen.last().unwrap()) else { panic!("{agent}: {seen:?}") };
        assert_eq!((failure.cause, failure.message.as_str()), (Cause::Cancelled, "cancelled: enough"), "{agent}");
        let again = session.cancel(&job.to_string(), None).await;
        assert_eq!(again, Err(Refusal::JobEnded { status: Status::Cancelled }), "{agent}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_runs_for_too_long_is_ended() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let request = moorline_runtime::SubmitRequest { max_runtime_sec: Some(5), ..request("stubborn", "null") };
    let job = session.submit(request).await.unwrap().job;
    let seen = see_to_end(&mut session, job).await;
    let Fact::Error(failure) = fact(seen.last().unwrap()) else { panic!("{seen:?}") };
    assert_eq!(failure.cause, Cause::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_agent_ends_its_job_with_a_text_that_tells_nothing() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let job = session.submit(request("panicking", "null")).await.unwrap().job;
    let seen = see_to_end(&mut session, job).await;
    let Fact::Error(failure) = fact(seen.last().unwrap()) else { panic!("{seen:?}") };
    assert_eq!(failure.cause, Cause::Agent);
    assert!(!failure.message.contains("secret"), "{}", failure.message);
    let job = session.submit(request("counter", "3")).await.unwrap().job;
    assert_eq!(logs(&see_to_end(&mut session, job).await), counted(3), "the worker goes on");
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_others_does_not_exist() {
    let bench = Bench::start().await;
    let mut ada = bench.session("ada").await;
    let mut eve = bench.session("eve").await;
    let job = ada.submit(request("patient", "null")).await.unwrap().job.to_string();
    let not_found = |job: &str| Refusal::JobNotFound { job: job.to_owned() };
    for unknown in [job.as_str(), "job_01HF7YAT00000000000000000Z", "rubbish", ""] {
        assert_eq!(eve.cancel(unknown, None).await, Err(not_found(unknown)), "{unknown}");
        assert_eq!(eve.subscribe(unknown, with_history()).await.unwrap_err(), not_found(unknown), "{unknown}");
    }
    let admin = principal("root", Scopes::ADMIN);
    let mut admin = bench.gateway.open_session(admin, "test".to_owned()).await.unwrap().session;
    assert!(admin.subscribe(&job, SubscribeRequest::default()).await.is_ok());
    assert!(admin.cancel(&job, None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_principal_has_no_more_jobs_and_sessions_than_it_may() {
    let quotas = Quotas { jobs: Some(1), sessions: Some(2), ..Quotas::default() };
    let bench = Bench::over(memory(), with_quotas(quotas)).await;
    let mut session = bench.session("ada").await;
    let job = session.submit(request("patient", "null")).await.unwrap().job;
    let refused = session.submit(request("patient", "null")).await.unwrap_err();
    assert_eq!(reached(&refused), (Quota::Jobs, 1, 1));
    bench.session("bob").await.submit(request("patient", "null")).await.unwrap();
    session.cancel(&job.to_string(), None).await.unwrap();
    see_to_end(&mut session, job).await;

    let second = bench.session("ada").await;
    let refused = bench.gateway.open_session(principal("ada", Scopes::JOBS), "x".to_owned()).await.unwrap_err();
    assert_eq!(reached(&refused), (Quota::Sessions, 2, 2));
    drop(second);
    // One that waits for its client makes room for one that is here.
    bench.session("ada").await;
}

/// A store that fails refuses new work, and what runs waits for it without losing anything.
#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_new_work_and_loses_nothing_of_what_runs() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let job = session.submit(request("counter", "1000")).await.unwrap().job;
    let mut seen = see(&mut session).await;
    bench.store.faults().refuse_writes(StoreFault::Full);
    let refused = session.submit(request("counter", "1")).await.unwrap_err();
    assert!(matches!(refused, Refusal::StoreUnavailable { .. }), "{refused}");
    assert!(!bench.gateway.is_ready().await);
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    bench.store.faults().allow();
    seen.extend(see_to_end(&mut session, job).await);
    assert_dense(&seen);
    assert_eq!(logs(&seen), counted(1000));
    assert!(bench.gateway.is_ready().await);
}

/// A cancellation that cannot be made durable is not confirmed, does not hold up its connection, and is not forgotten.
#[tokio::test(start_paused = true)]
async fn a_cancellation_on_a_full_disk_is_kept_until_there_is_space() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let job = session.submit(request("patient", "null")).await.unwrap().job;
    see(&mut session).await;
    bench.store.faults().refuse_writes(StoreFault::Full);
    let refused = session.cancel(&job.to_string(), None).await.unwrap_err();
    assert!(matches!(refused, Refusal::StoreUnavailable { .. }), "{refused}");
    bench.store.faults().allow();
    let seen = see_to_end(&mut session, job).await;
    let Fact::Error(failure) = fact(seen.last().unwrap()) else { panic!("{seen:?}") };
    assert_eq!(failure.cause, Cause::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_read_is_an_error_and_never_an_empty_answer() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let job = session.submit(request("counter", "10")).await.unwrap().job;
    see_to_end(&mut session, job).await;
    // What is in memory can be read in any case.
    let bench =
        Bench::over(std::sync::Arc::new(bench.store.reopen(moorline_store::TailLimits::default())), options()).await;
    let mut session = bench.session("ada").await;
    bench.store.faults().refuse_reads(StoreFault::Io);
    let refused = session.subscribe(&job.to_string(), with_history()).await.unwrap_err();
    assert!(matches!(refused, Refusal::StoreUnavailable { .. }), "{refused}");
}

/// Agents inside the gateway's process end with it: their jobs are told to have ended, by the next one.
#[tokio::test(start_paused = true)]
async fn a_job_of_an_agent_in_a_killed_gateway_ends_honestly_at_the_next_start() {
    let store = memory();
    let (job, finished) = {
        let bench = Bench::over(std::sync::Arc::clone(&store), options()).await;
        let mut session = bench.session("ada").await;
        let finished = session.submit(request("counter", "5")).await.unwrap().job;
        see_to_end(&mut session, finished).await;
        let job = session.submit(request("patient", "null")).await.unwrap().job;
        see(&mut session).await;
        (job, finished)
        // Dropped without any shutdown: its tasks go on, but the next gateway knows nothing of them.
    };
    let next = std::sync::Arc::new(store.reopen(moorline_store::TailLimits::default()));
    let bench = Bench::over(next, options()).await;
    let mut session = bench.session("ada").await;
    session.subscribe(&job.to_string(), with_history()).await.unwrap();
    let seen = see_to_end(&mut session, job).await;
    let Fact::Error(failure) = fact(seen.last().unwrap()) else { panic!("{seen:?}") };
    assert_eq!((failure.cause, failure.retryable), (Cause::WorkerLost, true));
    session.subscribe(&finished.to_string(), with_history()).await.unwrap();
    assert_eq!(logs(&see_to_end(&mut session, finished).await), counted(5), "a finished job stays as it was");
}

#[tokio::test(start_paused = true)]
async fn draining_takes_no_new_work_and_ends_what_does_not_end_by_itself() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let job = session.submit(request("stubborn", "null")).await.unwrap().job;
    let gateway = bench.gateway.clone();
    let draining = tokio::spawn(async move { gateway.drain(gateway.now()).await });
    let seen = see_to_end(&mut session, job).await;
    let Fact::Error(failure) = fact(seen.last().unwrap()) else { panic!("{seen:?}") };
    assert_eq!(failure.cause, Cause::Gateway);
    draining.await.unwrap();
    assert_eq!(session.submit(request("counter", "1")).await.unwrap_err(), Refusal::Draining);
    drop(session);
    bench.stop().await;
}
