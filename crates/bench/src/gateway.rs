//! A gateway that is measured: a process of its own, over a directory of its own, as an operator would start it.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::clock;
use crate::context::Context;
use crate::session::{Endpoint, Manner, Session};
use crate::usage::{Usage, workers_of};

/// How long a gateway may take to open its door. One with a million records takes a second.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take to end.
const END_PATIENCE: Duration = Duration::from_secs(15);

/// Lines of its log that are shown when something is wrong.
const LOG_TAIL: usize = 20;

/// What every gateway is started with. The bounds on one principal and one address are those of a machine that one
/// client has for itself; everything else is the default.
const OPTIONS: &[&str] = &[
    "--limits-max-connections=20000",
    "--limits-max-connections-per-address=20000",
    "--limits-max-sessions-per-principal=100000",
    "--limits-max-jobs-per-principal=100000",
    "--workers-max-orphan-lifetime=1m",
    "--shutdown-grace=1s",
    "--stop-workers",
];

/// Where the `load` agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Inside the gateway's process.
    Inside,
    /// In a worker process.
    Worker,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Gateway {
    program: PathBuf,
    home: TempDir,
    place: Place,
    extra: Vec<String>,
    process: Child,
    endpoint: Endpoint,
    worker_pids: Vec<u32>,
}

impl Gateway {
    /// Starts a gateway over a new directory, with options beyond the usual ones, and waits until its agents are there.
    pub(crate) async fn start(context: &Context, place: Place, extra: &[&str]) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("moorline-bench-").tempdir_in(&context.scratch)?;
        std::fs::write(home.path().join("moorline.toml"), "")?;
        let extra: Vec<String> = extra.iter().map(|option| (*option).to_owned()).collect();
        let (process, url) = spawn(&context.moorline, &home, place, &extra, "127.0.0.1:0").await?;
        let token = std::fs::read_to_string(home.path().join("data/admin.token"))?.trim().to_owned();
        let (address, path) = url
            .strip_prefix("ws://")
            .and_then(|rest| rest.split_once('/'))
            .with_context(|| format!("{url} is no address"))?;
        let endpoint = Endpoint { address: address.parse()?, path: format!("/{path}"), token };
        let program = context.moorline.clone();
        let mut gateway = Self { program, home, place, extra, process, endpoint, worker_pids: Vec::new() };
        gateway.is_ready().await?;
        Ok(gateway)
    }

    /// Runs a job, for which a worker has to be there.
    async fn is_ready(&mut self) -> Result<()> {
        let mut session = Session::open(&self.endpoint, Manner::default()).await?;
        session.submit("load", &serde_json::json!({})).await?;
        while !session.event().await?.is_terminal() {}
        self.worker_pids = workers_of(&self.home.path().join("data"));
        Ok(())
    }

    /// Where its session gateway listens, if it has one.
    pub(crate) fn grpc(&self) -> Result<String> {
        let said = std::fs::read_to_string(self.home.path().join("data/gateway.json"))?;
        let said: serde_json::Value = serde_json::from_str(&said)?;
        said["grpc"].as_str().map(str::to_owned).context("the gateway has no session gateway")
    }

    /// Where it listens.
    pub(crate) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A session with it.
    pub(crate) async fn session(&self) -> Result<Session> {
        let mut session = Session::open(&self.endpoint, Manner::default()).await?;
        session.enlarge();
        Ok(session)
    }

    /// What the gateway and its workers have used. What a gateway has used that was killed is not in it.
    pub(crate) fn usage(&self) -> Usage {
        let pids: Vec<u32> = self.process.id().into_iter().chain(self.worker_pids.iter().copied()).collect();
        Usage::of(&pids)
    }

    /// What its workers have used.
    pub(crate) fn worker_usage(&self) -> Usage {
        Usage::of(&self.worker_pids)
    }

    /// What the gateway itself has used.
    pub(crate) fn own_usage(&self) -> Usage {
        Usage::of(&self.process.id().into_iter().collect::<Vec<_>>())
    }

    /// Kills it without a warning. Its workers go on.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.context("the gateway cannot be killed")
    }

    /// Starts another one over what it left behind, at the same address. Answers when it was started.
    pub(crate) async fn start_again(&mut self) -> Result<Instant> {
        let begun = clock::now();
        let listen = self.endpoint.address.to_string();
        (self.process, _) = spawn(&self.program, &self.home, self.place, &self.extra, &listen).await?;
        Ok(begun)
    }

    /// Ends it in order, and its workers with it.
    pub(crate) async fn end(mut self) -> Result<()> {
        if let Some(pid) = self.process.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            // It has not been waited for, so the number is still its own.
            kill_process(pid, Signal::TERM)?;
        }
        match timeout(END_PATIENCE, self.process.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(_) => bail!("the gateway did not end well:\n{}", self.log_tail()),
            Err(_) => bail!("the gateway does not end:\n{}", self.log_tail()),
        }
    }

    fn log_tail(&self) -> String {
        log_tail(&self.home)
    }
}

impl Drop for Gateway {
    /// Leaves no process behind, also when a measurement has failed.
    fn drop(&mut self) {
        self.process.start_kill().unwrap_or_default();
        for pid in workers_of(&self.home.path().join("data")) {
            if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                kill_process(pid, Signal::KILL).unwrap_or_default();
            }
        }
    }
}

async fn spawn(
    program: &PathBuf,
    home: &TempDir,
    place: Place,
    extra: &[String],
    listen: &str,
) -> Result<(Child, String)> {
    let agents = match place {
        Place::Inside => ["--builtin-agents=none", "--in-process-agents=load"],
        Place::Worker => ["--builtin-agents=load", "--in-process-agents=none"],
    };
    let mut process = Command::new(program)
        .args(["serve", "--listen", listen])
        .args(OPTIONS)
        .args(agents)
        .args(extra)
        .arg("--config")
        .arg(home.path().join("moorline.toml"))
        .arg("--data-dir")
        .arg(home.path().join("data"))
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("MOORLINE_")))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log(home)?)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let stdout = process.stdout.take().context("the gateway has no standard output")?;
    let mut said = BufReader::new(stdout).lines();
    let first = timeout(START_PATIENCE, said.next_line()).await;
    match first
        .ok()
        .and_then(|line| line.ok().flatten())
        .and_then(|line| Some(line.strip_prefix("listening url=")?.to_owned()))
    {
        Some(url) => Ok((process, url)),
        None => bail!("the gateway did not start:\n{}", log_tail(home)),
    }
}

fn log(home: &TempDir) -> Result<File> {
    Ok(OpenOptions::new().create(true).append(true).open(home.path().join("log"))?)
}

fn log_tail(home: &TempDir) -> String {
    let log = std::fs::read_to_string(home.path().join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
}
