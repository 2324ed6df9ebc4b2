//! Back ends that are programs of their own.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use moorline_types::AgentRefError;
use moorline_worker::launch::AssignmentKind;
use moorline_worker::sdk::Agent;
use moorline_worker::worker_main;
use serde::{Deserialize, Serialize};

use crate::{BackendAgent, Opener};

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

/// Why an assignment cannot be carried out.
#[derive(Debug, thiserror::Error)]
enum Unhosted<E: Error + 'static> {
    #[error("the gateway is of another version than this program")]
    Assignment(#[source] serde_json::Error),
    #[error("the session's agent has no valid name")]
    Agent(#[source] AgentRefError),
    #[error(transparent)]
    Opener(E),
}

/// The body of the `main` of a program that hosts a back end: what a gateway has assigned is opened with what `opener`
/// makes of the assignment. Ends and logs like [`worker_main`].
pub fn host<O: Opener, E: Error + 'static>(opener: impl FnOnce(BackendAssignment) -> Result<O, E>) -> ExitCode {
    worker_main(|assignment| agents(assignment, opener))
}

fn agents<O: Opener, E: Error + 'static>(
    assignment: &AssignmentKind,
    opener: impl FnOnce(BackendAssignment) -> Result<O, E>,
) -> Result<Vec<Arc<dyn Agent>>, Unhosted<E>> {
    let assignment: BackendAssignment = serde_json::from_value(assignment.0.clone()).map_err(Unhosted::Assignment)?;
    let agent = assignment.agent.parse().map_err(Unhosted::Agent)?;
    Ok(vec![Arc::new(BackendAgent::new(agent, opener(assignment).map_err(Unhosted::Opener)?))])
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use serde_json::json;

    use super::*;
    use crate::simulated::Simulated;

    #[test]
    fn what_variables_say_is_in_no_debug_output() {
        let environment = BTreeMap::from([("OPCUA_PASSWORD".to_owned(), "hunter2".to_owned())]);
        let assignment = BackendAssignment { agent: "opcua@1.0.0".to_owned(), config: "x".into(), environment };
        let shown = format!("{assignment:?}");
        assert!(shown.contains("OPCUA_PASSWORD") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn what_cannot_be_hosted_says_why_and_nothing_of_it_is_opened() {
        let unopened = |_| -> Result<Simulated, Infallible> { panic!("it was opened") };
        for (assignment, word) in [
            (json!({}), "another version"),
            (json!({ "agent": "opcua@1.0.0" }), "another version"),
            (json!({ "agent": "no name", "config": "x" }), "no valid name"),
        ] {
            let Err(error) = agents(&AssignmentKind(assignment.clone()), unopened) else { panic!("{assignment}") };
            assert!(error.to_string().contains(word), "{assignment}: {error}");
        }
        let assigned = AssignmentKind(json!({ "agent": "opcua@1.0.0", "config": "x" }));
        let refused = |_| Err::<Simulated, _>(std::io::Error::other("no such file"));
        let Err(error) = agents(&assigned, refused) else { panic!("it is hosted") };
        assert_eq!(error.to_string(), "no such file");
        let hosted = agents(&assigned, |_| Ok::<_, Infallible>(Simulated)).map(|agents| agents.len());
        assert!(matches!(hosted, Ok(1)), "{hosted:?}");
    }
}
