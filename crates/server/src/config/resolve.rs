//! From what was given to a configuration: reads every layer, checks what must fit together, and reports everything
//! that is wrong at once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use moorline_types::{Principal, PrincipalId, Scopes};

use super::agents::AgentConfig;
use super::credentials;
use super::file;
use super::gateway::{GatewayConfig, gateway};
use super::high::{
    ClientCertsConfig, Config, CredentialsConfig, DelegationConfig, ExternalConfig, HttpConfig, JobsConfig,
    JournalConfig, JwtConfig, LimitsConfig, LogConfig, RetentionConfig, SessionConfig, TracingConfig, Transport,
    WorkersConfig,
};
use super::layers::{Layer, Layers, Setting};
use super::mistake::{Mistake, Mistakes, Problem};
use super::option::ConfigOption;
use super::options::Found;
use super::origin::Origin;
use super::resolved::Resolved;
use super::sources::{ConfigFile, Sources};
use super::tokens;
use super::tracing;
use super::words::StoreKind;

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
        let external = external(&found, transport.as_ref(), &mut mistakes);
        let client_certs = client_certs(&found, transport.as_ref(), &mut mistakes);
        let jwt = tokens::jwt(&found, &mut mistakes);
        let credentials = credentials::credentials(&found, &mut mistakes);
        let gateway = gateway(&found, transport.as_ref(), &mut mistakes);
        let tracing = tracing::tracing(&found, &mut mistakes);
        let checked = Checked { transport, client_certs, jwt, credentials, external, gateway, tracing };
        match config(found, checked, agents.clone(), runtime_dir).filter(|_| mistakes.is_empty()) {
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
        (None, None) => plaintext(found, found.listen.as_ref()?, mistakes),
        (Some(_), None) => half_tls("tls.cert", cert, "tls.key", mistakes),
        (None, Some(_)) => half_tls("tls.key", key, "tls.cert", mistakes),
    }
}

fn half_tls<T>(given: &str, setting: &Setting<T>, missing: &str, mistakes: &mut Vec<Mistake>) -> Option<Transport> {
    let (given, missing) = (ConfigOption::find(given)?, ConfigOption::find(missing)?);
    mistakes.push(Mistake { origin: setting.origin.clone(), problem: Problem::HalfTls { given, missing } });
    None
}

fn plaintext(found: &Found, listen: &Setting<SocketAddr>, mistakes: &mut Vec<Mistake>) -> Option<Transport> {
    let problem = Problem::PlaintextBeyondLoopback { listen: listen.value };
    if is_plaintext_allowed(found, listen.value)? {
        return Some(Transport::Plaintext);
    }
    mistakes.push(Mistake { origin: listen.origin.clone(), problem });
    None
}

pub(super) fn is_plaintext_allowed(found: &Found, listen: SocketAddr) -> Option<bool> {
    // An IPv4 address in IPv6 dress is judged as what it is.
    Some(found.insecure_plaintext.as_ref()?.value || listen.ip().to_canonical().is_loopback())
}

/// Which certificates clients are asked for; the outer `None` if that is a mistake, or cannot be said for another one.
fn client_certs(
    found: &Found,
    transport: Option<&Transport>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Option<ClientCertsConfig>> {
    let (authority, auth) = (found.client_ca.as_ref()?, found.client_auth.as_ref()?);
    let (principals, grants) = (found.client_principals.as_ref()?, found.client_grants.as_ref()?);
    let mut half = |given: &str, origin: &Origin, missing: &str| {
        let (given, missing) = (ConfigOption::find(given)?, ConfigOption::find(missing)?);
        mistakes.push(Mistake { origin: origin.clone(), problem: Problem::HalfClientCerts { given, missing } });
        None
    };
    let is_encrypted = transport.is_none_or(|transport| *transport != Transport::Plaintext);
    let is_mapped = |granted: &PrincipalId| principals.value.values().any(|mapped| mapped == granted);
    match &authority.value {
        _ if !grants.value.keys().all(is_mapped) => half("tls.client_grants", &grants.origin, "tls.client_principals"),
        Some(_) if !is_encrypted => half("tls.client_ca", &authority.origin, "tls.cert"),
        Some(_) if principals.value.is_empty() => half("tls.client_ca", &authority.origin, "tls.client_principals"),
        Some(authority) => {
            let granted = |id: &PrincipalId| match grants.value.get(id) {
                Some(grants) => Principal { id: id.clone(), grants: grants.clone() },
                None => Principal::new(id.clone(), Scopes::JOBS),
            };
            let principals = &principals.value;
            let principals = principals.iter().map(|(name, id)| (name.clone(), Arc::new(granted(id)))).collect();
            Some(Some(ClientCertsConfig { authority: authority.clone(), auth: auth.value, principals }))
        }
        None if !principals.value.is_empty() => half("tls.client_principals", &principals.origin, "tls.client_ca"),
        None => Some(None),
    }
}

/// Where workers of other machines attach; the outer `None` if that is a mistake, or cannot be said for another one.
fn external(found: &Found, clients: Option<&Transport>, mistakes: &mut Vec<Mistake>) -> Option<Option<ExternalConfig>> {
    let (listen, store) = (found.workers_listen.as_ref()?, found.journal_store.as_ref()?);
    let (cert, key) = (found.workers_tls_cert.as_ref()?, found.workers_tls_key.as_ref()?);
    let own = match (&cert.value, &key.value) {
        (Some(cert), Some(key)) => Some(Transport::Tls { cert: cert.clone(), key: key.clone() }),
        (None, None) => None,
        (Some(_), None) => return half_tls("workers.tls_cert", cert, "workers.tls_key", mistakes).map(|_| None),
        (None, Some(_)) => return half_tls("workers.tls_key", key, "workers.tls_cert", mistakes).map(|_| None),
    };
    let Some(address) = listen.value else { return Some(None) };
    let mut wrong = |problem| mistakes.push(Mistake { origin: listen.origin.clone(), problem });
    if store.value == StoreKind::Memory {
        wrong(Problem::ForgetfulWorkers);
        return None;
    }
    let transport = match own {
        Some(own) => own,
        None => clients?.clone(),
    };
    if transport == Transport::Plaintext && !is_plaintext_allowed(found, address)? {
        wrong(Problem::PlaintextWorkers { listen: address });
        return None;
    }
    Some(Some(ExternalConfig { listen: address, transport }))
}

/// What several options say together; `None` where that is a mistake.
struct Checked {
    transport: Option<Transport>,
    client_certs: Option<Option<ClientCertsConfig>>,
    jwt: Option<Option<JwtConfig>>,
    credentials: Option<Option<CredentialsConfig>>,
    external: Option<Option<ExternalConfig>>,
    gateway: Option<Option<GatewayConfig>>,
    tracing: Option<TracingConfig>,
}

/// The configuration, if every option has a value.
fn config(found: Found, checked: Checked, agents: Vec<AgentConfig>, runtime_dir: Option<PathBuf>) -> Option<Config> {
    let Checked { transport, client_certs, jwt, credentials, external, gateway, tracing } = checked;
    Some(Config {
        listen: found.listen?.value,
        transport: transport?,
        client_certs: client_certs?,
        jwt: jwt?,
        credentials: credentials?,
        http: HttpConfig { allowed_origins: found.allowed_origins?.value, allowed_hosts: found.allowed_hosts?.value },
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
            free_failures_per_address: found.free_failures_per_address?.value,
            max_sessions_per_principal: found.max_sessions_per_principal?.value,
            max_jobs_per_principal: found.max_jobs_per_principal?.value,
            max_queued_jobs_per_principal: found.max_queued_jobs_per_principal?.value,
            max_submits_per_sec_per_principal: found.max_submits_per_sec_per_principal?.value,
            max_stored_bytes_per_principal: found.max_stored_bytes_per_principal?.value,
        },
        retention: RetentionConfig {
            max_age: found.retain_for?.value,
            audit_max_age: found.audit_max_age?.value,
            audit_max_bytes: found.audit_max_bytes?.value,
            max_bytes: found.retain_bytes?.value,
        },
        jobs: JobsConfig {
            cancel_grace: found.cancel_grace?.value,
            max_pending: found.max_pending?.value,
            default_max_runtime: found.default_max_runtime?.value,
            any_model: found.any_model?.value,
        },
        delegation: DelegationConfig {
            max_depth: found.delegation_max_depth?.value,
            max_children: found.delegation_max_children?.value,
            at_parent_end: found.delegation_at_parent_end?.value,
        },
        shutdown_grace: found.shutdown_grace?.value,
        tracing: tracing?,
        log: LogConfig { format: found.log_format?.value, filter: found.log_filter?.value },
        stop_workers: found.stop_workers?.value,
        workers: WorkersConfig {
            program: found.worker_program?.value,
            reattach: found.reattach?.value,
            adoption_window: found.adoption_window?.value,
            max_orphan_lifetime: found.max_orphan_lifetime?.value,
            external: external?,
        },
        gateway: gateway?,
        builtin_agents: found.builtin_agents?.value,
        in_process_agents: found.in_process_agents?.value,
        agents,
    })
}

#[cfg(test)]
mod tests;
