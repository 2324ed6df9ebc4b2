//! The worker's back end, opened as an operator would set it up for these servers.

use std::collections::BTreeMap;
use std::path::Path;

use moorline_backend::{OpenError, Opened, Opener as _};
use moorline_opcua::OpcUa;
use moorline_opcua::settings::Settings;

/// What a worker asks of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// How often it is told changes, in milliseconds.
    pub publishing_ms: u32,
    /// How many changes of an item the server keeps for it.
    pub queue: u32,
}

impl Default for Wanted {
    /// Enough of a queue for a minute of counting every 20 ms, of which no cut lasts more than a tenth.
    fn default() -> Self {
        Self { publishing_ms: 50, queue: 3_000 }
    }
}

/// Opens the worker's back end to a server. The directory is for its settings and what it keeps beside them.
///
/// # Errors
/// If the settings cannot be written, or the server does not answer.
pub async fn open(url: &str, wanted: Wanted, directory: &Path) -> Result<Opened, OpenError> {
    let unavailable = |reason: String| OpenError::Unavailable { reason };
    let file = directory.join("opcua.toml");
    let text = format!("[endpoints.test]\n{}", endpoint(url, wanted));
    std::fs::write(&file, text).map_err(|error| unavailable(error.to_string()))?;
    open_with(&file).await
}

/// Opens it as a file says, without variables.
///
/// # Errors
/// If the file is none of settings, or the server does not answer.
pub async fn open_with(file: &Path) -> Result<Opened, OpenError> {
    let settings = Settings::load(file).map_err(|error| OpenError::Unavailable { reason: error.to_string() })?;
    OpcUa::new(settings, BTreeMap::new()).open(None).await
}

/// What is said of an endpoint in its settings, with times that are short enough for a test.
pub fn endpoint(url: &str, Wanted { publishing_ms, queue }: Wanted) -> String {
    format!(
        "url = \"{url}\"\n\
         security_policy = \"None\"\n\
         security_mode = \"None\"\n\
         insecure_passwords = true\n\
         publishing_interval_ms = {publishing_ms}\n\
         sampling_interval_ms = 0\n\
         queue_size = {queue}\n\
         keep_alive_count = 10\n\
         lifetime_count = 2000\n\
         request_timeout_ms = 3000\n\
         session_timeout_ms = 120000\n\
         heartbeat_ms = 1000\n"
    )
}
