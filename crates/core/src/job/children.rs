//! The jobs that a job has delegated (spec 10).
//!
//! - A delegation is a numbered report, so it is taken in once. What comes of it is one batch: what is set aside of the
//!   budget, the delegation in this stream, and the child's acceptance in the child's own. After a crash there is all of
//!   it or nothing, and with nothing the worker reports it again.
//! - A child's end is told by whoever drives the child, as often as it likes; it is recorded once, with what it gives back
//!   of the budget.
//! - A job ends after its children. Whatever ends it, those that have not ended are cancelled, and its own ending is
//!   recorded when the last of them has ended. They end within their own grace, so it does not wait for longer than
//!   that. So nothing of what was set aside is lost, and nothing of a job goes on after it.
//! - A child that was delegated as detached goes on when its parent ends, and its parent does not wait for it. What it
//!   was given counts as spent then.
//! - The job's submitter may delegate in its place (`parent_job_id`). That goes the same way with the same checks; one
//!   that is refused is told to whoever asked, and the job knows nothing of it.
//! - The worker asks what became of a delegation, and is answered when that is committed. It asks again on every link, so
//!   a question of a link that was lost is forgotten.

use std::collections::BTreeMap;

use moorline_types::limits::MAX_DELEGATIONS;
use moorline_types::{Fence, JobId, Record, SessionId, StreamSeq, Timestamp, WorkerSeq};

use super::held::{self, Held};
use super::{Effect, Job, Status};
use crate::Refusal;
use crate::delegation::{self, Delegating, Delegation, DelegationError, Found, Wanted};
use crate::lease::budget::Budget;
use crate::record::{Accepted, Cause, ChildEnded, Delegated, DelegationRefused, Fact, Failure, Reserved, Settled};
use crate::trace::JobSpan;

/// What became of a delegation, as far as it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// There is a child.
    Accepted {
        /// The child.
        child: JobId,
    },
    /// There is none.
    Refused(Failure),
    /// The child has ended.
    Ended {
        /// The child.
        child: JobId,
        /// How.
        status: Status,
        /// Why it has no result; absent if it has one.
        failure: Option<Failure>,
    },
}

/// Until when the answer to a question about a delegation waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until there is a child, or none.
    Begun,
    /// Until the child has ended.
    Ended,
}

/// A worker's question about a delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegationAsked {
    /// Its number among the worker's questions.
    pub ask: u64,
    /// What the job calls the delegation.
    pub delegate_id: Box<str>,
    /// Until when the answer waits.
    pub until: Until,
}

/// How a job ended, for its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildEnding {
    /// The job.
    pub child: JobId,
    /// How it ended.
    pub status: Status,
    /// Why it has no result; absent if it has one.
    pub failure: Option<Failure>,
    /// What it has spent: currency to amount.
    pub spent: BTreeMap<Box<str>, moorline_types::Units>,
}

/// The delegations of a job.
#[derive(Debug, Default)]
pub(super) struct Children {
    /// By what the job calls them.
    pub(super) known: BTreeMap<Box<str>, Entry>,
    /// Questions of the present attachment that are not answered.
    asked: Vec<DelegationAsked>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) child: Option<JobId>,
    pub(super) detached: bool,
    /// Whether the child has not ended, by what is decided.
    pub(super) open: bool,
    /// What is committed of it.
    pub(super) news: Option<News>,
    /// What waits for the child's credential.
    pub(super) held: Option<Held>,
}

impl Entry {
    /// The child, if it exists for others and has not ended.
    fn running(&self) -> Option<JobId> {
        self.child.filter(|_| self.open && self.news.is_some())
    }
}

impl Children {
    fn open(&self) -> usize {
        self.known.values().filter(|entry| entry.open).count()
    }

    /// Whether there is a child that its parent's end waits for.
    pub(super) fn is_awaited(&self) -> bool {
        self.known.values().any(|entry| entry.open && !entry.detached)
    }

    /// The children that are to end with their parent.
    fn bound(&self) -> impl Iterator<Item = JobId> {
        self.known.values().filter(|entry| !entry.detached).filter_map(Entry::running)
    }

    /// What is to be answered to a question about a delegation, if it is known.
    fn answer(&self, asked: &DelegationAsked) -> Option<News> {
        let Some(entry) = self.known.get(&asked.delegate_id) else { return Some(News::Refused(unknown())) };
        entry.news.clone().filter(|news| asked.until == Until::Begun || !matches!(news, News::Accepted { .. }))
    }

    pub(super) fn replay_delegated(&mut self, Delegated { delegate_id, child, detached, .. }: Delegated) {
        let news = Some(News::Accepted { child });
        self.known.insert(delegate_id, Entry { child: Some(child), detached, open: true, news, held: None });
    }

    pub(super) fn replay_refused(&mut self, DelegationRefused { delegate_id, failure }: DelegationRefused) {
        // One that was refused because its id was taken says nothing of the delegation that has the id. That it does not
        // come from a report tells the end of one that was held.
        let is_held = failure.worker_seq.is_none();
        let refused =
            Entry { child: None, detached: false, open: false, news: Some(News::Refused(failure)), held: None };
        match self.known.get_mut(&delegate_id) {
            Some(entry) if is_held && entry.held.is_some() => *entry = refused,
            Some(_) => {}
            None => drop(self.known.insert(delegate_id, refused)),
        }
    }

    pub(super) fn replay_ended(&mut self, ChildEnded { delegate_id, child, status, failure }: ChildEnded) {
        if let Some(entry) = self.known.get_mut(&delegate_id) {
            entry.open = false;
            entry.news = Some(News::Ended { child, status, failure });
        }
    }
}

/// The answer about a delegation that there never was.
fn unknown() -> Failure {
    let message = "this job has no delegation of that name".to_owned();
    Failure { worker_seq: None, cause: Cause::InvalidRequest, message, retryable: false, details: None }
}

impl Job {
    /// Whether there is a child, or one that is to be, of which a start has to find out how it stands.
    pub fn has_family(&self) -> bool {
        self.children.known.values().any(|entry| entry.running().is_some() || entry.held.is_some())
    }

    /// The children that have not ended, as far as they are committed.
    pub fn open_children(&self) -> impl Iterator<Item = JobId> {
        self.children.known.values().filter_map(Entry::running)
    }

    /// Whether the delegation of this name has a child that has not ended, by what is decided.
    pub fn has_open_child(&self, delegate_id: &str) -> bool {
        self.children.known.get(delegate_id).is_some_and(|entry| entry.open)
    }

    /// How it ended, for its parent; `None` as long as it has not.
    pub fn ending(&self) -> Option<ChildEnding> {
        let (child, status) = (self.id, self.status);
        let ending = || ChildEnding { child, status, failure: self.failure.clone(), spent: self.authority.spent() };
        (status.is_terminal() && self.is_settled()).then(ending)
    }

    /// The agent delegates, by the report with this number.
    pub(super) fn delegate(&mut self, now: Timestamp, worker_seq: WorkerSeq, delegation: Delegation, found: Found) {
        let Delegation { delegate_id, wanted } = delegation;
        let credentials = found.credentials;
        match self.decide(now, &delegate_id, wanted, found) {
            Ok((child, accepted)) if credentials && held::needs_credential(&accepted) => {
                self.hold(now, Some(worker_seq), delegate_id, child, accepted);
            }
            Ok((child, accepted)) => self.bear(now, Some(worker_seq), &delegate_id, child, accepted),
            Err(error) => {
                let failure = error.into_failure(Some(worker_seq));
                if self.children.known.len() < MAX_DELEGATIONS && !self.children.known.contains_key(&delegate_id) {
                    let entry = Entry { child: None, detached: false, open: false, news: None, held: None };
                    self.children.known.insert(delegate_id.clone(), entry);
                }
                self.waiting.push(now, &Fact::DelegationRefused(DelegationRefused { delegate_id, failure }));
            }
        }
    }

    /// Somebody who controls the job delegates in its place, in this session. The child is there once [`Job::head`] has
    /// reached the number that comes with it; without a number the delegation is held, and [`Job::handle_child_issued`] or
    /// [`Effect::RefuseChild`] tells how that ends.
    ///
    /// # Errors
    /// If the job has ended, or why there is no child. Nothing is recorded then.
    pub fn handle_submitted(
        &mut self,
        now: Timestamp,
        session: SessionId,
        delegation: Delegation,
        found: Found,
    ) -> Result<(JobId, Option<StreamSeq>), Refusal> {
        if self.status.is_terminal() {
            return Err(Refusal::JobEnded { status: self.status });
        }
        let Delegation { delegate_id, wanted } = delegation;
        let credentials = found.credentials;
        let decided = self.decide(now, &delegate_id, wanted, found);
        let (child, accepted) = decided.map_err(DelegationError::into_refusal)?;
        let accepted = Accepted { session, ..accepted };
        if credentials && held::needs_credential(&accepted) {
            self.hold(now, None, delegate_id, child, accepted);
            return Ok((child, None));
        }
        self.bear(now, None, &delegate_id, child, accepted);
        Ok((child, Some(self.last_decided())))
    }

    /// What is to be accepted as the child, with all that it is given set aside.
    fn decide(
        &mut self,
        now: Timestamp,
        delegate_id: &str,
        wanted: Result<Wanted, String>,
        found: Found,
    ) -> Result<(JobId, Accepted), DelegationError> {
        let limits = self.limits.delegation;
        let known = &self.children.known;
        if known.contains_key(delegate_id) {
            return Err(DelegationError::Repeated { delegate_id: delegate_id.into() });
        }
        if known.len() >= MAX_DELEGATIONS {
            return Err(DelegationError::TooMany { limit: MAX_DELEGATIONS });
        }
        if self.cancel.is_some() {
            return Err(DelegationError::Stopping);
        }
        if self.children.open() >= limits.open_children {
            return Err(DelegationError::TooManyOpen { limit: limits.open_children });
        }
        let wanted = wanted.map_err(|problem| DelegationError::Malformed { problem })?;
        let budget = wanted.terms.budget.clone();
        let parent = Delegating { job: self.id, accepted: &self.accepted, authority: &self.authority };
        let accepted = delegation::derive(now, parent, delegate_id, wanted, found, limits)?;
        let child = delegation::child_id(now, self.id, delegate_id);
        let below = self.accepted.trace_of_child(self.id, delegate_id);
        let (trace, span) = JobSpan::begin(child, below, self.limits.tracing);
        let accepted = Accepted { trace_id: Some(trace), span: Some(Box::new(span)), ..accepted };
        self.authority.set_aside(child, budget).map_err(DelegationError::Shortfall)?;
        Ok((child, accepted))
    }

    /// Records a child: what it is given unless that is recorded, the delegation, and its acceptance, all of it or nothing.
    pub(super) fn bear(
        &mut self,
        now: Timestamp,
        worker_seq: Option<WorkerSeq>,
        delegate_id: &str,
        child: JobId,
        accepted: Accepted,
    ) {
        let detached = accepted.parent.as_ref().is_some_and(|parent| parent.detached);
        let entry = Entry { child: Some(child), detached, open: true, news: None, held: None };
        let held = self.children.known.insert(delegate_id.into(), entry).and_then(|entry| entry.held);
        let is_recorded = held.is_some_and(|held| held.is_recorded);
        let reserved = self.authority.reserved().get(&child).filter(|budget| !is_recorded && !budget.is_empty());
        let reserved = reserved.map(|budget| Fact::Reserved(Reserved { child, budget: budget.clone() }));
        let delegated = Fact::Delegated(Delegated {
            worker_seq,
            delegate_id: delegate_id.into(),
            child,
            agent: format!("{}@{}", accepted.agent, accepted.version),
            input: accepted.input.clone(),
            lease: accepted.lease.clone(),
            expires_at: accepted.expires_at,
            detached,
        });
        let own: Vec<Fact> = reserved.into_iter().chain([delegated]).collect();
        self.waiting.push_together(now, &own, Some((child, &Fact::Accepted(accepted))));
        self.tell_remaining(now);
    }

    /// A child has ended. Said again it is nothing new, and neither is it for a job whose own end is recorded.
    pub fn handle_child_ended(&mut self, now: Timestamp, ending: ChildEnding) {
        let ChildEnding { child, status, failure, spent } = ending;
        let found = self.children.known.iter_mut().find(|(_, entry)| entry.open && entry.child == Some(child));
        let Some((delegate_id, entry)) = found.filter(|_| !self.status.is_terminal() || self.ending.is_some()) else {
            return;
        };
        entry.open = false;
        let delegate_id = delegate_id.clone();
        let settled = self.authority.reserved().get(&child).is_some_and(|budget| !budget.is_empty());
        let settled = settled.then_some(Settled { child, spent });
        if let Some(settled) = &settled {
            self.authority.replay_settled(settled);
        }
        let failure = failure.map(|failure| Failure { worker_seq: None, ..failure });
        let ended = Fact::ChildEnded(ChildEnded { delegate_id, child, status, failure });
        let own: Vec<Fact> = settled.map(Fact::Settled).into_iter().chain([ended]).collect();
        self.waiting.push_together(now, &own, None);
        self.tell_remaining(now);
        self.end_after_children(now);
    }

    /// A child is not in the journal any more, so nobody knows what it has spent: it counts as all that it was given.
    pub fn handle_child_missing(&mut self, now: Timestamp, child: JobId) {
        let given = self.authority.reserved().get(&child);
        let spent =
            given.into_iter().flat_map(Budget::iter).map(|(currency, units)| (currency.into(), units)).collect();
        let message = "the records of the child are gone, and with them how it ended".to_owned();
        let failure = Failure { worker_seq: None, cause: Cause::Gateway, message, retryable: true, details: None };
        self.handle_child_ended(now, ChildEnding { child, status: Status::Error, failure: Some(failure), spent });
    }

    /// Every job of the last run is known again: children that are to end are told so, for they may not have been.
    pub fn handle_family_recovered(&mut self, now: Timestamp) {
        if self.ending.is_some() || self.cancel.is_some() {
            self.refuse_held(now);
            self.cancel_children();
        }
        self.issue_held();
    }

    /// The worker asks what became of a delegation, after the report that asked for it.
    pub fn handle_delegation_asked(&mut self, fence: Fence, asked: DelegationAsked) {
        if self.fence != Some(fence) || self.children.asked.len() >= 2 * MAX_DELEGATIONS {
            return;
        }
        self.children.asked.push(asked);
        self.answer_asked();
    }

    /// The worker is attached anew, and asks again what it wants to know.
    pub(super) fn forget_asked(&mut self) {
        self.children.asked.clear();
    }

    /// Answers the questions that can be.
    fn answer_asked(&mut self) {
        let Some(fence) = self.fence else { return };
        let asked = std::mem::take(&mut self.children.asked);
        for asked in asked {
            match self.children.answer(&asked) {
                Some(news) => self.effects.push_back(Effect::Answer { fence, ask: asked.ask, news }),
                None => self.children.asked.push(asked),
            }
        }
    }

    /// Tells the children that have not ended to end.
    pub(super) fn cancel_children(&mut self) {
        let children: Vec<JobId> = self.children.bound().collect();
        self.effects.extend(children.into_iter().map(|child| Effect::CancelChild { child }));
    }

    /// Goes on to the ending that is decided, if no child is in its way.
    pub(super) fn end_after_children(&mut self, now: Timestamp) {
        if !self.children.is_awaited()
            && let Some(ending) = self.ending.take()
        {
            self.conclude(now, ending);
        }
    }

    /// A record about a delegation is committed.
    pub(super) fn handle_delegation_committed(&mut self, record: &Record) {
        // What was encoded a moment ago decodes.
        let Ok(fact) = Fact::decode(record) else { return };
        let (delegate_id, news) = match fact {
            Fact::Delegated(Delegated { delegate_id, child, .. }) => (delegate_id, News::Accepted { child }),
            Fact::DelegationRefused(DelegationRefused { delegate_id, failure }) => {
                (delegate_id, News::Refused(failure))
            }
            Fact::ChildEnded(ChildEnded { delegate_id, child, status, failure }) => {
                (delegate_id, News::Ended { child, status, failure })
            }
            Fact::Accepted(_)
            | Fact::Started(_)
            | Fact::Event(_)
            | Fact::CancelRequested(_)
            | Fact::Result(_)
            | Fact::Error(_)
            | Fact::Reserved(_)
            | Fact::Settled(_)
            | Fact::CredentialRotated(_)
            | Fact::DelegationHeld(_)
            | Fact::Opened(_)
            | Fact::Attached(_)
            | Fact::History(_)
            | Fact::Detached(_)
            | Fact::Closed(_)
            | Fact::Subscribed(_)
            | Fact::Notice(_) => return,
        };
        // One that was refused because its id was taken says nothing of the delegation that has the id.
        if let Some(entry) = self.children.known.get_mut(&delegate_id)
            && !(entry.child.is_some() && matches!(news, News::Refused(_)))
        {
            entry.news = Some(news);
            self.answer_asked();
        }
    }

    /// A child is committed: it begins, and ends at once if its parent is to end.
    pub(super) fn handle_child_committed(&mut self, child: JobId, first: &Record) {
        let Some((delegate_id, entry)) = self.children.known.iter().find(|(_, entry)| entry.child == Some(child))
        else {
            return;
        };
        let ends = !entry.detached && (self.ending.is_some() || self.cancel.is_some());
        let (delegate_id, first) = (delegate_id.clone(), first.clone());
        self.effects.push_back(Effect::StartChild { child, delegate_id, first });
        if ends {
            self.effects.push_back(Effect::CancelChild { child });
        }
    }
}

#[cfg(test)]
mod tests;
