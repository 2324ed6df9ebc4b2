//! Who may do what: every set of scopes, every action, every relation, from one table, at a session's handle.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use common::{Bench, all_over, principal, reached, request, see_to_end, with_history};
use moorline_core::Refusal;
use moorline_core::access::{Action, ConstraintBroken, Relation};
use moorline_core::job::Status;
use moorline_core::listing::{JobFilter, Whose};
use moorline_core::quota::Quota;
use moorline_runtime::{GcRequest, JobQuery, ResumeRequest, SessionHandle, SubscribeRequest};
use moorline_types::{EventSeq, Principal, Scope, Scopes};

/// What is enough, one of each row; written down here a second time, because this is what is promised.
const TABLE: [(Action, Relation, &[Scope]); 18] = [
    (Action::Submit, Relation::Owner, &[Scope::Submit]),
    (Action::Submit, Relation::SharesTag, &[Scope::Submit]),
    (Action::Submit, Relation::Stranger, &[Scope::Submit]),
    (Action::List, Relation::Owner, &[Scope::Observe, Scope::ObserveAll]),
    (Action::List, Relation::SharesTag, &[Scope::Observe, Scope::ObserveAll]),
    (Action::List, Relation::Stranger, &[Scope::Observe, Scope::ObserveAll]),
    (Action::Observe, Relation::Owner, &[Scope::Observe, Scope::ObserveAll]),
    (Action::Observe, Relation::SharesTag, &[Scope::Observe, Scope::ObserveAll]),
    (Action::Observe, Relation::Stranger, &[Scope::ObserveAll]),
    (Action::Cancel, Relation::Owner, &[Scope::Cancel, Scope::ControlAll]),
    (Action::Cancel, Relation::SharesTag, &[Scope::ControlAll]),
    (Action::Cancel, Relation::Stranger, &[Scope::ControlAll]),
    (Action::Use, Relation::Owner, &[Scope::Cancel, Scope::ControlAll]),
    (Action::Use, Relation::SharesTag, &[Scope::ControlAll]),
    (Action::Use, Relation::Stranger, &[Scope::ControlAll]),
    (Action::Administer, Relation::Owner, &[Scope::Administer]),
    (Action::Administer, Relation::SharesTag, &[Scope::Administer]),
    (Action::Administer, Relation::Stranger, &[Scope::Administer]),
];

fn enough(action: Action, relation: Relation) -> &'static [Scope] {
    TABLE.iter().find(|row| (row.0, row.1) == (action, relation)).unwrap().2
}

fn tagged(name: &str, scopes: Scopes, tags: &[&str]) -> Principal {
    let mut principal = principal(name, scopes);
    principal.grants.tags = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    principal
}

/// Who stands so to a job of ada's with the tag `team`.
fn relative(relation: Relation, scopes: Scopes) -> Principal {
    match relation {
        Relation::Owner => tagged("ada", scopes, &[]),
        Relation::SharesTag => tagged("tom", scopes, &["team", "other"]),
        Relation::Stranger => tagged("eve", scopes, &["other"]),
    }
}

async fn open(bench: &Bench, principal: Principal) -> SessionHandle {
    bench.gateway.open_session(principal, "test".to_owned()).await.unwrap().session
}

/// Does it, and answers with what it was refused.
async fn attempt(session: &mut SessionHandle, action: Action, job: &str) -> Option<Refusal> {
    match action {
        Action::Submit => session.submit(request("counter", "0")).await.err(),
        Action::List => session.list_jobs(&JobQuery::default()).await.err(),
        Action::Observe => session.subscribe(job, with_history()).await.err(),
        // The job is over, so whoever may cancel it is told that.
        Action::Cancel => match session.cancel(job, None).await.unwrap_err() {
            Refusal::JobEnded { status: Status::Success } => None,
            refusal => Some(refusal),
        },
        Action::Use => unreachable!("it is about gateway sessions"),
        Action::Administer => session.collect(GcRequest { dry_run: true, ..GcRequest::default() }).await.err(),
    }
}

#[tokio::test(start_paused = true)]
async fn every_principal_may_do_what_its_scopes_say_and_nothing_else() {
    let bench = Bench::start().await;
    let mut ada = open(&bench, tagged("ada", Scopes::JOBS, &["team"])).await;
    let job = ada.submit(request("counter", "1")).await.unwrap().job;
    see_to_end(&mut ada, job).await;
    all_over(&bench.gateway).await;
    let (job, unknown) = (job.to_string(), "job_01HF7YAT00000000000000000Z");
    let filter = JobFilter { whose: Whose::Observable, ..JobFilter::default() };
    let observable = JobQuery { filter, ..JobQuery::default() };

    for bits in 0..1_u32 << Scope::ALL.len() {
        let scopes: Scopes =
            Scope::ALL.into_iter().zip(0..).filter(|(_, bit)| bits & 1 << bit != 0).map(|(scope, _)| scope).collect();
        let has = |action, relation| enough(action, relation).iter().any(|scope| scopes.contains(*scope));
        for relation in Relation::ALL {
            let mut session = open(&bench, relative(relation, scopes)).await;
            // Using a gateway session is tried where there is one, in `backend_sessions.rs`.
            for action in Action::ALL.into_iter().filter(|action| *action != Action::Use) {
                let case = format!("{relation} with {scopes:?}: {action:?}");
                let refused = attempt(&mut session, action, &job).await;
                if has(action, relation) {
                    assert_eq!(refused, None, "{case}");
                    continue;
                }
                let concerns_job = matches!(action, Action::Observe | Action::Cancel);
                let visible =
                    relation == Relation::Owner || has(Action::Observe, relation) || has(Action::Cancel, relation);
                let expected = if concerns_job && !visible {
                    let not_there = attempt(&mut session, action, unknown).await;
                    assert_eq!(not_there, Some(Refusal::JobNotFound { job: unknown.to_owned() }), "{case}");
                    Refusal::JobNotFound { job: job.clone() }
                } else {
                    Refusal::ScopeMissing { action, needs: enough(action, relation)[0] }
                };
                assert_eq!(refused, Some(expected), "{case}");
            }
            let listed = session.list_jobs(&observable).await;
            let is_listed = listed.is_ok_and(|page| page.jobs.iter().any(|listed| listed.job.to_string() == job));
            assert_eq!(is_listed, has(Action::Observe, relation), "{relation} with {scopes:?} is listed it");
            session.close(None).await;
            all_over(&bench.gateway).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_shows_a_principals_own_jobs_whatever_its_tags_and_scopes() {
    let bench = Bench::start().await;
    let mut ada = open(&bench, tagged("ada", Scopes::JOBS, &["team"])).await;
    let job = ada.submit(request("counter", "1")).await.unwrap().job;
    for relation in [Relation::SharesTag, Relation::Stranger] {
        let session = open(&bench, relative(relation, Scopes::ADMIN)).await;
        assert!(session.list_jobs(&JobQuery::default()).await.unwrap().jobs.is_empty(), "{relation}");
    }
    let page = ada.list_jobs(&JobQuery::default()).await.unwrap();
    assert_eq!(page.jobs.iter().map(|listed| listed.job).collect::<Vec<_>>(), [job]);
}

#[tokio::test(start_paused = true)]
async fn a_submission_beyond_its_constraints_makes_no_job() {
    let bench = Bench::start().await;
    let mut ada = principal("ada", Scopes::JOBS);
    ada.grants.constraints = serde_json::from_str(r#"{"agents":["patient"],"max_runtime_sec":60}"#).unwrap();
    let mut session = open(&bench, ada).await;
    let refused = session.submit(request("counter", "1")).await.unwrap_err();
    assert!(matches!(&refused, Refusal::NotWithinConstraints { broken: ConstraintBroken::Agent { .. } }), "{refused}");
    let mut long = request("patient", "null");
    long.max_runtime_sec = Some(61);
    let refused = session.submit(long).await.unwrap_err();
    assert!(
        matches!(&refused, Refusal::NotWithinConstraints { broken: ConstraintBroken::Runtime { .. } }),
        "{refused}"
    );
    assert_eq!(bench.gateway.open_jobs(), 0);
    let accepted = session.submit(request("patient", "null")).await.unwrap().accepted;
    assert_eq!(accepted.max_runtime_sec, Some(60), "a submission that asks for no runtime gets what it may have");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_watches_a_job_is_not_resumed_by_a_key_that_may_not() {
    let bench = Bench::start().await;
    let mut ada = open(&bench, tagged("ada", Scopes::JOBS, &["team"])).await;
    let job = ada.submit(request("patient", "null")).await.unwrap().job;
    let watching = tagged("tom", Scopes::JOBS, &["team"]);
    let attached = bench.gateway.open_session(watching.clone(), "test".to_owned()).await.unwrap();
    let (mut tom, token) = (attached.session, attached.token);
    tom.subscribe(&job.to_string(), SubscribeRequest::default()).await.unwrap();
    tom.park().await;
    let resume =
        || ResumeRequest { session: None, token: token.clone(), last: EventSeq::ZERO, epoch: None, accepts_gap: false };
    let lesser = tagged("tom", Scopes::JOBS, &[]);
    let refused = bench.gateway.resume_session(lesser, resume()).await.unwrap_err();
    assert_eq!(refused, Refusal::ResumeNotAllowed { job });
    bench.gateway.resume_session(watching, resume()).await.expect("the session is as it was");
}

#[tokio::test(start_paused = true)]
async fn a_key_may_bound_its_principals_sessions_and_jobs() {
    let bench = Bench::start().await;
    let mut bounded = principal("ada", Scopes::JOBS);
    bounded.grants.quotas = serde_json::from_str(r#"{"sessions":2,"jobs":1}"#).unwrap();
    let mut session = open(&bench, bounded.clone()).await;
    session.submit(request("patient", "null")).await.unwrap();
    let refused = session.submit(request("patient", "null")).await.unwrap_err();
    assert_eq!(reached(&refused), (Quota::Jobs, 1, 1));
    let mut unbounded = open(&bench, principal("ada", Scopes::JOBS)).await;
    unbounded.submit(request("patient", "null")).await.expect("another key of hers has the usual limit");
    let refused = bench.gateway.open_session(bounded, "test".to_owned()).await.unwrap_err();
    assert_eq!(reached(&refused), (Quota::Sessions, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_key_may_bound_how_often_its_principal_submits() {
    let bench = Bench::start().await;
    let mut bounded = principal("ada", Scopes::JOBS);
    bounded.grants.quotas = serde_json::from_str(r#"{"submits_per_sec":2}"#).unwrap();
    let mut sessions = [open(&bench, bounded.clone()).await, open(&bench, bounded).await];
    for session in &mut sessions {
        session.submit(request("counter", "0")).await.unwrap();
    }
    for session in &mut sessions {
        let Refusal::QuotaReached(refused) = session.submit(request("counter", "0")).await.unwrap_err() else {
            panic!("both sessions share what the principal has");
        };
        assert_eq!((refused.quota, refused.limit), (Quota::SubmitsPerSec, 2));
        assert!((1..=500).contains(&refused.retry_after.unwrap().get()), "{refused:?}");
    }
    open(&bench, principal("eve", Scopes::JOBS)).await.submit(request("counter", "0")).await.unwrap();
    // not a wait: the time that passes is what is tested, and it is virtual
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    sessions[0].submit(request("counter", "0")).await.expect("after as long as it was told");
}

#[tokio::test(start_paused = true)]
async fn tags_outlive_the_gateway() {
    let bench = Bench::start().await;
    let mut ada = open(&bench, tagged("ada", Scopes::JOBS, &["team"])).await;
    let job = ada.submit(request("counter", "1")).await.unwrap().job;
    see_to_end(&mut ada, job).await;
    all_over(&bench.gateway).await;
    let store = std::sync::Arc::new(bench.store.reopen(moorline_store::TailLimits::default()));
    let again = Bench::over(store, common::options()).await;
    let mut tom = open(&again, relative(Relation::SharesTag, Scopes::JOBS)).await;
    assert!(tom.subscribe(&job.to_string(), with_history()).await.is_ok());
    let mut eve = open(&again, relative(Relation::Stranger, Scopes::JOBS)).await;
    assert!(matches!(eve.subscribe(&job.to_string(), with_history()).await, Err(Refusal::JobNotFound { .. })));
}
