//! A gateway in a process of its own, with the worker as the program of a back end.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use moorline_gateway_client::{ConnectError, GatewayClient, Options};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::tags;

/// A gateway could not be started, or not be talked to.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A file of it cannot be written or read, or its program not be started.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not say where it listens.
    #[error("the gateway does not start; it says:\n{log}")]
    Silent {
        /// What it says instead.
        log: String,
    },
    /// What it says of itself is not what it should be.
    #[error("the gateway says of itself what cannot be read: {0}")]
    Endpoint(#[from] serde_json::Error),
    /// It does not answer.
    #[error("the gateway does not answer: {0}")]
    Connect(#[from] ConnectError),
}

/// A gateway in a directory of its own. Killed when it is dropped; its workers end by themselves soon after.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    home: TempDir,
}

/// What a gateway says of itself in its directory.
#[derive(Deserialize)]
struct Endpoint {
    grpc: String,
}

/// A directory for a gateway whose sessions are this program's, with the endpoint `plant`, which is set up so.
///
/// # Errors
/// If it cannot be written.
pub fn home(worker: &Path, endpoint: &str) -> Result<TempDir, GatewayError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| GatewayError::Io { path, source }
    };
    let home = tempfile::tempdir().map_err(failed(&std::env::temp_dir()))?;
    let worker = worker.display();
    let gateway = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nbackends = [\"opcua\"]\nopcua_config = \"opcua.toml\"\n\
         opcua_program = \"{worker}\"\nmax_orphan_lifetime = \"1m\"\n"
    );
    for (name, text) in [("moorline.toml", gateway), ("opcua.toml", format!("[endpoints.plant]\n{endpoint}"))] {
        let path = home.path().join(name);
        std::fs::write(&path, text).map_err(failed(&path))?;
    }
    Ok(home)
}

impl Gateway {
    /// Starts one in a directory that [`home`] has made, in which another may have been before. The variable
    /// `OPCUA_OPERATOR` has the password of [`tags::USER`].
    ///
    /// # Errors
    /// See [`GatewayError`].
    pub async fn start(program: &Path, home: TempDir) -> Result<Self, GatewayError> {
        let at = |name: &str| home.path().join(name);
        let failed = |path: &Path, source| GatewayError::Io { path: path.to_owned(), source };
        let log = OpenOptions::new().create(true).append(true).open(at("log")).map_err(|e| failed(&at("log"), e))?;
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(at("moorline.toml"))
            .arg("--data-dir")
            .arg(at("data"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("OPCUA_OPERATOR", tags::PASSWORD)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(program, error))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).await.map_err(|error| failed(program, error))?;
        }
        let gateway = Self { child, home };
        if line.starts_with("listening") { Ok(gateway) } else { Err(GatewayError::Silent { log: gateway.log() }) }
    }

    /// Its directory: `log` is what it logs, `data` its data directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// What it has logged; nothing if that cannot be read.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home().join("log")).unwrap_or_default()
    }

    /// Kills it. Its directory is for the next.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub async fn kill(mut self) -> Result<TempDir, GatewayError> {
        let killed = self.child.kill().await;
        killed.map_err(|source| GatewayError::Io { path: self.home().to_owned(), source })?;
        Ok(self.home)
    }

    /// A client that may do everything.
    ///
    /// # Errors
    /// See [`GatewayError`].
    pub async fn client(&self) -> Result<GatewayClient, GatewayError> {
        let read = |name: &str| {
            let path = self.home().join("data").join(name);
            std::fs::read_to_string(&path).map_err(|source| GatewayError::Io { path, source })
        };
        let Endpoint { grpc } = serde_json::from_str(&read("gateway.json")?)?;
        Ok(GatewayClient::connect(Options::new(grpc, read("admin.token")?.trim())).await?)
    }
}
