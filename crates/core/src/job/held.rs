//! Delegations that wait for the credential of the child (spec 9.8.2).
//!
//! - A child's first record names its credential, so the child is there when the upstream has issued it, or not at all:
//!   the delegation is refused if nothing is issued. What else the job does goes on meanwhile.
//! - A delegation of the agent that is held is a record ([`DelegationHeld`]): its report is taken in, the child has its id,
//!   and what it is given is set aside. The next gateway finds it and has a credential issued anew; what the last one
//!   has asked for belongs to no job and is withdrawn.
//! - One of a client is no record until the child is: whoever asked is answered with the child or not at all, and a crash
//!   leaves nothing of it.
//! - A job that is to end holds nothing. Those that it holds are refused first, and what is issued for them is withdrawn.

use std::collections::BTreeMap;

use moorline_types::{JobId, Record, StreamSeq, Timestamp, WorkerSeq};

use super::children::{Children, Entry};
use super::{Effect, Job};
use crate::Refusal;
use crate::credential::{Provisioned, names_models};
use crate::delegation::DelegationError;
use crate::record::{Accepted, DelegationHeld, DelegationRefused, Fact, Reserved, Settled};

/// What waits for its credential.
#[derive(Debug)]
pub(super) struct Held {
    /// The child as it will be accepted, but for its credential.
    accepted: Box<Accepted>,
    /// Whether a record says that it is held, and what is set aside for it.
    pub(super) is_recorded: bool,
}

/// Whether a child is to have a credential, where there are any: it may use models, and ends before its parent does. A
/// detached one may not, and the end of a parent must leave no credential of a child (spec 9.8.2).
pub(super) fn needs_credential(accepted: &Accepted) -> bool {
    let is_detached = accepted.parent.as_ref().is_some_and(|parent| parent.detached);
    !is_detached && names_models(&accepted.lease)
}

impl Children {
    pub(super) fn replay_held(&mut self, DelegationHeld { delegate_id, child, accepted, .. }: DelegationHeld) {
        self.known.insert(delegate_id, waiting(child, Held { accepted, is_recorded: true }));
    }

    /// Those that are held: what the job calls them, and the child.
    fn held(&self) -> Vec<(Box<str>, JobId)> {
        let held = self.known.iter().filter(|(_, entry)| entry.held.is_some());
        held.filter_map(|(delegate_id, entry)| Some((delegate_id.clone(), entry.child?))).collect()
    }
}

fn waiting(child: JobId, held: Held) -> Entry {
    Entry { child: Some(child), detached: false, open: true, news: None, held: Some(held) }
}

impl Job {
    /// Holds a delegation until the child's credential is issued: one of the agent's by the report with this number, or one
    /// of a client.
    pub(super) fn hold(
        &mut self,
        now: Timestamp,
        worker_seq: Option<WorkerSeq>,
        delegate_id: Box<str>,
        child: JobId,
        accepted: Accepted,
    ) {
        let accepted = Box::new(accepted);
        if let Some(worker_seq) = worker_seq {
            let reserved = self.authority.reserved().get(&child).filter(|budget| !budget.is_empty());
            let reserved = reserved.map(|budget| Fact::Reserved(Reserved { child, budget: budget.clone() }));
            let (delegate_id, accepted) = (delegate_id.clone(), accepted.clone());
            let held = Fact::DelegationHeld(DelegationHeld { worker_seq, delegate_id, child, accepted });
            self.waiting.push_together(now, &reserved.into_iter().chain([held]).collect::<Vec<_>>(), None);
            self.tell_remaining(now);
        } else {
            self.effects.push_back(Effect::IssueChild { child, accepted: accepted.clone() });
        }
        let held = Held { accepted, is_recorded: worker_seq.is_some() };
        self.children.known.insert(delegate_id, waiting(child, held));
    }

    /// A record of one that is held is committed: the upstream can be asked, if it is held yet.
    pub(super) fn handle_held_committed(&mut self, record: &Record) {
        // What was encoded a moment ago decodes.
        if let Ok(Fact::DelegationHeld(DelegationHeld { delegate_id, child, accepted, .. })) = Fact::decode(record)
            && self.children.known.get(&delegate_id).is_some_and(|entry| entry.held.is_some())
        {
            self.effects.push_back(Effect::IssueChild { child, accepted });
        }
    }

    /// Has the upstream asked for what the last gateway has left held.
    pub(super) fn issue_held(&mut self) {
        for (delegate_id, child) in self.children.held() {
            if let Some(held) = self.children.known.get(&delegate_id).and_then(|entry| entry.held.as_ref()) {
                self.effects.push_back(Effect::IssueChild { child, accepted: held.accepted.clone() });
            }
        }
    }

    /// The upstream has answered, as [`Effect::IssueChild`] wants it: it has issued this, or nothing because nobody issues
    /// credentials any more, or it refuses. Answers the number that [`Job::head`] must have reached before the child is
    /// there; `None` if there is no child, and what was issued is to be withdrawn.
    pub fn handle_child_issued(
        &mut self,
        now: Timestamp,
        child: JobId,
        issued: Result<Option<Provisioned>, Refusal>,
    ) -> Option<StreamSeq> {
        let (delegate_id, _) = self.children.held().into_iter().find(|(_, held)| *held == child)?;
        match issued {
            Ok(provisioned) => {
                let held = self.children.known.get(&delegate_id)?.held.as_ref()?;
                let mut accepted = (*held.accepted).clone();
                accepted.credentials.extend(provisioned);
                self.bear(now, None, &delegate_id, child, accepted);
                Some(self.last_decided())
            }
            Err(refusal) => {
                self.refuse_one(now, delegate_id, child, DelegationError::Unavailable(refusal));
                None
            }
        }
    }

    /// The job is to end: nothing is held any more.
    pub(super) fn refuse_held(&mut self, now: Timestamp) {
        for (delegate_id, child) in self.children.held() {
            self.refuse_one(now, delegate_id, child, DelegationError::Stopping);
        }
    }

    /// There will be no child of a delegation that is held: what was set aside for it is free again.
    fn refuse_one(&mut self, now: Timestamp, delegate_id: Box<str>, child: JobId, error: DelegationError) {
        let Some(Entry { held: Some(Held { is_recorded, .. }), .. }) = self.children.known.remove(&delegate_id) else {
            return;
        };
        let settled = Settled { child, spent: BTreeMap::new() };
        let is_bounded = self.authority.reserved().get(&child).is_some_and(|budget| !budget.is_empty());
        self.authority.replay_settled(&settled);
        self.effects.push_back(Effect::RefuseChild { child, delegate_id: delegate_id.clone(), error: error.clone() });
        if is_recorded {
            let entry = Entry { child: None, detached: false, open: false, news: None, held: None };
            self.children.known.insert(delegate_id.clone(), entry);
            let settled = is_bounded.then_some(Fact::Settled(settled));
            let failure = error.into_failure(None);
            let refused = Fact::DelegationRefused(DelegationRefused { delegate_id, failure });
            self.waiting.push_together(now, &settled.into_iter().chain([refused]).collect::<Vec<_>>(), None);
        }
        self.tell_remaining(now);
    }
}
