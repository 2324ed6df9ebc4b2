//! Credentials of children (spec 9.8.2): issued before a child is accepted, within its lease, and dead before its end.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::upstream::{Fault, Upstream, bench, documents, submitted, until, values};
use common::{Bench, all_over, fact, logs, memory, options, pass, request, see, see_to_end, with_history};
use moorline_core::Refusal;
use moorline_core::quota::{Quota, QuotaReached};
use moorline_core::record::{Fact, Output};
use moorline_runtime::{Delivery, SessionHandle, SubmitParent, SubmitRequest};
use moorline_store::TailLimits;
use moorline_types::{JobId, Json, Quotas};

const LEASE: &str = r#"{"agent.delegate":["*"],"model.use":["tier-fast/*"],"cost.budget":["USD:2.00"]}"#;
const WITHIN: &str = r#"{"model.use":["tier-fast/a"],"cost.budget":["USD:0.50"]}"#;

/// A planner that delegates to this agent, and may use models itself.
fn planning(agent: &str, input: &str) -> SubmitRequest {
    let input = format!(r#"{{"jobs":[{{"agent":"{agent}","input":{input},"lease":{WITHIN}}}]}}"#);
    let lease = Json::parse(LEASE).unwrap();
    SubmitRequest { lease, takes_credentials: true, ..request("planner", &input) }
}

fn children(seen: &[Delivery]) -> Vec<JobId> {
    let delegated = |delivery: &Delivery| match fact(delivery) {
        Fact::Delegated(delegated) => Some(delegated.child),
        _ => None,
    };
    seen.iter().filter_map(delegated).collect()
}

async fn see_child(session: &mut SessionHandle) -> JobId {
    loop {
        if let Some(child) = children(&see(session).await).first() {
            return *child;
        }
    }
}

fn result(seen: &[Delivery]) -> Vec<String> {
    let Fact::Result(success) = fact(seen.last().unwrap()) else { panic!("{seen:?}") };
    let Output::Inline(json) = success.output else { panic!("a streamed result") };
    json.to().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_child_has_a_credential_of_its_own_that_is_within_its_lease_and_its_owners_only() {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let (mut ada, mut eve) = (bench.session("ada").await, bench.session("eve").await);
    let parent = ada.submit(planning("holder", "null")).await.unwrap();
    let child = see_child(&mut ada).await;
    let watched = ada.subscribe(&child.to_string(), with_history()).await.unwrap().job;
    let said: serde_json::Value = watched.accepted.credentials[0].constraints.to().unwrap();
    assert_eq!((&said["cost.budget"][0], &said["model.use"][0]), (&"USD:0.5".into(), &"tier-fast/a".into()));
    assert_eq!((values(&ada, &parent), values(&ada, &watched)), (vec!["sk-0".to_owned()], vec!["sk-1".to_owned()]));
    assert!(values(&eve, &watched).is_empty() && eve.subscribe(&child.to_string(), with_history()).await.is_err());
    let mut seen = Vec::new();
    while logs(&seen).is_empty() {
        seen.extend(see(&mut ada).await);
    }
    assert_eq!(logs(&seen), ["sk-1"], "its agent has its own and not its parent's");

    ada.cancel(&child.to_string(), None).await.unwrap();
    see_to_end(&mut ada, child).await;
    assert!(!upstream.live().contains(&"sk-1".to_owned()), "whoever sees its end knows that it is withdrawn");
    all_over(&bench.gateway).await;
    assert_eq!((upstream.live().len(), documents(&bench).await), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_parent_leaves_no_credential_of_a_child() {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let mut ada = bench.session("ada").await;
    let parent = ada.submit(planning("holder", "null")).await.unwrap();
    see_child(&mut ada).await;
    assert_eq!(upstream.live(), ["sk-0", "sk-1"]);
    ada.cancel(&parent.job.to_string(), None).await.unwrap();
    see_to_end(&mut ada, parent.job).await;
    assert!(upstream.live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_issued_refuses_the_delegation_with_its_code_and_leaves_nothing_behind() {
    for (fault, code) in [
        (Fault::Down, "INTERNAL_ERROR"),
        (Fault::Refuses, "INVALID_REQUEST"),
        (Fault::AnswerLost, "INTERNAL_ERROR"),
        (Fault::Silent, "INTERNAL_ERROR"),
    ] {
        let upstream = Upstream::new();
        let bench = bench(memory(), &upstream).await;
        let mut ada = bench.session("ada").await;
        let parent = ada.submit(planning("counter", "1")).await.unwrap();
        upstream.on_issue(fault);
        let told = result(&see_to_end(&mut ada, parent.job).await);
        assert!(told[0].contains(code), "{fault:?}: {told:?}");
        all_over(&bench.gateway).await;
        until("what may be there is withdrawn", || upstream.live().is_empty()).await;
        until("and forgotten", || bench.gateway.credentials().report().revocations.is_empty()).await;
        assert_eq!(documents(&bench).await, 0, "{fault:?}");
    }
}

/// The upstream has issued, nobody was told, and the gateway is gone: the next one withdraws it.
#[tokio::test(start_paused = true)]
async fn a_gateway_that_goes_while_a_child_waits_leaves_nothing_of_it() {
    let (upstream, store) = (Upstream::new(), memory());
    let before = bench(Arc::clone(&store), &upstream).await;
    let mut ada = before.session("ada").await;
    let parent = ada.submit(planning("counter", "1")).await.unwrap();
    upstream.on_issue(Fault::Silent);
    until("it is asked for", || upstream.issued().len() == 2).await;
    before.gateway.stop().await;
    upstream.on_issue(Fault::None);

    let after = bench(Arc::new(store.reopen(TailLimits::default())), &upstream).await;
    let mut ada = after.session("ada").await;
    ada.subscribe(&parent.job.to_string(), with_history()).await.unwrap();
    let seen = see_to_end(&mut ada, parent.job).await;
    assert!(children(&seen).is_empty(), "its worker is gone, so there is nobody to have a child");
    until("all of it is withdrawn", || upstream.live().is_empty()).await;
    until("and forgotten", || after.gateway.credentials().report().revocations.is_empty()).await;
    assert_eq!(documents(&after).await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_client_submits_below_its_job_has_a_credential_which_it_is_shown() {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let mut ada = bench.session("ada").await;
    let lease = Json::parse(LEASE).unwrap();
    let parent = ada.submit(SubmitRequest { lease, ..request("patient", "null") }).await.unwrap();
    assert!(upstream.issued().is_empty(), "its client did not ask for one");
    let below = |takes_credentials, name: &str| SubmitRequest {
        lease: Json::parse(WITHIN).unwrap(),
        takes_credentials,
        parent: Some(SubmitParent { job: parent.job.to_string(), delegate_id: Some(name.to_owned()) }),
        ..request("patient", "null")
    };
    let without = ada.submit(below(false, "a")).await.unwrap();
    assert!(without.accepted.credentials.is_empty());
    let child = ada.submit(below(true, "b")).await.unwrap();
    assert_eq!((values(&ada, &child), child.accepted.credentials.len()), (vec!["sk-0".to_owned()], 1));
    upstream.on_issue(Fault::Refuses);
    let refused = ada.submit(below(true, "c")).await.unwrap_err();
    assert!(matches!(refused, Refusal::CredentialRefused { .. }), "{refused}");
    upstream.on_issue(Fault::None);
    ada.submit(below(true, "c")).await.expect("what was refused has not taken the name");
    ada.cancel(&parent.job.to_string(), None).await.unwrap();
    see_to_end(&mut ada, parent.job).await;
    assert!(upstream.live().is_empty());
}

fn amounts(amounts: &[(&str, &str)]) -> Vec<(String, String)> {
    amounts.iter().map(|(value, amount)| ((*value).to_owned(), (*amount).to_owned())).collect()
}

/// Before the child's works, and when that is gone: at no time are both good for the same sum.
#[tokio::test(start_paused = true)]
async fn what_a_child_is_given_is_taken_off_its_parents_credential_and_comes_back_with_its_own() {
    let (upstream, bench, mut ada) = submitted(planning("holder", "null")).await;
    let child = see_child(&mut ada).await;
    assert_eq!(upstream.budgets(), amounts(&[("sk-0", "1.5"), ("sk-1", "0.5")]));
    ada.subscribe(&child.to_string(), with_history()).await.unwrap();
    upstream.on_revoke(Fault::Down);
    ada.cancel(&child.to_string(), None).await.unwrap();
    see_to_end(&mut ada, child).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(upstream.budgets(), amounts(&[("sk-0", "1.5"), ("sk-1", "0.5")]), "the child's may be good yet");
    upstream.on_revoke(Fault::None);
    bench.gateway.credentials().hurry();
    all_over(&bench.gateway).await;
}

/// A share that goes to a child without models comes off too, and what is not told is told again.
#[tokio::test(start_paused = true)]
async fn an_upstream_that_cannot_change_a_budget_refuses_a_child_and_is_told_until_it_can() {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let mut ada = bench.session("ada").await;
    let parent = ada.submit(SubmitRequest { lease: Json::parse(LEASE).unwrap(), ..asking_patient() }).await.unwrap();
    upstream.on_cap(Fault::Down);
    let below = |lease: &str, name: &str| SubmitRequest {
        lease: Json::parse(lease).unwrap(),
        parent: Some(SubmitParent { job: parent.job.to_string(), delegate_id: Some(name.to_owned()) }),
        ..asking_patient()
    };
    let refused = ada.submit(below(WITHIN, "a")).await.unwrap_err();
    assert!(matches!(refused, Refusal::CredentialUnavailable { .. }), "{refused}");
    assert_eq!(upstream.budgets(), amounts(&[("sk-0", "2")]), "nothing was issued for it");
    ada.submit(below(r#"{"cost.budget":["USD:0.25"]}"#, "b")).await.expect("it needs no credential");
    upstream.on_cap(Fault::None);
    until("the upstream is told", || upstream.budgets() == amounts(&[("sk-0", "1.75")])).await;
    let child = ada.submit(below(WITHIN, "a")).await.unwrap();
    assert_eq!(upstream.budgets(), amounts(&[("sk-0", "1.25"), ("sk-1", "0.5")]));
    ada.cancel(&child.job.to_string(), None).await.unwrap();
    until("it comes back", || upstream.budgets() == amounts(&[("sk-0", "1.75")])).await;

    upstream.on_cap(Fault::Refuses);
    ada.submit(below(WITHIN, "c")).await.expect("an upstream that changes nothing keeps nobody from delegating");
    ada.cancel(&parent.job.to_string(), None).await.unwrap();
    see_to_end(&mut ada, parent.job).await;
    assert!(upstream.live().is_empty());
}

fn asking_patient() -> SubmitRequest {
    SubmitRequest { takes_credentials: true, ..request("patient", "null") }
}

/// A value that comes in the place of another one is made for what the children leave.
#[tokio::test(start_paused = true)]
async fn a_value_that_is_replaced_while_children_run_allows_what_they_leave() {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let mut ada = bench.session("ada").await;
    let parent = ada.submit(planning("holder", "null")).await.unwrap();
    see_child(&mut ada).await;
    bench.gateway.rotate_credential(&parent.job.to_string(), None).await.unwrap();
    until("the prior one is withdrawn", || upstream.budgets() == amounts(&[("sk-1", "0.5"), ("sk-2", "1.5")])).await;
    ada.cancel(&parent.job.to_string(), None).await.unwrap();
    all_over(&bench.gateway).await;
}

/// A delegation counts as a submission of the job's owner, a refused one too, and is refused beyond the owner's rate.
#[tokio::test(start_paused = true)]
async fn what_agents_delegate_counts_as_submitted_by_their_jobs_owner() {
    let quotas = Quotas { submits_per_sec: Some(2), ..options().quotas };
    let bench = Bench::over(memory(), moorline_runtime::RuntimeOptions { quotas, ..options() }).await;
    let mut ada = bench.session("ada").await;
    let part = r#"{"agent":"counter","input":1}"#;
    let lease = Json::parse(r#"{"agent.delegate":["counter"]}"#).unwrap();
    let input = format!(r#"{{"jobs":[{part},{part}]}}"#);
    let parent = ada.submit(SubmitRequest { lease, ..request("planner", &input) }).await.unwrap();
    let told = result(&see_to_end(&mut ada, parent.job).await);
    assert!(told[0] == "1" && told[1].contains("2 jobs a second"), "{told:?}");
    let refused = ada.submit(request("counter", "1")).await.unwrap_err();
    assert!(
        matches!(refused, Refusal::QuotaReached(QuotaReached { quota: Quota::SubmitsPerSec, .. })),
        "it is one rate: {refused}"
    );
    pass(Duration::from_secs(1)).await;
    ada.submit(request("counter", "1")).await.expect("a second later");
    all_over(&bench.gateway).await;
}
