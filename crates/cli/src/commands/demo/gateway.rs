//! The gateway of the demo: a process of its own, with a directory of its own.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use moorline_client::{Client, ConnectOptions, ReconnectPolicy};
use moorline_gateway_client::{self as gateway_client, GatewayClient, Options as SessionOptions};
use moorline_server::data_dir::Endpoint;
use moorline_wire::Secret;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::connect::ADMIN_TOKEN;

/// How long the gateway may take to open its door. It takes a tenth of a second; a busy machine may need more.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How long the gateway may take to end: the grace that it is given for its workers, and some.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// How often the gateway's log is looked at for workers that come back, and for how long.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u32 = 500;

/// Lines of the gateway's log that are shown when it does not start.
const LOG_TAIL: usize = 15;

/// What the gateway says of a worker that has proven itself.
const ATTACHED: &str = "a worker is attached";

/// What a gateway serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    /// Jobs.
    Jobs,
    /// Sessions of the session gateway.
    Sessions,
}

impl Served {
    const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Jobs => &["--builtin-agents", "census,echo"],
            Self::Sessions => &["--gateway-listen", "127.0.0.1:0", "--gateway-multiple-subscribers"],
        }
    }
}

/// A gateway that runs.
pub(super) struct Gateway {
    served: Served,
    home: TempDir,
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Gateway {
    /// Starts a gateway over a new directory.
    pub(super) fn launch(served: Served) -> Result<Self> {
        let home = home().context("no temporary directory can be made; TMPDIR says where")?;
        empty_config(home.path())?;
        let (process, said) = start(home.path(), served)?;
        Ok(Self { served, home, process, said })
    }

    /// Where its journal and its log are.
    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.process.id().unwrap_or_default()
    }

    /// Waits until the gateway's door is open, and returns where.
    pub(super) async fn opened(&mut self) -> Result<String> {
        let first = tokio::time::timeout(START_PATIENCE, self.said.next_line()).await;
        let first = first.ok().and_then(|line| line.ok().flatten());
        match first.as_deref().and_then(|line| line.strip_prefix("listening url=")) {
            Some(url) => Ok(url.to_owned()),
            None => bail!("the gateway did not start; the end of its log:\n{}", self.log_tail()),
        }
    }

    /// Ends the process as a power supply would, and starts another one over what it left behind. Answers where that
    /// one listens.
    pub(super) async fn kill_and_replace(&mut self) -> Result<String> {
        self.process.kill().await.context("the gateway cannot be killed")?;
        (self.process, self.said) = start(self.home.path(), self.served)?;
        self.opened().await
    }

    /// The processes of the workers that attached to any gateway over this directory.
    pub(super) fn workers(&self) -> BTreeSet<String> {
        attached(&self.log()).map(str::to_owned).collect()
    }

    /// Waits until as many workers are back, by the word of the gateway that runs, as the one before it had. Answers
    /// which of the processes are the same.
    pub(super) async fn adopted(&self, before: &BTreeSet<String>) -> BTreeSet<String> {
        let mut again = BTreeSet::new();
        for _ in 0..LOOKS {
            let log = self.log();
            // What the gateway that runs has said is what follows the first gateway's last word.
            let of_this_one = log.rsplit_once("store opened").map_or("", |(_, rest)| rest);
            again = attached(of_this_one).filter(|pid| before.contains(*pid)).map(str::to_owned).collect();
            if again.len() == before.len() {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        again
    }

    fn log(&self) -> String {
        std::fs::read_to_string(log_in(self.home.path())).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }

    fn token(&self) -> Result<String> {
        let token = self.home.path().join("data").join(ADMIN_TOKEN);
        let token = std::fs::read_to_string(&token).with_context(|| format!("cannot read {}", token.display()))?;
        Ok(token.trim().to_owned())
    }

    /// Where its sessions are served.
    pub(super) fn session_gateway(&self) -> Result<String> {
        let endpoint = Endpoint::read(&self.home.path().join("data"))?;
        endpoint.and_then(|endpoint| endpoint.grpc).context("the gateway serves no sessions")
    }

    /// A client of its sessions, by way of `url`.
    pub(super) async fn connect_sessions(&self, url: &str) -> Result<GatewayClient> {
        let options = SessionOptions {
            reconnect: gateway_client::ReconnectPolicy::For(START_PATIENCE),
            ..SessionOptions::new(url, self.token()?)
        };
        Ok(GatewayClient::connect(options).await?)
    }

    /// A client of the gateway, by way of `url`.
    pub(super) async fn connect(&self, url: &str) -> Result<Client> {
        let token = self.token()?;
        let reconnect = ReconnectPolicy::For(START_PATIENCE);
        let options = ConnectOptions { reconnect, ..ConnectOptions::new(url, Secret::new(token)) };
        Ok(Client::connect(options).await?)
    }

    /// Asks the gateway to end, and sees to it.
    pub(super) async fn end(&mut self) -> Result<()> {
        if let Some(pid) = self.process.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
            // The process has not been waited for, so the number is still its own.
            kill_process(pid, Signal::TERM).unwrap_or_default();
        }
        match tokio::time::timeout(END_PATIENCE, self.process.wait()).await {
            Ok(status) => drop(status.context("the gateway cannot be waited for")?),
            Err(_) => self.process.kill().await.context("the gateway does not end")?,
        }
        Ok(())
    }
}

/// The processes of which a log says that they attached.
fn attached(log: &str) -> impl Iterator<Item = &str> {
    let lines = log.lines().filter(|line| line.contains(ATTACHED));
    lines.filter_map(|line| line.rsplit_once("pid=")?.1.split_ascii_whitespace().next())
}

/// Starts a gateway over the directory, whether or not there was one before.
fn start(home: &Path, served: Served) -> Result<(Child, Lines<BufReader<ChildStdout>>)> {
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let mut process = Command::new(program)
        .arg("serve")
        .args(["--listen", "127.0.0.1:0"])
        .args(served.flags())
        // Nothing is left behind, and if this process is killed, not for long.
        .args(["--stop-workers", "--shutdown-grace", "1s", "--workers-max-orphan-lifetime", "1m"])
        .arg("--config")
        .arg(config_in(home))
        .arg("--data-dir")
        .arg(home.join("data"))
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("MOORLINE_")))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(open_log(home).context("the gateway's log cannot be made")?)
        // Ctrl-C is for this process; it ends the gateway when the job has ended.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("the gateway cannot be started")?;
    let stdout = process.stdout.take().context("the gateway has no standard output")?;
    Ok((process, BufReader::new(stdout).lines()))
}

fn open_log(home: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(log_in(home))
}

/// A directory that nobody else can look into: the gateway's log shows the key.
fn home() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("moorline-demo-").permissions(Permissions::from_mode(0o700)).tempdir()
}

fn log_in(home: &Path) -> PathBuf {
    home.join("gateway.log")
}

fn config_in(home: &Path) -> PathBuf {
    home.join("moorline.toml")
}

/// A configuration file that says nothing, so that the person's own one does not count here.
fn empty_config(home: &Path) -> Result<()> {
    let written = std::fs::write(config_in(home), "");
    written.map_err(|error| anyhow!(error).context("the temporary directory cannot be written"))
}
