//! Which servers there are and how they are talked to: the operator's file, and what a client may choose of it.
//!
//! A client names an endpoint of the file. It cannot say an address, a user or a file: those are the operator's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use moorline_backend::OpenError;
use moorline_types::Json;
use opcua::crypto::SecurityPolicy;
use opcua::types::MessageSecurityMode;
use serde::{Deserialize, Serialize};

use crate::desired::Group;

/// The largest file that is read, in bytes: a thousand endpoints.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The longest secret, in bytes.
const MAX_SECRET_BYTES: u64 = 4 * 1024;

/// What variables begin with that a gateway hands on.
const VARIABLES: &str = "OPCUA_";

/// The shortest interval that is asked for, in milliseconds. Servers refuse less, and nobody reads a value more often.
const MIN_INTERVAL_MS: u64 = 10;

/// The longest, in milliseconds: what is looked at less often is read, not advised.
const MAX_INTERVAL_MS: u64 = 3_600_000;

/// The longest queue of an item that is asked for. A server has it for each item.
const MAX_QUEUE: u32 = 10_000;

/// The most keep-alive periods after which a server lets go of a subscription.
const MAX_LIFETIME_COUNT: u32 = 1_000_000;

/// The file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where our certificate and those of servers are. Beside the file unless it is absolute.
    #[serde(default = "default_pki_dir")]
    pub pki_dir: PathBuf,
    /// What we are called.
    #[serde(default = "default_application_name")]
    pub application_name: String,
    /// What identifies us; our certificate has it too.
    #[serde(default = "default_application_uri")]
    pub application_uri: String,
    /// The endpoints, by the name under which clients choose them.
    pub endpoints: BTreeMap<String, Endpoint>,
}

/// An endpoint of a server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Its address, `opc.tcp://host:port/path`.
    pub url: String,
    /// How messages are secured.
    #[serde(default = "default_security_policy")]
    pub security_policy: String,
    /// Which part of that is used.
    #[serde(default = "default_security_mode")]
    pub security_mode: SecurityMode,
    /// Whether a certificate of the server is trusted that nobody has put among the trusted ones.
    #[serde(default)]
    pub trust_unknown_certificates: bool,
    /// Whether passwords may be sent that nothing encrypts.
    #[serde(default)]
    pub insecure_passwords: bool,
    /// As whom we come; anonymously without.
    #[serde(default)]
    pub user: Option<String>,
    /// The file with that user's password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The variable with that user's password, instead.
    #[serde(default)]
    pub password_env: Option<String>,
    /// The file with that user's certificate, instead of a name and a password.
    #[serde(default)]
    pub user_certificate: Option<PathBuf>,
    /// The file with the key of that certificate.
    #[serde(default)]
    pub user_key: Option<PathBuf>,
    /// What is asked of the server for items.
    #[serde(flatten)]
    pub rates: Rates,
    /// How long a request may take, in milliseconds.
    #[serde(default = "default_request_timeout_ms")]
    pub request_timeout_ms: u64,
    /// How long the server keeps a session whose connection is lost, in milliseconds.
    #[serde(default = "default_session_timeout_ms")]
    pub session_timeout_ms: u32,
    /// How often the connection is tried out, in milliseconds.
    #[serde(default = "default_heartbeat_ms")]
    pub heartbeat_ms: u64,
}

/// How messages are secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum SecurityMode {
    /// Not at all.
    None,
    /// They are signed.
    Sign,
    /// And encrypted.
    SignAndEncrypt,
}

/// What is asked of the server for items.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// How often the server tells changes, in milliseconds.
    #[serde(default = "default_publishing_interval_ms")]
    pub publishing_interval_ms: u64,
    /// How often the server looks at a value, in milliseconds; as often as it tells changes if it is absent.
    #[serde(default)]
    pub sampling_interval_ms: Option<u64>,
    /// How many changes of an item the server keeps between two times of telling.
    #[serde(default = "default_queue_size")]
    pub queue_size: u32,
    /// The same for an item whose changes are collected.
    #[serde(default = "default_buffered_queue_size")]
    pub buffered_queue_size: u32,
    /// After how many intervals without a change the server says that it is there.
    #[serde(default = "default_keep_alive_count")]
    pub keep_alive_count: u32,
    /// After how many intervals without us the server lets go of a subscription. At least three times
    /// `keep_alive_count`.
    #[serde(default = "default_lifetime_count")]
    pub lifetime_count: u32,
}

/// What a client may choose.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionOptions {
    /// Which endpoint; may be absent if there is only one.
    pub endpoint: Option<String>,
    /// See [`Rates`].
    pub publishing_interval_ms: Option<u64>,
    /// See [`Rates`].
    pub sampling_interval_ms: Option<u64>,
    /// See [`Rates`].
    pub queue_size: Option<u32>,
    /// See [`Rates`].
    pub buffered_queue_size: Option<u32>,
}

/// As whom we come.
#[derive(Clone)]
pub enum Identity {
    /// As nobody.
    Anonymous,
    /// As a user with a password.
    Password {
        /// The user.
        user: String,
        /// The proof.
        password: String,
    },
    /// As a user with a certificate.
    Certificate {
        /// The file with it.
        certificate: PathBuf,
        /// The file with its key.
        key: PathBuf,
    },
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Password { user, .. } => write!(f, "user {user} with a password"),
            Self::Certificate { certificate, .. } => write!(f, "certificate {}", certificate.display()),
        }
    }
}

/// Why the file cannot be used. Nothing of what it says is repeated that may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is too large.
    #[error("{} has more than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How much it may have.
        limit: u64,
    },
    /// It is not of the right form.
    #[error("{}: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An endpoint is not as it can be.
    #[error("endpoint {endpoint}: {reason}")]
    Endpoint {
        /// Which.
        endpoint: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

fn default_pki_dir() -> PathBuf {
    "pki".into()
}
fn default_application_name() -> String {
    "Moorline".to_owned()
}
fn default_application_uri() -> String {
    "urn:moorline:opcua".to_owned()
}
fn default_security_policy() -> String {
    "Basic256Sha256".to_owned()
}
const fn default_security_mode() -> SecurityMode {
    SecurityMode::SignAndEncrypt
}
const fn default_request_timeout_ms() -> u64 {
    10_000
}
const fn default_session_timeout_ms() -> u32 {
    120_000
}
const fn default_heartbeat_ms() -> u64 {
    5_000
}
const fn default_publishing_interval_ms() -> u64 {
    500
}
const fn default_queue_size() -> u32 {
    100
}
const fn default_buffered_queue_size() -> u32 {
    1_000
}
const fn default_keep_alive_count() -> u32 {
    10
}
const fn default_lifetime_count() -> u32 {
    600
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            publishing_interval_ms: default_publishing_interval_ms(),
            sampling_interval_ms: None,
            queue_size: default_queue_size(),
            buffered_queue_size: default_buffered_queue_size(),
            keep_alive_count: default_keep_alive_count(),
            lifetime_count: default_lifetime_count(),
        }
    }
}

impl Settings {
    /// The settings of a file.
    ///
    /// # Errors
    /// If it cannot be read or says what cannot be.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let text = read_bounded(path, MAX_FILE_BYTES)?;
        let form = |reason: String| SettingsError::Form { path: path.to_owned(), reason };
        // The error's own text would show the line, which may hold anything.
        let mut settings: Self = toml_edit::de::from_str(&text).map_err(|error| form(error.message().to_owned()))?;
        let base = path.parent().unwrap_or_else(|| Path::new("."));
        settings.pki_dir = base.join(&settings.pki_dir);
        for endpoint in settings.endpoints.values_mut() {
            for file in [&mut endpoint.password_file, &mut endpoint.user_certificate, &mut endpoint.user_key] {
                *file = file.take().map(|file| base.join(file));
            }
        }
        settings.check()?;
        Ok(settings)
    }

    /// Whether everything can be as it says.
    ///
    /// # Errors
    /// The first thing that cannot.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.endpoints.is_empty() {
            let reason = "there is none; say [endpoints.NAME] with a url".to_owned();
            return Err(SettingsError::Endpoint { endpoint: "*".to_owned(), reason });
        }
        self.endpoints.iter().try_for_each(|(name, endpoint)| {
            endpoint.check().map_err(|reason| SettingsError::Endpoint { endpoint: name.clone(), reason })
        })
    }

    /// The endpoint that a session is with, and what it asks for.
    ///
    /// # Errors
    /// If there is no such endpoint, or an option is not as it can be.
    pub fn choose(&self, options: Option<&Json>) -> Result<(&str, Endpoint), OpenError> {
        let bad = |reason: String| OpenError::Options { reason };
        let options: SessionOptions =
            options.map_or_else(|| Ok(SessionOptions::default()), Json::to).map_err(|error| bad(error.to_string()))?;
        let names = || self.endpoints.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let found = match &options.endpoint {
            Some(name) => self.endpoints.get_key_value(name),
            None if self.endpoints.len() == 1 => self.endpoints.first_key_value(),
            None => None,
        };
        let (name, endpoint) = found.ok_or_else(|| bad(format!("endpoint must be one of: {}", names())))?;
        let mut endpoint = endpoint.clone();
        let rates = &mut endpoint.rates;
        rates.publishing_interval_ms = options.publishing_interval_ms.unwrap_or(rates.publishing_interval_ms);
        rates.sampling_interval_ms = options.sampling_interval_ms.or(rates.sampling_interval_ms);
        rates.queue_size = options.queue_size.unwrap_or(rates.queue_size);
        rates.buffered_queue_size = options.buffered_queue_size.unwrap_or(rates.buffered_queue_size);
        rates.check().map_err(bad)?;
        Ok((name, endpoint))
    }
}

impl Endpoint {
    fn check(&self) -> Result<(), String> {
        if !self.url.starts_with("opc.tcp://") {
            return Err("url must begin with opc.tcp://".to_owned());
        }
        let policy = self
            .policy()
            .ok_or("security_policy must be None, Basic256Sha256, Aes128-Sha256-RsaOaep or Aes256-Sha256-RsaPss")?;
        if (policy == SecurityPolicy::None) != (self.security_mode == SecurityMode::None) {
            return Err("security_policy and security_mode are both None or neither".to_owned());
        }
        match (&self.user, &self.password_file, &self.password_env, &self.user_certificate, &self.user_key) {
            (None, None, None, None, None)
            | (Some(_), Some(_), None, None, None)
            | (Some(_), None, Some(_), None, None)
            | (None, None, None, Some(_), Some(_)) => {}
            _ => {
                return Err(
                    "say user with either password_file or password_env, or user_certificate with user_key, or none \
                            of them"
                        .to_owned(),
                );
            }
        }
        if self.password_env.as_ref().is_some_and(|name| !name.starts_with(VARIABLES)) {
            return Err(format!("password_env names a variable that begins with {VARIABLES}"));
        }
        let is_length = |ms: u64| (MIN_INTERVAL_MS..=MAX_INTERVAL_MS).contains(&ms);
        if !is_length(self.request_timeout_ms)
            || !is_length(self.heartbeat_ms)
            || !is_length(self.session_timeout_ms.into())
        {
            return Err(format!(
                "request_timeout_ms, heartbeat_ms and session_timeout_ms lie between {MIN_INTERVAL_MS} and {MAX_INTERVAL_MS}"
            ));
        }
        self.rates.check()
    }

    /// How messages are secured, if there is such a way.
    pub(crate) fn policy(&self) -> Option<SecurityPolicy> {
        Some(match self.security_policy.as_str() {
            "None" => SecurityPolicy::None,
            "Basic256Sha256" => SecurityPolicy::Basic256Sha256,
            "Aes128-Sha256-RsaOaep" => SecurityPolicy::Aes128Sha256RsaOaep,
            "Aes256-Sha256-RsaPss" => SecurityPolicy::Aes256Sha256RsaPss,
            _ => return None,
        })
    }

    /// Whether certificates are shown.
    pub(crate) fn is_secured(&self) -> bool {
        self.security_mode != SecurityMode::None
    }

    /// As whom we come. `environment` has the variables that may be asked for.
    pub(crate) fn identity(&self, environment: &BTreeMap<String, String>) -> Result<Identity, OpenError> {
        let unavailable = |reason: String| OpenError::Unavailable { reason };
        if let (Some(certificate), Some(key)) = (self.user_certificate.clone(), self.user_key.clone()) {
            return Ok(Identity::Certificate { certificate, key });
        }
        let Some(user) = self.user.clone() else { return Ok(Identity::Anonymous) };
        let password = match (&self.password_file, &self.password_env) {
            (Some(file), _) => {
                let text = read_bounded(file, MAX_SECRET_BYTES).map_err(|error| unavailable(error.to_string()))?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            (None, Some(variable)) => environment
                .get(variable)
                .cloned()
                .ok_or_else(|| unavailable(format!("the gateway's environment has no {variable}")))?,
            (None, None) => return Err(unavailable("the user has no password".to_owned())),
        };
        Ok(Identity::Password { user, password })
    }

    /// How long a request may take.
    pub(crate) const fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}

impl Rates {
    fn check(&self) -> Result<(), String> {
        let is_interval = |ms: u64| (MIN_INTERVAL_MS..=MAX_INTERVAL_MS).contains(&ms);
        if !is_interval(self.publishing_interval_ms) {
            return Err(format!("publishing_interval_ms lies between {MIN_INTERVAL_MS} and {MAX_INTERVAL_MS}"));
        }
        // Zero is as fast as the server can.
        if self.sampling_interval_ms.is_some_and(|ms| ms > MAX_INTERVAL_MS) {
            return Err(format!("sampling_interval_ms lies between 0 and {MAX_INTERVAL_MS}"));
        }
        if [self.queue_size, self.buffered_queue_size].iter().any(|size| *size == 0 || *size > MAX_QUEUE) {
            return Err(format!("queue_size and buffered_queue_size lie between 1 and {MAX_QUEUE}"));
        }
        if self.keep_alive_count == 0
            || self.lifetime_count / 3 < self.keep_alive_count
            || self.lifetime_count > MAX_LIFETIME_COUNT
        {
            return Err(format!(
                "lifetime_count is at least three times keep_alive_count, which is at least 1, and at most {MAX_LIFETIME_COUNT}"
            ));
        }
        Ok(())
    }

    /// How many changes of an item of this group the server keeps.
    pub(crate) const fn queue_size_of(&self, group: Group) -> u32 {
        match group {
            Group::Buffered(_) => self.buffered_queue_size,
            Group::Live(_) | Group::Alarms => self.queue_size,
        }
    }

    /// How often the server looks at a value, in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "an interval is at most an hour")]
    pub(crate) fn sampling_interval(&self) -> f64 {
        self.sampling_interval_ms.unwrap_or(self.publishing_interval_ms) as f64
    }
}

impl From<SecurityMode> for MessageSecurityMode {
    fn from(mode: SecurityMode) -> Self {
        match mode {
            SecurityMode::None => Self::None,
            SecurityMode::Sign => Self::Sign,
            SecurityMode::SignAndEncrypt => Self::SignAndEncrypt,
        }
    }
}

fn read_bounded(path: &Path, limit: u64) -> Result<String, SettingsError> {
    use std::io::Read as _;

    let failed = |source| SettingsError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(limit + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > limit {
        return Err(SettingsError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
