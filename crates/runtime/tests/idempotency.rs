//! Submissions with a key: one job, whoever repeats them and whatever fails in between.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Bench, all_over, fact, logs, memory, options, pass, reached, request, see, see_to_end, with_quotas};
use moorline_core::Refusal;
use moorline_core::idempotency::{Claim, ClaimKey, Fingerprint, Parameters};
use moorline_core::job::Status;
use moorline_core::quota::Quota;
use moorline_core::record::Fact;
use moorline_runtime::{Idempotency, JobQuery, SessionHandle, SubmitRequest};
use moorline_store::{Collection, DocKey, Expect, Store, StoreFault, TailLimits};
use moorline_types::{JobId, Json, Quotas, StreamId, StreamSeq, Timestamp, limits};

fn fingerprint(agent: &str, input: &str) -> Fingerprint {
    Fingerprint::of(&Parameters {
        agent,
        input: &Json::parse(input).unwrap(),
        lease_request: None,
        lease_constraints: None,
        max_runtime_sec: None,
        parent_job_id: None,
    })
}

fn keyed(key: &str, agent: &str, input: &str) -> SubmitRequest {
    let idempotency = Idempotency { key: key.to_owned(), fingerprint: fingerprint(agent, input) };
    SubmitRequest { idempotency: Some(idempotency), ..request(agent, input) }
}

fn claim_of(principal: &str, key: &str) -> DocKey {
    let name = ClaimKey::of(&principal.parse().unwrap(), key);
    DocKey::new(Collection::Idempotency, name.to_string()).unwrap()
}

async fn documents(store: &impl Store, collection: Collection) -> usize {
    store.list(collection, None, 1_000).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_sessions_that_submit_the_same_at_once_get_one_job() {
    let bench = Bench::start().await;
    let mut submissions = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let mut session = bench.session("ada").await;
        submissions.spawn(async move {
            let job = session.submit(keyed("k", "counter", "10")).await.unwrap().job;
            (job, logs(&see_to_end(&mut session, job).await))
        });
    }
    let answers = submissions.join_all().await;
    let jobs: BTreeSet<_> = answers.iter().map(|(job, _)| job).collect();
    assert_eq!(jobs.len(), 1);
    let counted: Vec<_> = (1..=10).map(|n: u64| n.to_string()).collect();
    assert!(answers.iter().all(|(_, seen)| *seen == counted), "everybody sees all of it");
    assert_eq!(documents(&*bench.store, Collection::JobIndex).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_repetition_is_answered_with_what_the_first_was_told_and_sees_the_job_to_its_end() {
    let bench = Bench::start().await;
    let mut first = bench.session("ada").await;
    let accepted = first.submit(keyed("k", "counter", "5")).await.unwrap();
    see_to_end(&mut first, accepted.job).await;
    let mut other = bench.session("ada").await;
    let again = other.submit(keyed("k", "counter", "5")).await.unwrap();
    assert_eq!(
        (again.job, again.accepted_at, &again.accepted),
        (accepted.job, accepted.accepted_at, &accepted.accepted)
    );
    assert_eq!(again.status, Status::Success);
    let seen = see_to_end(&mut other, again.job).await;
    assert!(matches!(fact(seen.last().unwrap()), Fact::Result(_)));
    assert_eq!(logs(&seen).len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_submitter_that_repeats_itself_while_it_watches_sees_nothing_twice() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let job = session.submit(keyed("k", "counter", "300")).await.unwrap().job;
    let mut seen = see(&mut session).await;
    assert_eq!(session.submit(keyed("k", "counter", "300")).await.unwrap().job, job);
    seen.extend(see_to_end(&mut session, job).await);
    common::assert_dense(&seen);
    assert_eq!(logs(&seen).len(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_used_for_something_else_is_refused_with_the_job_that_has_it() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let job = session.submit(keyed("k", "patient", "1")).await.unwrap().job;
    let refused = session.submit(keyed("k", "patient", "2")).await.unwrap_err();
    assert_eq!(refused, Refusal::KeyTaken { job });
    let mut eve = bench.session("eve").await;
    let hers = eve.submit(keyed("k", "patient", "2")).await.unwrap().job;
    assert_ne!(hers, job, "another principal's key is another key");
}

#[tokio::test(start_paused = true)]
async fn a_repetition_is_not_counted_as_one_more_submission() {
    let bench = Bench::start().await;
    let mut ada = common::principal("ada", moorline_types::Scopes::JOBS);
    ada.grants.quotas.submits_per_sec = Some(1);
    let mut session = bench.gateway.open_session(ada, "test".to_owned()).await.unwrap().session;
    let first = session.submit(keyed("k", "counter", "1")).await.unwrap().job;
    let refused = session.submit(keyed("l", "counter", "1")).await.unwrap_err();
    assert_eq!(reached(&refused), (Quota::SubmitsPerSec, 1, 1));
    assert_eq!(session.submit(keyed("k", "counter", "1")).await.unwrap().job, first);
}

#[tokio::test(start_paused = true)]
async fn a_repetition_needs_no_room_for_another_job() {
    let bench = Bench::over(memory(), with_quotas(Quotas { jobs: Some(1), ..Quotas::default() })).await;
    let mut session = bench.session("ada").await;
    let job = session.submit(keyed("k", "patient", "null")).await.unwrap().job;
    for another in [request("counter", "1"), keyed("l", "counter", "1")] {
        assert_eq!(reached(&session.submit(another).await.unwrap_err()), (Quota::Jobs, 1, 1));
    }
    assert_eq!(session.submit(keyed("k", "patient", "null")).await.unwrap().job, job);
    assert_eq!(bench.gateway.open_jobs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_submission_that_is_refused_leaves_its_key_free() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    assert!(session.submit(keyed("k", "nobody", "1")).await.is_err());
    let faults = bench.store.faults();
    for refuse in [true, false] {
        if refuse {
            faults.refuse_appends(StoreFault::Full)
        } else {
            faults.refuse_writes(StoreFault::Full)
        }
        let refused = session.submit(keyed("k", "counter", "1")).await.unwrap_err();
        assert!(matches!(refused, Refusal::StoreUnavailable { .. }), "{refused}");
        faults.allow();
    }
    let job = session.submit(keyed("k", "counter", "2")).await.expect("other parameters: nothing has the key").job;
    see_to_end(&mut session, job).await;
    assert_eq!(documents(&*bench.store, Collection::JobIndex).await, 1);
    assert_eq!(documents(&*bench.store, Collection::Idempotency).await, 1);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_submission_that_comes_to_nothing_take_its_place() {
    let bench = Bench::start().await;
    let mut sessions = Vec::new();
    for _ in 0..10 {
        sessions.push(bench.session("ada").await);
    }
    let faults = bench.store.faults();
    faults.hold_appends();
    let submit = |mut session: SessionHandle| async move {
        let submitted = session.submit(keyed("k", "counter", "3")).await;
        submitted.map(|summary| summary.job)
    };
    let first = tokio::spawn(submit(sessions.remove(0)));
    // It has its turn, and waits for the store.
    pass(Duration::from_secs(1)).await;
    let waiting: tokio::task::JoinSet<_> = sessions.into_iter().map(submit).collect();
    pass(Duration::from_secs(1)).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    faults.allow();
    let jobs: BTreeSet<_> = waiting.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!(jobs.len(), 1);
    let listed = bench.session("ada").await.list_jobs(&JobQuery::default()).await.unwrap().jobs;
    assert_eq!(listed.iter().map(|listed| listed.job).collect::<BTreeSet<_>>(), jobs, "what never began is not shown");
}

#[tokio::test(start_paused = true)]
async fn a_key_survives_a_kill() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let job = session.submit(keyed("k", "counter", "5")).await.unwrap().job;
    see_to_end(&mut session, job).await;
    let store = std::sync::Arc::new(bench.store.reopen(TailLimits::default()));
    let bench = Bench::over(store, options()).await;
    let mut session = bench.session("ada").await;
    assert_eq!(session.submit(keyed("k", "counter", "5")).await.unwrap().job, job);
    assert_eq!(logs(&see_to_end(&mut session, job).await).len(), 5);
    let refused = session.submit(keyed("k", "counter", "6")).await.unwrap_err();
    assert_eq!(refused, Refusal::KeyTaken { job });
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_job_never_began_is_taken_over() {
    let bench = Bench::start().await;
    // What a crash between the claim and the job leaves.
    let never = JobId::mint(Timestamp::from_unix_millis(1_000_000), [9; 10]);
    let claim = Claim::new(bench.gateway.now(), &fingerprint("counter", "1"), never);
    bench.store.put(&claim_of("ada", "k"), claim.encode().into(), Expect::Absent).await.unwrap();
    let mut session = bench.session("ada").await;
    let job = session.submit(keyed("k", "counter", "2")).await.unwrap().job;
    assert_ne!(job, never);
    assert_eq!(session.submit(keyed("k", "counter", "2")).await.unwrap().job, job);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_cannot_be_read_is_no_reason_to_run_a_job_twice() {
    let bench = Bench::start().await;
    bench.store.put(&claim_of("ada", "k"), "?".into(), Expect::Absent).await.unwrap();
    let mut session = bench.session("ada").await;
    let refused = session.submit(keyed("k", "counter", "2")).await.unwrap_err();
    assert!(matches!(refused, Refusal::StoreUnavailable { .. }), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_removed_is_not_run_again_under_its_key() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let job = session.submit(keyed("k", "counter", "1")).await.unwrap().job;
    see_to_end(&mut session, job).await;
    all_over(&bench.gateway).await;
    bench.store.trim_stream(StreamId::Job(job), StreamSeq::new(u64::MAX)).await.unwrap();
    let refused = session.submit(keyed("k", "counter", "1")).await.unwrap_err();
    assert_eq!(refused, Refusal::KeyOfRemovedJob { job });
}

#[tokio::test(start_paused = true)]
async fn a_key_is_free_again_after_a_day_and_its_claim_is_swept_away() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let first = session.submit(keyed("k", "counter", "1")).await.unwrap().job;
    session.submit(keyed("l", "counter", "1")).await.unwrap();
    pass(limits::IDEMPOTENCY_TTL.as_duration() - Duration::from_secs(1)).await;
    assert_eq!(session.submit(keyed("k", "counter", "1")).await.unwrap().job, first);
    assert_eq!(documents(&*bench.store, Collection::Idempotency).await, 2);
    pass(Duration::from_secs(1)).await;
    let second = session.submit(keyed("k", "counter", "2")).await.unwrap().job;
    assert_ne!(second, first);
    // At most one interval until the next sweep, which leaves what is not over.
    pass(Duration::from_secs(2 * 3_600)).await;
    assert_eq!(documents(&*bench.store, Collection::Idempotency).await, 1);
    assert_eq!(session.submit(keyed("k", "counter", "2")).await.unwrap().job, second);
}
