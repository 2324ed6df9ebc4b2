//! From what was given to a configuration: reads every layer, checks what must fit together, and reports everything
//! that is wrong at once.

use std::path::PathBuf;

use super::agents::AgentConfig;
use super::file;
use super::high::{
    Config, JobsConfig, JournalConfig, LimitsConfig, LogConfig, RetentionConfig, SessionConfig, Transport,
    WorkersConfig,
};
use super::layers::{Layer, Layers, Setting};
use super::mistake::{Mistake, Mistakes, Problem};
use super::option::ConfigOption;
use super::options::Found;
use super::resolved::Resolved;
use super::sources::{ConfigFile, Sources};

impl Config {
    /// Resolves what was given.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, in every layer.
    pub fn resolve(mut sources: Sources<'_>) -> Result<(Self, Resolved), Mistakes> {
        let mut mistakes = Vec::new();
        let (file, layer, agents) = match std::mem::replace(&mut sources.file, ConfigFile::Absent) {
            ConfigFile::Absent => (None, Layer::new(), Vec::new()),
            ConfigFile::Unusable(mistake) => {
                mistakes.push(mistake);
                (None, Layer::new(), Vec::new())
            }
            ConfigFile::Read { path, text } => {
                let (layer, agents) = file::read(&path, &text, &sources, &mut mistakes);
                (Some(path), layer, agents)
            }
        };
        let mut layers = Layers::new(&sources, layer, mistakes);
        let found = Found::read(&mut layers, &sources);
        let Layers { mut mistakes, rows, .. } = layers;
        let transport = transport(&found, &mut mistakes);
        let runtime_dir = sources.directory("XDG_RUNTIME_DIR");
        match config(found, transport, agents.clone(), runtime_dir).filter(|_| mistakes.is_empty()) {
            Some(config) => Ok((config, Resolved { rows, agents, file })),
            None => Err(Mistakes::new(mistakes)),
        }
    }
}

/// How connections are encrypted. `None` if that is a mistake, or cannot be said for another one.
fn transport(found: &Found, mistakes: &mut Vec<Mistake>) -> Option<Transport> {
    let (cert, key) = (found.tls_cert.as_ref()?, found.tls_key.as_ref()?);
    match (&cert.value, &key.value) {
        (Some(cert), Some(key)) => Some(Transport::Tls { cert: cert.clone(), key: key.clone() }),
        (None, None) => plaintext(found, mistakes),
        (Some(_), None) => half_tls("tls.cert", cert, "tls.key", mistakes),
        (None, Some(_)) => half_tls("tls.key", key, "tls.cert", mistakes),
    }
}

fn half_tls<T>(given: &str, setting: &Setting<T>, missing: &str, mistakes: &mut Vec<Mistake>) -> Option<Transport> {
    let (given, missing) = (ConfigOption::find(given)?, ConfigOption::find(missing)?);
    mistakes.push(Mistake { origin: setting.origin.clone(), problem: Problem::HalfTls { given, missing } });
    None
}

fn plaintext(found: &Found, mistakes: &mut Vec<Mistake>) -> Option<Transport> {
    let (listen, allowed) = (found.listen.as_ref()?, found.insecure_plaintext.as_ref()?);
    // An IPv4 address in IPv6 dress is judged as what it is.
    if allowed.value || listen.value.ip().to_canonical().is_loopback() {
        return Some(Transport::Plaintext);
    }
    let problem = Problem::PlaintextBeyondLoopback { listen: listen.value };
    mistakes.push(Mistake { origin: listen.origin.clone(), problem });
    None
}

/// The configuration, if every option has a value.
fn config(
    found: Found,
    transport: Option<Transport>,
    agents: Vec<AgentConfig>,
    runtime_dir: Option<PathBuf>,
) -> Option<Config> {
    Some(Config {
        listen: found.listen?.value,
        transport: transport?,
        data_dir: found.data_dir?.value,
        runtime_dir,
        journal: JournalConfig { store: found.journal_store?.value, durability: found.journal_durability?.value },
        session: SessionConfig {
            heartbeat_interval: found.heartbeat_interval?.value,
            hello_deadline: found.hello_deadline?.value,
            resume_window: found.resume_window?.value,
            back_pressure_lag: found.back_pressure_lag?.value,
            overflow: found.overflow?.value,
            profiles: found.profiles?.value,
        },
        limits: LimitsConfig {
            max_frame_bytes: found.max_frame_bytes?.value,
            max_connections: found.max_connections?.value,
            max_connections_per_address: found.max_connections_per_address?.value,
            max_sessions_per_principal: found.max_sessions_per_principal?.value,
            max_jobs_per_principal: found.max_jobs_per_principal?.value,
        },
        retention: RetentionConfig { max_age: found.retain_for?.value, max_bytes: found.retain_bytes?.value },
        jobs: JobsConfig {
            cancel_grace: found.cancel_grace?.value,
            default_max_runtime: found.default_max_runtime?.value,
        },
        shutdown_grace: found.shutdown_grace?.value,
        log: LogConfig { format: found.log_format?.value, filter: found.log_filter?.value },
        stop_workers: found.stop_workers?.value,
        workers: WorkersConfig {
            program: found.worker_program?.value,
            reattach: found.reattach?.value,
            adoption_window: found.adoption_window?.value,
            max_orphan_lifetime: found.max_orphan_lifetime?.value,
        },
        builtin_agents: found.builtin_agents?.value,
        agents,
    })
}

#[cfg(test)]
mod tests;
