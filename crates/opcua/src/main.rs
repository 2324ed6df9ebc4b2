//! `moorline-opcua`: the worker of a gateway session with an OPC UA server. A gateway starts it and says on an inherited
//! descriptor what it is to host.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;

use moorline_backend::{BackendAgent, BackendAssignment};
use moorline_opcua::OpcUa;
use moorline_opcua::settings::{Settings, SettingsError};
use moorline_types::AgentRefError;
use moorline_worker::launch::AssignmentKind;
use moorline_worker::sdk::Agent;
use moorline_worker::worker_main;

/// Why the assignment cannot be carried out.
#[derive(Debug, thiserror::Error)]
enum Unhosted {
    #[error("the gateway is of another version than this program")]
    Assignment(#[source] serde_json::Error),
    #[error("the session's agent has no valid name")]
    Agent(#[source] AgentRefError),
    #[error("gateway.opcua_config cannot be used")]
    Settings(#[source] SettingsError),
}

fn main() -> ExitCode {
    worker_main(agents)
}

fn agents(assignment: &AssignmentKind) -> Result<Vec<Arc<dyn Agent>>, Unhosted> {
    let assignment: BackendAssignment = serde_json::from_value(assignment.0.clone()).map_err(Unhosted::Assignment)?;
    let agent = assignment.agent.parse().map_err(Unhosted::Agent)?;
    let settings = Settings::load(&assignment.config).map_err(Unhosted::Settings)?;
    Ok(vec![Arc::new(BackendAgent::new(agent, OpcUa::new(settings, assignment.environment)))])
}
