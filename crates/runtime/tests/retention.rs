//! What is over goes after a while, and whoever comes back for it is told exactly what is missing.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Bench, memory, options, pass, principal, request, see_to_end, with_history};
use moorline_core::Refusal;
use moorline_core::backlog::{Missed, MissedReason};
use moorline_core::resume::ResumeToken;
use moorline_runtime::{Attached, Delivery, JobQuery, ResumeRequest, Retention, RuntimeOptions, SessionHandle};
use moorline_store::{MemoryStore, Store, TailLimits};
use moorline_types::{EventSeq, JobId, Millis, Scopes, StreamId};

const AGE: Duration = Duration::from_secs(3_600);

fn kept_for_an_hour() -> RuntimeOptions {
    let retention = Retention { max_age: Some(Millis::from_secs(AGE.as_secs())), max_bytes: None };
    RuntimeOptions { retention, resume_window: Millis::from_secs(86_400), ..options() }
}

async fn open(bench: &Bench, name: &str) -> (SessionHandle, ResumeToken) {
    let opened = bench.gateway.open_session(principal(name, Scopes::JOBS), "test".to_owned()).await.unwrap();
    (opened.session, opened.token)
}

async fn resume(bench: &Bench, token: &ResumeToken, last: u64, accepts_gap: bool) -> Result<Attached, Refusal> {
    let request =
        ResumeRequest { session: None, token: token.clone(), last: EventSeq::new(last), epoch: None, accepts_gap };
    bench.gateway.resume_session(principal("ada", Scopes::JOBS), request).await
}

async fn is_gone(store: &MemoryStore, job: JobId) -> bool {
    let bounds = store.stream_bounds(StreamId::Job(job)).await.unwrap();
    bounds.oldest > bounds.head
}

fn numbers(seen: &[Delivery]) -> Vec<u64> {
    seen.iter().map(|delivery| delivery.event_seq.get()).collect()
}

fn trimmed(from: u64, to: u64) -> Missed {
    Missed { from: EventSeq::new(from), to: EventSeq::new(to), reason: MissedReason::TrimmedByAge }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_kept_for_its_time_after_its_end_and_then_gone_everywhere() {
    let bench = Bench::over(memory(), kept_for_an_hour()).await;
    let (mut ada, _) = open(&bench, "ada").await;
    let job = ada.submit(request("counter", "3")).await.unwrap().job;
    see_to_end(&mut ada, job).await;
    let running = ada.submit(request("patient", "null")).await.unwrap().job;

    pass(AGE - Duration::from_secs(120)).await;
    let (mut eve, _) = open(&bench, "ada").await;
    eve.subscribe(&job.to_string(), with_history()).await.unwrap();
    see_to_end(&mut eve, job).await;

    pass(Duration::from_secs(300)).await;
    assert!(is_gone(&bench.store, job).await);
    assert!(!is_gone(&bench.store, running).await, "what runs stays, however old");
    let refused = ada.subscribe(&job.to_string(), with_history()).await.unwrap_err();
    assert_eq!(refused, Refusal::JobNotFound { job: job.to_string() });
    let listed: Vec<_> =
        ada.list_jobs(&JobQuery::default()).await.unwrap().jobs.iter().map(|listed| listed.job).collect();
    assert_eq!(listed, [running]);
    ada.cancel(&running.to_string(), None).await.unwrap();
    see_to_end(&mut ada, running).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_for_what_is_gone_is_told_exactly_what_it_is() {
    let bench = Bench::over(memory(), kept_for_an_hour()).await;
    let (mut ada, token) = open(&bench, "ada").await;
    let first = ada.submit(request("counter", "4")).await.unwrap().job;
    let seen = see_to_end(&mut ada, first).await.len() as u64;
    pass(Duration::from_secs(1_800)).await;
    let second = ada.submit(request("counter", "2")).await.unwrap().job;
    let seen_of_second = see_to_end(&mut ada, second).await.len() as u64;
    let all = seen + seen_of_second;
    ada.park().await;
    pass(Duration::from_secs(2_400)).await;
    assert!(is_gone(&bench.store, first).await && !is_gone(&bench.store, second).await);

    // By the spec, what is not retained is refused, and the session stays as it was.
    for last in 0..seen {
        let refused = resume(&bench, &token, last, false).await.unwrap_err();
        let expected = Refusal::ResumeTrimmed { asked: EventSeq::new(last), through: EventSeq::new(seen) };
        assert_eq!(refused, expected, "after {last}");
    }
    // Whoever takes a gap is told the missing numbers, and sees the rest under the numbers that it has.
    let attached = resume(&bench, &token, 1, true).await.unwrap();
    assert_eq!(attached.missed, Some(trimmed(2, seen)));
    let mut session = attached.session;
    let rest = see_to_end(&mut session, second).await;
    assert_eq!(numbers(&rest), (seen + 1..=all).collect::<Vec<_>>());
    session.park().await;

    // Whoever has seen all that is gone misses nothing.
    for last in [seen, seen + 1, all] {
        let attached = resume(&bench, &token, last, false).await.unwrap();
        assert_eq!(attached.missed, None);
        let mut session = attached.session;
        let rest = if last < all { see_to_end(&mut session, second).await } else { Vec::new() };
        assert_eq!(numbers(&rest), (last + 1..=all).collect::<Vec<_>>(), "after {last}");
        session.park().await;
    }
}

#[tokio::test(start_paused = true)]
async fn floors_outlive_the_gateway() {
    let bench = Bench::over(memory(), kept_for_an_hour()).await;
    let (mut ada, token) = open(&bench, "ada").await;
    let first = ada.submit(request("counter", "4")).await.unwrap().job;
    let seen = see_to_end(&mut ada, first).await.len() as u64;
    pass(Duration::from_secs(4_000)).await;
    assert!(is_gone(&bench.store, first).await);
    let second = ada.submit(request("counter", "1")).await.unwrap().job;
    let last = numbers(&see_to_end(&mut ada, second).await);
    drop(ada);

    // Killed: the session never wrote down where it stood.
    let store = Arc::new(bench.store.reopen(TailLimits::default()));
    let bench = Bench::over(store, kept_for_an_hour()).await;
    let attached = resume(&bench, &token, 0, true).await.unwrap();
    assert_eq!(attached.missed, Some(trimmed(1, seen)));
    let mut session = attached.session;
    assert_eq!(numbers(&see_to_end(&mut session, second).await), last);
}

#[tokio::test(start_paused = true)]
async fn a_connected_session_that_has_not_read_what_goes_is_told_in_its_place() {
    let bench = Bench::over(memory(), kept_for_an_hour()).await;
    let (mut ada, _) = open(&bench, "ada").await;
    let first = ada.submit(request("counter", "4")).await.unwrap().job;
    // Somebody else sees the end of it, so that is there.
    let (mut eve, _) = open(&bench, "ada").await;
    eve.subscribe(&first.to_string(), with_history()).await.unwrap();
    let seen = see_to_end(&mut eve, first).await.len() as u64;
    pass(Duration::from_secs(4_000)).await;
    assert!(is_gone(&bench.store, first).await);

    ada.prepare().await.unwrap();
    assert!(ada.next().await.unwrap().is_empty());
    assert_eq!(ada.take_missed(), Some(trimmed(1, seen)));
    assert_eq!(ada.take_missed(), None);
    let second = ada.submit(request("counter", "1")).await.unwrap().job;
    assert_eq!(see_to_end(&mut ada, second).await[0].event_seq.get(), seen + 1);
}

#[tokio::test(start_paused = true)]
async fn what_ended_first_makes_room_when_there_is_too_much() {
    let retention = Retention { max_age: None, max_bytes: Some(200_000) };
    let bench = Bench::over(memory(), RuntimeOptions { retention, ..options() }).await;
    let (mut ada, _) = open(&bench, "ada").await;
    let mut jobs = Vec::new();
    for _ in 0..150 {
        // They end one after the other, not in the same moment.
        pass(Duration::from_millis(2)).await;
        let job = ada.submit(request("counter", "40")).await.unwrap().job;
        see_to_end(&mut ada, job).await;
        jobs.push(job);
    }
    assert!(bench.store.used_bytes().await.unwrap() > 200_000);
    pass(Duration::from_secs(120)).await;
    assert!(bench.store.used_bytes().await.unwrap() <= 200_000);
    assert!(is_gone(&bench.store, jobs[0]).await);
    assert!(!is_gone(&bench.store, jobs[149]).await);
}

/// A client that asked for a job's history, and was not shown it yet, gets it.
#[tokio::test(start_paused = true)]
async fn what_a_session_is_about_to_be_shown_stays() {
    let bench = Bench::over(memory(), kept_for_an_hour()).await;
    let (mut ada, _) = open(&bench, "ada").await;
    let job = ada.submit(request("counter", "5")).await.unwrap().job;
    let seen = see_to_end(&mut ada, job).await.len();
    let (mut eve, _) = open(&bench, "ada").await;
    eve.subscribe(&job.to_string(), with_history()).await.unwrap();
    pass(Duration::from_secs(4_000)).await;
    assert_eq!(see_to_end(&mut eve, job).await.len(), seen);
    pass(Duration::from_secs(4_000)).await;
    assert!(is_gone(&bench.store, job).await);
}
