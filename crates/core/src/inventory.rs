//! Which agents there are, and which one a reference means (spec 7.5).
//!
//! The versions of an agent are listed in the order in which they were registered. A bare name means the version that
//! was registered as default, else the only or first one: always the one that the welcome advertises as `default`.

use std::collections::BTreeMap;

use moorline_types::{AgentName, AgentRef, AgentVersion, ResolvedAgent};

use crate::Refusal;

/// The agents of a gateway.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    agents: BTreeMap<AgentName, Versions>,
}

/// The versions of one agent.
#[derive(Debug, Clone)]
pub struct Versions {
    versions: Vec<AgentVersion>,
    default: usize,
    explicit: bool,
}

impl Versions {
    /// Every version, in the order of registration.
    pub fn all(&self) -> &[AgentVersion] {
        &self.versions
    }

    /// The version that a bare name means. There is always one: an agent is registered with a version.
    pub fn default_version(&self) -> Option<&AgentVersion> {
        self.versions.get(self.default)
    }
}

impl Inventory {
    /// Adds a version of an agent; the same again changes nothing but the default.
    pub fn register(&mut self, agent: ResolvedAgent, is_default: bool) {
        let entry = self.agents.entry(agent.name).or_insert_with(|| Versions {
            versions: Vec::new(),
            default: 0,
            explicit: false,
        });
        let index = entry.versions.iter().position(|version| *version == agent.version).unwrap_or_else(|| {
            entry.versions.push(agent.version);
            entry.versions.len() - 1
        });
        if is_default && !entry.explicit {
            entry.default = index;
            entry.explicit = true;
        }
    }

    /// What `reference` means.
    pub fn resolve(&self, reference: &AgentRef) -> Result<ResolvedAgent, Refusal> {
        let name = reference.name.clone();
        let Some(versions) = self.agents.get(&name) else { return Err(Refusal::AgentNotAvailable { name }) };
        match &reference.version {
            Some(version) if versions.versions.contains(version) => {
                Ok(ResolvedAgent { name, version: version.clone() })
            }
            Some(version) => Err(Refusal::AgentVersionNotAvailable {
                name,
                version: version.clone(),
                available: versions.versions.clone(),
            }),
            None => match versions.default_version() {
                Some(version) => Ok(ResolvedAgent { name, version: version.clone() }),
                None => Err(Refusal::AgentNotAvailable { name }),
            },
        }
    }

    /// Every agent with its versions, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&AgentName, &Versions)> {
        self.agents.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(agents: &[(&str, bool)]) -> Inventory {
        let mut inventory = Inventory::default();
        for (agent, is_default) in agents {
            inventory.register(agent.parse().unwrap(), *is_default);
        }
        inventory
    }

    #[test]
    fn references_resolve_by_the_rules_of_the_spec() {
        let inventory =
            inventory(&[("echo@1.0.0", false), ("echo@2.0.0", true), ("echo@3.0.0", true), ("solo@0.9", false)]);
        for (reference, expected) in [
            ("echo", Ok("echo@2.0.0")),
            ("echo@1.0.0", Ok("echo@1.0.0")),
            ("echo@3.0.0", Ok("echo@3.0.0")),
            ("solo", Ok("solo@0.9")),
            ("echo@4", Err("agent echo has no version 4; available: 1.0.0, 2.0.0, 3.0.0")),
            ("nobody", Err("no agent is called nobody; session.welcome lists the agents of this runtime")),
            ("nobody@1", Err("no agent is called nobody; session.welcome lists the agents of this runtime")),
        ] {
            let resolved = inventory.resolve(&reference.parse().unwrap());
            let resolved = resolved.map(|agent| agent.to_string()).map_err(|refusal| refusal.to_string());
            assert_eq!(resolved, expected.map(str::to_owned).map_err(str::to_owned), "{reference}");
        }
    }

    #[test]
    fn registering_the_same_version_twice_lists_it_once() {
        let inventory = inventory(&[("echo@1.0.0", false), ("echo@1.0.0", false)]);
        let (_, versions) = inventory.iter().next().unwrap();
        assert_eq!(versions.all().len(), 1);
    }
}
