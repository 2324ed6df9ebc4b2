//! Which workers the configuration asks for: one for each agent, so that one agent's end is no other's.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moorline_agents::{Census, Echo, Load};
use moorline_backend::simulated::Simulated;
use moorline_backend::{BackendAgent, BackendAssignment};
use moorline_runtime::backend_sessions::SpecFor;
use moorline_runtime::workers::{Host, ProcessSpec, WorkerSpec};
use moorline_types::{AgentRefError, ResolvedAgent};
use moorline_worker::exec::{ExecAgent, ExecSpec};
use moorline_worker::sdk::{Agent, AgentDescription};

use crate::config::{AgentConfig, Backend, BuiltinAgent, Config, GatewayConfig, OpcUaConfig};
use crate::data_dir::DataDir;

use super::StartError;

/// What the worker command of the moorline program is called.
pub const WORKER_COMMAND: &str = "worker";

/// What the variables begin with that are for OPC UA back ends: passwords of users.
const OPCUA_VARIABLES: &str = "OPCUA_";

/// Logs of earlier workers that are kept: a few starts of a gateway with a dozen agents.
const KEPT_LOGS: usize = 64;

/// The variable that tells a shipped agent where it may write.
const SCRATCH_VARIABLE: &str = "MOORLINE_WORKER_SCRATCH";

/// What a managed worker hosts, as its process is told on its inherited descriptor.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hosted {
    /// An agent that Moorline ships.
    Shipped(Shipped),
    /// A program of the operator's.
    Program(Program),
    /// The back end of one gateway session.
    Backend(HostedBackend),
}

/// The back end of one gateway session.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct HostedBackend {
    agent: String,
    backend: BackendKind,
}

/// The back ends that Moorline ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendKind {
    /// A plant that is simulated.
    Simulated,
}

/// The agents that Moorline ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shipped {
    /// Takes stock of a directory.
    Census,
    /// Returns its input.
    Echo,
    /// Emits events to measure with.
    Load,
}

/// A program that is an agent.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Program {
    agent: String,
    is_default: bool,
    description: String,
    command: Vec<String>,
    env: BTreeMap<String, String>,
    cwd: PathBuf,
    capacity: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    answers: bool,
}

impl Hosted {
    /// The agents themselves, in the worker's process.
    ///
    /// # Errors
    /// If the program's agent has no valid name, which a gateway never asks for.
    pub fn agents(self) -> Result<Vec<Arc<dyn Agent>>, AgentRefError> {
        Ok(vec![match self {
            Self::Shipped(shipped) => shipped.agent()?,
            Self::Program(program) => Arc::new(ExecAgent::new(program.spec()?)),
            Self::Backend(HostedBackend { agent, backend: BackendKind::Simulated }) => {
                Arc::new(BackendAgent::new(agent.parse()?, Simulated))
            }
        }])
    }
}

impl Shipped {
    /// The agent, under the version of the program that it comes with.
    fn agent(self) -> Result<Arc<dyn Agent>, AgentRefError> {
        let named = |name: &str| format!("{name}@{}", env!("CARGO_PKG_VERSION")).parse();
        Ok(match self {
            Self::Census => Arc::new(Census::new(named("census")?)),
            Self::Echo => Arc::new(Echo::new(named("echo")?)),
            Self::Load => Arc::new(Load::new(named("load")?)),
        })
    }
}

impl From<BuiltinAgent> for Shipped {
    fn from(agent: BuiltinAgent) -> Self {
        match agent {
            BuiltinAgent::Census => Self::Census,
            BuiltinAgent::Echo => Self::Echo,
            BuiltinAgent::Load => Self::Load,
        }
    }
}

impl Program {
    fn spec(self) -> Result<ExecSpec, AgentRefError> {
        let Self { agent, is_default, description, command, env, cwd, capacity, answers } = self;
        let ResolvedAgent { name, version } = agent.parse()?;
        Ok(ExecSpec { name, version, is_default, description, command, env, cwd: Some(cwd), capacity, answers })
    }
}

/// A worker, and the agent version that it is there for.
pub(super) struct ConfiguredWorker {
    pub(super) agent: ResolvedAgent,
    pub(super) is_default: bool,
    pub(super) spec: ProcessSpec,
}

/// A worker for every agent of the configuration. The operator's come first: where one of them and a shipped one claim
/// to be the default of the same name, the operator's is.
pub(super) fn specs(config: &Config, data_dir: &DataDir) -> Result<Vec<ConfiguredWorker>, StartError> {
    let mut workers: Vec<ConfiguredWorker> = Vec::new();
    for agent in &config.agents {
        let program = program(agent, data_dir)?;
        let described = AgentDescription {
            agent: agent.agent.clone(),
            description: program.description.clone(),
            capacity: program.capacity,
            is_default: agent.is_default,
        };
        workers.push(worker(described, &Hosted::Program(program), config, data_dir)?);
    }
    for builtin in config.builtin_agents.difference(&config.in_process_agents) {
        let shipped = Shipped::from(*builtin);
        let described = AgentDescription { is_default: true, ..shipped.agent()?.describe() };
        if workers.iter().any(|worker| worker.agent == described.agent) {
            return Err(StartError::AgentTwice { agent: described.agent });
        }
        workers.push(worker(described, &Hosted::Shipped(shipped), config, data_dir)?);
    }
    Ok(workers)
}

/// A worker inside this process for each agent that the configuration wants there, and what it offers.
pub(super) fn in_process(config: &Config) -> Result<Vec<(ResolvedAgent, WorkerSpec)>, StartError> {
    let worker = |builtin: &BuiltinAgent| {
        let agent = Shipped::from(*builtin).agent()?;
        let described = agent.describe().agent;
        if config.agents.iter().any(|own| own.agent == described) {
            return Err(StartError::AgentTwice { agent: described });
        }
        Ok((described.clone(), WorkerSpec { name: described.to_string(), host: Host::InProcess(vec![agent]) }))
    };
    config.in_process_agents.iter().map(worker).collect()
}

/// Removes the logs of workers of long ago, but none `in_use`. A worker's log is named after its id, which begins with
/// the time.
pub(super) fn prune_logs<'a>(data_dir: &DataDir, in_use: impl Iterator<Item = &'a Path>) {
    let in_use: BTreeSet<_> = in_use.collect();
    let logs = std::fs::read_dir(data_dir.workers()).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut logs: Vec<_> = logs.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    logs.sort_unstable();
    logs.truncate(logs.len().saturating_sub(KEPT_LOGS));
    for log in logs.iter().filter(|log| !in_use.contains(log.as_path())) {
        if let Err(error) = std::fs::remove_file(log) {
            tracing::warn!(log = %log.display(), %error, "an old worker's log stays");
        }
    }
}

fn worker(
    AgentDescription { agent, is_default, capacity, .. }: AgentDescription,
    hosted: &Hosted,
    config: &Config,
    data_dir: &DataDir,
) -> Result<ConfiguredWorker, StartError> {
    let cwd = scratch(&agent, data_dir)?;
    let spec = ProcessSpec {
        name: agent.to_string(),
        agents: vec![(agent.clone(), capacity)],
        program: config.workers.program.clone(),
        args: vec![OsString::from(WORKER_COMMAND)],
        env: vec![(SCRATCH_VARIABLE.into(), cwd.clone().into())],
        cwd,
        logs: data_dir.workers(),
        socket: data_dir.worker_socket().to_owned(),
        orphan_lifetime: None,
        assignment: serde_json::to_value(hosted).map_err(StartError::Assignment)?,
    };
    Ok(ConfiguredWorker { agent, is_default, spec })
}

/// How the worker of a gateway session is started. Its only agent names the back end.
pub(super) fn backend_spec(config: &Config, asked: &GatewayConfig, data_dir: &DataDir) -> SpecFor {
    let (shipped, scratch) = (config.workers.program.clone(), data_dir.scratch());
    let (opcua, orphan_lifetime) = (asked.opcua.clone(), asked.max_orphan_lifetime);
    let (logs, socket) = (data_dir.workers(), data_dir.worker_socket().to_owned());
    Arc::new(move |agent| {
        let (program, args, assignment) = match &opcua {
            Some(OpcUaConfig { program, config }) if agent.name.as_str() == Backend::OpcUa.as_str() => {
                let (config, environment) = (config.clone(), variables(OPCUA_VARIABLES));
                let assignment = BackendAssignment { agent: agent.to_string(), config, environment };
                (program.clone(), Vec::new(), serde_json::json!(assignment))
            }
            _ => {
                let hosted = HostedBackend { agent: agent.to_string(), backend: BackendKind::Simulated };
                (shipped.clone(), vec![OsString::from(WORKER_COMMAND)], serde_json::json!({ "backend": hosted }))
            }
        };
        ProcessSpec {
            name: agent.to_string(),
            agents: vec![(agent.clone(), 1)],
            program,
            args,
            env: Vec::new(),
            cwd: scratch.clone(),
            logs: logs.clone(),
            socket: socket.clone(),
            orphan_lifetime: Some(orphan_lifetime),
            assignment,
        }
    })
}

/// Variables of our environment whose names begin like this.
fn variables(prefix: &str) -> BTreeMap<String, String> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).filter(|(name, _)| name.starts_with(prefix)).collect()
}

fn program(agent: &AgentConfig, data_dir: &DataDir) -> Result<Program, StartError> {
    let cwd = match &agent.cwd {
        Some(cwd) => cwd.clone(),
        None => scratch(&agent.agent, data_dir)?,
    };
    let program = agent.program.to_string_lossy().into_owned();
    Ok(Program {
        agent: agent.agent.to_string(),
        is_default: agent.is_default,
        description: agent.description.clone().unwrap_or_default(),
        command: std::iter::once(program).chain(agent.args.iter().cloned()).collect(),
        env: agent.env.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect(),
        cwd,
        capacity: agent.capacity.get().into(),
        answers: agent.answers,
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
