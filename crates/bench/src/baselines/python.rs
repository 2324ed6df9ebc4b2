//! The official Python SDK's own runtime: one job that streams to one client. It keeps nothing durably.

use std::process::Stdio;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::clock;
use crate::context::Context;
use crate::samples::{Samples, rate};
use crate::scenarios::firehose;
use crate::session::{Endpoint, Manner, Session};

/// The program of the runtime.
const RUNTIME: &str = include_str!("runtime.py");

pub(crate) fn missing(context: &Context) -> Option<&'static str> {
    context.python.is_none().then_some("--python names no interpreter with the official SDK")
}

pub(crate) async fn run(context: &Context) -> Result<Samples> {
    let mut samples = Samples::default();
    let python = context.python.as_ref().context("there is no Python")?;
    let mut process = Command::new(python)
        .args(["-c", RUNTIME])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = process.stdout.take().context("the runtime has no standard output")?;
    let address = BufReader::new(stdout).lines().next_line().await?.context("the runtime did not start")?.parse()?;
    let endpoint = Endpoint { address, path: "/arcp".to_owned(), token: "token".to_owned() };
    let mut session = Session::open(&endpoint, Manner::default()).await?;
    session.enlarge();
    let events = context.scale.of(30_000, 6_000, 50);
    firehose::stream(&mut session, events / 5).await?;
    let begun = clock::now();
    firehose::stream(&mut session, events).await?;
    samples.put("python.events", rate(events, begun.elapsed()));
    session.check()?;
    process.kill().await?;
    Ok(samples)
}
