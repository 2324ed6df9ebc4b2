//! Back ends that are programs of their own.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the program of a back end is to host, as it is told on its inherited descriptor: secrets may be in it, and nobody
/// else can read it there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendAssignment {
    /// The agent, with its version: the session's.
    pub agent: String,
    /// The operator's file for this kind of back end.
    pub config: PathBuf,
    /// Variables of the gateway's environment that are meant for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

impl std::fmt::Debug for BackendAssignment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.environment.keys().collect();
        f.debug_struct("BackendAssignment")
            .field("agent", &self.agent)
            .field("config", &self.config)
            .field("environment", &names)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_variables_say_is_in_no_debug_output() {
        let environment = BTreeMap::from([("OPCUA_PASSWORD".to_owned(), "hunter2".to_owned())]);
        let assignment = BackendAssignment { agent: "opcua@1.0.0".to_owned(), config: "x".into(), environment };
        let shown = format!("{assignment:?}");
        assert!(shown.contains("OPCUA_PASSWORD") && !shown.contains("hunter2"), "{shown}");
    }
}
