//! Everything together, and what may happen to it.

use std::collections::BTreeMap;

use moorline_core::Refusal;
use moorline_core::credential::Provisioned;
use moorline_core::delegation::{AtParentEnd, Delegation, DelegationLimits, Found};
use moorline_core::job::{Effect, Job, JobLimits, Report, Status};
use moorline_core::record::{Accepted, Cause, Fact, Output};
use moorline_types::{Capability, CredentialId, EventKind, JobId, Json, Millis, StreamId, Timestamp};
use serde_json::json;

use super::Tally;
use super::account::Account;
use super::member::{Member, facts};
use crate::bytes::Decisions;
use crate::journal::Journal;

pub(super) const LIMITS: JobLimits = JobLimits {
    cancel_grace: Millis::from_secs(30),
    max_pending: Millis::from_secs(3_000),
    delegation: DelegationLimits { depth: 3, open_children: 4, at_parent_end: AtParentEnd::Cancel },
    tracing: moorline_core::trace::Participation::DEFAULT,
};

/// Jobs of one sequence.
const MAX_JOBS: usize = 24;

/// What may be asked for, from nothing to more than anybody has. Each but the last is within the one before it.
const GRANTS: [(&str, &str); 5] =
    [("fs.read", "/ws/**"), ("fs.read", "/ws/*"), ("fs.read", "/ws/a"), ("tool.call", "grep"), ("fs.read", "/**")];

/// What is tried, so that what a child may do is compared with what its parent may.
const TARGETS: [(Capability, &str); 5] = [
    (Capability::FsRead, "/ws/a"),
    (Capability::FsRead, "/ws/b"),
    (Capability::FsRead, "/ws/a/b"),
    (Capability::FsRead, "/etc"),
    (Capability::ToolCall, "grep"),
];

/// How long after the end of its lease a job may go on.
const LEASE_GRACE: Millis = Millis::from_secs(1);

#[derive(Debug)]
pub(super) struct World {
    now: Timestamp,
    journal: Journal,
    jobs: BTreeMap<JobId, Member>,
    minted: u8,
    delegations: usize,
    /// Children that are to be given a credential, each with its parent.
    to_issue: Vec<(JobId, JobId)>,
    tally: Tally,
}

impl Default for World {
    fn default() -> Self {
        let now = Timestamp::from_unix_millis(1_000_000);
        let (journal, jobs, tally) = (Journal::default(), BTreeMap::new(), Tally::default());
        let mut world = Self { now, journal, jobs, minted: 0, delegations: 0, to_issue: Vec::new(), tally };
        world.submit(&mut Decisions::new(&[]));
        world.attach();
        world
    }
}

impl World {
    pub(super) fn submit(&mut self, decisions: &mut Decisions<'_>) {
        if self.jobs.len() >= MAX_JOBS {
            return;
        }
        self.minted += 1;
        let id = JobId::mint(self.now, [self.minted; 10]);
        let issue = CredentialId::mint(self.now, [self.minted; 10]);
        let expires_at = decisions.flag().then(|| self.now + Millis::from_secs(u64::from(decisions.byte()) + 1));
        let credential = json!([{ "id": issue, "issue": issue, "endpoint": "https://models.example.com",
            "constraints": {}, "good_until": self.now + Millis::from_secs(20) }]);
        let lease = json!({ "fs.read": ["/ws/**"], "tool.call": ["grep"], "agent.delegate": ["*"],
            "model.use": ["m"], "cost.budget": ["USD:10", "USD:0.5"] });
        let accepted = json!({
            "session": moorline_types::SessionId::mint(self.now, [1; 10]), "principal": "ada", "agent": "plan",
            "version": "1", "input": null, "lease": lease, "expires_at": expires_at,
            "max_runtime_sec": decisions.flag().then_some(100),
            "credentials": if decisions.flag() { credential } else { json!([]) },
        });
        let accepted: Accepted = serde_json::from_value(accepted).unwrap();
        let mut job = Job::accept(self.now, id, accepted, LIMITS);
        self.journal.append(job.poll_append().unwrap());
        job.handle_committed(self.now);
        self.jobs.insert(id, Member::new(job));
        self.perform(id);
        self.tally.submitted += 1;
    }

    /// The agent of some job asks for a child, within what it may give or not.
    pub(super) fn delegate(&mut self, decisions: &mut Decisions<'_>) {
        let Some(of) = self.some(decisions).filter(|_| self.jobs.len() < MAX_JOBS) else { return };
        self.delegations += 1;
        let cents = usize::from(decisions.byte()) * 4;
        let mut lease = serde_json::Map::new();
        for (bit, (capability, pattern)) in GRANTS.iter().enumerate() {
            if decisions.below(3) > 0 && (bit + 1 < GRANTS.len() || decisions.below(8) == 0) {
                lease.insert((*capability).to_owned(), json!([pattern]));
            }
        }
        if decisions.flag() {
            lease.insert("model.use".to_owned(), json!(["m"]));
        }
        if decisions.below(3) > 0 {
            lease.insert("agent.delegate".to_owned(), json!(["*"]));
        }
        if decisions.below(8) > 0 {
            lease.insert("cost.budget".to_owned(), json!([format!("USD:{}.{:02}", cents / 100, cents % 100)]));
        }
        let end = decisions.flag().then(|| (self.now + Millis::from_secs(u64::from(decisions.byte()))).to_string());
        let name = if decisions.below(16) == 0 { 1 } else { self.delegations };
        let body = json!({ "delegate_id": format!("d{name}"), "agent": "echo", "lease_request": lease,
            "lease_constraints": { "expires_at": end }, "detached": decisions.below(4) == 0 });
        let delegation = Box::new(Delegation::read(&Json::of(&body).unwrap()).unwrap());
        let found = Found { agent: Ok("echo@1".parse().unwrap()), room: Ok(()), credentials: decisions.flag() };
        let found = Box::new(found);
        self.report(of, Report::Delegate { delegation, found });
    }

    pub(super) fn spend(&mut self, decisions: &mut Decisions<'_>) {
        let Some(of) = self.some(decisions) else { return };
        let body = format!(r#"{{"name":"cost.a","unit":"USD","value":{}e-2}}"#, decisions.byte());
        self.report(of, Report::Event { kind: EventKind::Metric, ts: self.now, body: Json::parse(&body).unwrap() });
    }

    pub(super) fn succeed(&mut self, decisions: &mut Decisions<'_>) {
        let Some(of) = self.some(decisions) else { return };
        self.report(of, Report::Result { output: Output::Inline(Json::null()), summary: None });
    }

    fn report(&mut self, of: JobId, report: Report) {
        let now = self.now;
        self.member(of).report(now, report);
        self.perform(of);
    }

    pub(super) fn cancel(&mut self, decisions: &mut Decisions<'_>) {
        let (now, some) = (self.now, self.some(decisions));
        if let Some(of) = some {
            // A job that is over refuses.
            let _over = self.member(of).job.handle_cancel(now, None, None).is_err();
            self.perform(of);
        }
    }

    pub(super) fn lose_worker(&mut self, decisions: &mut Decisions<'_>) {
        let (now, some) = (self.now, self.some(decisions));
        if let Some(of) = some {
            self.member(of).lose_worker(now);
            self.perform(of);
        }
    }

    pub(super) fn attach(&mut self) {
        for of in self.ids() {
            let now = self.now;
            self.member(of).attach(now);
            self.perform(of);
        }
    }

    /// The store is offered something, takes it, or refuses it.
    pub(super) fn store(&mut self, decisions: &mut Decisions<'_>) {
        let Some(of) = self.some(decisions) else { return };
        let now = self.now;
        match decisions.below(4) {
            0 => self.member(of).offer(),
            1 => self.member(of).refuse(now),
            _ => {
                self.member(of).offer();
                self.commit(of);
            }
        }
    }

    fn commit(&mut self, of: JobId) {
        let (now, Some(member)) = (self.now, self.jobs.get_mut(&of)) else { return };
        self.tally.impatient += usize::from(member.commit(now, &mut self.journal));
        self.perform(of);
    }

    pub(super) fn pass(&mut self, decisions: &mut Decisions<'_>) {
        self.pass_for(Millis::new(u64::from(decisions.byte()).pow(2)));
    }

    fn pass_for(&mut self, length: Millis) {
        self.now = self.now + length;
        for of in self.ids() {
            let now = self.now;
            self.member(of).job.handle_timeout(now);
            self.perform(of);
        }
        for (id, Member { job, .. }) in &self.jobs {
            let is_over = job.authority().expires_at().is_some_and(|end| end + LEASE_GRACE <= self.now);
            assert!(!is_over || job.status().is_terminal(), "{id} goes on after the end of its lease");
        }
    }

    /// An upstream answers a request for the credential of a child, or for another value.
    pub(super) fn replace(&mut self, decisions: &mut Decisions<'_>) {
        if let Some((parent, child)) = self.to_issue.pop() {
            let refused = Refusal::CredentialUnavailable { reason: "HTTP 503".to_owned() };
            let is_issued = decisions.below(4) > 0;
            return self.issue(parent, child, is_issued.then_some(()).ok_or(refused));
        }
        let Some(of) = self.jobs.iter().find(|(_, member)| member.to_replace.is_some()).map(|(id, _)| *id) else {
            return;
        };
        self.minted = self.minted.saturating_add(1);
        let (now, issue) = (self.now, CredentialId::mint(self.now, [self.minted; 10]));
        let is_issued = decisions.flag();
        let takes = self.member(of).replace(now, issue, now + Millis::from_secs(20), is_issued);
        self.tally.replaced += usize::from(takes);
        self.perform(of);
    }

    /// An upstream has issued the credential of a child, or has not.
    fn issue(&mut self, parent: JobId, child: JobId, answer: Result<(), Refusal>) {
        self.minted = self.minted.saturating_add(1);
        let (now, issue) = (self.now, CredentialId::mint(self.now, [self.minted; 10]));
        let issued = answer.map(|()| {
            let (endpoint, constraints) = ("https://models.example.com".to_owned(), Json::null());
            let good_until = now + Millis::from_secs(20);
            self.tally.issued += 1;
            Some(Provisioned { id: issue, issue, endpoint, profile: None, constraints, good_until })
        });
        // Without a child, what was issued is withdrawn.
        let _bearing = self.member(parent).job.handle_child_issued(now, child, issued);
        self.perform(parent);
    }

    /// An upstream has withdrawn what it was to withdraw.
    pub(super) fn withdraw(&mut self, decisions: &mut Decisions<'_>) {
        let (now, some) = (self.now, self.some(decisions));
        if let Some(of) = some {
            self.member(of).withdraw(now);
            self.perform(of);
        }
    }

    /// Everything that is decided is committed and performed; what waits for an upstream goes on waiting.
    pub(super) fn settle(&mut self) {
        loop {
            let before = self.journal.head();
            for of in self.ids() {
                self.member(of).offer();
                self.commit(of);
            }
            if self.journal.head() == before {
                return;
            }
        }
    }

    /// The gateway is killed, and started again. What a parent's batch has is there with it, or is not.
    pub(super) fn crash(&mut self, decisions: &mut Decisions<'_>) {
        self.tally.crashes += 1;
        // The next gateway asks anew for what is still wanted.
        self.to_issue.clear();
        let committed = decisions.flag();
        self.jobs.values_mut().for_each(|member| member.crash(&mut self.journal, committed));
        let begun = self.journal.jobs().collect::<Vec<_>>();
        let (now, journal) = (self.now, &self.journal);
        self.jobs.retain(|_, member| member.recover(now, journal));
        // Children whose beginning was committed and not yet known.
        for id in begun {
            if !self.jobs.contains_key(&id) {
                let job = Job::recover(now, id, self.journal.of(StreamId::Job(id)).cloned(), LIMITS).unwrap();
                self.jobs.insert(id, Member::new(job));
            }
        }
        for parent in self.ids() {
            let children: Vec<_> = self.jobs[&parent].job.open_children().collect();
            children.into_iter().for_each(|child| self.tell_parent(child));
            self.member(parent).job.handle_family_recovered(now);
            self.perform(parent);
        }
    }

    fn perform(&mut self, of: JobId) {
        let now = self.now;
        for effect in self.member(of).perform(now) {
            if let Effect::StartChild { first, child, .. } = effect {
                let job = Job::begin(now, child, &first, LIMITS).unwrap();
                assert!(self.jobs.insert(child, Member::new(job)).is_none(), "{child} begins twice");
                self.tally.children += 1;
                self.perform(child);
            } else if let Effect::IssueChild { child, .. } = effect {
                self.to_issue.push((of, child));
            } else if let Effect::CancelChild { child } = effect {
                let _over = self.member(child).job.handle_cancel(now, None, None).is_err();
                self.perform(child);
            } else {
                assert_eq!(effect, Effect::Release, "it concerns the job itself");
                self.tell_parent(of);
            }
        }
    }

    fn tell_parent(&mut self, of: JobId) {
        let job = &self.jobs[&of].job;
        let (Some(ending), Some(parent)) = (job.ending(), job.accepted().parent.clone()) else { return };
        let now = self.now;
        self.member(parent.job).job.handle_child_ended(now, ending);
        self.perform(parent.job);
    }

    /// What must be so at any moment.
    pub(super) fn check(&self) {
        for Member { job, .. } in self.jobs.values() {
            let Some(parent) = &job.accepted().parent else { continue };
            let above = &self.jobs[&parent.job].job;
            for (capability, target) in &TARGETS {
                // Whoever has spent its budget may do nothing; what it may by its patterns is compared at its beginning.
                let at = |of: &Job| of.authority().authorize(of.accepted_at(), capability, target);
                let is_above = at(above).is_ok() || above.authority().remaining().any(|(_, left)| left.is_spent());
                assert!(at(job).is_err() || is_above, "{} may use {target} and its parent may not", job.id());
            }
            let (end, latest) = (job.authority().expires_at(), above.authority().expires_at());
            assert!(latest.is_none_or(|latest| end.is_some_and(|end| end <= latest)), "{} outlives a lease", job.id());
            assert!(
                job.authority().remaining().count() >= above.authority().remaining().count(),
                "{} is not bounded",
                job.id()
            );
        }
    }

    /// Everything ends, and what was written is looked at.
    pub(super) fn end(mut self) -> Tally {
        self.settle();
        while let Some((parent, child)) = self.to_issue.pop() {
            self.issue(parent, child, Ok(()));
            self.settle();
        }
        while let Some(open) = self
            .ids()
            .into_iter()
            .find(|id| !self.jobs[id].job.is_settled() || !self.jobs[id].job.status().is_terminal())
        {
            let now = self.now;
            let _over = self.member(open).job.handle_cancel(now, None, None).is_err();
            self.perform(open);
            self.settle();
            self.pass_for(Millis::from_secs(60));
            self.settle();
        }
        for id in self.ids() {
            self.check_records(id);
        }
        self.tally
    }

    fn check_records(&mut self, id: JobId) {
        let known: Vec<Fact> = facts(&self.journal, id).collect();
        let ends = known.iter().filter(|fact| fact.kind().is_last()).count();
        assert_eq!((ends, known.last().map(|last| last.kind().is_last())), (1, Some(true)), "{id}: {known:?}");
        let account = Account::of(facts(&self.journal, id));
        let job = &self.jobs[&id].job;
        let told = job.authority().spent().get("USD").copied().unwrap_or_default();
        assert_eq!(told, account.spent(), "{id}: the machine and its records do not agree");
        for (child, spent) in &account.settled {
            assert_eq!(Account::of(facts(&self.journal, *child)).spent(), *spent, "{child} and {id} do not agree");
        }
        let (mut bound, mut ended) = (0, 0);
        for fact in &known {
            if let Fact::Delegated(delegated) = fact {
                assert!(self.jobs.contains_key(&delegated.child), "{id} has a child that there is not");
                bound += usize::from(!delegated.detached);
                let (own, childs) = (self.end_of(id), self.end_of(delegated.child));
                assert!(delegated.detached || own > childs, "{id} has ended before {}", delegated.child);
                assert!(delegated.detached || !account.open.contains_key(&delegated.child), "units of {id} are lost");
            } else if let Fact::ChildEnded(_) = fact {
                ended += 1;
            } else if let Fact::DelegationRefused(_) = fact {
                self.tally.refused += 1;
            } else if let Fact::Error(failure) = fact {
                self.tally.expired += usize::from(failure.cause == Cause::LeaseExpired);
            }
        }
        assert!(ended >= bound, "{id} was not told of an end");
        assert!(self.jobs[&id].job.status() != Status::Running);
    }

    /// Where the job's end is in the journal.
    fn end_of(&self, job: JobId) -> moorline_types::Offset {
        self.journal.of(StreamId::Job(job)).last().unwrap().offset()
    }

    fn ids(&self) -> Vec<JobId> {
        self.jobs.keys().copied().collect()
    }

    fn some(&self, decisions: &mut Decisions<'_>) -> Option<JobId> {
        let index = decisions.index(self.jobs.len())?;
        self.jobs.keys().nth(index).copied()
    }

    fn member(&mut self, of: JobId) -> &mut Member {
        self.jobs.get_mut(&of).unwrap()
    }
}
