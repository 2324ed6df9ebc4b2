//! Which workers the configuration asks for: one for each agent, so that one agent's end is no other's.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use moorline_agents::Shipped;
use moorline_runtime::workers::{Host, ProcessHost, WorkerSpec};
use moorline_types::ResolvedAgent;
use moorline_worker::exec::ExecSpec;

use crate::config::{AgentConfig, BuiltinAgent, Config};
use crate::data_dir::DataDir;

use super::StartError;

/// What the worker command of the moorline program is called.
pub const WORKER_COMMAND: &str = "worker";

/// The variable that tells a shipped agent where it may write.
const SCRATCH_VARIABLE: &str = "MOORLINE_WORKER_SCRATCH";

/// What a managed worker hosts, as its process is told on its inherited descriptor.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hosted {
    /// An agent that Moorline ships.
    Shipped(Shipped),
    /// A program of the operator's.
    Exec(ExecSpec),
}

/// A worker, and the agent version that it is there for.
pub(super) struct ConfiguredWorker {
    pub(super) agent: ResolvedAgent,
    pub(super) is_default: bool,
    pub(super) spec: WorkerSpec,
}

/// A worker for every agent of the configuration.
pub(super) fn specs(config: &Config, data_dir: &DataDir) -> Result<Vec<ConfiguredWorker>, StartError> {
    let mut workers = Vec::new();
    for builtin in &config.builtin_agents {
        let shipped = match builtin {
            BuiltinAgent::Census => Shipped::Census,
            BuiltinAgent::Echo => Shipped::Echo,
        };
        workers.push(worker(shipped.agent(), true, &Hosted::Shipped(shipped), config, data_dir)?);
    }
    for agent in &config.agents {
        workers.push(worker(agent.agent.clone(), agent.is_default, &Hosted::Exec(exec(agent, data_dir)?), config, data_dir)?);
    }
    Ok(workers)
}

fn worker(
    agent: ResolvedAgent,
    is_default: bool,
    hosted: &Hosted,
    config: &Config,
    data_dir: &DataDir,
) -> Result<ConfiguredWorker, StartError> {
    let name = agent.to_string();
    let cwd = scratch(&agent, data_dir)?;
    let host = ProcessHost {
        program: config.worker_program.clone(),
        args: vec![OsString::from(WORKER_COMMAND)],
        env: vec![(SCRATCH_VARIABLE.into(), cwd.clone().into())],
        cwd,
        logs: data_dir.workers(),
        socket: data_dir.worker_socket().to_owned(),
        assignment: serde_json::to_value(hosted).map_err(StartError::Assignment)?,
    };
    Ok(ConfiguredWorker { agent, is_default, spec: WorkerSpec { name, host: Host::Process(host) } })
}

fn exec(agent: &AgentConfig, data_dir: &DataDir) -> Result<ExecSpec, StartError> {
    let cwd = match &agent.cwd {
        Some(cwd) => cwd.clone(),
        None => scratch(&agent.agent, data_dir)?,
    };
    let program = agent.program.to_string_lossy().into_owned();
    Ok(ExecSpec {
        name: agent.agent.name.to_string(),
        version: agent.agent.version.to_string(),
        description: agent.description.clone().unwrap_or_default(),
        command: std::iter::once(program).chain(agent.args.iter().cloned()).collect(),
        env: agent.env.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect(),
        cwd,
        capacity: agent.capacity.get().into(),
    })
}

/// A directory of the agent's own, for what it writes without being told where.
fn scratch(agent: &ResolvedAgent, data_dir: &DataDir) -> Result<PathBuf, StartError> {
    let path = data_dir.scratch().join(agent.to_string());
    match std::fs::create_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(StartError::Scratch { path, source: error }),
        _ => Ok(path),
    }
}
