//! Credentials for upstreams (spec 9.8): issued before a job is accepted, and withdrawn before its end is told.

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
use common::{assert_dense, fact, logs, memory, pass, request, see, see_to_end, with_history};
use moorline_core::Refusal;
use moorline_core::record::{Cause, CredentialRotated, Fact};
use moorline_runtime::{Delivery, Gateway, SessionHandle, SubmitRequest};
use moorline_store::{StoreFault, TailLimits};
use moorline_types::{JobId, Json};

fn asking(agent: &str, input: &str) -> SubmitRequest {
    let lease = Json::parse(r#"{"model.use":["tier-fast/*"],"cost.budget":["USD:2.00"]}"#).unwrap();
    SubmitRequest { lease, takes_credentials: true, ..request(agent, input) }
}

fn failing(gateway: &Gateway) -> usize {
    gateway.credentials().report().revocations.iter().filter(|revocation| revocation.failed > 0).count()
}

#[tokio::test(start_paused = true)]
async fn a_job_has_a_credential_of_its_own_from_its_acceptance_to_its_end() {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let mut ada = bench.session("ada").await;
    let first = ada.submit(asking("patient", "null")).await.unwrap();
    let second = ada.submit(asking("counter", "3")).await.unwrap();
    assert_eq!((values(&ada, &first), values(&ada, &second)), (vec!["sk-0".to_owned()], vec!["sk-1".to_owned()]));
    let said: serde_json::Value = first.accepted.credentials[0].constraints.to().unwrap();
    assert_eq!((&said["cost.budget"][0], &said["model.use"][0]), (&"USD:2".into(), &"tier-fast/*".into()));

    see_to_end(&mut ada, second.job).await;
    assert_eq!(upstream.live(), ["sk-0"], "whoever sees the end knows that it is withdrawn");
    ada.cancel(&first.job.to_string(), None).await.unwrap();
    see_to_end(&mut ada, first.job).await;
    assert_eq!((upstream.live().len(), values(&ada, &first).len(), documents(&bench).await), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn only_who_submitted_a_job_is_shown_its_credentials_on_any_session() {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let (mut ada, elsewhere, eve) =
        (bench.session("ada").await, bench.session("ada").await, bench.session("eve").await);
    let job = ada.submit(asking("patient", "null")).await.unwrap();
    assert_eq!(values(&elsewhere, &job), ["sk-0"]);
    assert!(values(&eve, &job).is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_given_a_credential_or_needs_none_is_given_none() {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let mut ada = bench.session("ada").await;
    let plain = SubmitRequest { takes_credentials: false, ..asking("counter", "1") };
    let without_models = SubmitRequest { lease: Json::parse("{}").unwrap(), ..asking("counter", "1") };
    for request in [plain, without_models] {
        assert!(ada.submit(request).await.unwrap().accepted.credentials.is_empty());
    }
    assert!(upstream.issued().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_issued_refuses_the_job_and_leaves_nothing_behind() {
    for (fault, is_for_later) in
        [(Fault::Down, true), (Fault::Refuses, false), (Fault::AnswerLost, true), (Fault::Silent, true)]
    {
        let upstream = Upstream::new();
        let bench = bench(memory(), &upstream).await;
        let mut ada = bench.session("ada").await;
        upstream.on_issue(fault);
        match ada.submit(asking("counter", "1")).await.unwrap_err() {
            Refusal::CredentialUnavailable { .. } => assert!(is_for_later, "{fault:?}"),
            Refusal::CredentialRefused { .. } => assert!(!is_for_later, "{fault:?}"),
            other => panic!("{fault:?}: {other}"),
        }
        assert_eq!(bench.gateway.open_jobs(), 0);
        until("what may be there is withdrawn", || upstream.live().is_empty()).await;
        until("and forgotten", || bench.gateway.credentials().report().revocations.is_empty()).await;
        assert_eq!(documents(&bench).await, 0, "{fault:?}");
        upstream.on_issue(Fault::None);
        until("the upstream was looked at", || bench.gateway.credentials().is_offered()).await;
        let job = ada.submit(asking("counter", "1")).await.unwrap();
        see_to_end(&mut ada, job.job).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_be_written_down_has_its_credential_withdrawn() {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let mut ada = bench.session("ada").await;
    bench.store.faults().refuse_appends(StoreFault::Full);
    let refusal = ada.submit(asking("counter", "1")).await.unwrap_err();
    assert!(matches!(refusal, Refusal::StoreUnavailable { .. }), "{refusal}");
    bench.store.faults().allow();
    until("it is withdrawn", || upstream.live().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_does_not_withdraw_delays_an_end_for_a_moment_and_is_asked_until_it_does() {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let mut ada = bench.session("ada").await;
    let job = ada.submit(asking("counter", "3")).await.unwrap();
    upstream.on_revoke(Fault::Down);
    let begun = bench.gateway.now();
    let seen = see_to_end(&mut ada, job.job).await;
    assert!(matches!(fact(seen.last().unwrap()), Fact::Result(_)));
    assert!(bench.gateway.now().since(begun).get() < 10_000);
    assert_eq!((upstream.live().len(), failing(&bench.gateway)), (1, 1), "an operator sees it");
    upstream.on_revoke(Fault::None);
    assert_eq!(bench.gateway.credentials().hurry(), 1);
    until("it is withdrawn", || upstream.live().is_empty()).await;
    until("and forgotten", || bench.gateway.credentials().report().revocations.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn credentials_are_offered_only_while_they_can_be_withdrawn() {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let mut ada = bench.session("ada").await;
    upstream.on_revoke(Fault::Down);
    for _ in 0..=moorline_core::credential::MAX_FAILING {
        let job = ada.submit(asking("counter", "1")).await.unwrap();
        see_to_end(&mut ada, job.job).await;
    }
    assert!(!bench.gateway.credentials().is_offered());
    let refusal = ada.submit(asking("counter", "1")).await.unwrap_err();
    assert!(matches!(refusal, Refusal::CredentialUnavailable { .. }), "{refusal}");
    upstream.on_revoke(Fault::None);
    bench.gateway.credentials().hurry();
    until("they are offered again", || bench.gateway.credentials().is_offered()).await;

    upstream.on_check(Fault::Down);
    until("an upstream that is away is noticed", || !bench.gateway.credentials().is_offered()).await;
    upstream.on_check(Fault::None);
    until("and one that is back", || bench.gateway.credentials().is_offered()).await;
}

fn rotations(seen: &[Delivery]) -> Vec<(JobId, CredentialRotated)> {
    let rotated = |delivery: &Delivery| match fact(delivery) {
        Fact::CredentialRotated(rotated) => Some((delivery.job, rotated)),
        _ => None,
    };
    seen.iter().filter_map(rotated).collect()
}

/// The value of before is withdrawn and not the credential, the new one is alive, and only its submitter is told.
#[tokio::test(start_paused = true)]
async fn a_value_is_replaced_in_time_and_the_prior_one_is_withdrawn() {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let (mut ada, eve) = (bench.session("ada").await, bench.session("eve").await);
    let job = ada.submit(asking("patient", "null")).await.unwrap();
    let mut seen = Vec::new();
    while rotations(&seen).is_empty() {
        seen.extend(see(&mut ada).await);
    }
    let (of, rotated) = rotations(&seen)[0];
    assert_eq!((of, rotated.credential), (job.job, job.accepted.credentials[0].id));
    assert_dense(&seen);
    assert_eq!(ada.rotated_value(of, &rotated).unwrap().expose(), "sk-1");
    assert_eq!(eve.rotated_value(of, &rotated), None);
    assert_eq!(values(&ada, &job), ["sk-1"], "a subscription shows what is good now");
    until("the prior one is withdrawn", || upstream.live() == ["sk-1"]).await;

    ada.cancel(&job.job.to_string(), None).await.unwrap();
    see_to_end(&mut ada, job.job).await;
    assert!(upstream.live().is_empty());
    assert_eq!(ada.rotated_value(of, &rotated), None, "a value that is withdrawn is nowhere");
}

/// Whoever asks is answered when the new value is the job's, and why there is none.
#[tokio::test(start_paused = true)]
async fn a_value_is_replaced_when_somebody_asks_for_it() {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let mut ada = bench.session("ada").await;
    let job = ada.submit(asking("patient", "null")).await.unwrap();
    let (id, credential) = (job.job.to_string(), job.accepted.credentials[0].id);
    let both = [bench.gateway.rotate_credential(&id, Some(credential)), bench.gateway.rotate_credential(&id, None)];
    for answer in futures_util::future::join_all(both).await {
        assert_eq!(answer, Ok(credential));
    }
    assert_eq!(values(&ada, &job), ["sk-1"], "asked for twice at once it is replaced once");
    until("the prior one is withdrawn", || upstream.live() == ["sk-1"]).await;

    upstream.on_issue(Fault::AnswerLost);
    let refused = bench.gateway.rotate_credential(&id, None).await.unwrap_err();
    assert!(matches!(refused, Refusal::CredentialUnavailable { .. }), "{refused}");
    until("what may be there is withdrawn", || upstream.live() == ["sk-1"]).await;
    assert_eq!(values(&ada, &job), ["sk-1"], "the one before goes on");
    upstream.on_issue(Fault::None);

    let other = ada.submit(request("patient", "null")).await.unwrap().job.to_string();
    for (named, expected) in [(other.as_str(), "has no credential"), ("job_x", "no job")] {
        let refused = bench.gateway.rotate_credential(named, None).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    ada.cancel(&id, None).await.unwrap();
    see_to_end(&mut ada, job.job).await;
    pass(Duration::from_secs(1)).await;
    let refused = bench.gateway.rotate_credential(&id, None).await.unwrap_err();
    assert!(matches!(refused, Refusal::JobEnded { .. }), "{refused}");
    assert!(upstream.live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_value_is_shown_to_no_other_upstream_than_its_own() {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let mut ada = bench.session("ada").await;
    let job = ada.submit(asking("patient", "null")).await.unwrap().job.to_string();
    bench.gateway.rotate_credential(&job, None).await.unwrap();
    assert_eq!(upstream.replaced(), ["sk-0"], "what was spent with it is spent");
    upstream.becomes_another();
    bench.gateway.rotate_credential(&job, None).await.unwrap();
    assert_eq!((upstream.replaced(), upstream.issued().len()), (vec!["sk-0".to_owned()], 3));
}

/// What waits for an upstream is bounded over all sessions, and nothing stays of what nobody waits for any more.
#[tokio::test(start_paused = true)]
async fn no_more_than_so_many_wait_for_an_upstream_at_once() {
    let upstream = Upstream::new();
    let bench = bench(memory(), &upstream).await;
    let mut sessions = Vec::new();
    for name in ["p0", "p1", "p2", "p3", "p4"] {
        sessions.push(bench.session(name).await);
    }
    upstream.on_issue(Fault::Silent);
    let prepare = |session: &SessionHandle| session.check_submission(asking("counter", "1")).unwrap();
    assert!(prepare(&sessions[0]).waits());
    let mut many: Vec<_> = (0..300).map(|n| Box::pin(prepare(&sessions[n % 5]).prepare())).collect();
    let refused = many.iter_mut().filter_map(futures_util::FutureExt::now_or_never).count();
    assert_eq!(refused, 300 - 256, "the others wait");
    let mut session = bench.session("ada").await;
    let refused = prepare(&session).prepare();
    let refused = session.finish_submission(refused.await).await.unwrap_err().to_string();
    assert!(refused.contains("too many are being issued"), "{refused}");
    assert!(upstream.issued().len() <= 16, "{} at once", upstream.issued().len());
    drop(many);
    upstream.on_issue(Fault::None);
    until("nothing is left of them", || upstream.live().is_empty()).await;
    until("and forgotten", || bench.gateway.credentials().report().revocations.is_empty()).await;
    let job = session.submit(asking("counter", "1")).await.unwrap();
    see_to_end(&mut session, job.job).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_has_its_jobs_credential_and_is_told_of_another_value() {
    let (_upstream, _bench, mut ada) = submitted(asking("holder", "null")).await;
    let mut seen = Vec::new();
    while logs(&seen).len() < 2 {
        seen.extend(see(&mut ada).await);
    }
    assert_eq!(logs(&seen), ["sk-0", "sk-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_withdraws_whatever_no_job_goes_on_with() {
    let (upstream, store) = (Upstream::new(), memory());
    let before = bench(Arc::clone(&store), &upstream).await;
    let mut ada = before.session("ada").await;
    let job = ada.submit(asking("patient", "null")).await.unwrap();
    // One whose answer is lost, and one whose job has ended: neither can be withdrawn by this gateway.
    upstream.on_revoke(Fault::Down);
    upstream.on_issue(Fault::AnswerLost);
    ada.submit(asking("counter", "1")).await.unwrap_err();
    upstream.on_issue(Fault::None);
    until("the upstream was looked at", || before.gateway.credentials().is_offered()).await;
    let over = ada.submit(asking("counter", "1")).await.unwrap();
    see_to_end(&mut ada, over.job).await;
    assert_eq!(upstream.live(), ["sk-0", "sk-1", "sk-2"]);
    // It goes as a gateway does that is killed: its job stays open.
    before.gateway.stop().await;
    upstream.on_revoke(Fault::None);

    let after = bench(Arc::new(store.reopen(TailLimits::default())), &upstream).await;
    until("all of it is withdrawn", || upstream.live().is_empty()).await;
    until("and forgotten", || after.gateway.credentials().report().revocations.is_empty()).await;
    // Its worker was in the process that is gone, so the open job ends as well, and is withdrawn from before that is told.
    let mut ada = after.session("ada").await;
    let subscription = ada.subscribe(&job.job.to_string(), with_history()).await.unwrap();
    let seen = see_to_end(&mut ada, job.job).await;
    assert!(matches!(fact(seen.last().unwrap()), Fact::Error(failure) if failure.cause == Cause::WorkerLost));
    assert!(values(&ada, &subscription.job).is_empty());
}
