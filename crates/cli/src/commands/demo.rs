//! `moorline demo`: everything that Moorline is, on one directory.
//!
//! A gateway in a process of its own with a journal in a temporary directory, the census agent in another one, and
//! this process as the client, over WebSocket. Whatever happens, the processes are ended and the directory is removed.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use moorline_client::{Client, ConnectOptions, JobHandle, ReconnectPolicy};
use moorline_types::Json;
use moorline_wire::{Reason, Secret, payload};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::args::Demo;
use crate::census;
use crate::connect::ADMIN_TOKEN;
use crate::exit::{Exit, Stop};
use crate::follow::{Followed, Follower, Form};
use crate::output::{Output, Style, printable};
use crate::signals::Signals;

/// How long the gateway may take to open its door. It takes a tenth of a second; a busy machine may need more.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How long the gateway may take to end: the grace that it is given for its workers, and some.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// Lines of the gateway's log that are shown when it does not start.
const LOG_TAIL: usize = 15;

pub(crate) async fn run(args: Demo, output: &Output) -> Result<Exit> {
    let input = input(&args).context(Stop(Exit::Usage))?;
    let mut signals = Signals::listen().context("signals cannot be listened for")?;
    let mut gateway = Gateway::launch()?;
    let shown = show(&args, input, &mut gateway, &mut signals, output).await;
    // Whatever was shown, the gateway is asked to end: only it can end its worker in order.
    let ended = gateway.end().await;
    let exit = shown?;
    ended?;
    Ok(exit)
}

async fn show(
    args: &Demo,
    input: Value,
    gateway: &mut Gateway,
    signals: &mut Signals,
    output: &Output,
) -> Result<Exit> {
    let (client, mut job) = tokio::select! {
        begun = begin(args, input, gateway, output) => begun?,
        // No job runs that could be cancelled.
        () = signals.next() => return Ok(Exit::Interrupted),
    };
    let form = if args.json { Form::Silent } else { Form::Human };
    let Some(followed) = follow(&client, &mut job, form, signals, output).await? else { return Ok(Exit::Interrupted) };
    drop(job);
    client.close(None).await;
    if let Some(result) = &followed.result {
        show_result(args, result, output)?;
    }
    if !args.json {
        tell_numbers(&followed, output);
    }
    Ok(followed.exit)
}

/// Waits for the gateway and submits the job.
async fn begin(args: &Demo, input: Value, gateway: &mut Gateway, output: &Output) -> Result<(Client, JobHandle)> {
    let url = gateway.opened().await?;
    let client = gateway.connect(&url).await?;
    let submit = payload::Submit::new("census".parse().context("the agent's name")?, Json::of(&input)?);
    let job = client.submit(submit).await?;
    if !args.json {
        let (url, home) = (output.styled_note(Style::Cyan, url), gateway.home.path().display());
        output.note(format_args!("a gateway listens on {url}, with its journal in {home}"));
        let directory = input["path"].as_str().unwrap_or_default();
        output.note(format_args!("{} is {}, on {}", job.id(), job.agent(), printable(directory)));
    }
    Ok((client, job))
}

fn show_result(args: &Demo, result: &Value, output: &Output) -> Result<()> {
    if args.json {
        output.line(serde_json::to_string_pretty(result)?);
        return Ok(());
    }
    output.line("");
    output.line(census::render(result, output));
    if args.report.is_none() {
        let told = "the full report was in the demo's own directory and goes with it; --report FILE keeps one";
        output.note(output.styled_note(Style::Dim, told));
    }
    Ok(())
}

/// Shows the job to its end. The first Ctrl-C cancels it and goes on; at the second, `None`.
async fn follow(
    client: &Client,
    job: &mut JobHandle,
    form: Form,
    signals: &mut Signals,
    output: &Output,
) -> Result<Option<Followed>> {
    // The table shows the result; until then only what leads to it is shown.
    let mut follower = Follower::new(client, job, form, output).without_result();
    tokio::select! {
        followed = follower.run(job) => return followed.map(Some),
        () = signals.next() => {}
    }
    follower.clear();
    output.note("cancelling the job; press Ctrl-C again to leave at once");
    job.cancel(Reason::cut("interrupted by Ctrl-C")).await?;
    tokio::select! {
        followed = follower.run(job) => followed.map(Some),
        () = signals.next() => Ok(None),
    }
}

fn tell_numbers(followed: &Followed, output: &Output) {
    let Followed { numbered, gaps, .. } = followed;
    let text = match gaps {
        0 => format!("{numbered} events were received, numbered 1 to {numbered} without a gap"),
        gaps => format!("{numbered} events were received, with {gaps} gaps in their numbers"),
    };
    output.note(output.styled_note(Style::Dim, text));
}

/// What the census is asked for.
fn input(args: &Demo) -> Result<Value> {
    let directory = directory(&args.directory)?;
    let mut input = json!({ "path": as_text(&directory)?, "top": args.top });
    if let Some(report) = &args.report {
        input["report"] = json!(as_text(&report_path(report)?)?);
    }
    Ok(input)
}

fn directory(path: &Path) -> Result<PathBuf> {
    let shown = path.display();
    let directory = path.canonicalize().with_context(|| format!("{shown} cannot be looked at; name a directory"))?;
    if !directory.is_dir() {
        bail!("{shown} is not a directory; name one, or nothing for the current one");
    }
    Ok(directory)
}

/// The report's path in full: the agent runs elsewhere.
fn report_path(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{} is no path for a report", path.display()))
}

/// A path as a job's input can carry it, which is JSON.
fn as_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8; name a path that is", path.display()))
}

/// A gateway in a process of its own, with a directory of its own.
struct Gateway {
    home: tempfile::TempDir,
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Gateway {
    fn launch() -> Result<Self> {
        let home = home().context("no temporary directory can be made; TMPDIR says where")?;
        let program = std::env::current_exe().context("this program does not know where it is")?;
        let mut process = Command::new(program)
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--builtin-agents", "census"])
            // Nothing is left behind, and if this process is killed, not for long.
            .args(["--stop-workers", "--shutdown-grace", "1s", "--workers-max-orphan-lifetime", "1m"])
            .arg("--config")
            .arg(empty_config(home.path())?)
            .arg("--data-dir")
            .arg(home.path().join("data"))
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("MOORLINE_")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log_in(home.path())).context("the gateway's log cannot be made")?)
            // Ctrl-C is for this process; it ends the gateway when the job has ended.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("the gateway cannot be started")?;
        let stdout = process.stdout.take().context("the gateway has no standard output")?;
        Ok(Self { home, process, said: BufReader::new(stdout).lines() })
    }

    /// Waits until the gateway's door is open, and returns where.
    async fn opened(&mut self) -> Result<String> {
        let first = tokio::time::timeout(START_PATIENCE, self.said.next_line()).await;
        let first = first.ok().and_then(|line| line.ok().flatten());
        match first.as_deref().and_then(|line| line.strip_prefix("listening url=")) {
            Some(url) => Ok(url.to_owned()),
            None => bail!("the gateway did not start; the end of its log:\n{}", self.log_tail()),
        }
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(log_in(self.home.path())).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }

    async fn connect(&self, url: &str) -> Result<Client> {
        let token = self.home.path().join("data").join(ADMIN_TOKEN);
        let token = std::fs::read_to_string(&token).with_context(|| format!("cannot read {}", token.display()))?;
        let reconnect = ReconnectPolicy::For(START_PATIENCE);
        let options = ConnectOptions { reconnect, ..ConnectOptions::new(url, Secret::new(token.trim())) };
        Ok(Client::connect(options).await?)
    }

    /// Asks the gateway to end, and sees to it.
    async fn end(&mut self) -> Result<()> {
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

/// A directory that nobody else can look into: the gateway's log shows the key.
fn home() -> io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("moorline-demo-").permissions(Permissions::from_mode(0o700)).tempdir()
}

fn log_in(home: &Path) -> PathBuf {
    home.join("gateway.log")
}

/// A configuration file that says nothing, so that the person's own one does not count here.
fn empty_config(home: &Path) -> Result<PathBuf> {
    let path = home.join("moorline.toml");
    std::fs::write(&path, "").map_err(|error| anyhow!(error).context("the temporary directory cannot be written"))?;
    Ok(path)
}
