//! A job and its children, told as what happens and what comes of it.

#![expect(clippy::disallowed_methods, reason = "the tests stand in for a store")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the cases that it is about")]

use std::collections::BTreeMap;
use std::sync::Arc;

use moorline_types::{
    Committed, EventKind, Fence, JobId, Json, Millis, Offset, Record, RecordKind, StreamId, Timestamp, Units, WorkerId,
    WorkerSeq,
};
use proptest::prelude::*;

use super::*;
use crate::delegation::{AtParentEnd, DelegationLimits};
use crate::job::{JobLimits, Lost, Report};
use crate::record::tests::plain;
use crate::record::{Cause, Output};

mod held;

const LIMITS: JobLimits = JobLimits {
    cancel_grace: Millis::from_secs(30),
    max_pending: Millis::from_secs(3_000),
    delegation: DelegationLimits { depth: 3, open_children: 4, at_parent_end: AtParentEnd::Cancel },
    tracing: crate::trace::Participation::DEFAULT,
};

/// What the oldest job may spend.
const BUDGET: &str = "100";

/// Jobs that delegate to each other, one journal, and nobody between them who forgets anything while the gateway lives.
struct Family {
    now: Timestamp,
    oldest: JobId,
    jobs: BTreeMap<JobId, Member>,
    journal: Vec<Record>,
    /// Effects that nobody in here performs.
    told: Vec<Effect>,
    /// Children for which an upstream is asked, and their parents.
    asked: BTreeMap<JobId, JobId>,
}

struct Member {
    job: Job,
    fence: Fence,
    /// Every report of the worker, which it makes again until it is acknowledged.
    made: Vec<Report>,
}

impl Family {
    fn new() -> Self {
        Self::with(r#"{"agent.delegate":["*"],"model.use":["*"],"cost.budget":["USD:100"]}"#)
    }

    fn with(lease: &str) -> Self {
        let now = Timestamp::from_unix_millis(1_000_000);
        let accepted = Accepted { agent: "plan".into(), version: "1".into(), ..plain(lease) };
        let oldest = JobId::mint(now, [2; 10]);
        let (journal, told) = (Vec::new(), Vec::new());
        let mut family = Self { now, oldest, jobs: BTreeMap::new(), journal, told, asked: BTreeMap::new() };
        family.join(Job::accept(now, oldest, accepted, LIMITS));
        family.settle();
        family.attach_all();
        family
    }

    fn join(&mut self, job: Job) {
        self.jobs.insert(job.id(), Member { job, fence: Fence::FIRST, made: Vec::new() });
    }

    fn attach_all(&mut self) {
        for Member { job, fence, .. } in self.jobs.values_mut() {
            *fence = fence.next();
            job.handle_attached(self.now, WorkerId::mint(Timestamp::from_unix_millis(1), [3; 10]), *fence);
        }
        self.settle();
    }

    /// The worker of a job reports.
    fn report(&mut self, of: JobId, report: Report) {
        let Member { job, fence, made } = self.jobs.get_mut(&of).unwrap();
        if made.last().is_some_and(|last| matches!(last, Report::Result { .. } | Report::Failure { .. })) {
            return;
        }
        // A job that no worker has yet is reported about by nobody.
        if job.handle_report(self.now, *fence, WorkerSeq::new(made.len() as u64 + 1), report.clone()).is_ok() {
            made.push(report);
        }
    }

    fn delegate(&mut self, of: JobId, body: &str) {
        let delegation = Box::new(Delegation::read(&Json::parse(body).unwrap()).unwrap());
        let found = Box::new(Found { agent: Ok("echo@1".parse().unwrap()), room: Ok(()), credentials: true });
        self.report(of, Report::Delegate { delegation, found });
    }

    fn cost(&mut self, of: JobId, cents: u32) {
        let body = format!(r#"{{"name":"cost.a","unit":"USD","value":{}.{:02}}}"#, cents / 100, cents % 100);
        let body = Json::parse(&body).unwrap();
        self.report(of, Report::Event { kind: EventKind::Metric, ts: self.now, body });
    }

    fn succeed(&mut self, of: JobId) {
        self.report(of, Report::Result { output: Output::Inline(Json::null()), summary: None });
    }

    /// One job's batch is committed. Answers whether there was one.
    fn commit(&mut self, of: JobId) -> bool {
        let job = &mut self.jobs.get_mut(&of).unwrap().job;
        let Some(batch) = job.poll_append() else { return false };
        self.journal.extend(batch.records);
        job.handle_committed(self.now);
        self.perform(of);
        true
    }

    fn perform(&mut self, of: JobId) {
        while let Some(effect) = self.jobs.get_mut(&of).and_then(|member| member.job.poll_effect()) {
            match effect {
                Effect::StartChild { first, child, .. } => {
                    let job = Job::begin(self.now, child, &first, LIMITS).unwrap();
                    self.join(job);
                }
                Effect::CancelChild { child } => {
                    // A job that is over refuses.
                    let _over = self.jobs.get_mut(&child).unwrap().job.handle_cancel(self.now, None, None).is_err();
                }
                Effect::Release => self.tell_parent(of),
                Effect::Revoke => {
                    let now = self.now;
                    self.jobs.get_mut(&of).unwrap().job.handle_revoked(now);
                }
                Effect::IssueChild { child, .. } => drop(self.asked.insert(child, of)),
                Effect::RefuseChild { child, .. } => {
                    self.asked.remove(&child);
                    self.told.extend((!self.is_agents(of, child)).then_some(effect));
                }
                Effect::Answer { .. } => self.told.push(effect),
                _ => {}
            }
        }
    }

    fn tell_parent(&mut self, of: JobId) {
        let job = &self.jobs[&of].job;
        let (Some(ending), Some(parent)) = (job.ending(), job.accepted().parent.clone()) else { return };
        self.jobs.get_mut(&parent.job).unwrap().job.handle_child_ended(self.now, ending);
    }

    /// Everything that is decided is committed and performed.
    fn settle(&mut self) {
        let ids = |family: &Self| family.jobs.keys().copied().collect::<Vec<_>>();
        loop {
            let mut more = false;
            for id in ids(self) {
                more |= self.commit(id);
                self.perform(id);
                more |= self.commit(id);
            }
            if !more {
                return;
            }
        }
    }

    /// The gateway dies. The next one makes the jobs anew, tells parents of children that have ended, and is told again
    /// what was not acknowledged.
    fn restart(&mut self) {
        self.asked.clear();
        let ids: Vec<_> = self.jobs.keys().copied().collect();
        for id in ids {
            let records = self.journal.iter().filter(|record| record.stream == StreamId::Job(id));
            let records: Vec<_> =
                records.map(|record| Committed::attest(Offset::new(1), Arc::new(record.clone()))).collect();
            match Job::recover(self.now, id, records, LIMITS) {
                Ok(job) => self.jobs.get_mut(&id).unwrap().job = job,
                Err(_) => drop(self.jobs.remove(&id)),
            }
        }
        let parents: Vec<_> =
            self.jobs.iter().map(|(id, member)| (*id, member.job.open_children().collect())).collect();
        for (parent, children) in parents {
            let children: Vec<JobId> = children;
            for child in children {
                self.tell_parent(child);
            }
            self.jobs.get_mut(&parent).unwrap().job.handle_family_recovered(self.now);
        }
        self.attach_all();
        for Member { job, fence, made } in self.jobs.values_mut() {
            for (number, report) in (1..).map(WorkerSeq::new).zip(made.iter().cloned()) {
                // A job that is over has nobody that reports.
                let _over = job.handle_report(self.now, *fence, number, report).is_err();
            }
        }
    }

    /// Whether a delegation that was held is the agent's: then it is told by a record.
    fn is_agents(&self, of: JobId, child: JobId) -> bool {
        self.facts(of).iter().any(|fact| matches!(fact, Fact::DelegationHeld(held) if held.child == child))
    }

    /// The oldest job's worker asks under this attachment.
    fn ask(&mut self, fence: Fence, delegate_id: &str, until: Until) {
        let asked = DelegationAsked { ask: 7, delegate_id: delegate_id.into(), until };
        self.jobs.get_mut(&self.oldest).unwrap().job.handle_delegation_asked(fence, asked);
        self.perform(self.oldest);
    }

    /// What it was answered.
    fn answers(&mut self) -> Vec<News> {
        let answer = |effect| match effect {
            Effect::Answer { news, .. } => news,
            other => panic!("{other:?}"),
        };
        self.told.drain(..).map(answer).collect()
    }

    fn fence(&self) -> Fence {
        self.jobs[&self.oldest].fence
    }

    fn oldest(&self) -> &Job {
        &self.jobs[&self.oldest].job
    }

    fn facts(&self, of: JobId) -> Vec<Fact> {
        let own = self.journal.iter().filter(|record| record.stream == StreamId::Job(of));
        own.map(|record| Fact::decode(record).unwrap()).collect()
    }

    fn child_of(&self, of: JobId, delegate_id: &str) -> JobId {
        let delegated = |fact: &Fact| match fact {
            Fact::Delegated(delegated) if &*delegated.delegate_id == delegate_id => Some(delegated.child),
            _ => None,
        };
        self.facts(of).iter().find_map(delegated).unwrap()
    }

    fn place_of(&self, of: JobId, kind: impl Fn(RecordKind) -> bool) -> Option<usize> {
        self.journal.iter().position(|record| record.stream == StreamId::Job(of) && kind(record.kind))
    }

    fn remaining(&self, of: JobId) -> Vec<(String, String)> {
        let remaining = self.jobs[&of].job.authority().remaining();
        remaining.map(|(currency, left)| (currency.to_owned(), left.to_string())).collect()
    }
}

fn budget(delegate_id: &str, amount: &str) -> String {
    format!(
        r#"{{"delegate_id":"{delegate_id}","agent":"echo","lease_request":{{"agent.delegate":["*"],"cost.budget":["USD:{amount}"]}}}}"#
    )
}

#[test]
fn a_delegation_and_its_child_are_one_batch() {
    let mut family = Family::new();
    family.delegate(family.oldest, &budget("d1", "30"));
    let job = &mut family.jobs.get_mut(&family.oldest).unwrap().job;
    let batch = job.poll_append().unwrap();
    let kinds: Vec<_> = batch.records.iter().map(|record| record.kind).collect();
    let expected = [RecordKind::JobReserved, RecordKind::JobDelegated, RecordKind::JobAccepted];
    assert_eq!(&kinds[..3], expected);
    assert_eq!(kinds.len(), 4, "and what is left is told");
    let streams: Vec<_> = batch.records.iter().map(|record| record.stream == StreamId::Job(family.oldest)).collect();
    assert_eq!(streams, [true, true, false, true]);
}

#[test]
fn a_refused_delegation_is_told_and_its_job_goes_on() {
    let mut family = Family::new();
    family.delegate(family.oldest, &budget("d1", "101"));
    family.ask(family.fence(), "d1", Until::Begun);
    assert_eq!(family.answers(), [], "it is not committed");
    family.settle();
    let answers = family.answers();
    let [News::Refused(failure)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(failure.cause, Cause::LeaseSubset);
    assert_eq!(
        failure.details.as_ref().unwrap().get(),
        r#"{"namespace":"cost.budget","pattern":"USD:101","remaining":"100"}"#
    );
    family.succeed(family.oldest);
    family.settle();
    assert_eq!(family.oldest().status(), Status::Success);
}

#[test]
fn a_name_is_given_once() {
    let mut family = Family::new();
    family.delegate(family.oldest, &budget("d1", "30"));
    family.delegate(family.oldest, &budget("d1", "1"));
    family.settle();
    assert_eq!(family.jobs.len(), 2);
    assert_eq!(family.remaining(family.oldest), [("USD".into(), "70".into())]);
    family.ask(family.fence(), "d1", Until::Begun);
    assert!(matches!(family.answers()[..], [News::Accepted { .. }]), "the first has the name");
}

#[test]
fn what_a_child_does_not_spend_is_its_parents_again() {
    let mut family = Family::new();
    family.delegate(family.oldest, &budget("d1", "30"));
    family.settle();
    family.attach_all();
    let child = family.child_of(family.oldest, "d1");
    family.ask(family.fence(), "d1", Until::Ended);
    family.cost(child, 1_250);
    family.cost(family.oldest, 100);
    assert_eq!(family.remaining(family.oldest), [("USD".into(), "69".into())]);
    family.succeed(child);
    family.settle();
    assert_eq!(family.remaining(family.oldest), [("USD".into(), "86.5".into())]);
    assert!(matches!(family.answers()[..], [News::Ended { status: Status::Success, .. }]));
}

#[test]
fn a_cancellation_reaches_every_generation_and_the_oldest_ends_last() {
    let mut family = Family::new();
    family.delegate(family.oldest, &budget("d1", "30"));
    family.settle();
    family.attach_all();
    let child = family.child_of(family.oldest, "d1");
    family.delegate(child, &budget("d2", "10"));
    family.settle();
    let grandchild = family.child_of(child, "d2");
    let now = family.now;
    family.jobs.get_mut(&family.oldest).unwrap().job.handle_cancel(now, None, None).unwrap();
    family.settle();
    // No worker has the grandchild; the other two end when their agents do.
    assert_eq!(family.jobs[&grandchild].job.status(), Status::Cancelled);
    family.succeed(family.oldest);
    family.settle();
    assert_eq!(family.place_of(family.oldest, RecordKind::is_last), None, "a child has not ended");
    family.succeed(child);
    family.settle();
    let ends: Vec<_> =
        [grandchild, child, family.oldest].map(|job| family.place_of(job, RecordKind::is_last).unwrap()).into();
    assert!(ends.is_sorted(), "{ends:?}");
    assert_eq!(family.oldest().status(), Status::Cancelled);
}

#[test]
fn a_job_that_is_done_ends_its_children_and_not_the_detached_ones() {
    let mut family = Family::new();
    family.delegate(family.oldest, &budget("bound", "30"));
    let detached = budget("free", "10").replace(r#""agent":"echo""#, r#""agent":"echo","detached":true"#);
    family.delegate(family.oldest, &detached);
    family.settle();
    let (bound, free) = (family.child_of(family.oldest, "bound"), family.child_of(family.oldest, "free"));
    family.succeed(family.oldest);
    family.settle();
    assert_eq!(family.jobs[&bound].job.status(), Status::Cancelled);
    assert_eq!(family.jobs[&free].job.status(), Status::Pending);
    assert_eq!(family.oldest().status(), Status::Success);
    let spent: Vec<_> = family.oldest().ending().unwrap().spent.values().map(Units::to_string).collect();
    assert_eq!(spent, ["10"], "what the detached child was given is gone");
}

#[test]
fn a_job_that_is_to_end_delegates_nothing_more() {
    let mut family = Family::new();
    let now = family.now;
    family.jobs.get_mut(&family.oldest).unwrap().job.handle_cancel(now, None, None).unwrap();
    family.delegate(family.oldest, &budget("d1", "1"));
    family.settle();
    assert_eq!(family.jobs.len(), 1);
}

#[test]
fn a_child_that_is_committed_after_the_end_was_decided_ends_too() {
    let mut family = Family::new();
    family.delegate(family.oldest, &budget("d1", "1"));
    let now = family.now;
    family.jobs.get_mut(&family.oldest).unwrap().job.handle_abandoned(now, "shut down".into());
    family.settle();
    let child = family.child_of(family.oldest, "d1");
    assert_eq!(family.jobs[&child].job.status(), Status::Cancelled);
    assert_eq!(family.oldest().status(), Status::Error);
    assert!(family.place_of(family.oldest, RecordKind::is_last) > family.place_of(child, RecordKind::is_last));
}

#[test]
fn children_at_once_are_bounded_and_one_that_has_ended_makes_room() {
    let mut family = Family::with(r#"{"agent.delegate":["*"]}"#);
    let plain = |n: usize| format!(r#"{{"delegate_id":"d{n}","agent":"echo"}}"#);
    for n in 0..=LIMITS.delegation.open_children {
        family.delegate(family.oldest, &plain(n));
    }
    family.settle();
    assert_eq!(family.oldest().open_children().count(), LIMITS.delegation.open_children);
    family.attach_all();
    family.succeed(family.child_of(family.oldest, "d0"));
    family.settle();
    family.delegate(family.oldest, &plain(9));
    family.settle();
    assert!(family.oldest().has_open_child("d9"));
}

#[test]
fn a_worker_that_asks_again_after_a_restart_is_answered() {
    let mut family = Family::new();
    family.delegate(family.oldest, &budget("d1", "30"));
    family.delegate(family.oldest, &budget("d2", "300"));
    family.settle();
    family.restart();
    for delegate_id in ["d1", "d2", "never"] {
        family.ask(family.fence(), delegate_id, Until::Begun);
    }
    let answers = family.answers();
    assert!(matches!(answers[..], [News::Accepted { .. }, News::Refused(_), News::Refused(_)]), "{answers:?}");
    family.ask(Fence::FIRST, "d1", Until::Begun);
    family.ask(family.fence(), "d1", Until::Ended);
    assert_eq!(family.answers(), [], "one is not attached, the other's child has not ended");
}

/// What may happen, to which of the jobs.
#[derive(Debug, Clone)]
enum Step {
    Delegate { who: usize, cents: u32, detached: bool, models: bool },
    Issue { refused: bool },
    Cost { who: usize, cents: u32 },
    Succeed { who: usize },
    Lose { who: usize },
    Cancel { who: usize },
    Commit { who: usize },
    Pass { secs: u64 },
    Attach,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0_usize..8;
    prop_oneof![
        4 => (who.clone(), 0_u32..4_000, proptest::bool::weighted(0.2), any::<bool>())
            .prop_map(|(who, cents, detached, models)| Step::Delegate { who, cents, detached, models }),
        3 => proptest::bool::weighted(0.3).prop_map(|refused| Step::Issue { refused }),
        4 => (who.clone(), 0_u32..2_000).prop_map(|(who, cents)| Step::Cost { who, cents }),
        2 => who.clone().prop_map(|who| Step::Succeed { who }),
        1 => who.clone().prop_map(|who| Step::Lose { who }),
        1 => who.clone().prop_map(|who| Step::Cancel { who }),
        6 => who.prop_map(|who| Step::Commit { who }),
        1 => (0_u64..20).prop_map(|secs| Step::Pass { secs }),
        2 => Just(Step::Attach),
        2 => Just(Step::Restart),
    ]
}

impl Family {
    fn nth(&self, who: usize) -> JobId {
        *self.jobs.keys().nth(who % self.jobs.len()).unwrap()
    }

    fn take(&mut self, number: usize, step: Step) {
        let now = self.now;
        match step {
            Step::Issue { refused } => {
                let reason = "it is down".to_owned();
                self.answer(if refused { Err(Refusal::CredentialUnavailable { reason }) } else { Ok(()) });
            }
            Step::Delegate { who, cents, detached, models } => {
                let amount = format!("{}.{:02}", cents / 100, cents % 100);
                let make = if models { held::with_models } else { budget };
                let body = make(&format!("d{number}"), &amount);
                let flag = format!(r#""detached":{detached},"agent":"echo""#);
                self.delegate(self.nth(who), &body.replace(r#""agent":"echo""#, &flag));
            }
            Step::Cost { who, cents } => self.cost(self.nth(who), cents),
            Step::Succeed { who } => self.succeed(self.nth(who)),
            Step::Lose { who } => {
                let worker = WorkerId::mint(Timestamp::from_unix_millis(1), [3; 10]);
                let who = self.nth(who);
                let Member { job, made, .. } = self.jobs.get_mut(&who).unwrap();
                job.handle_worker_lost(now, worker, Lost::Ended);
                // A worker that is gone says nothing again, after a restart either.
                made.truncate(usize::try_from(job.acknowledged().get()).unwrap());
                made.push(Report::Result { output: Output::Inline(Json::null()), summary: None });
            }
            Step::Cancel { who } => {
                let who = self.nth(who);
                let _over = self.jobs.get_mut(&who).unwrap().job.handle_cancel(now, None, None).is_err();
            }
            Step::Commit { who } => {
                self.commit(self.nth(who));
            }
            Step::Pass { secs } => {
                self.now = now + Millis::from_secs(secs);
                self.jobs.values_mut().for_each(|member| member.job.handle_timeout(now + Millis::from_secs(secs)));
            }
            Step::Attach => self.attach_all(),
            Step::Restart => self.restart(),
        }
    }

    /// Brings everything to its end and looks at what was written.
    fn check(mut self) {
        self.settle();
        self.attach_all();
        while !self.asked.is_empty() {
            self.answer(Ok(()));
            self.settle();
        }
        while let Some(open) = self.jobs.iter().find(|(_, member)| !member.job.status().is_terminal()) {
            let id = *open.0;
            let now = self.now;
            let _over = self.jobs.get_mut(&id).unwrap().job.handle_cancel(now, None, None).is_err();
            self.settle();
            self.now = now + Millis::from_secs(60);
            let now = self.now;
            self.jobs.values_mut().for_each(|member| member.job.handle_timeout(now));
            self.settle();
        }
        let mut costs = Units::ZERO;
        let mut given_away = Units::ZERO;
        for (id, member) in &self.jobs {
            let facts = self.facts(*id);
            assert!(matches!(facts.first(), Some(Fact::Accepted(_))), "{id}");
            let ends = facts.iter().filter(|fact| fact.kind().is_last()).count();
            assert_eq!((ends, facts.last().map(|last| last.kind().is_last())), (1, Some(true)), "{id}: {facts:?}");
            let reported: Vec<_> = facts.iter().filter_map(Fact::worker_seq).collect();
            assert_eq!(reported, (1..=reported.len() as u64).map(WorkerSeq::new).collect::<Vec<_>>(), "{id}");
            for fact in &facts {
                if let Fact::Event(event) = fact
                    && event.worker_seq.is_some()
                {
                    #[derive(serde::Deserialize)]
                    struct Cost {
                        value: Json,
                    }
                    costs = costs.plus(Units::from_json_number(event.body.to::<Cost>().unwrap().value.get()).unwrap());
                }
            }
            let children: Vec<_> = facts
                .iter()
                .filter_map(|fact| match fact {
                    Fact::Delegated(delegated) => Some((delegated.child, delegated.detached)),
                    _ => None,
                })
                .collect();
            for (child, detached) in &children {
                assert!(self.jobs.contains_key(child), "a child that there is not: {child}");
                let (own, childs) =
                    (self.place_of(*id, RecordKind::is_last), self.place_of(*child, RecordKind::is_last));
                assert!(*detached || own > childs, "{id} ended before its child {child}");
            }
            for budget in member.job.authority().reserved().values() {
                given_away = budget.iter().fold(given_away, |sum, (_, amount)| sum.plus(amount));
            }
            let known = member.job.accepted().parent.iter().all(|parent| {
                self.facts(parent.job).iter().any(|fact| matches!(fact, Fact::Delegated(one) if one.child == *id))
            });
            assert!(known, "a child that its parent does not know: {id}");
        }
        // What detached children were given counts as spent; what they have spent of it is counted with them.
        let detached_costs = self.detached_spent();
        let oldest = self.oldest();
        let left = oldest.authority().remaining().map(|(_, left)| left).fold(Units::ZERO, Units::plus);
        let total: Units = BUDGET.parse().unwrap();
        assert_eq!(left.plus(costs).plus(given_away).minus(detached_costs), total, "units were made or lost");
    }

    /// What jobs have spent that outlived their parents.
    fn detached_spent(&self) -> Units {
        let outlived = |id: &JobId| {
            let job = &self.jobs[id].job;
            job.accepted()
                .parent
                .as_ref()
                .is_some_and(|parent| self.jobs[&parent.job].job.authority().reserved().contains_key(id))
        };
        let outlived = self.jobs.iter().filter(|(id, _)| outlived(id));
        let spent = outlived.flat_map(|(_, member)| member.job.ending().unwrap().spent.into_values());
        spent.fold(Units::ZERO, Units::plus)
    }
}

proptest! {
    #[test]
    fn no_unit_is_made_or_lost_and_no_job_outlives_the_one_it_belongs_to(
        steps in proptest::collection::vec(step(), 0..60)
    ) {
        let mut family = Family::new();
        for (number, step) in steps.into_iter().enumerate() {
            family.take(number, step);
        }
        family.check();
    }
}
