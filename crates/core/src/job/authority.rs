//! What a job may do, and what of its budget is left (spec 9).
//!
//! Everything here follows from the job's records: its lease from its acceptance, its counters from the costs that its
//! agent has reported and from what its children were given and have spent. So a gateway that reads the records again
//! comes to the same answers.
//!
//! An operation is checked in this order: the lease's end, the patterns, the budget. Whoever may not do something at all
//! is not told how the budget stands.
//!
//! - A cost counts when its report is taken in, once. Since a worker's reports and questions come in the order in which
//!   they were made, a cost that was reported before a question is counted before it is answered.
//! - A cost that is below nothing or cannot be counted is refused: a warning is recorded in its place.
//! - What is left is told by the gateway, as an event of the job, whenever it has changed much. That event is a record
//!   like others, so it has the same number whenever it is read.
//! - What a child is given is set aside by a record, and given back by another. What children that still run were given
//!   counts as spent when the job itself has ended.

use std::collections::BTreeMap;

use moorline_types::{Capability, EventKind, JobId, Json, StreamSeq, Timestamp, Units};
use serde::Deserialize;

use super::{Job, Report, Status};
use crate::credential::Sharing;
use crate::lease::budget::{Budget, Charge, Counters, REMAINING, Shortfall};
use crate::lease::{Grants, Target, TargetError, Terms};
use crate::record::{Accepted, Event, Fact, Reserved, Settled};

/// See the module's documentation.
#[derive(Debug)]
pub struct Authority {
    grants: Grants,
    expires_at: Option<Timestamp>,
    counters: Counters,
    /// What children were given that have not ended.
    reserved: BTreeMap<JobId, Budget>,
    /// Whether that or what ended children have spent is another since it was told.
    is_shared_anew: bool,
}

/// Why an operation is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The job's end is decided.
    #[error("the job is over")]
    Ended {
        /// How it has ended.
        status: Status,
    },
    /// The lease has ended (spec 9.5).
    #[error("the job's lease ended at {at}; submit it again with a later one")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// The operation's target is none.
    #[error("{source}")]
    Target {
        /// What was to be done.
        capability: Capability,
        /// What is wrong with the target.
        source: TargetError,
    },
    /// No pattern of the lease matches (spec 9.3).
    #[error("the job's lease does not allow {capability} of {target:?}; submit it with a lease that does")]
    NotCovered {
        /// What was to be done.
        capability: Capability,
        /// To what, in the form in which it was compared.
        target: String,
    },
    /// Nothing is left of the budget (spec 9.6).
    #[error("nothing is left of the job's budget in {currency}; submit it again with a larger one")]
    Exhausted {
        /// In which currency.
        currency: String,
        /// What is left: nothing, or less.
        remaining: Units,
    },
}

/// Nothing can be set aside for a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReserveError {
    /// The job's end is decided.
    Ended {
        /// How it has ended.
        status: Status,
    },
    /// There is not so much.
    Shortfall(Shortfall),
}

impl Authority {
    pub(super) fn of(accepted: &Accepted) -> Self {
        // A lease is checked before its job is accepted. Earlier versions recorded what they did not enforce: of what
        // cannot be read, nothing is allowed.
        let Terms { grants, budget } = Terms::read(&accepted.lease).unwrap_or_default();
        let (counters, expires_at) = (Counters::new(&budget), accepted.expires_at);
        Self { grants, expires_at, counters, reserved: BTreeMap::new(), is_shared_anew: false }
    }

    /// What may be done.
    pub const fn grants(&self) -> &Grants {
        &self.grants
    }

    /// When the lease ends.
    pub const fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// What is left of the budget, by currency; nothing is bounded in a currency that is not there.
    pub fn remaining(&self) -> impl Iterator<Item = (&str, Units)> {
        self.counters.remaining()
    }

    /// What children were given that have not ended.
    pub const fn reserved(&self) -> &BTreeMap<JobId, Budget> {
        &self.reserved
    }

    /// What the job has spent, with what its ended children have, and all that its running ones were given.
    pub fn spent(&self) -> BTreeMap<Box<str>, Units> {
        let mut spent: BTreeMap<Box<str>, Units> =
            self.counters.spent().map(|(currency, units)| (currency.into(), units)).collect();
        for (currency, given) in self.reserved.values().flat_map(Budget::iter) {
            let sum = spent.entry(currency.into()).or_default();
            *sum = sum.plus(given);
        }
        spent
    }

    /// Whether the lease covers the operation now.
    ///
    /// # Errors
    /// Why not.
    pub fn authorize(&self, now: Timestamp, capability: &Capability, target: &str) -> Result<(), Denied> {
        if let Some(at) = self.expires_at.filter(|at| *at <= now) {
            return Err(Denied::Expired { at });
        }
        let target = Target::new(capability, target)
            .map_err(|source| Denied::Target { capability: capability.clone(), source })?;
        if !self.grants.cover(&target) {
            return Err(Denied::NotCovered { capability: capability.clone(), target: target.as_str().to_owned() });
        }
        match self.counters.remaining().find(|(_, remaining)| remaining.is_spent()) {
            Some((currency, remaining)) => Err(Denied::Exhausted { currency: currency.to_owned(), remaining }),
            None => Ok(()),
        }
    }

    /// Takes a metric in. Answers why it cannot be, if it is a cost that cannot.
    fn charge(&mut self, body: &str) -> Result<(), String> {
        #[derive(Deserialize)]
        struct Metric<'a> {
            #[serde(borrow)]
            name: std::borrow::Cow<'a, str>,
            #[serde(borrow)]
            unit: Option<std::borrow::Cow<'a, str>>,
            value: &'a serde_json::value::RawValue,
        }
        // What is no metric is none of a cost either. Whether an event has the shape of its kind is not decided here.
        let Ok(Metric { name, unit, value }) = serde_json::from_str::<Metric<'_>>(body) else { return Ok(()) };
        match self.counters.charge(&name, unit.as_deref(), value.get()) {
            Charge::None | Charge::Taken { .. } => Ok(()),
            Charge::Negative => Err("a cost must not be negative".to_owned()),
            Charge::Uncountable(error) => Err(format!("a cost {error}")),
        }
    }

    /// Takes in that an event was recorded. A metric of the agent is a cost perhaps; one of the gateway says what is left.
    pub(super) fn replay_metric(&mut self, is_agents: bool, body: &str) {
        #[derive(Deserialize)]
        struct Told<'a> {
            name: &'a str,
            unit: &'a str,
            value: &'a serde_json::value::RawValue,
        }
        if self.counters.is_empty() {
            return;
        }
        if is_agents {
            // What is refused was not recorded.
            return self.charge(body).unwrap_or_default();
        }
        if let Ok(Told { name: REMAINING, unit, value }) = serde_json::from_str::<Told<'_>>(body)
            && let Ok(remaining) = Units::from_json_number(value.get())
        {
            self.counters.note_told(unit, remaining);
        }
    }

    /// Sets aside what a child is given.
    pub(super) fn set_aside(&mut self, child: JobId, budget: Budget) -> Result<(), Shortfall> {
        self.counters.set_aside(&budget)?;
        self.reserved.insert(child, budget);
        self.is_shared_anew = true;
        Ok(())
    }

    pub(super) fn replay_reserved(&mut self, reserved: Reserved) {
        let Reserved { child, budget } = reserved;
        // What was recorded did fit.
        self.counters.set_aside(&budget).unwrap_or_default();
        self.reserved.insert(child, budget);
    }

    pub(super) fn replay_settled(&mut self, settled: &Settled) {
        if let Some(budget) = self.reserved.remove(&settled.child) {
            self.counters.settle(&budget, settled.spent.iter().map(|(currency, units)| (&**currency, *units)));
            self.is_shared_anew = true;
        }
    }

    /// A start does not know what upstreams were told before. Whatever is set aside may not have been recorded.
    pub(super) fn handle_recovered(&mut self) {
        self.is_shared_anew = self.grants.patterns(&Capability::AgentDelegate).is_some();
    }

    /// A job that begins has shared nothing.
    pub(super) fn handle_begun(&mut self) {
        self.is_shared_anew = false;
    }
}

impl Job {
    /// What it may do.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Sets aside what a child is given; a second time for the same child is none. Answers the number that
    /// [`Job::head`] must have reached before the child may have it.
    ///
    /// # Errors
    /// See [`ReserveError`].
    pub fn reserve(&mut self, now: Timestamp, child: JobId, budget: Budget) -> Result<StreamSeq, ReserveError> {
        if self.status.is_terminal() {
            return Err(ReserveError::Ended { status: self.status });
        }
        if !self.authority.reserved.contains_key(&child) {
            self.authority.set_aside(child, budget.clone()).map_err(ReserveError::Shortfall)?;
            self.waiting.push(now, &Fact::Reserved(Reserved { child, budget }));
            self.tell_remaining(now);
        }
        Ok(self.last_decided())
    }

    /// A child has ended, having spent this: the rest of what it was given is free again. A second time is none, and a
    /// job that is over takes nothing back.
    pub fn refund(&mut self, now: Timestamp, child: JobId, spent: BTreeMap<Box<str>, Units>) {
        if self.status.is_terminal() || !self.authority.reserved.contains_key(&child) {
            return;
        }
        let settled = Settled { child, spent };
        self.authority.replay_settled(&settled);
        self.waiting.push(now, &Fact::Settled(settled));
        self.tell_remaining(now);
    }

    /// How the budget stands between the job and its children, if that has changed and the job's own credential is to be
    /// kept to it. It may be told before it is recorded: nothing is set aside of which a start would not tell anew, and
    /// what a child gives back is in the child's records.
    pub fn poll_sharing(&mut self) -> Option<Sharing> {
        let changed = std::mem::take(&mut self.authority.is_shared_anew);
        if !changed || self.accepted.credentials.is_empty() || self.status.is_terminal() {
            return None;
        }
        let Authority { counters, reserved, .. } = &self.authority;
        (!counters.is_empty()).then(|| Sharing { budget: counters.not_spent_below(), given: reserved.clone() })
    }

    /// An event of the agent is taken in: a cost is counted. Answers what is recorded, which is something else only for a
    /// cost that is refused.
    pub(super) fn charge(&mut self, kind: EventKind, body: Json) -> (EventKind, Json) {
        if kind != EventKind::Metric || self.authority.counters.is_empty() {
            return (kind, body);
        }
        match self.authority.charge(body.get()) {
            Ok(()) => (kind, body),
            Err(problem) => Report::dropped(&kind, &problem),
        }
    }

    /// Records what is left of the budget where that has changed much.
    pub(super) fn tell_remaining(&mut self, now: Timestamp) {
        for (currency, remaining) in self.authority.counters.take_due() {
            // A currency has no character that would have to be escaped.
            let body = format!(r#"{{"name":"{REMAINING}","value":{remaining},"unit":"{currency}"}}"#);
            let Ok(body) = Json::parse(&body) else { continue };
            self.waiting.push(now, &Fact::Event(Event { kind: EventKind::Metric, ts: now, worker_seq: None, body }));
        }
    }
}
