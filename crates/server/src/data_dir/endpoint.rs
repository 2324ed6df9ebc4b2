//! Where the running gateway is reached, for commands on the same machine.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The file in the data directory.
pub(super) const FILE_NAME: &str = "gateway.json";

/// The largest file that is read. An address, a number and a version are a hundredth of it.
pub const MAX_ENDPOINT_BYTES: u64 = 16 * 1024;

/// Where a gateway is reached. Its file stays behind when the gateway is killed, so whoever reads it has learnt where
/// to look, not that somebody is there. A reader ignores fields that it does not know.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Endpoint {
    /// The address for clients: `ws://127.0.0.1:7707/arcp`.
    pub url: String,
    /// The address of the session gateway, if there is one: `http://127.0.0.1:7709`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub grpc: Option<String>,
    /// The gateway's process.
    pub pid: u32,
    /// The gateway's version.
    pub version: String,
}

/// Why it is not known where a gateway is reached.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; run as the gateway's user, or name the gateway with --url", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what a gateway writes.
    #[error("{} is not what a gateway writes: {source}; remove it and start the gateway again, or name the gateway with --url", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Endpoint {
    /// Where the gateway of a data directory is reached; `None` if none runs, or none has run since a clean stop.
    ///
    /// # Errors
    ///
    /// If there is something that cannot be read.
    pub fn read(data_dir: &Path) -> Result<Option<Self>, EndpointError> {
        let path = data_dir.join(FILE_NAME);
        let mut text = Vec::new();
        match File::open(&path).and_then(|file| file.take(MAX_ENDPOINT_BYTES).read_to_end(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(EndpointError::Read { path, source }),
        }
        serde_json::from_slice(&text).map(Some).map_err(|source| EndpointError::Document { path, source })
    }

    pub(super) fn to_text(&self) -> String {
        let document = serde_json::json!({
            "url": self.url, "grpc": self.grpc, "pid": self.pid, "version": self.version,
        });
        format!("{document}\n")
    }
}
