//! Configuration: flags over environment over `moorline.toml` over defaults.
//!
//! Two stages. The low one collects exactly what was given, by whom and where ([`Sources`]); the high one is
//! [`Config`], whose values are typed and checked. Between them stands one table of options ([`ConfigOption::all`]),
//! from which every layer is read, `config show` is written ([`Resolved`]), the flags of the command line are made and
//! the reference page is generated ([`reference_markdown`]).
//!
//! The rules:
//!
//! - All mistakes are reported at once ([`Mistakes`]), each with where it came from and what to do. A mistake in a
//!   layer that a higher one overrides is reported too: it would come to light the day the override goes away.
//! - Nothing is ignored: an unknown key, flag or `MOORLINE_` variable is a mistake.
//! - Resolving touches neither the process environment nor the disk except through what [`Sources`] holds.
//!
//! Deliberately absent: a `Default` for [`Config`] (a default that did not pass the checks would be a second truth),
//! reloading, and secrets other than the environment of an agent. API keys live in the store, never in this file.

mod agents;
mod allowed;
mod client_grants;
mod credentials;
mod file;
mod files;
mod gateway;
mod high;
mod human;
mod kind;
mod layers;
mod locate;
mod mistake;
mod option;
mod options;
mod origin;
mod profiles;
mod reference;
mod resolve;
mod resolved;
mod settings;
mod sources;
mod suggest;
mod tokens;
mod tracing;
mod words;

pub use agents::{AgentConfig, EnvValue, MAX_AGENT_CAPACITY, MAX_AGENT_DESCRIPTION_BYTES, MAX_AGENTS};
pub use allowed::Allowed;
pub use files::{Entry, Files, RealFiles};
pub use gateway::{GatewayConfig, OpcUaConfig};
pub use high::{
    ClientCertsConfig, Config, CredentialsConfig, DelegationConfig, ExternalConfig, HttpConfig, JobsConfig,
    JournalConfig, JwtConfig, JwtKeys, LimitsConfig, LiteLlmConfig, LogConfig, MasterKey, OtlpConfig, OtlpHeaders,
    RetentionConfig, SessionConfig, TracingConfig, Transport, UpstreamConfig,
};
pub use human::{parse_duration, parse_size};
pub use locate::MAX_CONFIG_FILE_BYTES;
pub use mistake::{AgentProblem, Mistake, Mistakes, Problem};
pub use option::{ConfigOption, DefaultValue};
pub use origin::Origin;
pub use reference::reference_markdown;
pub use resolved::{Resolved, Row};
pub use settings::{Setting, Settings};
pub use sources::{ConfigFile, Environment, Sources};
pub use words::{
    Backend, BuiltinAgent, ClientAuth, DefaultScopes, Durability, JwtAlgorithm, LogFormat, OtlpProtocol,
    OverflowPolicy, ParentEndPolicy, StoreKind, SubscriberPolicy,
};
