//! `moorline demo`: everything that Moorline is, on one directory.
//!
//! A gateway in a process of its own with a journal in a temporary directory, agents in others, and this process as the
//! client, over WebSocket. While the census of the directory and a second job run, the client's connection is cut and
//! the gateway is killed; at the end what was seen is compared with what happened. Whatever comes, the processes are
//! ended and the directory is removed.
//!
//! With `--gateway` it is a session of the session gateway instead ([`sessions`]).

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use moorline_client::{Client, JobHandle};
use moorline_types::Json;
use moorline_wire::{Reason, payload};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::args::Demo;
use crate::census;
use crate::exit::{Exit, Stop};
use crate::follow::{Followed, Follower, Form};
use crate::output::{Output, Style, printable};
use crate::signals::Signals;

mod count;
mod gateway;
mod relay;
mod sessions;
mod tally;
mod trial;

pub(crate) use count::Seen;
use gateway::{Gateway, Served};
use relay::Relay;
use trial::Trial;

pub(crate) async fn run(args: Demo, output: &Output) -> Result<Exit> {
    if args.sessions {
        return sessions::run(&args, output).await;
    }
    let input = input(&args).context(Stop(Exit::Usage))?;
    let mut signals = Signals::listen().context("signals cannot be listened for")?;
    let mut gateway = Gateway::launch(Served::Jobs)?;
    let shown = show(&args, input, &mut gateway, &mut signals, output).await;
    // Whatever was shown, the gateway is asked to end: only it can end its workers in order.
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
    let url = tokio::select! {
        url = gateway.opened() => url?,
        // No job runs that could be cancelled.
        () = signals.next() => return Ok(Exit::Interrupted),
    };
    let relay = Relay::to(&url).await?;
    tokio::select! {
        shown = take_stock(args, input, gateway, &relay, signals, output) => shown,
        never = relay.serve() => match never {},
    }
}

async fn take_stock(
    args: &Demo,
    input: Value,
    gateway: &mut Gateway,
    relay: &Relay,
    signals: &mut Signals,
    output: &Output,
) -> Result<Exit> {
    let (client, mut job) = tokio::select! {
        begun = begin(args, input, gateway, relay, output) => begun?,
        () = signals.next() => return Ok(Exit::Interrupted),
    };
    let first = watch::Sender::new(false);
    let shown = tokio::select! {
        shown = break_and_show(args, &client, &mut job, gateway, relay, &first, output) => shown?,
        () = interruptions(signals, &first) => return Ok(Exit::Interrupted),
    };
    drop(job);
    client.close(None).await;
    Ok(shown)
}

/// The first interruption is told, the second returns.
async fn interruptions(signals: &mut Signals, first: &watch::Sender<bool>) {
    signals.next().await;
    first.send_replace(true);
    signals.next().await;
}

/// Shows the census to its end, and the trial beside it.
async fn break_and_show(
    args: &Demo,
    client: &Client,
    job: &mut JobHandle,
    gateway: &mut Gateway,
    relay: &Relay,
    interrupted: &watch::Sender<bool>,
    output: &Output,
) -> Result<Exit> {
    let form = if args.json { Form::Silent } else { Form::Human };
    // The table shows the result; until then only what leads to it is shown.
    let follower = Follower::new(client, job, form, output).without_result();
    if args.json || args.calm {
        let followed = follow(follower, job, interrupted.subscribe(), output).await?;
        show_end(args, &followed, output)?;
        if !args.json {
            tell_numbers(&followed, output);
        }
        return Ok(followed.exit);
    }
    let mut trial = Trial::begin(client, output).await?;
    let follower = follower.with_memory().without_connection();
    let following = follow(follower, job, interrupted.subscribe(), output);
    let trying = trial.run(client, gateway, relay, interrupted.subscribe(), output);
    let (followed, tried) = tokio::try_join!(following, trying)?;
    show_end(args, &followed, output)?;
    if followed.exit == Exit::Success {
        let client = gateway.connect(relay.url()).await?;
        let counted = count::count(&client, [(job.id(), &followed.seen), (trial.job(), &tried.seen)]).await?;
        client.close(None).await;
        trial::tell(&counted, &tried, output)?;
    }
    Ok(followed.exit)
}

/// Submits the census.
async fn begin(
    args: &Demo,
    input: Value,
    gateway: &Gateway,
    relay: &Relay,
    output: &Output,
) -> Result<(Client, JobHandle)> {
    let client = gateway.connect(relay.url()).await?;
    let submit = payload::Submit::new("census".parse().context("the agent's name")?, Json::of(&input)?);
    let job = client.submit(submit).await?;
    if !args.json {
        let (url, home) = (output.styled_note(Style::Cyan, relay.url()), gateway.home().display());
        let pid = gateway.pid();
        output.note(format_args!("a gateway (process {pid}) listens on {url}, with its journal in {home}"));
        let directory = input["path"].as_str().unwrap_or_default();
        output.note(format_args!("{} is {}, on {}", job.id(), job.agent(), printable(directory)));
    }
    Ok((client, job))
}

fn show_end(args: &Demo, followed: &Followed, output: &Output) -> Result<()> {
    match &followed.result {
        Some(result) => show_result(args, result, output),
        None => Ok(()),
    }
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

/// Shows the job to its end. An interruption cancels it.
async fn follow(
    mut follower: Follower<'_>,
    job: &mut JobHandle,
    mut interrupted: watch::Receiver<bool>,
    output: &Output,
) -> Result<Followed> {
    tokio::select! {
        followed = follower.run(job) => return followed,
        // Its sender lives as long as this.
        Ok(_) = interrupted.wait_for(|interrupted| *interrupted) => {}
    }
    follower.clear();
    output.note("cancelling the job; press Ctrl-C again to leave at once");
    job.cancel(Reason::cut("interrupted by Ctrl-C")).await?;
    follower.run(job).await
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
