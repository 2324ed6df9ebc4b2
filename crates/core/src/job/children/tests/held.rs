//! Delegations that wait for the credential of the child.

use moorline_types::CredentialId;

use super::*;
use crate::credential::Provisioned;

const LEASE: &str = r#"{"agent.delegate":["*"],"model.use":["*"],"cost.budget":["USD:100"]}"#;

/// The body of a delegation whose child may use models.
pub(super) fn with_models(delegate_id: &str, amount: &str) -> String {
    budget(delegate_id, amount).replace(r#""cost.budget""#, r#""model.use":["fast"],"cost.budget""#)
}

pub(super) fn issued(now: Timestamp) -> Provisioned {
    let id = CredentialId::mint(now, [9; 10]);
    let (endpoint, constraints) = ("https://models.example.com".to_owned(), Json::null());
    Provisioned { id, issue: id, endpoint, profile: None, constraints, good_until: now }
}

impl Family {
    /// The upstream answers for the child that was asked for first.
    pub(super) fn answer(&mut self, answer: Result<(), Refusal>) -> Option<JobId> {
        let (child, parent) = self.asked.pop_first()?;
        let now = self.now;
        let issued = answer.map(|()| Some(issued(now)));
        let job = &mut self.jobs.get_mut(&parent)?.job;
        job.handle_child_issued(now, child, issued)?;
        Some(child)
    }
}

#[test]
fn a_child_begins_when_its_credential_is_issued_and_its_parent_goes_on_meanwhile() {
    let mut family = Family::with(LEASE);
    family.delegate(family.oldest, &with_models("d1", "30"));
    family.cost(family.oldest, 100);
    family.ask(family.fence(), "d1", Until::Begun);
    family.settle();
    assert_eq!((family.jobs.len(), family.answers()), (1, vec![]), "there is no child");
    assert_eq!(family.oldest().acknowledged(), WorkerSeq::new(2), "what was reported is taken in");
    assert_eq!(family.remaining(family.oldest), [("USD".into(), "69".into())]);
    let asked_for = *family.asked.first_key_value().unwrap().0;

    assert_eq!(family.answer(Ok(())), Some(asked_for));
    let batch = family.jobs.get_mut(&family.oldest).unwrap().job.poll_append().unwrap();
    let kinds: Vec<_> = batch.records.iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [RecordKind::JobDelegated, RecordKind::JobAccepted], "what it is given is set aside already");
    let first = Fact::decode(&batch.records[1]).unwrap();
    assert!(matches!(first, Fact::Accepted(accepted) if accepted.credentials == [issued(family.now)]));
    let now = family.now;
    family.journal.extend(batch.records);
    family.jobs.get_mut(&family.oldest).unwrap().job.handle_committed(now);
    family.settle();
    assert!(matches!(family.answers()[..], [News::Accepted { child }] if child == asked_for));
    assert_eq!(family.remaining(family.oldest), [("USD".into(), "69".into())]);
}

#[test]
fn what_is_not_issued_refuses_the_delegation_with_its_reason_and_gives_back_what_was_set_aside() {
    let reason = || "no such model".to_owned();
    for (refusal, cause, retryable) in [
        (Refusal::CredentialRefused { reason: reason() }, Cause::InvalidRequest, false),
        (Refusal::CredentialUnavailable { reason: reason() }, Cause::Gateway, true),
    ] {
        let mut family = Family::with(LEASE);
        family.delegate(family.oldest, &with_models("d1", "30"));
        family.settle();
        family.ask(family.fence(), "d1", Until::Ended);
        assert_eq!(family.answer(Err(refusal)), None);
        family.settle();
        let told = family.answers();
        let [News::Refused(failure)] = &told[..] else { panic!("{told:?}") };
        assert_eq!((failure.cause, failure.retryable), (cause, retryable));
        assert!(failure.message.contains("no such model"), "{failure:?}");
        assert_eq!(family.remaining(family.oldest), [("USD".into(), "100".into())]);
        family.restart();
        assert_eq!(family.remaining(family.oldest), [("USD".into(), "100".into())]);
        family.ask(family.fence(), "d1", Until::Ended);
        assert_eq!(family.answers(), told, "the next gateway says the same");
        assert!(family.asked.is_empty(), "and asks for nothing");
    }
}

#[test]
fn a_gateway_that_dies_while_one_is_held_asks_again_for_the_same_child() {
    let mut family = Family::with(LEASE);
    family.delegate(family.oldest, &with_models("d1", "30"));
    family.settle();
    family.restart();
    let first = family.asked.clone();
    family.restart();
    assert_eq!((first.len(), &family.asked), (1, &first));
    family.answer(Ok(()));
    // Its answer was not committed.
    family.restart();
    assert_eq!(family.asked, first);
    family.answer(Ok(()));
    family.settle();
    family.restart();
    assert!(family.asked.is_empty());
    assert_eq!(family.jobs.keys().filter(|job| first.contains_key(job)).count(), 1, "one child");
    assert_eq!(family.remaining(family.oldest), [("USD".into(), "70".into())]);
}

/// Whatever ends a job, it does not wait for an upstream, and what comes of that too late is for nobody.
#[test]
fn a_job_that_is_to_end_holds_nothing() {
    let ends: [fn(&mut Family); 3] = [
        |family| family.succeed(family.oldest),
        |family| {
            let now = family.now;
            family.jobs.get_mut(&family.oldest).unwrap().job.handle_cancel(now, None, None).unwrap();
            family.settle();
            family.succeed(family.oldest);
        },
        |family| {
            let now = family.now;
            family.jobs.get_mut(&family.oldest).unwrap().job.handle_abandoned(now, "shut down".into());
        },
    ];
    for end in ends {
        let mut family = Family::with(LEASE);
        family.delegate(family.oldest, &with_models("d1", "30"));
        family.settle();
        let late = family.asked.clone();
        end(&mut family);
        family.settle();
        assert!(family.oldest().status().is_terminal() && family.oldest().is_settled());
        family.asked = late;
        assert_eq!(family.answer(Ok(())), None);
        let refused = family.place_of(family.oldest, |kind| kind == RecordKind::JobDelegationRefused);
        assert!(refused < family.place_of(family.oldest, RecordKind::is_last) && refused.is_some());
        assert!(family.oldest().ending().unwrap().spent.values().all(|spent| *spent == Units::ZERO));
    }
}

#[test]
fn what_a_client_submits_is_no_record_until_its_credential_is_issued() {
    let mut family = Family::with(LEASE);
    let session = family.oldest().accepted().session;
    let submit = |family: &mut Family| {
        let delegation = Delegation::read(&Json::parse(&with_models("d1", "30")).unwrap()).unwrap();
        let found = Found { agent: Ok("echo@1".parse().unwrap()), room: Ok(()), credentials: true };
        let now = family.now;
        family.jobs.get_mut(&family.oldest).unwrap().job.handle_submitted(now, session, delegation, found)
    };
    assert!(matches!(submit(&mut family), Ok((_, None))));
    let again = submit(&mut family).unwrap_err().to_string();
    assert!(again.contains("before"), "{again}");
    family.settle();
    family.restart();
    assert!(family.asked.is_empty(), "nobody waits for it");
    assert_eq!(family.remaining(family.oldest), [("USD".into(), "100".into())]);

    let (child, _) = submit(&mut family).unwrap();
    family.settle();
    assert_eq!(family.answer(Ok(())), Some(child));
    family.settle();
    assert_eq!(family.child_of(family.oldest, "d1"), child);
    family.restart();
    assert_eq!(family.remaining(family.oldest), [("USD".into(), "70".into())]);
}

#[test]
fn a_client_is_told_why_there_is_no_child_and_its_job_knows_nothing_of_it() {
    let mut family = Family::with(LEASE);
    let session = family.oldest().accepted().session;
    let delegation = Delegation::read(&Json::parse(&with_models("d1", "30")).unwrap()).unwrap();
    let found = Found { agent: Ok("echo@1".parse().unwrap()), room: Ok(()), credentials: true };
    let now = family.now;
    family.jobs.get_mut(&family.oldest).unwrap().job.handle_submitted(now, session, delegation, found).unwrap();
    family.settle();
    let refusal = Refusal::CredentialUnavailable { reason: "it is down".into() };
    family.answer(Err(refusal.clone()));
    family.settle();
    let told: Vec<_> = family.told.drain(..).collect();
    let [Effect::RefuseChild { error, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(error.clone().into_refusal(), refusal);
    assert_eq!(family.remaining(family.oldest), [("USD".into(), "100".into())]);
    assert_eq!(family.place_of(family.oldest, |kind| kind == RecordKind::JobDelegationRefused), None);
}

/// No credential outlives the job that delegated, so a child that may has none; and none is asked for without models.
#[test]
fn a_child_that_is_detached_or_uses_no_models_waits_for_nothing() {
    let mut family = Family::with(LEASE);
    let detached = with_models("d1", "30").replace(r#""agent":"echo""#, r#""agent":"echo","detached":true"#);
    family.delegate(family.oldest, &detached);
    family.delegate(family.oldest, &budget("d2", "30"));
    family.settle();
    assert!(family.asked.is_empty());
    assert_eq!(family.oldest().open_children().count(), 2);
}
