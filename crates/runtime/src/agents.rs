//! The agents that clients are told of: those of the configuration, and those of enrolled workers of other machines.
//!
//! What an enrolled worker has once offered stays while it is enrolled, whether it is attached or not: its jobs wait for
//! it. The configuration's come first, then the others in the order of their workers' enrolment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use moorline_core::inventory::Inventory;
use moorline_types::{ResolvedAgent, WorkerId};

use crate::sync::lock;

/// An agent, and whether a bare name means this version of it.
pub type Offered = (ResolvedAgent, bool);

/// See the module's documentation.
#[derive(Debug)]
pub struct Agents {
    configured: Vec<Offered>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    external: BTreeMap<WorkerId, Vec<Offered>>,
    inventory: Arc<Inventory>,
}

impl Agents {
    pub(crate) fn new(configured: impl IntoIterator<Item = Offered>) -> Self {
        let agents = Self { configured: configured.into_iter().collect(), state: Mutex::default() };
        agents.change(|_| {});
        agents
    }

    /// The agents at this moment.
    pub fn inventory(&self) -> Arc<Inventory> {
        Arc::clone(&lock(&self.state).inventory)
    }

    /// What an enrolled worker offers, in the place of what it offered before.
    pub(crate) fn offer(&self, worker: WorkerId, offers: Vec<Offered>) {
        self.change(|external| {
            external.insert(worker, offers);
        });
    }

    /// The worker is not enrolled any more.
    pub(crate) fn withdraw(&self, worker: WorkerId) {
        self.change(|external| {
            external.remove(&worker);
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<WorkerId, Vec<Offered>>)) {
        let mut state = lock(&self.state);
        change(&mut state.external);
        let mut inventory = Inventory::default();
        for (agent, is_default) in self.configured.iter().chain(state.external.values().flatten()) {
            inventory.register(agent.clone(), *is_default);
        }
        state.inventory = Arc::new(inventory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(agents: &Agents) -> Vec<String> {
        let inventory = agents.inventory();
        let versions = inventory.iter().flat_map(|(name, versions)| {
            let default = versions.default_version();
            versions
                .all()
                .iter()
                .map(move |version| format!("{name}@{version}{}", if Some(version) == default { "!" } else { "" }))
        });
        versions.collect()
    }

    #[test]
    fn what_enrolled_workers_offer_is_listed_behind_what_is_configured_until_it_is_withdrawn() {
        let agent = |text: &str| text.parse::<ResolvedAgent>().unwrap();
        let worker = |n: u8| WorkerId::from_bytes([n; 16]);
        let agents = Agents::new([(agent("echo@1"), false)]);
        agents.offer(worker(2), vec![(agent("echo@2"), true), (agent("fold@1"), false)]);
        agents.offer(worker(1), vec![(agent("fold@2"), false)]);
        assert_eq!(listed(&agents), ["echo@1", "echo@2!", "fold@2!", "fold@1"]);
        agents.offer(worker(2), vec![(agent("fold@1"), true)]);
        assert_eq!(listed(&agents), ["echo@1!", "fold@2", "fold@1!"]);
        agents.withdraw(worker(2));
        agents.withdraw(worker(1));
        assert_eq!(listed(&agents), ["echo@1!"]);
    }
}
