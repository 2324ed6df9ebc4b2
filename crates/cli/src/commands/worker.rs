//! `moorline worker`: hosts what the gateway that started this process asks for.

use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use moorline_server::serve::workers::Hosted;
use moorline_worker::launch::AssignmentKind;
use moorline_worker::worker_main;

pub(crate) fn run() -> ExitCode {
    worker_main(|assignment: &AssignmentKind| agents(assignment).map_err(Unhosted))
}

fn agents(assignment: &AssignmentKind) -> Result<Vec<std::sync::Arc<dyn moorline_worker::sdk::Agent>>> {
    let hosted: Hosted =
        serde_json::from_value(assignment.0.clone()).context("the gateway is of another version than this program")?;
    hosted.agents().map_err(|error| anyhow!(error))
}

/// Why the assignment cannot be carried out.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct Unhosted(anyhow::Error);
