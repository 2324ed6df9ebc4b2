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

use common::upstream::{Fault, Upstream};
use common::{
    Bench, all_over, fact, logs, memory, options, pass, principal, reached, request, see, see_to_end, with_quotas,
};
use moorline_core::Refusal;
use moorline_core::idempotency::{Claim, ClaimKey, Fingerprint, Parameters};
use moorline_core::job::Status;
use moorline_core::quota::Quota;
use moorline_core::record::Fact;
use moorline_runtime::{GcRequest, Idempotency, JobQuery, SessionHandle, SubmitParent, SubmitRequest};
use moorline_store::{Collection, DocKey, Expect, Store, StoreFault, TailLimits};
use moorline_types::{JobId, Json, Millis, Quotas, Scopes, Timestamp, limits};

fn fingerprint(agent: &str, input: &str) -> Fingerprint {
    Fingerprint::of(&Parameters {
        agent,
        input: &Json::parse(input).unwrap(),
        lease_request: None,
        lease_constraints: None,
        max_runtime_sec: None,
        parent_job_id: None,
        delegate_id: None,
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
    assert_eq!(listed(&bench).await.len(), 1);
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
    let mut ada = principal("ada", Scopes::JOBS);
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
    assert_eq!(listed(&bench).await.len(), 1);
    assert_eq!(documents(&*bench.store, Collection::Idempotency).await, 1);
}

async fn submit(mut session: SessionHandle, request: SubmitRequest) -> Result<JobId, Refusal> {
    session.submit(request).await.map(|summary| summary.job)
}

async fn listed(bench: &Bench) -> Vec<(JobId, Status)> {
    let page = bench.session("ada").await.list_jobs(&JobQuery::default()).await.unwrap();
    page.jobs.into_iter().map(|listed| (listed.job, listed.status)).collect()
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_submission_that_comes_to_nothing_take_its_place() {
    let upstream = Upstream::new();
    let bench = Bench::provisioned(memory(), options(), Some(upstream.provisioning(Millis::from_secs(60)))).await;
    while !bench.gateway.credentials().is_offered() {
        pass(Duration::from_millis(10)).await;
    }
    // It has its turn, and waits for an upstream that does not answer.
    upstream.on_issue(Fault::Silent);
    let lease = Json::parse(r#"{"model.use":["*"]}"#).unwrap();
    let first = SubmitRequest { lease, takes_credentials: true, ..keyed("k", "counter", "3") };
    let first = tokio::spawn(submit(bench.session("ada").await, first));
    pass(Duration::from_secs(1)).await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..9 {
        waiting.spawn(submit(bench.session("ada").await, keyed("k", "counter", "3")));
    }
    pass(Duration::from_secs(1)).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let jobs: BTreeSet<_> = waiting.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!(jobs.len(), 1);
    let listed: BTreeSet<_> = listed(&bench).await.into_iter().map(|(job, _)| job).collect();
    assert_eq!(listed, jobs, "what never began is not shown");
}

/// Whoever submits may be gone before the store has answered. What it commits then is a job like every other.
#[tokio::test(start_paused = true)]
async fn a_submission_whose_submitter_is_gone_before_the_commit_is_driven_to_its_end() {
    let bench = Bench::start().await;
    let faults = bench.store.faults();
    let session = bench.session("ada").await;
    faults.hold_appends();
    let first = tokio::spawn(submit(session, keyed("k", "counter", "3")));
    pass(Duration::from_secs(1)).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    faults.allow();
    let mut again = bench.session("ada").await;
    let job = again.submit(keyed("k", "counter", "3")).await.unwrap().job;
    assert_eq!(logs(&see_to_end(&mut again, job).await), ["1", "2", "3"]);
    all_over(&bench.gateway).await;
    assert_eq!(listed(&bench).await, [(job, Status::Success)], "and there is no other");
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

/// A child of this job, which may be submitted again.
fn keyed_below(parent: JobId, key: &str, input: &str) -> SubmitRequest {
    let parent = SubmitParent { job: parent.to_string(), delegate_id: None };
    SubmitRequest { parent: Some(parent), ..keyed(key, "counter", input) }
}

async fn patient_parent(session: &mut SessionHandle) -> JobId {
    let lease = Json::parse(r#"{"agent.delegate":["counter"]}"#).unwrap();
    session.submit(SubmitRequest { lease, ..request("patient", "null") }).await.unwrap().job
}

#[tokio::test(start_paused = true)]
async fn a_submission_below_a_job_is_one_child_however_often_it_is_repeated() {
    let bench = Bench::start().await;
    let mut ada = bench.session("ada").await;
    let parent = patient_parent(&mut ada).await;
    let mut submissions = tokio::task::JoinSet::new();
    for _ in 0..20 {
        submissions.spawn(submit(bench.session("ada").await, keyed_below(parent, "k", "3")));
    }
    let jobs: BTreeSet<_> = submissions.join_all().await.into_iter().map(Result::unwrap).collect();
    let [child] = jobs.into_iter().collect::<Vec<_>>()[..] else { panic!("there are several") };
    let refused = ada.submit(keyed_below(parent, "k", "4")).await.unwrap_err();
    assert_eq!(refused, Refusal::KeyTaken { job: child });
    let free = ada.submit(keyed_below(parent, "l", "4")).await.unwrap().job;
    assert_ne!(free, child);

    let store = std::sync::Arc::new(bench.store.reopen(TailLimits::default()));
    let bench = Bench::over(store, options()).await;
    let mut ada = bench.session("ada").await;
    let again = ada.submit(keyed_below(parent, "k", "3")).await.unwrap();
    assert_eq!((again.job, again.accepted.parent.as_ref().map(|link| link.job)), (child, Some(parent)));
    see_to_end(&mut ada, child).await;
    all_over(&bench.gateway).await;
    assert_eq!(ada.submit(keyed_below(parent, "k", "3")).await.unwrap().job, child, "when the parent is over too");
    assert_eq!(listed(&bench).await.len(), 3);
}

/// The key goes with the request to the parent's task: as long as nobody knows whether there is a child, it is not free.
#[tokio::test(start_paused = true)]
async fn a_key_below_a_job_is_taken_until_its_child_is_there_and_free_if_there_is_none() {
    let bench = Bench::start().await;
    let mut ada = bench.session("ada").await;
    let parent = patient_parent(&mut ada).await;
    let refused = ada.submit(SubmitRequest {
        lease: Json::parse(r#"{"fs.read":["/**"]}"#).unwrap(),
        ..keyed_below(parent, "k", "1")
    });
    assert!(refused.await.unwrap_err().to_string().contains("ask for less"));
    let faults = bench.store.faults();
    faults.refuse_appends(StoreFault::Full);
    for _ in 0..2 {
        let refused = ada.submit(keyed_below(parent, "k", "2")).await.unwrap_err();
        assert!(matches!(refused, Refusal::StoreUnavailable { .. }), "{refused}");
    }
    faults.allow();
    let child = ada.submit(keyed_below(parent, "k", "2")).await.unwrap().job;
    see_to_end(&mut ada, child).await;
    assert_eq!(listed(&bench).await.len(), 2, "it was one submission all the time");
    ada.cancel(&parent.to_string(), None).await.unwrap();
    all_over(&bench.gateway).await;
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
    let root = bench.gateway.open_session(principal("root", Scopes::ADMIN), "test".to_owned()).await.unwrap().session;
    let removed = root.collect(GcRequest { older_than: Some(Millis::ZERO), ..GcRequest::default() }).await.unwrap();
    assert_eq!(removed.jobs, 1);
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
