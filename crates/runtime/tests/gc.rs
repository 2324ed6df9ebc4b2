//! What is over goes at an administrator's word, and not more than that.

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
use moorline_runtime::{GcRequest, GcStep, JobQuery, ResumeRequest, Retention, RuntimeOptions, SessionHandle};
use moorline_store::{Store, StoreFault, TailLimits};
use moorline_types::{EventSeq, JobId, Millis, Scopes, StreamId};

/// A gateway that removes nothing by itself.
async fn bench() -> Bench {
    Bench::over(memory(), RuntimeOptions { resume_window: Millis::from_secs(86_400), ..options() }).await
}

async fn admin(bench: &Bench) -> SessionHandle {
    bench.gateway.open_session(principal("root", Scopes::ADMIN), "test".to_owned()).await.unwrap().session
}

async fn open(bench: &Bench) -> (SessionHandle, ResumeToken) {
    let opened = bench.gateway.open_session(principal("ada", Scopes::JOBS), "test".to_owned()).await.unwrap();
    (opened.session, opened.token)
}

/// Runs so many jobs, one after the other; their ids, and how many numbers they took.
async fn run(session: &mut SessionHandle, count: usize) -> (Vec<JobId>, u64) {
    let (mut jobs, mut last) = (Vec::new(), 0);
    for _ in 0..count {
        // They end one after the other, not in the same moment.
        pass(Duration::from_millis(2)).await;
        let job = session.submit(request("counter", "20")).await.unwrap().job;
        last = see_to_end(session, job).await.last().unwrap().event_seq.get();
        jobs.push(job);
    }
    // An end is noted a little after it is seen, together with others.
    pass(Duration::from_millis(10)).await;
    (jobs, last)
}

fn everything() -> GcRequest {
    GcRequest { older_than: Some(Millis::ZERO), ..GcRequest::default() }
}

/// All steps; each of them does something, or is the last.
async fn collect(admin: &SessionHandle, mut request: GcRequest) -> Vec<GcStep> {
    let mut steps = Vec::new();
    loop {
        let step = admin.collect(request.clone()).await.unwrap();
        request.cursor.clone_from(&step.next_cursor);
        steps.push(step);
        if request.cursor.is_none() {
            return steps;
        }
    }
}

fn jobs_of(steps: &[GcStep]) -> u64 {
    steps.iter().map(|step| step.jobs).sum()
}

async fn left(bench: &Bench, jobs: &[JobId]) -> usize {
    let mut left = 0;
    for job in jobs {
        let bounds = bench.store.stream_bounds(StreamId::Job(*job)).await.unwrap();
        left += usize::from(bounds.oldest <= bounds.head);
    }
    left
}

#[tokio::test(start_paused = true)]
async fn whoever_is_no_administrator_and_what_is_no_cursor_is_refused() {
    let bench = bench().await;
    let (mut ada, _) = open(&bench).await;
    let (jobs, _) = run(&mut ada, 2).await;
    let refused = ada.collect(everything()).await.unwrap_err();
    assert!(matches!(refused, Refusal::ScopeMissing { .. }), "{refused}");
    let root = admin(&bench).await;
    for cursor in ["", "0/", "0/../x", "now/1778701333020/job_01KRHDRWGW0W3GE1R70W3GE1R7"] {
        let request = GcRequest { cursor: Some(cursor.to_owned()), ..everything() };
        assert_eq!(root.collect(request).await.unwrap_err(), Refusal::CursorUnknown, "{cursor:?}");
    }
    assert_eq!(left(&bench, &jobs).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_would_go_and_changes_nothing() {
    let bench = bench().await;
    let (mut ada, _) = open(&bench).await;
    let (jobs, _) = run(&mut ada, 100).await;
    let root = admin(&bench).await;
    let used = bench.store.used_bytes().await.unwrap();
    let steps = collect(&root, GcRequest { dry_run: true, ..everything() }).await;
    assert!(steps.len() > 1, "a step is bounded");
    assert_eq!((jobs_of(&steps), left(&bench, &jobs).await), (100, 100));
    assert_eq!(steps.iter().map(|step| step.bytes_before).collect::<Vec<_>>(), vec![used; steps.len()]);
    let estimates: Vec<_> = steps.iter().map(|step| step.bytes_after).collect();
    assert!(estimates.is_sorted_by(|a, b| a >= b), "they add up: {estimates:?}");

    let real = collect(&root, everything()).await;
    assert_eq!((jobs_of(&real), left(&bench, &jobs).await), (100, 0));
    let ends = |steps: &[GcStep]| (steps[0].oldest, steps.iter().rev().find_map(|step| step.newest));
    assert_eq!(ends(&steps), ends(&real));
    assert!(real.last().unwrap().bytes_after <= *estimates.last().unwrap(), "the estimate is at the most");
    let listed = ada.list_jobs(&JobQuery::default()).await.unwrap().jobs;
    assert!(listed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_what_is_old_enough_goes_and_never_what_runs() {
    let bench = bench().await;
    let (mut ada, _) = open(&bench).await;
    let running = ada.submit(request("patient", "null")).await.unwrap().job;
    let (old, _) = run(&mut ada, 3).await;
    pass(Duration::from_secs(7_200)).await;
    let (new, _) = run(&mut ada, 3).await;
    let root = admin(&bench).await;
    // Without a rule, what is configured: here, to keep everything.
    assert_eq!(jobs_of(&collect(&root, GcRequest::default()).await), 0);
    let never = GcRequest { older_than: Some(Millis::new(u64::MAX)), ..GcRequest::default() };
    assert_eq!(jobs_of(&collect(&root, never).await), 0);
    let hour = GcRequest { older_than: Some(Millis::from_secs(3_600)), ..GcRequest::default() };
    let steps = collect(&root, hour).await;
    assert_eq!((jobs_of(&steps), left(&bench, &old).await, left(&bench, &new).await), (3, 0, 3));
    assert_eq!(jobs_of(&collect(&root, everything()).await), 3);
    assert_eq!(left(&bench, &[running]).await, 1);
    ada.cancel(&running.to_string(), None).await.unwrap();
    see_to_end(&mut ada, running).await;
}

#[tokio::test(start_paused = true)]
async fn what_ended_first_makes_room_down_to_the_size_that_is_asked_for() {
    let bench = bench().await;
    let (mut ada, _) = open(&bench).await;
    let (jobs, _) = run(&mut ada, 60).await;
    let root = admin(&bench).await;
    let used = bench.store.used_bytes().await.unwrap();
    let half = GcRequest { max_bytes: Some(used / 2), ..GcRequest::default() };
    let dry = collect(&root, GcRequest { dry_run: true, ..half.clone() }).await;
    assert!(dry.last().unwrap().bytes_after <= used / 2 && (1..60).contains(&jobs_of(&dry)), "{dry:?}");
    let steps = collect(&root, half).await;
    assert!(bench.store.used_bytes().await.unwrap() <= used / 2);
    assert_eq!(left(&bench, &jobs).await as u64, 60 - jobs_of(&steps));
    assert_eq!((left(&bench, &jobs[..1]).await, left(&bench, &jobs[59..]).await), (0, 1), "oldest first");
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_is_told_that_the_operator_removed_it() {
    let bench = bench().await;
    let (mut ada, token) = open(&bench).await;
    let (_, last) = run(&mut ada, 3).await;
    ada.park().await;
    let root = admin(&bench).await;
    assert_eq!(jobs_of(&collect(&root, everything()).await), 3);
    let resume = |last, accepts_gap| ResumeRequest {
        session: None,
        token: token.clone(),
        last: EventSeq::new(last),
        epoch: None,
        accepts_gap,
    };
    let owner = principal("ada", Scopes::JOBS);
    let refused = bench.gateway.resume_session(owner.clone(), resume(5, false)).await.map(drop).unwrap_err();
    assert_eq!(refused, Refusal::ResumeTrimmed { asked: EventSeq::new(5), through: EventSeq::new(last) });
    let attached = bench.gateway.resume_session(owner, resume(5, true)).await.unwrap();
    let missed = Missed { from: EventSeq::new(6), to: EventSeq::new(last), reason: MissedReason::TrimmedByOperator };
    assert_eq!(attached.missed, Some(missed));
}

/// One job that somebody waits for does not keep those that ended later.
#[tokio::test(start_paused = true)]
async fn what_a_session_is_about_to_be_shown_stays_and_is_named() {
    let bench = bench().await;
    let (mut ada, _) = open(&bench).await;
    let (jobs, _) = run(&mut ada, 100).await;
    let (mut eve, _) = open(&bench).await;
    eve.subscribe(&jobs[0].to_string(), with_history()).await.unwrap();
    let root = admin(&bench).await;
    for dry_run in [true, false] {
        let steps = collect(&root, GcRequest { dry_run, ..everything() }).await;
        let kept: Vec<_> = steps.iter().flat_map(|step| step.kept.clone()).collect();
        assert_eq!((jobs_of(&steps), kept), (99, vec![jobs[0]]), "dry: {dry_run}");
    }
    assert_eq!(left(&bench, &jobs).await, 1);
    assert_eq!(see_to_end(&mut eve, jobs[0]).await.len(), 21);
    assert_eq!(jobs_of(&collect(&root, everything()).await), 1);
}

/// A removal and the retention at once, and two removals at once, number nothing anew.
#[tokio::test(start_paused = true)]
async fn removals_at_the_same_time_do_not_disturb_each_other() {
    let retention = Retention { max_age: Some(Millis::from_secs(1)), max_bytes: None };
    let runtime = RuntimeOptions { retention, resume_window: Millis::from_secs(86_400), ..options() };
    let bench = Bench::over(memory(), runtime).await;
    let (mut ada, token) = open(&bench).await;
    let (jobs, last) = run(&mut ada, 100).await;
    let (one, two) = (admin(&bench).await, admin(&bench).await);
    pass(Duration::from_secs(2)).await;
    tokio::join!(bench.gateway.retain(), collect(&one, everything()), collect(&two, everything()));
    assert_eq!(left(&bench, &jobs).await, 0);
    drop(ada);
    let request = ResumeRequest { session: None, token, last: EventSeq::ZERO, epoch: None, accepts_gap: true };
    let attached = bench.gateway.resume_session(principal("ada", Scopes::JOBS), request).await.unwrap();
    let missed = attached.missed.unwrap();
    assert_eq!((missed.from.get(), missed.to.get()), (1, last));
    let mut session = attached.session;
    let (_, next) = run(&mut session, 1).await;
    assert_eq!(next, last + 21);
}

/// A disk that takes nothing: what is to go is still noted, and goes when the disk works again; what runs loses nothing.
#[tokio::test(start_paused = true)]
async fn a_removal_that_fails_is_repeated() {
    let bench = bench().await;
    let (mut ada, token) = open(&bench).await;
    let (jobs, last) = run(&mut ada, 100).await;
    let root = admin(&bench).await;
    let first = root.collect(everything()).await.unwrap();
    assert!(first.jobs > 0 && first.next_cursor.is_some());
    let running = ada.submit(request("counter", "1000")).await.unwrap().job;
    bench.store.faults().refuse_writes(StoreFault::Full);
    let again = GcRequest { cursor: first.next_cursor, ..everything() };
    let refused = root.collect(again.clone()).await.unwrap_err();
    assert_eq!(refused, Refusal::StoreUnavailable { reason: "its disk is full" });
    assert_eq!(left(&bench, &jobs).await as u64, 100 - first.jobs, "what was not removed is whole");
    bench.store.faults().allow();
    assert_eq!(jobs_of(&collect(&root, again).await), 100 - first.jobs);
    assert_eq!(left(&bench, &jobs).await, 0);
    let seen = see_to_end(&mut ada, running).await;
    let numbers: Vec<_> = seen.iter().map(|delivery| delivery.event_seq.get()).collect();
    assert_eq!(numbers, (last + 1..=last + 1001).collect::<Vec<_>>());
    drop(ada);

    let store = Arc::new(bench.store.reopen(TailLimits::default()));
    let bench = Bench::over(store, RuntimeOptions { resume_window: Millis::from_secs(86_400), ..options() }).await;
    let request = ResumeRequest { session: None, token, last: EventSeq::ZERO, epoch: None, accepts_gap: true };
    let attached = bench.gateway.resume_session(principal("ada", Scopes::JOBS), request).await.unwrap();
    assert_eq!(attached.missed.unwrap().to.get(), last);
    let mut session = attached.session;
    assert_eq!(see_to_end(&mut session, running).await.len(), 1001);
}
