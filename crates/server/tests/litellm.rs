//! Virtual keys of a server that behaves as LiteLLM's API is documented, and fails on demand.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::sync::Arc;

use common::virtual_keys::{Fault, Kit, MASTER};
use moorline_core::credential::{Answer, Capped, Constraints};
use moorline_core::lease::budget::Budget;
use moorline_runtime::Clock;
use moorline_runtime::credentials::{Cap, Issued, NotIssued, Order, Provisioner, Value};
use moorline_server::provisioning;
use moorline_types::{CredentialId, JobId, Json, Millis, PrincipalId, Timestamp};
use serde_json::json;

const NOW: Timestamp = Timestamp::from_unix_millis(1_700_000_000_000);

fn name(n: u8) -> CredentialId {
    CredentialId::mint(NOW, [n; 10])
}

fn litellm(kit: &Kit) -> Arc<dyn Provisioner> {
    provisioning(&kit.config(MASTER), Clock::tokio(NOW)).unwrap().provisioner
}

fn constraints(lease: &str) -> Constraints {
    Constraints::of(&Json::parse(lease).unwrap(), None, NOW + Millis::from_secs(3_600)).unwrap()
}

async fn issue(
    upstream: &Arc<dyn Provisioner>,
    n: u8,
    lease: &str,
    replaces: Option<&Value>,
) -> Result<Issued, NotIssued> {
    let principal: PrincipalId = "ada".parse().unwrap();
    let (job, constraints) = (JobId::mint(NOW, [9; 10]), constraints(lease));
    upstream.issue(Order { issue: name(n), job, principal: &principal, constraints: &constraints, replaces }).await
}

const FAST: &str = r#"{"model.use":["tier-fast/*"],"cost.budget":["USD:2.50"]}"#;

#[tokio::test]
async fn a_virtual_key_is_made_with_the_leases_models_budget_and_end_and_deleted_by_its_alias() {
    let kit = Kit::start(&["tier-fast/a", "tier-fast/b", "tier-fast/c/d", "tier-slow/a"]).await;
    let upstream = litellm(&kit);
    assert_eq!(upstream.check().await, Ok(()));
    let issued = issue(&upstream, 1, FAST, None).await.unwrap();
    assert_eq!(issued.endpoint, format!("{}/v1", kit.url()));
    assert!(kit.opens(issued.value.expose()));
    let key = kit.key(&name(1).to_string()).unwrap();
    assert_eq!(key["models"], json!(["tier-fast/a", "tier-fast/b"]), "one * is one segment");
    assert_eq!(key["max_budget"], json!(2.5));
    assert!(matches!(key["duration"].as_str(), Some("3600s" | "3599s")), "{key}");
    assert_eq!(
        key["metadata"],
        json!({ "moorline_job": JobId::mint(NOW, [9; 10]).to_string(), "moorline_principal": "ada" })
    );
    assert_eq!(upstream.revoke(name(1)).await, Answer::Revoked);
    assert!(!kit.opens(issued.value.expose()));
    assert_eq!(upstream.revoke(name(1)).await, Answer::Absent, "it can be said twice");
}

#[tokio::test]
async fn versions_that_refuse_to_delete_what_is_not_there_are_understood() {
    let kit = Kit::start(&["a"]).await;
    let upstream = litellm(&kit);
    for status in [400, 404] {
        kit.deletes_unknown_with(status);
        assert_eq!(upstream.revoke(name(1)).await, Answer::Absent, "HTTP {status}");
    }
    issue(&upstream, 2, r#"{"model.use":["a"]}"#, None).await.unwrap();
    kit.fault("/key/delete", Fault::Status(404));
    assert!(matches!(upstream.revoke(name(2)).await, Answer::Failed(_)), "it is there");
}

#[tokio::test]
async fn a_wildcard_of_the_upstream_is_passed_on_if_the_lease_allows_all_of_it() {
    for (models, lease, expected) in [
        (&["openai/*"][..], r#"{"model.use":["openai/**"]}"#, Some(json!(["openai/*"]))),
        (&["openai/*"], r#"{"model.use":["openai/*"]}"#, None),
        (&["*"], r#"{"model.use":["**"]}"#, Some(json!(["*"]))),
        (&["*"], r#"{"model.use":["openai/**"]}"#, None),
        (&["gpt-4o", "openai/*"], r#"{"model.use":["gpt-*"]}"#, Some(json!(["gpt-4o"]))),
    ] {
        let kit = Kit::start(models).await;
        let issued = issue(&litellm(&kit), 1, lease, None).await;
        let found = kit.key(&name(1).to_string()).map(|key| key["models"].clone());
        assert_eq!(found, expected, "{lease}");
        assert_eq!(matches!(issued, Err(NotIssued::Refused(_))), expected.is_none(), "{lease}");
    }
}

#[tokio::test]
async fn a_budget_that_the_upstream_does_not_count_is_refused_and_none_is_none() {
    let kit = Kit::start(&["a"]).await;
    let upstream = litellm(&kit);
    let refused = issue(&upstream, 1, r#"{"model.use":["a"],"cost.budget":["EUR:5"]}"#, None).await;
    assert!(matches!(refused, Err(NotIssued::Refused(reason)) if reason.contains("USD")));
    issue(&upstream, 2, r#"{"model.use":["a"]}"#, None).await.unwrap();
    assert_eq!(kit.key(&name(2).to_string()).unwrap().get("max_budget"), None);
}

#[tokio::test]
async fn a_replacement_gets_what_is_left_and_the_prior_key_ends_soon() {
    let kit = Kit::start(&["tier-fast/a"]).await;
    let upstream = litellm(&kit);
    let first = issue(&upstream, 1, FAST, None).await.unwrap();
    kit.spend(first.value.expose(), 0.75);
    let second = issue(&upstream, 2, FAST, Some(&first.value)).await.unwrap();
    assert_ne!(first.value, second.value);
    assert_eq!(kit.key(&name(2).to_string()).unwrap()["max_budget"], json!(1.75));
    assert_eq!(kit.key(&name(1).to_string()).unwrap()["duration"], "120s");
    assert!(!kit.asked().iter().any(|asked| asked.contains(first.value.expose())), "no value is in an address");

    kit.spend(second.value.expose(), 1.0);
    let third = issue(&upstream, 3, FAST, Some(&second.value)).await.unwrap();
    assert_eq!(kit.key(&name(3).to_string()).unwrap()["max_budget"], json!(0.75), "what was spent before is spent");
    kit.spend(third.value.expose(), 1.0);
    issue(&upstream, 4, FAST, Some(&third.value)).await.unwrap();
    assert_eq!(kit.key(&name(4).to_string()).unwrap()["max_budget"], json!(0), "nothing is left, and not less");
}

async fn cap(upstream: &Arc<dyn Provisioner>, n: u8, value: &Value, budget: &str) -> Capped {
    upstream.cap(Cap { issue: name(n), value, budget: &Budget::new([budget]).unwrap() }).await
}

#[tokio::test]
async fn a_key_is_kept_to_another_total_of_which_its_predecessors_have_spent_a_part() {
    let kit = Kit::start(&["tier-fast/a"]).await;
    let upstream = litellm(&kit);
    let first = issue(&upstream, 1, FAST, None).await.unwrap();
    kit.spend(first.value.expose(), 0.75);
    assert_eq!(cap(&upstream, 1, &first.value, "USD:2").await, Capped::Done);
    assert_eq!(kit.max_budget(first.value.expose()), Some(json!(2)), "what it has spent counts against it");
    let second = issue(&upstream, 2, FAST, Some(&first.value)).await.unwrap();
    for (budget, expected) in [("USD:2", json!(1.25)), ("USD:0.5", json!(0)), ("EUR:1", json!(0))] {
        assert_eq!(cap(&upstream, 2, &second.value, budget).await, Capped::Done);
        assert_eq!(kit.max_budget(second.value.expose()), Some(expected), "{budget}");
    }
    assert_eq!(upstream.revoke(name(2)).await, Answer::Revoked);
    assert_eq!(cap(&upstream, 2, &second.value, "USD:1").await, Capped::Done, "what is not there spends nothing");
    for path in ["/key/info", "/key/update"] {
        for fault in [Fault::Status(500), Fault::Status(400), Fault::Rubbish, Fault::AnswerLost] {
            kit.fault(path, fault);
            assert!(matches!(cap(&upstream, 1, &first.value, "USD:1").await, Capped::Failed(_)), "{path} {fault:?}");
        }
        kit.fault(path, Fault::None);
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told_apart_and_repeats_no_secret() {
    let kit = Kit::start(&["tier-fast/a"]).await;
    let upstream = litellm(&kit);
    for (path, fault, is_refused) in [
        ("/models", Fault::Status(500), false),
        ("/models", Fault::Rubbish, false),
        ("/key/generate", Fault::Status(503), false),
        ("/key/generate", Fault::Status(429), false),
        ("/key/generate", Fault::Status(401), false),
        ("/key/generate", Fault::Status(400), true),
        ("/key/generate", Fault::Rubbish, false),
        ("/key/generate", Fault::AnswerLost, false),
    ] {
        kit.fault(path, fault);
        let not_issued = issue(&upstream, 1, FAST, None).await.unwrap_err();
        assert_eq!(matches!(not_issued, NotIssued::Refused(_)), is_refused, "{path} {fault:?}: {not_issued}");
        let told = format!("{not_issued} {not_issued:?} {upstream:?}");
        assert!(!told.contains(MASTER) && !told.contains("sk-"), "{told}");
        kit.fault(path, Fault::None);
        // Whether or not it was made, it can be withdrawn.
        assert!(matches!(upstream.revoke(name(1)).await, Answer::Revoked | Answer::Absent));
    }
    for fault in [Fault::Status(500), Fault::Rubbish, Fault::AnswerLost] {
        issue(&upstream, 2, FAST, None).await.unwrap();
        kit.fault("/key/delete", fault);
        assert!(matches!(upstream.revoke(name(2)).await, Answer::Failed(_)), "{fault:?}");
        kit.fault("/key/delete", Fault::None);
        assert!(matches!(upstream.revoke(name(2)).await, Answer::Revoked | Answer::Absent), "{fault:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_waited_for_for_a_while() {
    let kit = Kit::start(&["tier-fast/a"]).await;
    let upstream = litellm(&kit);
    kit.fault("/models", Fault::Silent);
    let asked = upstream.check();
    tokio::pin!(asked);
    assert!(asked.await.unwrap_err().contains("no answer within"));
    drop(kit);
    assert!(upstream.check().await.is_err(), "one that is gone");
}
