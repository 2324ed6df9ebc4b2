//! Jobs that delegate to each other, with everything real but the disk and the clients' sockets.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use std::time::Duration;

use common::{Bench, all_over, fact, memory, options, pass, request, see, see_to_end};
use moorline_core::Refusal;
use moorline_core::delegation::{AtParentEnd, DelegationLimits};
use moorline_core::job::Status;
use moorline_core::record::{Cause, ChildEnded, Delegated, Fact, Output};
use moorline_runtime::{Delivery, JobQuery, RuntimeOptions, SessionHandle, SubmitParent, SubmitRequest};
use moorline_types::{JobId, Json, Quotas};

/// A job that may delegate to everybody.
fn plan(input: &str) -> SubmitRequest {
    let lease = Json::parse(r#"{"agent.delegate":["*"],"cost.budget":["USD:10"],"fs.read":["/ws/**"]}"#).unwrap();
    SubmitRequest { lease, ..request("planner", input) }
}

fn children(seen: &[Delivery]) -> Vec<Delegated> {
    let delegated = |delivery: &Delivery| match fact(delivery) {
        Fact::Delegated(delegated) => Some(delegated),
        _ => None,
    };
    seen.iter().filter_map(delegated).collect()
}

fn ends(seen: &[Delivery]) -> Vec<ChildEnded> {
    let ended = |delivery: &Delivery| match fact(delivery) {
        Fact::ChildEnded(ended) => Some(ended),
        _ => None,
    };
    seen.iter().filter_map(ended).collect()
}

fn result(seen: &[Delivery]) -> Vec<String> {
    let Fact::Result(success) = fact(seen.last().unwrap()) else { panic!("{seen:?}") };
    let Output::Inline(json) = success.output else { panic!("a streamed result") };
    json.to().unwrap()
}

async fn listed(session: &SessionHandle) -> Vec<(JobId, Option<JobId>, Status)> {
    let page = session.list_jobs(&JobQuery::default()).await.unwrap();
    page.jobs.into_iter().map(|job| (job.job, job.parent, job.status)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_job_delegates_and_is_told_what_became_of_it() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let input = r#"{"jobs":[
        {"agent":"counter","input":4,"lease":{"cost.budget":["USD:1"]}},
        {"agent":"nobody","lease":{"cost.budget":["USD:1"]}},
        {"agent":"counter","input":1,"lease":{"cost.budget":["USD:1"],"fs.read":["/etc/**"]}},
        {"agent":"panicking","lease":{"cost.budget":["USD:0"]}}
    ]}"#;
    let parent = session.submit(plan(input)).await.unwrap().job;
    let seen = see_to_end(&mut session, parent).await;
    let told = result(&seen);
    assert_eq!((told[0].as_str(), told[3].as_str()), ("10", "INTERNAL_ERROR"));
    assert!(told[1].contains("AGENT_NOT_AVAILABLE") && told[2].contains("LEASE_SUBSET_VIOLATION"), "{told:?}");
    let made = children(&seen);
    assert_eq!(made.len(), 2);
    let statuses: Vec<_> = ends(&seen).into_iter().map(|ended| ended.status).collect();
    assert_eq!(statuses.len(), 2);
    assert!(statuses.contains(&Status::Success) && statuses.contains(&Status::Error));
    let refused = |delivery: &Delivery| matches!(fact(delivery), Fact::DelegationRefused(_));
    assert_eq!(seen.iter().filter(|delivery| refused(delivery)).count(), 2, "whoever watches is told too");
    all_over(&bench.gateway).await;
    let listed = listed(&session).await;
    assert_eq!(listed.len(), 3);
    for child in made {
        assert!(listed.iter().any(|(job, parent_of, _)| *job == child.child && *parent_of == Some(parent)));
    }
}

/// A child is watched like any job of its owner, and has its parent's trace.
#[tokio::test(start_paused = true)]
async fn a_child_is_a_job_of_its_parents_owner_and_of_nobody_else() {
    let bench = Bench::start().await;
    let (mut ada, mut eve) = (bench.session("ada").await, bench.session("eve").await);
    let input = r#"{"jobs":[{"agent":"counter","input":3,"lease":{"cost.budget":["USD:1"]}}]}"#;
    let parent = ada.submit(plan(input)).await.unwrap();
    let seen = see_to_end(&mut ada, parent.job).await;
    let child = children(&seen)[0].child;
    let watched = ada.subscribe(&child.to_string(), common::with_history()).await.unwrap();
    assert_eq!(watched.job.accepted.parent.as_ref().map(|link| link.job), Some(parent.job));
    assert_eq!(watched.job.accepted.trace_id, parent.accepted.trace_id);
    assert_eq!(common::logs(&see_to_end(&mut ada, child).await), ["1", "2", "3"]);
    assert!(eve.subscribe(&child.to_string(), common::with_history()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_job_cancels_its_children_and_it_ends_after_them() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let inner = r#"{"jobs":[{"agent":"patient","lease":{"cost.budget":["USD:1"]}}]}"#;
    let lease = r#"{"cost.budget":["USD:2"],"agent.delegate":["patient"]}"#;
    let input = format!(r#"{{"jobs":[{{"agent":"planner","input":{inner},"lease":{lease}}}]}}"#);
    let parent = session.submit(plan(&input)).await.unwrap().job;
    let mut seen = Vec::new();
    while children(&seen).is_empty() {
        seen.extend(see(&mut session).await);
    }
    let child = children(&seen)[0].child;
    session.subscribe(&child.to_string(), common::with_history()).await.unwrap();
    while children(&seen).len() < 2 {
        seen.extend(see(&mut session).await);
    }
    let grandchild = children(&seen)[1].child;
    pass(Duration::from_secs(1)).await;
    session.cancel(&parent.to_string(), None).await.unwrap();
    seen.extend(see_to_end(&mut session, parent).await);
    let Fact::Error(failure) = fact(seen.last().unwrap()) else { panic!("{seen:?}") };
    assert_eq!(failure.cause, Cause::Cancelled);
    let listed = listed(&session).await;
    for job in [child, grandchild] {
        assert!(listed.contains(&(job, listed.iter().find(|one| one.0 == job).unwrap().1, Status::Cancelled)));
    }
    all_over(&bench.gateway).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_done_takes_its_children_along_but_not_the_detached_ones() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let input = r#"{"leave":true,"jobs":[
        {"agent":"patient","lease":{"cost.budget":["USD:1"]}},
        {"agent":"patient","lease":{"cost.budget":["USD:1"]},"detached":true}
    ]}"#;
    let parent = session.submit(plan(input)).await.unwrap().job;
    let seen = see_to_end(&mut session, parent).await;
    assert_eq!(result(&seen), ["begun", "begun"]);
    let made = children(&seen);
    let status = async |job: JobId| {
        session
            .list_jobs(&JobQuery::default())
            .await
            .unwrap()
            .jobs
            .into_iter()
            .find(|one| one.job == job)
            .unwrap()
            .status
    };
    assert_eq!(status(made[0].child).await, Status::Cancelled);
    assert!(!status(made[1].child).await.is_terminal());
    session.cancel(&made[1].child.to_string(), None).await.unwrap();
    all_over(&bench.gateway).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_owner_may_not_have_no_child_has_either() {
    let quotas = Quotas { jobs: Some(2), ..options().quotas };
    let limits = DelegationLimits { depth: 1, ..DelegationLimits::DEFAULT };
    let bench = Bench::over(memory(), RuntimeOptions { quotas, delegation: limits, ..options() }).await;
    let mut session = bench.session("ada").await;
    let lease = r#"{"cost.budget":["USD:2"],"agent.delegate":["*"]}"#;
    let inner = r#"{"jobs":[{"agent":"counter","input":1,"lease":{"cost.budget":["USD:1"]}}]}"#;
    let input = format!(
        r#"{{"jobs":[{{"agent":"planner","input":{inner},"lease":{lease}}},{{"agent":"counter","lease":{lease}}}]}}"#
    );
    let parent = session.submit(plan(&input)).await.unwrap().job;
    let told = result(&see_to_end(&mut session, parent).await);
    assert!(told[0].contains("generations"), "{told:?}");
    assert!(told[1].contains("INVALID_REQUEST"), "{told:?}");
    all_over(&bench.gateway).await;
}

/// The next gateway has no worker that holds the jobs, so they end, each child before its parent, and the parent knows.
#[tokio::test(start_paused = true)]
async fn a_family_that_is_recovered_ends_together() {
    let store = memory();
    let parent = {
        let bench = Bench::over(store.clone(), options()).await;
        let mut session = bench.session("ada").await;
        let input = r#"{"jobs":[{"agent":"patient","lease":{"cost.budget":["USD:1"]}}]}"#;
        let parent = session.submit(plan(input)).await.unwrap().job;
        let mut seen = Vec::new();
        while children(&seen).is_empty() {
            seen.extend(see(&mut session).await);
        }
        pass(Duration::from_secs(1)).await;
        bench.gateway.stop().await;
        parent
    };
    let store = std::sync::Arc::new(store.reopen(moorline_store::TailLimits::default()));
    let bench = Bench::over(store, options()).await;
    let mut session = bench.session("ada").await;
    session.subscribe(&parent.to_string(), common::with_history()).await.unwrap();
    let seen = see_to_end(&mut session, parent).await;
    let ended = ends(&seen);
    assert_eq!(ended.len(), 1, "{seen:?}");
    assert!(ended[0].status.is_terminal());
    all_over(&bench.gateway).await;
}

/// What a client submits below `parent`, which it may call `delegate_id`.
fn below(parent: &str, delegate_id: Option<&str>, request: SubmitRequest) -> SubmitRequest {
    let parent = SubmitParent { job: parent.to_owned(), delegate_id: delegate_id.map(str::to_owned) };
    SubmitRequest { parent: Some(parent), ..request }
}

fn with_lease(lease: &str, request: SubmitRequest) -> SubmitRequest {
    SubmitRequest { lease: Json::parse(lease).unwrap(), ..request }
}

/// A job that goes on until it is cancelled, and may delegate to everybody but the planner.
async fn patient_parent(session: &mut SessionHandle) -> String {
    let lease = r#"{"agent.delegate":["counter","patient","nobody"],"cost.budget":["USD:10"],"fs.read":["/ws/**"]}"#;
    session.submit(with_lease(lease, request("patient", "null"))).await.unwrap().job.to_string()
}

#[tokio::test(start_paused = true)]
async fn what_a_parent_cannot_give_nobody_submits_below_it() {
    let limits = DelegationLimits { depth: 1, open_children: 1, ..DelegationLimits::DEFAULT };
    let bench = Bench::over(memory(), RuntimeOptions { delegation: limits, ..options() }).await;
    let mut session = bench.session("ada").await;
    let parent = patient_parent(&mut session).await;
    let late = bench.gateway.now();
    let asking = |lease, agent| with_lease(lease, request(agent, "1"));
    let one = r#"{"cost.budget":["USD:1"]}"#;
    let repeatable = SubmitRequest { expires_at: Some(late), ..asking(one, "counter") };
    for (id, asked, remedy) in [
        ("a", asking(r#"{"cost.budget":["USD:11"]}"#, "counter"), "this job has 10 left; ask for less"),
        ("b", asking("{}", "counter"), "name an amount in cost.budget"),
        ("c", asking(r#"{"cost.budget":["USD:1"],"fs.read":["/**"]}"#, "counter"), "ask for less"),
        ("d", repeatable, "name a moment that is to come"),
        ("e", asking(one, "planner"), "agent.delegate"),
        ("f", asking(one, "nobody"), "no agent is called"),
        ("", asking(one, "counter"), "`delegate_id` must have"),
    ] {
        let refused = session.submit(below(&parent, Some(id), asked)).await.unwrap_err().to_string();
        assert!(refused.contains(remedy), "{id}: {refused}");
    }
    assert_eq!(listed(&session).await.len(), 1, "what is refused leaves nothing");
    let child = session.submit(below(&parent, Some("a"), asking(one, "patient"))).await.unwrap().job.to_string();
    for (under, id, remedy) in
        [(&parent, "a", "of its own"), (&parent, "b", "its limit"), (&child, "a", "agent.delegate")]
    {
        let refused = session.submit(below(under, Some(id), asking(one, "counter"))).await.unwrap_err().to_string();
        assert!(refused.contains(remedy), "{refused}");
    }
    session.cancel(&parent, None).await.unwrap();
    all_over(&bench.gateway).await;
    let refused = session.submit(below(&parent, None, asking(one, "counter"))).await.unwrap_err();
    assert_eq!(refused, Refusal::JobEnded { status: Status::Cancelled });
}

#[tokio::test(start_paused = true)]
async fn nobody_submits_below_a_job_that_is_not_theirs_to_control() {
    let bench = Bench::start().await;
    let (mut ada, mut eve) = (bench.session("ada").await, bench.session("eve").await);
    let parent = patient_parent(&mut ada).await;
    for job in [parent.as_str(), "job_x"] {
        let refused = eve.submit(below(job, None, request("counter", "1"))).await.unwrap_err();
        assert_eq!(refused, Refusal::JobNotFound { job: job.to_owned() });
    }
    ada.cancel(&parent, None).await.unwrap();
    all_over(&bench.gateway).await;
}

/// The child is one of the job's like those of its agent, and the session that submitted it sees all of it.
#[tokio::test(start_paused = true)]
async fn a_client_submits_below_its_job_in_the_place_of_the_agent() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let parent = patient_parent(&mut session).await;
    let quick = with_lease(r#"{"cost.budget":["USD:1"]}"#, request("counter", "3"));
    let child = session.submit(below(&parent, Some("count"), quick)).await.unwrap();
    let link = child.accepted.parent.as_ref().unwrap();
    assert_eq!((link.job.to_string(), &*link.delegate_id, link.depth), (parent.clone(), "count", 1));
    assert_eq!(child.accepted.session, session.id());
    let seen = see_to_end(&mut session, child.job).await;
    assert_eq!(common::logs(&seen), ["1", "2", "3"]);
    let slow = with_lease(r#"{"cost.budget":["USD:10"]}"#, request("patient", "null"));
    let second = session.submit(below(&parent, None, slow)).await.unwrap();
    session.cancel(&parent, None).await.unwrap();
    let parent = parent.parse().unwrap();
    let mut all = seen;
    all.extend(see_to_end(&mut session, parent).await);
    let told: Vec<_> = ends(&all).into_iter().map(|ended| (ended.child, ended.status)).collect();
    assert_eq!(told, [(child.job, Status::Success), (second.job, Status::Cancelled)], "before its own end");
    all_over(&bench.gateway).await;
}

#[tokio::test(start_paused = true)]
async fn the_operator_says_what_becomes_of_children_of_which_nothing_was_said() {
    let delegation = DelegationLimits { at_parent_end: AtParentEnd::Detach, ..DelegationLimits::DEFAULT };
    let bench = Bench::over(memory(), RuntimeOptions { delegation, ..options() }).await;
    let mut session = bench.session("ada").await;
    let input = r#"{"leave":true,"jobs":[
        {"agent":"patient","lease":{"cost.budget":["USD:1"]}},
        {"agent":"patient","lease":{"cost.budget":["USD:1"]},"detached":false}
    ]}"#;
    let parent = session.submit(plan(input)).await.unwrap().job;
    let made = children(&see_to_end(&mut session, parent).await);
    assert_eq!(made.iter().map(|child| child.detached).collect::<Vec<_>>(), [true, false]);
    let listed = listed(&session).await;
    let status = |child: &Delegated| listed.iter().find(|(job, ..)| *job == child.child).unwrap().2;
    assert!(!status(&made[0]).is_terminal(), "it was not said that it is to end");
    assert_eq!(status(&made[1]), Status::Cancelled);
    session.cancel(&made[0].child.to_string(), None).await.unwrap();
    all_over(&bench.gateway).await;
}
