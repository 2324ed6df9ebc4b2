//! The life of a gateway's process, from a configuration to a clean end.
//!
//! Things are made in the order in which they depend on each other, and sockets are bound before anything is
//! announced: who reads the address can connect to it.

mod audited;
mod error;
mod session_gateway;
pub mod workers;

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use moorline_core::access::Unasked;
use moorline_core::audit::{AuditAction, AuditEntry};
use moorline_core::delegation::DelegationLimits;
use moorline_core::trace::{Participation, Sampling};
use moorline_runtime::backend_sessions::BackendSessions;
use moorline_runtime::credentials::{Credentials, SealKey};
use moorline_runtime::gateway::RecoverJobsError;
use moorline_runtime::workers::{Crew, CrewOptions, ExternalWorkers, WorkerDoor, raise_generation, supervise};
use moorline_runtime::{Clock, Gateway, Retention, RuntimeOptions, TaskKind, Tasks, mint};
use moorline_store::{MemoryStore, Store, TailLimits};
use moorline_store_sqlite::{Durability as SqliteDurability, SqliteOptions, SqliteStore};
use moorline_types::{Epoch, Json, Millis, Principal, Quotas};
use moorline_worker::limits::FORGETFUL_ORPHAN_LIFETIME;
use moorline_worker::secret::GatewaySecret;

use crate::config::{ClientAuth, ClientCertsConfig, Config, Durability, LimitsConfig, Settings, StoreKind, Transport};
use crate::connection::{Connection, Service, ServiceOptions};
use crate::data_dir::{DataDir, Endpoint};
use crate::door::Peer;
use crate::door::stdio::Stdio;
use crate::enrolments::Enrolments;
use crate::grpc::GrpcListener;
use crate::http::{HttpOptions, Listener};
use crate::jwt::Jwt;
use crate::key_store::{Keys, load_keys};
use crate::keys::ApiKey;
use crate::otlp::Exporter;
use crate::provision::provisioning;
use crate::tls::{CertName, Certificates, ClientCerts, TlsError, TlsFiles};
use crate::worker_listener::WorkerListener;

pub use error::StartError;

/// How long workers have to leave at a shutdown, once no job is left.
const WORKER_GRACE: Millis = Millis::from_secs(2);

/// How long gateway sessions have to see that their jobs have ended, which the store tells them at once.
const SESSION_GRACE: Duration = Duration::from_secs(1);

/// How long connections have to take their last frames at a shutdown.
const CONNECTION_GRACE: Duration = Duration::from_secs(2);

/// What the audit trail calls what is loaded anew.
const CERTIFICATES: &str = "certificates";
const TOKEN_KEYS: &str = "keys of tokens";

/// A gateway that runs.
#[derive(Debug)]
pub struct Server {
    service: Arc<Service>,
    data_dir: DataDir,
    listener: Option<Listener>,
    grpc: Option<GrpcListener>,
    sessions: Option<BackendSessions>,
    url: Option<String>,
    admin_key: Option<ApiKey>,
    grace: Duration,
    stop_workers: bool,
    max_frame_bytes: usize,
    certificates: Vec<Arc<Certificates>>,
    jwt: Option<Arc<Jwt>>,
    /// What exports spans, which outlives all that is told of.
    exports: Tasks,
}

/// Loads anew what can be loaded anew while the gateway runs: certificates, and keys of tokens.
#[derive(Debug)]
pub struct Reload {
    certificates: Vec<Arc<Certificates>>,
    jwt: Option<Arc<Jwt>>,
    gateway: Gateway,
}

impl Reload {
    /// Whether there is anything.
    pub const fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.jwt.is_none()
    }

    /// Loads it. What cannot be used is said in the log, and what was there before stays.
    pub fn run(&self) {
        let reload = |certificates: &Arc<Certificates>| note_reload(&self.gateway, CERTIFICATES, certificates.reload());
        self.certificates.iter().for_each(reload);
        if let Some(is_loaded) = self.jwt.as_ref().and_then(|jwt| jwt.reload()) {
            note_reload(&self.gateway, TOKEN_KEYS, is_loaded);
        }
    }
}

/// Which doors are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doors {
    /// WebSocket on the configured address.
    Network,
    /// Standard input and output, for the one client that started us.
    Stdio,
}

impl Server {
    /// Starts a gateway, of whose `settings` the audit trail tells: when this returns, its sockets are open, its address is in the data directory and its workers
    /// are being started. Who connects waits until [`Server::run`] serves.
    ///
    /// # Errors
    /// See [`StartError`]. What was started is ended again with the process.
    pub async fn start(config: Config, settings: &Settings, doors: Doors) -> Result<Self, StartError> {
        let clock = Clock::system();
        let data_dir = DataDir::open(&config.data_dir, config.runtime_dir.as_deref())?;
        let tasks = Tasks::default();
        let client_certs = config.client_certs.as_ref().map(asked_of_clients);
        let tls = load_tls(&config.transport, client_certs.clone())?;
        let listener = match doors {
            Doors::Network => Some(Listener::bind(http_options(&config, tls.clone())).await?),
            Doors::Stdio => None,
        };
        let mut certificates = Vec::from_iter(tls);
        let worker_listener = match &config.workers.external {
            Some(external) => {
                let tls = load_tls(&external.transport, None)?;
                certificates.extend(tls.clone());
                Some(WorkerListener::bind(external.listen, tls).await?)
            }
            None => None,
        };
        let grpc = match &config.gateway {
            Some(asked) => {
                let tls = session_gateway::load_tls(&asked.transport, client_certs)?;
                certificates.extend(tls.clone());
                Some(GrpcListener::bind(session_gateway::door_options(&config, asked, tls)).await?)
            }
            None => None,
        };
        let jwt = config.jwt.clone().map(Jwt::load).transpose()?.map(Arc::new);
        let exporter = config.tracing.export.as_ref().map(Exporter::load).transpose()?;
        let store = open_store(&config, &data_dir, &clock).await?;
        // Before anything is due by it.
        clock.take_up(store.as_ref()).await.map_err(RecoverJobsError::from)?;
        let generation = raise_generation(store.as_ref()).await?;
        let keys_store = Arc::clone(&store);
        let (keys, admin_key) = load_keys(store.as_ref(), clock.now()).await?;
        if let Some(key) = &admin_key {
            data_dir.write_admin_token(key)?;
        }

        let workers = workers::specs(&config, &data_dir)?;
        let inside = workers::in_process(&config)?;
        let agents = workers.iter().map(|worker| (worker.agent.clone(), worker.is_default));
        let agents = agents.chain(inside.iter().map(|(agent, _)| (agent.clone(), true)));
        let secret = data_dir.gateway_secret(GatewaySecret::new(mint::random()?))?;
        let provisioning = config.credentials.as_ref().map(|config| provisioning(config, clock.clone())).transpose()?;
        let seal_key = Some(SealKey::new(&secret.credential_key()));
        let credentials = Credentials::new(Arc::clone(&store), clock.clone(), seal_key, provisioning);
        let options = runtime_options(&config);
        let gateway =
            Gateway::with_credentials(Arc::clone(&store), clock.clone(), options, agents, tasks.clone(), credentials);
        audited::record_start(&gateway, store.as_ref(), settings).await;
        certificates.iter().for_each(|certificates| watch(certificates, &gateway, &tasks));
        let exports = Tasks::default();
        if let (Some(exporter), Some(finished)) = (exporter, gateway.export_spans()) {
            exports.spawn(TaskKind::Exporter, exporter.run(finished, exports.stopping().clone()));
        }
        jwt.iter().for_each(|jwt| watch_token_keys(jwt, &gateway, &tasks));
        let door = WorkerDoor::new(Arc::clone(gateway.pool()), tasks.clone(), clock.clone(), generation, secret);
        let enrolments = Arc::new(Enrolments::of(data_dir.path()));
        let (agents, window) = (Arc::clone(gateway.agents()), config.workers.adoption_window);
        let external =
            ExternalWorkers::new(door.clone(), agents, enrolments, Arc::clone(&store), tasks.clone(), window);
        let crew = Crew::new(door.clone(), clock.clone(), tasks.clone(), store, crew_options(&config));
        let specs: Vec<_> = workers.into_iter().map(|worker| worker.spec).collect();
        let survivors = crew.recover(&specs).await?;
        workers::prune_logs(&data_dir, survivors.logs());
        if worker_listener.is_some() {
            external.recover().await?;
            watch_enrolments(&data_dir, &keys_store, &gateway, &tasks);
        }
        gateway.recover().await?;
        door.listen(data_dir.worker_socket())?;
        if let Some(listener) = worker_listener {
            tracing::info!(address = %listener.address(), "workers of other machines are listened for");
            listener.serve(external, tasks.clone());
        }
        for (_, spec) in inside {
            supervise(spec, door.clone(), clock.clone(), &tasks);
        }
        let sessions = session_gateway::sessions(&config, &data_dir, &gateway, &crew).await?;
        crew.keep(specs, survivors);

        let reserved = config.jwt.as_ref().map(|jwt| jwt.principal_prefix.clone());
        let keys = Arc::new(Keys::new(keys_store, keys).reserving(reserved));
        let service = Arc::new(
            Service::new(gateway, keys, service_options(&config))
                .with_profiles(config.session.profiles.clone())
                .with_jwt(jwt.clone()),
        );
        let url = listener.as_ref().map(Listener::url);
        if let Some(url) = &url {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            let grpc = grpc.as_ref().map(GrpcListener::url);
            data_dir.publish(&Endpoint { url: url.clone(), grpc, pid: std::process::id(), version })?;
        }
        let max_frame_bytes = config.limits.max_frame_bytes.get();
        let (grace, stop_workers) = (config.shutdown_grace, config.stop_workers || is_forgetful(&config));
        Ok(Self {
            service,
            data_dir,
            listener,
            grpc,
            sessions,
            url,
            admin_key,
            grace,
            stop_workers,
            max_frame_bytes,
            certificates,
            jwt,
            exports,
        })
    }

    /// Where clients find ARCP, if there is a network door.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The administrator's key, if this start has made it: the only moment to show it.
    pub const fn admin_key(&self) -> Option<&ApiKey> {
        self.admin_key.as_ref()
    }

    /// What can be loaded anew while the gateway runs.
    pub fn reload(&self) -> Reload {
        Reload {
            certificates: self.certificates.clone(),
            jwt: self.jwt.clone(),
            gateway: self.service.gateway().clone(),
        }
    }

    /// The data directory.
    pub const fn data_dir(&self) -> &DataDir {
        &self.data_dir
    }

    /// Serves until `stop` says so (or, on standard input and output, until the client is done), then comes to a clean
    /// end. Workers and their jobs go on and are taken over by the next start, unless they are to end with the gateway:
    /// then jobs have the configured grace, which a second `stop` cuts short, and workers are told to leave.
    pub async fn run<S, F>(mut self, mut stop: S)
    where
        S: FnMut() -> F,
        F: Future<Output = ()>,
    {
        if let (Some(listener), Some(sessions)) = (self.grpc.take(), &self.sessions) {
            tracing::info!(url = %listener.url(), "sessions with back ends are served");
            listener.serve(Arc::clone(&self.service), sessions.clone());
        }
        match self.listener.take() {
            Some(listener) => {
                listener.serve(Arc::clone(&self.service));
                stop().await;
            }
            None => {
                let stdio = Stdio::new(tokio::io::stdin(), tokio::io::stdout(), self.max_frame_bytes);
                let connection = Connection::new(Arc::clone(&self.service), Peer::Parent);
                tokio::select! {
                    () = connection.serve(stdio) => {}
                    () = stop() => {}
                }
            }
        }
        self.shut_down(stop()).await;
    }

    async fn shut_down(&self, hurry: impl Future<Output = ()>) {
        let gateway = self.service.gateway();
        tracing::info!(jobs = gateway.open_jobs(), stop_workers = self.stop_workers, "the gateway is shutting down");
        gateway.close();
        if let Err(error) = self.data_dir.withdraw() {
            tracing::warn!(error = &error as &dyn std::error::Error, "the published address stays behind");
        }
        if self.stop_workers {
            self.end_jobs(hurry).await;
        }
        self.service.close_connections(CONNECTION_GRACE).await;
        if self.stop_workers {
            gateway.pool().shut_down_workers(WORKER_GRACE);
        }
        let left = gateway.open_jobs();
        gateway.stop().await;
        // What the end of the gateway has brought to an end is told too.
        self.exports.stop().await;
        tracing::info!(jobs_left_running = left, "the gateway has ended");
    }

    /// Has gateway sessions closed, waits for jobs to end as long as the grace allows, and ends the others.
    async fn end_jobs(&self, hurry: impl Future<Output = ()>) {
        let gateway = self.service.gateway();
        // Their jobs do not end by themselves, so the grace would be waited out for nothing.
        self.sessions.iter().for_each(BackendSessions::close_all);
        tokio::select! {
            () = gateway.drain(gateway.now() + self.grace.into()) => {}
            () = hurry => {
                tracing::warn!("the grace is cut short");
                gateway.drain(gateway.now()).await;
            }
        }
        if let Some(sessions) = &self.sessions
            && tokio::time::timeout(SESSION_GRACE, sessions.all_closed()).await.is_err()
        {
            tracing::warn!("whoever streams a gateway session is not told that it is closed");
        }
    }
}

/// Loads the certificate of an address.
fn load_tls(transport: &Transport, clients: Option<ClientCerts>) -> Result<Option<Arc<Certificates>>, TlsError> {
    let Transport::Tls { cert, key } = transport else { return Ok(None) };
    let files = TlsFiles { cert: cert.clone(), key: key.clone(), clients };
    Certificates::load(files).map(|loaded| Some(Arc::new(loaded)))
}

/// Watches over the files of a certificate.
fn watch(certificates: &Arc<Certificates>, gateway: &Gateway, tasks: &Tasks) {
    let (watched, gateway, stopping) = (Arc::clone(certificates), gateway.clone(), tasks.stopping().clone());
    tasks.spawn(TaskKind::Certificates, async move {
        tokio::select! {
            () = watched.watch(|is_loaded| note_reload(&gateway, CERTIFICATES, is_loaded)) => {}
            () = stopping.cancelled() => {}
        }
    });
}

/// Looks who is enrolled.
fn watch_enrolments(data_dir: &DataDir, store: &Arc<dyn Store>, gateway: &Gateway, tasks: &Tasks) {
    let (enrolments, stopping) = (Enrolments::of(data_dir.path()), tasks.stopping().clone());
    let (gateway, store) = (gateway.clone(), Arc::clone(store));
    tasks.spawn(TaskKind::WorkerDoor, async move {
        tokio::select! {
            () = audited::watch_enrolments(gateway, store, enrolments) => {}
            () = stopping.cancelled() => {}
        }
    });
}

/// Watches over the keys of tokens.
fn watch_token_keys(jwt: &Arc<Jwt>, gateway: &Gateway, tasks: &Tasks) {
    let (watched, gateway, stopping) = (Arc::clone(jwt), gateway.clone(), tasks.stopping().clone());
    tasks.spawn(TaskKind::TokenKeys, async move {
        tokio::select! {
            () = watched.watch(|is_loaded| note_reload(&gateway, TOKEN_KEYS, is_loaded)) => {}
            () = stopping.cancelled() => {}
        }
    });
}

/// Writes into the audit trail that certificates or keys were loaded anew, or could not be.
fn note_reload(gateway: &Gateway, what: &str, is_loaded: bool) {
    let (now, action) = (gateway.now(), AuditAction::Configuration);
    let reason = Some(format!("{what} were to be loaded anew"));
    let entry = match is_loaded {
        true => AuditEntry::allowed(now, action),
        false => AuditEntry::refused(now, action, ""),
    };
    gateway.audit().note(AuditEntry { reason, ..entry });
}

async fn open_store(config: &Config, data_dir: &DataDir, clock: &Clock) -> Result<Arc<dyn Store>, StartError> {
    let (now, entropy) = (clock.now(), mint::random()?);
    match config.journal.store {
        StoreKind::Memory => Ok(Arc::new(MemoryStore::new(Epoch::mint(now, entropy), TailLimits::default()))),
        StoreKind::Sqlite => {
            let mut options = SqliteOptions::new(data_dir.prepare_journal_db()?, now, entropy);
            options.durability = match config.journal.durability {
                Durability::Process => SqliteDurability::Process,
                Durability::Power => SqliteDurability::Power,
            };
            Ok(Arc::new(SqliteStore::open(options).await?))
        }
    }
}

fn asked_of_clients(config: &ClientCertsConfig) -> ClientCerts {
    ClientCerts { authority: config.authority.clone(), is_required: config.auth == ClientAuth::Required }
}

fn client_principals(config: &Config) -> BTreeMap<CertName, Arc<Principal>> {
    config.client_certs.as_ref().map(|certs| certs.principals.clone()).unwrap_or_default()
}

fn http_options(config: &Config, tls: Option<Arc<Certificates>>) -> HttpOptions {
    HttpOptions {
        listen: config.listen,
        tls,
        client_principals: client_principals(config),
        allowed_origins: config.http.allowed_origins.clone(),
        allowed_hosts: config.http.allowed_hosts.clone(),
        max_connections: config.limits.max_connections.get(),
        max_connections_per_address: config.limits.max_connections_per_address.get(),
    }
}

fn service_options(config: &Config) -> ServiceOptions {
    ServiceOptions {
        max_frame_bytes: config.limits.max_frame_bytes.get(),
        hello_deadline: config.session.hello_deadline.into(),
        heartbeat_interval: config.session.heartbeat_interval.into(),
        free_failures: u32::try_from(config.limits.free_failures_per_address.get()).unwrap_or(u32::MAX),
    }
}

/// Whether the next start will know nothing of this one.
fn is_forgetful(config: &Config) -> bool {
    config.journal.store == StoreKind::Memory
}

fn crew_options(config: &Config) -> CrewOptions {
    let workers = &config.workers;
    let orphan_lifetime = match is_forgetful(config) {
        true => FORGETFUL_ORPHAN_LIFETIME.min(workers.max_orphan_lifetime),
        false => workers.max_orphan_lifetime,
    };
    CrewOptions { reattach: workers.reattach, adoption_window: workers.adoption_window, orphan_lifetime }
}

fn runtime_options(config: &Config) -> RuntimeOptions {
    RuntimeOptions {
        cancel_grace: config.jobs.cancel_grace.into(),
        max_pending: config.jobs.max_pending.into(),
        unasked: Unasked {
            max_runtime_sec: config.jobs.default_max_runtime.map(|length| length.as_secs().max(1)),
            any_model: config.jobs.any_model,
        },
        quotas: quotas(&config.limits),
        delegation: DelegationLimits {
            depth: u32::try_from(config.delegation.max_depth.get()).unwrap_or(u32::MAX),
            open_children: config.delegation.max_children.get(),
            at_parent_end: config.delegation.at_parent_end.into(),
        },
        resume_window: config.session.resume_window.into(),
        back_pressure_lag: config.session.back_pressure_lag.get() as u64,
        overflow: config.session.overflow.into(),
        retention: Retention {
            max_age: Some(config.retention.max_age.into()),
            max_bytes: config.retention.max_bytes.map(|bytes| bytes.get() as u64),
        },
        audit_max_age: config.retention.audit_max_age.map(Into::into),
        audit_max_bytes: Some(config.retention.audit_max_bytes.get() as u64),
        tracing: Participation {
            sampling: Sampling::per_million(config.tracing.sampled_per_million),
            exports: config.tracing.export.is_some(),
        },
        check_event,
    }
}

/// How much one principal may have, where its key does not say.
fn quotas(limits: &LimitsConfig) -> Quotas {
    let number = |limit: NonZeroUsize| limit.get() as u64;
    Quotas {
        sessions: Some(number(limits.max_sessions_per_principal)),
        jobs: Some(number(limits.max_jobs_per_principal)),
        queued: limits.max_queued_jobs_per_principal.map(number),
        submits_per_sec: limits.max_submits_per_sec_per_principal.map(number),
        stored_bytes: limits.max_stored_bytes_per_principal.map(number),
    }
}

/// Events are checked against the shapes of the wire, which is where clients meet them.
fn check_event(kind: &moorline_types::EventKind, body: &Json) -> Result<(), String> {
    moorline_wire::validate_body(kind, body).map_err(|error| error.to_string())
}
