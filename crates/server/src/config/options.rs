//! The table of options.
//!
//! A row gives the field that the value gets in [`Found`], the key, the kind of value, the default, an example and
//! the documentation. Everything else about an option follows from its row.

use std::path::{Path, PathBuf};
use std::time::Duration;

use moorline_types::limits;

use super::allowed::{CertPrincipals, Names};
use super::client_grants::ClientGrants;
use super::kind::{Address, Amount, AnyPath, Choice, Choices, Count, Filter, Kind, Length, Maybe, Raw, Size, Switch};
use super::layers::{Layers, Setting};
use super::option::{ConfigOption, DefaultValue};
use super::profiles::Profiles;
use super::sources::Sources;
use super::tokens::{Address as KeysAddress, Algorithms, Phrase};
use super::tracing::{Collector, ResourceAttributes, Share};
use super::words::{
    Backend, BuiltinAgent, ClientAuth, DefaultScopes, Durability, LogFormat, OtlpProtocol, OverflowPolicy,
    ParentEndPolicy, StoreKind, SubscriberPolicy,
};
use crate::jwt::PRINCIPAL_PREFIX;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const CENTURY: Duration = Duration::from_secs(36_500 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

/// The smallest bound on a frame. Below it a client's hello, with a token and every feature, might not fit.
const MIN_FRAME_BYTES: usize = 64 * 1024;

/// The largest bound on a frame. A frame is held in memory whole before anything is known about its content.
const MAX_FRAME_BYTES: usize = 64 * 1024 * 1024;

/// The least room for a journal: enough that a busy gateway does not remove what ended a moment ago.
const MIN_RETAINED_BYTES: usize = 16 * 1024 * 1024;
/// The least that everybody may store: some sessions, and a job with a large input.
const MIN_STORED_BYTES: usize = 1024 * 1024;
/// The most unacknowledged events before a client is told. More are not told in time by anybody.
const MAX_BACK_PRESSURE_LAG: usize = 1_000_000;
/// The most connections. Each takes a descriptor and some buffers; a machine runs out of both before this.
const MAX_CONNECTIONS: usize = 1_000_000;

/// The most gateway sessions. Each has a process of its own; a machine runs out of memory before this.
const MAX_GATEWAY_SESSIONS: usize = 4_096;

/// The most commands of one gateway session that wait. A worker takes up twice as many before it cuts the gateway off.
const MAX_PENDING_COMMANDS: usize = 4_096;

/// The most subscribers of one gateway session.
const MAX_SUBSCRIBERS: usize = 10_000;

/// The most events that may be retained, or that a subscriber may be behind, in one gateway session. Each takes some
/// thirty bytes of memory.
const MAX_RETAINED_EVENTS: usize = 10_000_000;

/// The most bytes of a gateway session's events that can be replayed.
const MAX_REPLAY_BYTES: usize = 16 * 1024 * 1024 * 1024;

/// The most sessions or jobs of one principal. Their documents are listed by key; beyond this a listing takes minutes.
const MAX_PER_PRINCIPAL: usize = 1_000_000;

/// The most generations of delegated jobs: each ends after the one below it, so an end takes as many steps.
const MAX_DELEGATION_DEPTH: usize = 64;

/// The most children of one job at once: more than that has not been tried.
const MAX_CHILDREN: usize = 1_000;

macro_rules! options {
    ($($field:ident = $key:literal, $kind_type:ty, $kind:expr, $default:expr, $example:literal, $doc:literal;)*) => {
        /// Every option, in the order of the documentation.
        pub(super) const OPTIONS: &[ConfigOption] = &[$(
            ConfigOption {
                key: $key,
                value_name: <$kind_type as Kind>::VALUE_NAME,
                default: $default,
                doc: $doc,
                example: $example,
                accepts: || { let kind: $kind_type = $kind; kind.accepts() },
                takes: |text| { let kind: $kind_type = $kind; kind.read(&Raw::Text(text.to_owned()), Path::new("/")).is_some() },
            },
        )*];

        /// What every option has been found to be; `None` where that is a mistake, which is then noted.
        pub(super) struct Found {
            $(pub(super) $field: Option<Setting<<$kind_type as Kind>::Value>>,)*
        }

        impl Found {
            /// Reads every option.
            pub(super) fn read(layers: &mut Layers, sources: &Sources<'_>) -> Self {
                let mut options = OPTIONS.iter();
                $(let $field = options.next().and_then(|option| layers.read(option, &$kind, sources));)*
                Self { $($field,)* }
            }
        }
    };
}

use DefaultValue::{Computed, Text, Unset};

options! {
    listen = "listen", Address, Address, Text("127.0.0.1:7707"), "127.0.0.1:8080",
        "The address on which clients are served. Port 0 takes a free port; `gateway.json` in the data directory says \
         which.";
    insecure_plaintext = "insecure_plaintext", Switch, Switch, Text("false"), "true",
        "Allows an address beyond this machine without TLS, for a gateway behind something that encrypts.";
    tls_cert = "tls.cert", Maybe<AnyPath>, Maybe(AnyPath), Unset { shown: "no TLS" }, "/etc/moorline/cert.pem",
        "The PEM file with the server's certificate, followed by its chain. Needs `tls.key`.";
    tls_key = "tls.key", Maybe<AnyPath>, Maybe(AnyPath), Unset { shown: "no TLS" }, "/etc/moorline/key.pem",
        "The PEM file with the certificate's private key. Needs `tls.cert`.";
    client_ca = "tls.client_ca", Maybe<AnyPath>, Maybe(AnyPath), Unset { shown: "clients are not asked for one" },
        "/etc/moorline/clients-ca.pem",
        "The PEM file with the authority whose certificates clients may show instead of a token. Needs `tls.cert` and \
         `tls.client_principals`.";
    client_auth = "tls.client_auth", Choice<ClientAuth>, Choice::new(), Text("optional"), "required",
        "Whether clients must show a certificate of `tls.client_ca`: `optional`, or `required` to refuse connections \
         without one, also of clients that have a token.";
    client_principals = "tls.client_principals", CertPrincipals, CertPrincipals, Text("none"), "CN:ci=build-bot",
        "Whom a client's certificate authenticates, by a name in it: its common name (`CN:`) or an alternative name \
         (`DNS:`, `URI:`, `EMAIL:`). Such a principal may submit jobs and see and cancel its own, unless \
         `tls.client_grants` says what it may do.";
    client_grants = "tls.client_grants", ClientGrants, ClientGrants, Text("none"),
        r#"{"build-bot":{"scopes":["submit"],"quotas":{"jobs":5}}}"#,
        "What the principals of `tls.client_principals` may do who show a certificate and no token: the scopes, tags, \
         constraints and quotas that an API key would grant them. Who is not in it may submit jobs and see and cancel its \
         own.";
    jwt_keys = "auth.jwt.keys", Maybe<AnyPath>, Maybe(AnyPath), Unset { shown: "tokens of others are not trusted" },
        "/etc/moorline/issuer.pem",
        "The file with the public keys of somebody whose tokens (JWT) are trusted: PEM, or a JWK set. Needs \
         `auth.jwt.issuer` and `auth.jwt.audience`.";
    jwks_url = "auth.jwt.jwks_url", Maybe<KeysAddress>, Maybe(KeysAddress), Unset { shown: "none" },
        "https://issuer.example.com/.well-known/jwks.json",
        "Where that issuer publishes its keys as a JWK set, instead of `auth.jwt.keys`. It is asked every five minutes, and \
         when a token names a key that is not known.";
    jwks_ca = "auth.jwt.jwks_ca", Maybe<AnyPath>, Maybe(AnyPath), Unset { shown: "the authorities that browsers trust" },
        "/etc/moorline/issuer-ca.pem",
        "The PEM file with the authority of the certificate at `auth.jwt.jwks_url`.";
    jwt_issuer = "auth.jwt.issuer", Maybe<Phrase>, Maybe(Phrase::Some), Unset { shown: "none" },
        "https://issuer.example.com/",
        "The issuer that a token must name (`iss`), to the letter.";
    jwt_audience = "auth.jwt.audience", Maybe<Phrase>, Maybe(Phrase::Some), Unset { shown: "none" }, "moorline",
        "The audience that a token must be for (`aud`), to the letter: what the issuer calls this gateway.";
    jwt_leeway = "auth.jwt.leeway", Length, Length { min: Duration::ZERO, max: 5 * MINUTE }, Text("30s"), "5s",
        "How far the issuer's clock may be from this machine's.";
    jwt_algorithms = "auth.jwt.algorithms", Algorithms, Algorithms,
        Text("RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,EdDSA"), "ES256",
        "With which algorithms a token may be signed. It must be its key's as well.";
    jwt_principal_claim = "auth.jwt.principal_claim", Phrase, Phrase::Some, Text("sub"), "email",
        "The claim that names the principal. Take one that the issuer never gives to another person.";
    jwt_principal_prefix = "auth.jwt.principal_prefix", Phrase, Phrase::Some, Text(PRINCIPAL_PREFIX),
        "corp:",
        "What is put before the claim's value to make the principal, so that a token's principal is none of an API key or \
         a certificate.";
    jwt_scope_claim = "auth.jwt.scope_claim", Phrase, Phrase::Some, Text("scope"), "permissions",
        "The claim with the scopes: an array, or a text with spaces between them.";
    jwt_scope_prefix = "auth.jwt.scope_prefix", Phrase, Phrase::OrNone, Text("moorline:"), "none",
        "What stands before a scope of this gateway in that claim: `moorline:submit`. What is not a scope with it is \
         ignored.";
    jwt_default_scopes = "auth.jwt.default_scopes", Choice<DefaultScopes>, Choice::new(), Text("none"), "jobs",
        "What a token may do that has no such scope: `none`, it lets nobody in, or `jobs`, submit jobs and see and cancel \
         its principal's own.";
    jwt_tags_claim = "auth.jwt.tags_claim", Maybe<Phrase>, Maybe(Phrase::Some), Unset { shown: "no tags" }, "groups",
        "The claim with the tags: an array, or a text with spaces between them. What cannot be a tag is ignored.";
    credentials_program = "credentials.program", Maybe<AnyPath>, Maybe(AnyPath),
        Unset { shown: "no credentials are issued" }, "/usr/local/bin/issue-keys",
        "The program that issues and withdraws credentials for upstreams, one for each job whose lease names models. Its \
         contract is described in the guide to credentials.";
    litellm_url = "credentials.litellm_url", Maybe<KeysAddress>, Maybe(KeysAddress), Unset { shown: "none" },
        "https://models.example.com",
        "A gateway for language models with LiteLLM's management API that issues virtual keys, instead of \
         `credentials.program`. Needs `credentials.litellm_key_file` or `credentials.litellm_key_variable`.";
    litellm_ca = "credentials.litellm_ca", Maybe<AnyPath>, Maybe(AnyPath),
        Unset { shown: "the authorities that browsers trust" }, "/etc/moorline/models-ca.pem",
        "The PEM file with the authority of the certificate at `credentials.litellm_url`.";
    litellm_key_file = "credentials.litellm_key_file", Maybe<AnyPath>, Maybe(AnyPath), Unset { shown: "none" },
        "/run/secrets/litellm-master-key",
        "The file with that gateway's master key. It is read at the start.";
    litellm_key_variable = "credentials.litellm_key_variable", Maybe<Phrase>, Maybe(Phrase::Some), Unset { shown: "none" },
        "LITELLM_MASTER_KEY",
        "The environment variable with that gateway's master key, instead of `credentials.litellm_key_file`.";
    credentials_endpoint = "credentials.endpoint", Maybe<KeysAddress>, Maybe(KeysAddress),
        Unset { shown: "`credentials.litellm_url` and `/v1`" }, "https://models.example.com/v1",
        "Where virtual keys are valid, as clients are told.";
    credentials_profile = "credentials.profile", Phrase, Phrase::Some, Text("openai"), "anthropic",
        "Which API clients are told to speak there.";
    credentials_lifetime = "credentials.lifetime", Length, Length { min: SECOND, max: 30 * DAY }, Text("24h"), "1h",
        "How long a credential is good at most. One whose job goes on is replaced when three quarters of that are over; one \
         that could not be withdrawn dies by itself then.";
    allowed_origins = "http.allowed_origins", Names, Names::Origins, Text("none"), "https://app.example.com",
        "Web pages of which origins may connect from a browser. Programs send no origin and are not concerned.";
    allowed_hosts = "http.allowed_hosts", Names, Names::Hosts, Text("none"), "gateway.example.com",
        "Under which host names the gateway is reached, beside IP addresses, `localhost` and the names of its \
         certificate. A request to another name is refused: a web page that points its own name here would come with it.";
    data_dir = "data_dir", AnyPath, AnyPath,
        Computed {
            shown: "$XDG_DATA_HOME/moorline, else ~/.local/share/moorline",
            needs: "HOME or XDG_DATA_HOME",
            value: default_data_dir,
        },
        "/var/lib/moorline",
        "The directory that holds the journal, the worker socket and whatever else outlives the gateway. One gateway \
         uses it at a time.";
    journal_store = "journal.store", Choice<StoreKind>, Choice::new(), Text("sqlite"), "memory",
        "Where the journal is kept: `sqlite`, a database in the data directory, or `memory`, which forgets everything \
         at the end of the process.";
    journal_durability = "journal.durability", Choice<Durability>, Choice::new(), Text("process"), "power",
        "What an acknowledged record survives: `process`, the end of the gateway however it comes, or `power`, also a \
         loss of power, at the price of an fsync per group of records.";
    heartbeat_interval = "session.heartbeat_interval", Length, Length { min: SECOND, max: 10 * MINUTE }, Text("30s"),
        "15s",
        "How often either side of a connection should be heard. A connection that is silent for two intervals counts \
         as lost; its session can be resumed, and its jobs go on.";
    hello_deadline = "session.hello_deadline", Length, Length { min: SECOND, max: 5 * MINUTE }, Text("10s"), "5s",
        "How long a connection may stay without saying who it is.";
    resume_window = "session.resume_window", Length, Length { min: SECOND, max: DAY }, Text("10m"), "1h",
        "How long after its connection has ended a session can be resumed by its client.";
    back_pressure_lag = "session.back_pressure_lag", Count, Count { max: MAX_BACK_PRESSURE_LAG }, Text("1000"), "10000",
        "How many events a client that acknowledges may be behind with that before it is told to hurry. Nothing is \
         lost in any case.";
    overflow = "session.overflow", Choice<OverflowPolicy>, Choice::new(), Text("catch_up"), "skip",
        "What becomes of events that a client does not take in time, unless its subscription says: `catch_up`, they wait \
         in the journal; `skip`, the oldest are left out; `latest`, of progress and of each metric only the latest is \
         sent; `disconnect`, its connection is closed. Only a client that can be told of gaps has events left out.";
    profiles = "session.profiles", Profiles, Profiles, Text("none"), "ada=python",
        "Which official SDK the clients of a principal are written with, whatever their first frame looks like. It \
         decides how they are told things, never what they may do.";
    retain_for = "retention.max_age", Length, Length { min: MINUTE, max: CENTURY }, Text("30d"), "90d",
        "How long a job is kept after its end, with its history and its place in lists, and a session's records after \
         nobody can resume it. A client that comes back to a session for what is gone is told exactly what is missing.";
    audit_max_age = "retention.audit_max_age", Maybe<Length>, Maybe(Length { min: MINUTE, max: CENTURY }),
        Unset { shown: "that of `retention.max_age`" }, "365d",
        "How long entries of the audit trail are kept.";
    audit_max_bytes = "retention.audit_max_bytes", Size, Size { min: MIN_RETAINED_BYTES, max: usize::MAX },
        Text("256 MiB"), "1 GiB",
        "How large the audit trail may become before its oldest entries are removed, which is an entry itself. It is a \
         part of the journal; with 256 MiB it holds about a million entries.";
    retain_bytes = "retention.max_bytes", Maybe<Size>, Maybe(Size { min: MIN_RETAINED_BYTES, max: usize::MAX }),
        Unset { shown: "as large as the disk" }, "10 GiB",
        "How large the journal may become before the jobs that ended first are removed to make room. What runs is never \
         removed, so it may become larger.";
    max_frame_bytes = "limits.max_frame_bytes", Size, Size { min: MIN_FRAME_BYTES, max: MAX_FRAME_BYTES },
        Text("4 MiB"), "1 MiB",
        "The largest frame that is read from a client.";
    max_connections = "limits.max_connections", Count, Count { max: MAX_CONNECTIONS }, Text("10000"), "500",
        "How many connections may be open at once. Further ones wait until one of them ends.";
    max_connections_per_address = "limits.max_connections_per_address", Count, Count { max: MAX_CONNECTIONS },
        Text("256"), "32",
        "How many connections may be open from one address at once.";
    free_failures_per_address = "limits.free_failures_per_address", Count, Count { max: MAX_CONNECTIONS },
        Text("20"), "1000",
        "How many times somebody at one address may fail to authenticate before the address has to wait: a second, \
         twice as long after each further failure, at most half a minute. Raise it behind a proxy, where all clients \
         have one address.";
    max_sessions_per_principal = "limits.max_sessions_per_principal", Count, Count { max: MAX_PER_PRINCIPAL },
        Text("1000"), "100",
        "How many sessions one principal may have, connected or resumable.";
    max_jobs_per_principal = "limits.max_jobs_per_principal", Count, Count { max: MAX_PER_PRINCIPAL }, Text("1000"),
        "100",
        "How many unfinished jobs one principal may have.";
    max_queued_jobs_per_principal = "limits.max_queued_jobs_per_principal", Maybe<Count>,
        Maybe(Count { max: MAX_PER_PRINCIPAL }), Unset { shown: "as many as it may have" }, "20",
        "How many jobs that no worker has begun one principal may have. Every job is one of them for a moment.";
    max_submits_per_sec_per_principal = "limits.max_submits_per_sec_per_principal", Maybe<Count>,
        Maybe(Count { max: MAX_PER_PRINCIPAL }), Unset { shown: "no bound" }, "10",
        "How many jobs one principal may submit in a second.";
    max_stored_bytes_per_principal = "limits.max_stored_bytes_per_principal", Maybe<Size>,
        Maybe(Size { min: MIN_STORED_BYTES, max: usize::MAX }), Unset { shown: "no bound" }, "1 GiB",
        "How many bytes of records of one principal's jobs and sessions the journal may have before it can submit no \
         more. What runs goes on, so it may become more; it becomes less by retention and `moorline gc`.";
    cancel_grace = "jobs.cancel_grace", Length, Length { min: MILLISECOND, max: HOUR }, Text("30s"), "10s",
        "How long a job that is cancelled may take to end by itself before it is ended.";
    max_pending = "jobs.max_pending", Length, Length { min: SECOND, max: 30 * DAY }, Text("5m"), "1h",
        "How long a job may wait for a worker before it ends with an error that says so. Long enough for a worker that \
         is being started again, or for the machine of an external one.";
    default_max_runtime = "jobs.default_max_runtime", Maybe<Length>,
        Maybe(Length { min: SECOND, max: Duration::from_secs(limits::MAX_RUNTIME_SEC) }), Unset { shown: "no bound" },
        "1h",
        "How long a job may run whose submission does not say.";
    any_model = "jobs.any_model", Switch, Switch, Text("false"), "true",
        "Whether a job whose lease does not name `model.use` may use every model that its submitter may lease. Without it \
         such a job may use none.";
    delegation_max_depth = "delegation.max_depth", Count, Count { max: MAX_DELEGATION_DEPTH }, Text("8"), "2",
        "How many generations of jobs a job may have below it that agents delegate to each other.";
    delegation_max_children = "delegation.max_children", Count, Count { max: MAX_CHILDREN }, Text("32"), "100",
        "How many jobs that have not ended one job may have delegated.";
    delegation_at_parent_end = "delegation.at_parent_end", Choice<ParentEndPolicy>, Choice::new(), Text("cancel"), "detach",
        "What becomes of a child that has not ended when its parent does, and of which the delegation did not say: `cancel` \
         ends it before its parent, `detach` lets it go on by itself, and what it was given of the budget counts as spent.";
    shutdown_grace = "shutdown.grace", Length, Length { min: MILLISECOND, max: 10 * MINUTE }, Text("10s"), "30s",
        "How long an orderly stop with `stop_workers` waits for jobs to end. Jobs that have not ended by then are ended, \
         with an error that says so.";
    otlp_endpoint = "otlp.endpoint", Maybe<Collector>, Maybe(Collector), Unset { shown: "spans are not exported" },
        "http://127.0.0.1:4318/v1/traces",
        "Where an OpenTelemetry collector takes traces, with the whole path; with `grpc` it has none. Collectors of other \
         machines are asked with TLS, unless `otlp.insecure_plaintext` is set. Without it the gateway only hands traces on.";
    otlp_protocol = "otlp.protocol", Choice<OtlpProtocol>, Choice::new(), Text("http/protobuf"), "grpc",
        "How spans travel: `http/protobuf`, usually at port 4318, or `grpc`, usually at 4317.";
    otlp_insecure = "otlp.insecure_plaintext", Switch, Switch, Text("false"), "true",
        "Allows a collector of another machine without TLS, where nobody else reads on the way.";
    otlp_headers_file = "otlp.headers_file", Maybe<AnyPath>, Maybe(AnyPath), Unset { shown: "none" },
        "/etc/moorline/otlp-headers",
        "The file with headers that the collector asks for, one `Name: value` a line.";
    otlp_headers_variable = "otlp.headers_variable", Maybe<Phrase>, Maybe(Phrase::Some), Unset { shown: "none" },
        "OTEL_EXPORTER_OTLP_HEADERS",
        "The environment variable with such headers, instead of `otlp.headers_file`: `name=value,name=value`, each value \
         percent-encoded.";
    otlp_ca = "otlp.ca", Maybe<AnyPath>, Maybe(AnyPath), Unset { shown: "the authorities that browsers trust" },
        "/etc/moorline/collector-ca.pem",
        "The PEM file with the authority of the collector's certificate.";
    otlp_service_name = "otlp.service_name", Phrase, Phrase::Some, Text("moorline"), "moorline-eu",
        "What the gateway is called in traces (`service.name`).";
    otlp_resource_attributes = "otlp.resource_attributes", ResourceAttributes, ResourceAttributes, Text("none"),
        "deployment.environment.name=production,host.name=eu-1",
        "What else is said of the gateway in traces: `key=value,key=value`, each value percent-encoded.";
    otlp_sample_ratio = "otlp.sample_ratio", Share, Share, Text("1"), "0.1",
        "Which share of the traces is recorded whose beginning is a submission without a decision of its own. A submitter \
         that says in its `traceparent` whether its trace is recorded is heeded.";
    log_format = "log.format", Choice<LogFormat>, Choice::new(), Text("human"), "json",
        "How log lines on standard error are written: `human` for a terminal, `json` for a collector.";
    log_filter = "log.filter", Filter, Filter, Text("info"), "info,moorline_server=debug",
        "Which log lines are written: a level, and levels of their own for modules.";
    stop_workers = "stop_workers", Switch, Switch, Text("false"), "true",
        "Whether an orderly stop ends the workers too, and with them their jobs. Without it both go on, and the next \
         start takes them over.";
    reattach = "workers.reattach", Switch, Switch, Text("true"), "false",
        "Whether a start takes the workers of the last run over, with their jobs. Without it they are ended, and their \
         jobs with an error that says so.";
    adoption_window = "workers.adoption_window", Length, Length { min: SECOND, max: HOUR }, Text("1m"), "10s",
        "How long a worker may be away, at a start or after its link was lost, before it is ended and its jobs with an \
         error that says so.";
    max_orphan_lifetime = "workers.max_orphan_lifetime", Length, Length { min: SECOND, max: 30 * DAY }, Text("24h"),
        "1h",
        "How long a worker that has jobs goes on without a gateway before it ends itself; one that has none does so \
         after a minute. It holds for workers that are started from then on.";
    workers_listen = "workers.listen", Maybe<Address>, Maybe(Address), Unset { shown: "workers of this machine only" },
        "0.0.0.0:7708",
        "The address at which enrolled workers of other machines attach, with TLS: the certificate of \
         `workers.tls_cert`, or else the one of `tls.cert`. Without either only an address of this machine is taken, \
         unless `insecure_plaintext` is set. Needs the journal in `sqlite`.";
    workers_tls_cert = "workers.tls_cert", Maybe<AnyPath>, Maybe(AnyPath), Unset { shown: "that of `tls.cert`" },
        "/etc/moorline/workers-cert.pem",
        "The PEM file with the certificate that workers of other machines are shown, followed by its chain. Needs \
         `workers.tls_key`.";
    workers_tls_key = "workers.tls_key", Maybe<AnyPath>, Maybe(AnyPath), Unset { shown: "that of `tls.key`" },
        "/etc/moorline/workers-key.pem",
        "The PEM file with the private key of `workers.tls_cert`.";
    worker_program = "workers.program", AnyPath, AnyPath,
        Computed {
            shown: "the running program",
            needs: "a process that can find its own program",
            value: running_program,
        },
        "/usr/local/bin/moorline",
        "The `moorline` program that is started for workers.";
    gateway_listen = "gateway.listen", Maybe<Address>, Maybe(Address), Unset { shown: "no session gateway" },
        "127.0.0.1:7709",
        "The address of the session gateway: gRPC, `moorline.gateway.v1`, with the certificate of `tls.cert`. Without one \
         only an address of this machine is taken, unless `insecure_plaintext` is set.";
    gateway_backends = "gateway.backends", Choices<Backend>, Choices::new(), Text("simulated"), "simulated",
        "Which back ends sessions can be with.";
    gateway_opcua_config = "gateway.opcua_config", Maybe<AnyPath>, Maybe(AnyPath), Unset { shown: "none" },
        "/etc/moorline/opcua.toml",
        "The file that says which OPC UA servers there are, for the back end `opcua`.";
    gateway_opcua_program = "gateway.opcua_program", AnyPath, AnyPath,
        Computed {
            shown: "`moorline-opcua` beside the running program",
            needs: "a process that can find its own program",
            value: opcua_program,
        },
        "/usr/local/bin/moorline-opcua",
        "The program that is started for sessions with the back end `opcua`.";
    gateway_max_sessions = "gateway.max_sessions", Count, Count { max: MAX_GATEWAY_SESSIONS }, Text("64"), "8",
        "How many gateway sessions there may be at once. Each has a worker process of its own.";
    gateway_max_pending = "gateway.max_pending_commands", Count, Count { max: MAX_PENDING_COMMANDS }, Text("128"), "16",
        "How many commands of one session may wait for their answers. One more is refused at once.";
    gateway_command_timeout = "gateway.command_timeout", Length, Length { min: MILLISECOND, max: HOUR }, Text("30s"),
        "5s",
        "How long a command may take unless its session or the command itself says otherwise.";
    gateway_startup_timeout = "gateway.startup_timeout", Length, Length { min: SECOND, max: HOUR }, Text("30s"), "2m",
        "How long a session's worker may take from its start until its back end can be used.";
    gateway_shutdown_timeout = "gateway.shutdown_timeout", Length, Length { min: MILLISECOND, max: HOUR }, Text("10s"),
        "1m",
        "How long a session's worker may take to close its back end before it is killed.";
    gateway_lease = "gateway.lease", Length, Length { min: SECOND, max: 30 * DAY }, Text("30m"), "8h",
        "How long a session lasts in which no client does anything. One whose events somebody streams lasts as long as \
         that.";
    gateway_sweep = "gateway.sweep_interval", Length, Length { min: MILLISECOND, max: HOUR }, Text("30s"), "5s",
        "How often sessions are looked at whose lease or grace may be over. They last for up to as much longer.";
    gateway_grace = "gateway.detach_grace", Length, Length { min: Duration::ZERO, max: 30 * DAY }, Text("30s"), "5m",
        "How long a session lasts after the last client has left that streamed its events, unless one comes back; for as \
         long as its lease if it is `0s`.";
    gateway_multiple = "gateway.multiple_subscribers", Switch, Switch, Text("false"), "true",
        "Whether several clients may stream a session's events at once.";
    gateway_max_subscribers = "gateway.max_subscribers", Count, Count { max: MAX_SUBSCRIBERS }, Text("8"), "32",
        "How many, if `gateway.multiple_subscribers` is set.";
    gateway_overflow = "gateway.overflow", Choice<SubscriberPolicy>, Choice::new(), Text("catch_up"), "fail_fast",
        "What becomes of a client that is behind by more than `gateway.queue_capacity` events: `catch_up`, it reads on \
         from the journal, and is told of a gap if what it had still to be given has left it; `disconnect_subscriber`, its stream ends; `fail_fast`, its stream ends, and its session too \
         unless `gateway.multiple_subscribers` is set.";
    gateway_queue = "gateway.queue_capacity", Count, Count { max: MAX_RETAINED_EVENTS }, Text("10000"), "1000",
        "How many events a client may be behind before `gateway.overflow` applies.";
    gateway_replay_events = "gateway.replay_events", Amount, Amount { max: MAX_RETAINED_EVENTS }, Text("1024"), "100000",
        "How many events of a session a client that comes back can be given. With 0 there are none, and it is told of a \
         gap.";
    gateway_replay_age = "gateway.replay_age", Length, Length { min: Duration::ZERO, max: CENTURY }, Text("5m"), "1h",
        "How old they may be; `0s` for any age.";
    gateway_replay_bytes = "gateway.replay_bytes", Size, Size { min: 1, max: MAX_REPLAY_BYTES }, Text("8 MiB"), "1 GiB",
        "How large they may be together. The newest one always can be replayed.";
    gateway_orphan = "gateway.max_orphan_lifetime", Length, Length { min: SECOND, max: 30 * DAY }, Text("5m"), "1h",
        "How long the worker of a session goes on without a gateway before it closes its back end and ends.";
    gateway_message = "gateway.max_message_bytes", Size, Size { min: MIN_FRAME_BYTES, max: MAX_FRAME_BYTES },
        Text("16 MiB"), "4 MiB",
        "The largest message that is read from or sent to a client of the session gateway.";
    gateway_reflection = "gateway.reflection", Switch, Switch, Text("false"), "true",
        "Whether clients that have authenticated may ask the session gateway for its API by gRPC reflection.";
    builtin_agents = "builtin_agents", Choices<BuiltinAgent>, Choices::new(), Text("census,echo"), "echo",
        "Which of the agents that are shipped with the gateway it offers: `census` counts what a directory holds, `echo` \
         returns its input, `load` emits events to measure with.";
    in_process_agents = "in_process_agents", Choices<BuiltinAgent>, Choices::new(), Text("none"), "load",
        "Which of the shipped agents are offered from inside the gateway's own process, whether or not `builtin_agents` \
         names them. They answer soonest, but their jobs end with the gateway.";
}

fn default_data_dir(sources: &Sources<'_>) -> Option<String> {
    let home = || sources.directory("HOME").map(|home| home.join(".local/share"));
    let directory = sources.directory("XDG_DATA_HOME").or_else(home)?;
    text(directory.join("moorline"))
}

fn running_program(sources: &Sources<'_>) -> Option<String> {
    text(sources.program.clone()?)
}

fn opcua_program(sources: &Sources<'_>) -> Option<String> {
    text(sources.program.as_ref()?.with_file_name("moorline-opcua"))
}

fn text(path: PathBuf) -> Option<String> {
    path.into_os_string().into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_and_every_example_is_accepted() {
        for option in ConfigOption::all() {
            let defaults = match option.default {
                Text(text) => vec![text],
                Computed { .. } | Unset { .. } => vec![],
            };
            for text in defaults.into_iter().chain([option.example]) {
                assert!(option.takes(text), "{}: {text:?}", option.key);
            }
            assert!(!option.takes(""), "{} takes an empty text", option.key);
        }
    }

    #[test]
    fn every_option_is_documented_in_a_sentence() {
        for ConfigOption { key, doc, .. } in ConfigOption::all() {
            assert!(doc.ends_with('.') && doc.len() > 20 && !doc.contains("  "), "{key}: {doc:?}");
        }
    }

    #[test]
    fn defaults_that_other_crates_name_are_theirs() {
        let shown = |key| ConfigOption::find(key).map(ConfigOption::default_shown);
        let length = |millis: moorline_types::Millis| crate::config::human::format_duration(millis.as_duration());
        let size = crate::config::human::format_size(limits::DEFAULT_MAX_FRAME_BYTES as u64);
        assert_eq!(shown("session.heartbeat_interval"), Some(length(limits::DEFAULT_HEARTBEAT_INTERVAL).as_str()));
        assert_eq!(shown("session.hello_deadline"), Some(length(limits::HELLO_DEADLINE).as_str()));
        assert_eq!(shown("limits.max_frame_bytes"), Some(size.as_str()));
    }
}
