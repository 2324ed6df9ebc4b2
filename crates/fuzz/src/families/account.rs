//! What a job has, gives and spends, reckoned from its records alone.

use std::collections::BTreeMap;

use moorline_core::record::{Fact, Reserved, Settled};
use moorline_types::{JobId, Json, Units};

/// See the module's documentation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// What it was given.
    pub(super) given: Units,
    /// What its own agent has spent.
    pub(super) own: Units,
    /// What its children were given that have not ended.
    pub(super) open: BTreeMap<JobId, Units>,
    /// What those have spent that have.
    pub(super) settled: BTreeMap<JobId, Units>,
}

impl Account {
    pub(super) fn of(facts: impl Iterator<Item = Fact>) -> Self {
        let mut account = Self::default();
        for fact in facts {
            if let Fact::Accepted(accepted) = &fact {
                let lease: BTreeMap<String, Vec<String>> = accepted.lease.to().unwrap();
                let entries = lease.get("cost.budget").into_iter().flatten();
                let amounts = entries.map(|entry| entry.strip_prefix("USD:").unwrap().parse::<Units>().unwrap());
                account.given = amounts.fold(Units::ZERO, Units::plus);
            } else if let Fact::Reserved(Reserved { child, budget }) = &fact {
                let given = budget.get("USD").unwrap();
                assert!(given <= account.left(), "{child} is given {given}, and {} is left", account.left());
                assert_eq!(account.open.insert(*child, given), None, "{child} is given something twice");
            } else if let Fact::Settled(Settled { child, spent }) = &fact {
                assert!(account.open.remove(child).is_some(), "{child} gives back what it was not given");
                account.settled.insert(*child, spent.get("USD").copied().unwrap_or_default());
            } else if let Fact::Event(event) = &fact
                && event.worker_seq.is_some()
            {
                let cost: BTreeMap<String, Json> = event.body.to().unwrap();
                account.own = account.own.plus(Units::from_json_number(cost["value"].get()).unwrap());
            }
        }
        account
    }

    /// What is not its parent's any more when the job has ended.
    pub(super) fn spent(&self) -> Units {
        self.settled.values().chain(self.open.values()).fold(self.own, |sum, spent| sum.plus(*spent))
    }

    pub(super) fn left(&self) -> Units {
        self.given.minus(self.spent())
    }
}
