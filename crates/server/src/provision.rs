//! Where credentials for upstreams come from (spec 9.8): what the configuration says, as a
//! [`Provisioner`].

mod litellm;
mod program;

use std::env::VarError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use moorline_runtime::Clock;
use moorline_runtime::credentials::{Provisioner, Provisioning};

use crate::config::{CredentialsConfig, MasterKey, UpstreamConfig};
use crate::tls::TlsError;
use litellm::LiteLlm;
use program::Program;

/// Why credentials cannot be issued.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The file with the master key cannot be read.
    #[error("cannot read {}: {source}; correct credentials.litellm_key_file, or make it readable for the gateway", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The variable with the master key is not there.
    #[error("the variable {name} of credentials.litellm_key_variable is not there or no text: {source}")]
    KeyVariable {
        /// The variable.
        name: String,
        /// Why.
        source: VarError,
    },
    /// What should be the master key cannot be sent.
    #[error("the master key of the upstream is empty, too long, or has spaces or control characters")]
    KeyUnusable,
    /// The file with the authority of the upstream's certificate cannot be used.
    #[error(transparent)]
    Authority(#[from] TlsError),
}

/// The configured upstream.
///
/// # Errors
/// If what it needs cannot be used. That it does not answer is no such thing: it may be back later.
pub fn provisioning(config: &CredentialsConfig, clock: Clock) -> Result<Provisioning, ProvisionError> {
    let provisioner: Arc<dyn Provisioner> = match &config.upstream {
        UpstreamConfig::Program(path) => Arc::new(Program::new(path.clone())),
        UpstreamConfig::LiteLlm(config) => Arc::new(LiteLlm::new(config, key_of(&config.key)?, clock)?),
    };
    Ok(Provisioning { provisioner, lifetime: config.lifetime.into() })
}

fn key_of(key: &MasterKey) -> Result<litellm::Key, ProvisionError> {
    let text = match key {
        MasterKey::File(path) => {
            std::fs::read_to_string(path).map_err(|source| ProvisionError::KeyFile { path: path.clone(), source })?
        }
        MasterKey::Variable(name) => {
            std::env::var(name).map_err(|source| ProvisionError::KeyVariable { name: name.clone(), source })?
        }
    };
    litellm::Key::new(text.trim()).ok_or(ProvisionError::KeyUnusable)
}
