//! The high stage: a configuration whose every value is typed and has been checked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use moorline_types::{Principal, PrincipalId};
use moorline_wire::Profile;

use super::agents::AgentConfig;
use super::allowed::Allowed;
use super::gateway::GatewayConfig;
use super::words::{
    BuiltinAgent, ClientAuth, DefaultScopes, Durability, JwtAlgorithm, LogFormat, OtlpProtocol, OverflowPolicy,
    ParentEndPolicy, StoreKind,
};
use crate::logging::LogFilter;
use crate::outbound::OutboundUrl;
use crate::tls::CertName;

/// The configuration of a gateway. Every path is absolute.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address on which clients are served.
    pub listen: SocketAddr,
    /// Whether and how connections are encrypted.
    pub transport: Transport,
    /// The certificates that clients are asked for, if any.
    pub client_certs: Option<ClientCertsConfig>,
    /// Which tokens of others are trusted, if any.
    pub jwt: Option<JwtConfig>,
    /// Which credentials for upstreams jobs are given; none if `None`.
    pub credentials: Option<CredentialsConfig>,
    /// What the door for clients lets in.
    pub http: HttpConfig,
    /// What outlives the gateway.
    pub data_dir: PathBuf,
    /// The user's directory for sockets (`XDG_RUNTIME_DIR`), for when the data directory's path is too long for one.
    pub runtime_dir: Option<PathBuf>,
    /// The journal.
    pub journal: JournalConfig,
    /// Sessions and their connections.
    pub session: SessionConfig,
    /// Bounds.
    pub limits: LimitsConfig,
    /// Jobs.
    pub jobs: JobsConfig,
    /// Jobs that jobs delegate.
    pub delegation: DelegationConfig,
    /// For how long what is over is kept.
    pub retention: RetentionConfig,
    /// How long an orderly stop may take.
    pub shutdown_grace: Duration,
    /// Traces.
    pub tracing: TracingConfig,
    /// Log lines.
    pub log: LogConfig,
    /// Whether an orderly stop ends the workers.
    pub stop_workers: bool,
    /// Workers.
    pub workers: WorkersConfig,
    /// The session gateway, if there is one.
    pub gateway: Option<GatewayConfig>,
    /// Which of the shipped agents are offered.
    pub builtin_agents: BTreeSet<BuiltinAgent>,
    /// Which of the shipped agents run inside the gateway's process.
    pub in_process_agents: BTreeSet<BuiltinAgent>,
    /// The agents of the configuration file: no two of the same name and version, at most one default per name.
    pub agents: Vec<AgentConfig>,
}

/// Whether and how connections are encrypted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Transport {
    /// They are not: on loopback only, or because the operator said so.
    Plaintext,
    /// With TLS.
    Tls {
        /// The PEM file with the certificate chain.
        cert: PathBuf,
        /// The PEM file with the private key.
        key: PathBuf,
    },
}

/// Which certificates clients are asked for, and whom they authenticate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientCertsConfig {
    /// The PEM file with the authority that has issued them.
    pub authority: PathBuf,
    /// Whether a client must show one.
    pub auth: ClientAuth,
    /// Whom a certificate with a name authenticates, and what for.
    pub principals: BTreeMap<CertName, Arc<Principal>>,
}

/// Which tokens of others are trusted, and what they say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JwtConfig {
    /// With which keys they are signed.
    pub keys: JwtKeys,
    /// Who has issued them (`iss`).
    pub issuer: String,
    /// For whom they were issued (`aud`).
    pub audience: String,
    /// How far the issuer's clock may be from ours.
    pub leeway: Duration,
    /// How they may be signed.
    pub algorithms: BTreeSet<JwtAlgorithm>,
    /// The claim that names the principal.
    pub principal_claim: String,
    /// What is put before that name.
    pub principal_prefix: String,
    /// The claim with the scopes.
    pub scope_claim: String,
    /// What stands before a scope of ours.
    pub scope_prefix: String,
    /// What a token may do without one.
    pub default_scopes: DefaultScopes,
    /// The claim with the tags; none are taken if `None`.
    pub tags_claim: Option<String>,
}

/// Where the keys are published with which tokens are signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JwtKeys {
    /// In a file: PEM, or a JWK set.
    File(PathBuf),
    /// By their issuer, as a JWK set.
    Address {
        /// Where.
        url: OutboundUrl,
        /// The PEM file with the authority of the issuer's certificate; `None` is those that browsers trust.
        authority: Option<PathBuf>,
    },
}

/// Which credentials for upstreams jobs are given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CredentialsConfig {
    /// Who issues them.
    pub upstream: UpstreamConfig,
    /// How long one is good at most.
    pub lifetime: Duration,
}

/// Who issues credentials.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UpstreamConfig {
    /// A program of the operator's.
    Program(PathBuf),
    /// A gateway for language models, with virtual keys.
    LiteLlm(Box<LiteLlmConfig>),
}

/// A gateway for language models that issues virtual keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiteLlmConfig {
    /// Where it is.
    pub url: OutboundUrl,
    /// The PEM file with the authority of its certificate; `None` is those that browsers trust.
    pub authority: Option<PathBuf>,
    /// Where its master key is.
    pub key: MasterKey,
    /// Where its keys are valid; `None` is below its address.
    pub endpoint: Option<OutboundUrl>,
    /// Which API is spoken there.
    pub profile: String,
}

/// Where an upstream's master key is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MasterKey {
    /// In a file.
    File(PathBuf),
    /// In an environment variable.
    Variable(String),
}

/// What the door for clients lets in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpConfig {
    /// Web pages of which origins.
    pub allowed_origins: Allowed,
    /// Requests to which host names, beside addresses, `localhost` and the names of the certificate.
    pub allowed_hosts: Allowed,
}

/// How the journal is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalConfig {
    /// Where.
    pub store: StoreKind,
    /// What an acknowledged record survives.
    pub durability: Durability,
}

/// Sessions and their connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionConfig {
    /// How often either side should be heard.
    pub heartbeat_interval: Duration,
    /// How long a connection may stay without a hello.
    pub hello_deadline: Duration,
    /// How long after its last connection a session can be resumed.
    pub resume_window: Duration,
    /// How many events a client may be behind with its acknowledgements before it is told.
    pub back_pressure_lag: NonZeroUsize,
    /// What becomes of events that a client does not take in time.
    pub overflow: OverflowPolicy,
    /// Which client the connections of a principal come from, whatever their first frame looks like.
    pub profiles: BTreeMap<PrincipalId, Profile>,
}

/// Bounds on what clients may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitsConfig {
    /// The largest frame that is read, in bytes.
    pub max_frame_bytes: NonZeroUsize,
    /// Connections at once.
    pub max_connections: NonZeroUsize,
    /// Connections at once from one address.
    pub max_connections_per_address: NonZeroUsize,
    /// Failures to authenticate that an address has free before it has to wait.
    pub free_failures_per_address: NonZeroUsize,
    /// Sessions of one principal, connected or resumable.
    pub max_sessions_per_principal: NonZeroUsize,
    /// Unfinished jobs of one principal.
    pub max_jobs_per_principal: NonZeroUsize,
    /// Jobs of one principal that no worker has begun; `None` is as many as it may have.
    pub max_queued_jobs_per_principal: Option<NonZeroUsize>,
    /// Submissions of one principal in a second; `None` is without bound.
    pub max_submits_per_sec_per_principal: Option<NonZeroUsize>,
    /// Bytes of records of one principal's jobs and sessions; `None` is without bound.
    pub max_stored_bytes_per_principal: Option<NonZeroUsize>,
}

/// What applies to every job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JobsConfig {
    /// How long a job that is cancelled may take to end by itself.
    pub cancel_grace: Duration,
    /// How long a job may wait for a worker.
    pub max_pending: Duration,
    /// How long a job may run whose submission does not say; `None` is without bound.
    pub default_max_runtime: Option<Duration>,
    /// Whether a lease that does not name `model.use` allows every model.
    pub any_model: bool,
}

/// How far jobs may delegate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DelegationConfig {
    /// Generations of jobs below one that a client has submitted.
    pub max_depth: NonZeroUsize,
    /// Children of one job at once.
    pub max_children: NonZeroUsize,
    /// What becomes of them when it ends.
    pub at_parent_end: ParentEndPolicy,
}

/// For how long what is over is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetentionConfig {
    /// After its end.
    pub max_age: Duration,
    /// Of entries of the audit trail; `None` is like everything else.
    pub audit_max_age: Option<Duration>,
    /// How large the audit trail may become before its oldest entries go.
    pub audit_max_bytes: NonZeroUsize,
    /// How large the journal may become before what ended first makes room.
    pub max_bytes: Option<NonZeroUsize>,
}

/// Worker processes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkersConfig {
    /// The program that is started for them.
    pub program: PathBuf,
    /// Whether those of the last run are taken over.
    pub reattach: bool,
    /// How long one may be away.
    pub adoption_window: Duration,
    /// How long one goes on without a gateway.
    pub max_orphan_lifetime: Duration,
    /// Where those of other machines attach; nowhere if `None`.
    pub external: Option<ExternalConfig>,
}

/// Where workers of other machines attach.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExternalConfig {
    /// The address.
    pub listen: SocketAddr,
    /// Whether and how their links are encrypted.
    pub transport: Transport,
}

/// How the gateway takes part in traces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TracingConfig {
    /// How many of a million traces are recorded whose caller has not decided it.
    pub sampled_per_million: u32,
    /// Where spans go, if they do.
    pub export: Option<OtlpConfig>,
}

/// Where spans are exported to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtlpConfig {
    /// The address for traces; of a collector that speaks gRPC, what stands before the path.
    pub endpoint: OutboundUrl,
    /// How they travel.
    pub protocol: OtlpProtocol,
    /// Where the headers of each request are.
    pub headers: Option<OtlpHeaders>,
    /// The PEM file with the authority of the collector's certificate; `None` is those that browsers trust.
    pub authority: Option<PathBuf>,
    /// What the gateway is called.
    pub service_name: String,
    /// What else is said of it.
    pub resource_attributes: BTreeMap<String, String>,
}

/// Where headers for a collector are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OtlpHeaders {
    /// In this file.
    File(PathBuf),
    /// In the environment variable of this name.
    Variable(String),
}

/// Which log lines are written, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// How.
    pub format: LogFormat,
    /// Which.
    pub filter: LogFilter,
}
