//! `moorline demo`: everything that Moorline is, on one directory.
//!
//! A gateway in a process of its own with a journal in a temporary directory, the census agent in another one, and
//! this process as the client, over WebSocket. Whatever happens, the processes are ended and the directory is removed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use moorline_client::{Client, ConnectOptions, JobHandle};
use moorline_types::Json;
use moorline_wire::{Reason, Secret, payload};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::args::Demo;
use crate::census;
use crate::connect::ADMIN_TOKEN;
use crate::exit::{Exit, Stop};
use crate::follow::{Followed, Follower, Form};
use crate::output::{Output, Style};
use crate::signals::Signals;

/// How long the gateway may take to open its door. It takes a tenth of a second; a busy machine may need more.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How long the gateway may take to end: the grace that it is given for its workers, and some.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// Lines of the gateway's log that are shown when it does not start.
const LOG_TAIL: usize = 15;

pub(crate) async fn run(args: Demo, output: &Output) -> Result<Exit> {
    let directory = directory(&args.directory).context(Stop(Exit::Usage))?;
    let report = args.report.as_deref().map(report_path).transpose().context(Stop(Exit::Usage))?;
    let mut signals = Signals::listen().context("signals cannot be listened for")?;
    let mut gateway = Gateway::start().await?;
    if !args.json {
        let url = output.styled_note(Style::Cyan, &gateway.url);
        output.note(format_args!("a gateway listens on {url}, with its journal in {}", gateway.home.path().display()));
    }
    let shown = show(&args, &directory, report, &gateway, &mut signals, output).await;
    let ended = gateway.end().await;
    let exit = shown?;
    ended?;
    Ok(exit)
}

async fn show(
    args: &Demo,
    directory: &Path,
    report: Option<PathBuf>,
    gateway: &Gateway,
    signals: &mut Signals,
    output: &Output,
) -> Result<Exit> {
    let client = gateway.connect().await?;
    let mut input = json!({ "path": directory, "top": args.top });
    if let Some(report) = report {
        input["report"] = json!(report);
    }
    let submit = payload::Submit::new("census".parse().context("the agent's name")?, Json::of(&input)?);
    let mut job = client.submit(submit).await?;
    if !args.json {
        output.note(format_args!("{} is {}, on {}", job.id(), job.agent(), directory.display()));
    }
    let form = if args.json { Form::Silent } else { Form::Human };
    let Some(followed) = follow(&mut job, form, signals, output).await? else { return Ok(Exit::Interrupted) };
    drop(job);
    client.close(None).await;
    if let Some(result) = &followed.result {
        if args.json {
            output.line(serde_json::to_string_pretty(result)?);
        } else {
            output.line("");
            output.line(census::render(result, output));
        }
    }
    if !args.json {
        tell_numbers(&followed, output);
    }
    Ok(followed.exit)
}

/// Shows the job to its end. The first Ctrl-C cancels it and goes on; at the second, `None`.
async fn follow(job: &mut JobHandle, form: Form, signals: &mut Signals, output: &Output) -> Result<Option<Followed>> {
    // The table shows the result; until then only what leads to it is shown.
    let mut follower = Follower::new(job, form, output).without_result();
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

/// A gateway in a process of its own, with a directory of its own.
struct Gateway {
    home: tempfile::TempDir,
    process: Child,
    url: String,
}

impl Gateway {
    async fn start() -> Result<Self> {
        let home = tempfile::Builder::new().prefix("moorline-demo-").tempdir().context("no temporary directory")?;
        let log = home.path().join("gateway.log");
        let program = std::env::current_exe().context("this program does not know where it is")?;
        let mut process = Command::new(program)
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--builtin-agents", "census", "--shutdown-grace", "1s"])
            .arg("--config")
            .arg(empty_config(home.path())?)
            .arg("--data-dir")
            .arg(home.path().join("data"))
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("MOORLINE_")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).context("the gateway's log cannot be made")?)
            // Ctrl-C is for this process; it ends the gateway when the job has ended.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("the gateway cannot be started")?;
        let stdout = process.stdout.take().context("the gateway has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = tokio::time::timeout(START_PATIENCE, lines.next_line()).await;
        let url = first.ok().and_then(|line| line.ok().flatten());
        let Some(url) = url.as_deref().and_then(|line| line.strip_prefix("listening url=")).map(str::to_owned) else {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(LOG_TAIL).collect();
            let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
            bail!("the gateway did not start; the end of its log:\n{tail}");
        };
        Ok(Self { home, process, url })
    }

    async fn connect(&self) -> Result<Client> {
        let token = self.home.path().join("data").join(ADMIN_TOKEN);
        let token = std::fs::read_to_string(&token).with_context(|| format!("cannot read {}", token.display()))?;
        Ok(Client::connect(ConnectOptions::new(self.url.clone(), Secret::new(token.trim()))).await?)
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

/// A configuration file that says nothing, so that the person's own one does not count here.
fn empty_config(home: &Path) -> Result<PathBuf> {
    let path = home.join("moorline.toml");
    std::fs::write(&path, "").map_err(|error| anyhow!(error).context("the temporary directory cannot be written"))?;
    Ok(path)
}
