//! NATS, as one would use it for the same: core, which keeps nothing, to 1, 10 and 100 subscribers; and JetStream on disk,
//! for durable publishing and for replay. The server is a process of its own, and so is the publisher.
//!
//! The protocol is spoken by [`client`], which scans messages as the reader of ARCP does.

mod client;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::future::try_join_all;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::clock;
use crate::context::Context;
use crate::samples::{Samples, rate};
use client::{Arrived, Client};

/// Bytes of a message: what an event has with its envelope.
const MESSAGE_BYTES: usize = 470;

/// What is published to.
const SUBJECT: &str = "bench";

/// Where what JetStream replays is delivered.
const REPLAYED: &str = "replayed";

/// Where JetStream's acknowledgements go.
const ACKNOWLEDGED: &str = "acknowledged";

/// Publishes whose acknowledgement is waited for at once. The client of NATS for Go allows 4,000.
const IN_FLIGHT: u64 = 4_000;

/// How long the server may take to listen, and how often it is tried.
const START_TRIES: u32 = 500;
const START_PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn missing(_: &Context) -> Option<&'static str> {
    server().is_none().then_some("nats-server is not on PATH (Debian has it as the package nats-server)")
}

/// The server's program.
fn server() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join("nats-server")).find(|program| program.is_file())
}

pub(crate) async fn run(context: &Context) -> Result<Samples> {
    let mut samples = Samples::default();
    let (_home, mut process, port) = start(context).await?;
    for (subscribers, all) in [(1, 1_000_000), (10, 3_000_000), (100, 3_000_000)] {
        let all = context.scale.of(all, all / 5, 2_000);
        let took = fan_out(context, port, subscribers, all / subscribers).await?;
        samples.put(format!("nats.core_{subscribers}"), rate(all, took));
    }
    let messages = context.scale.of(300_000, 60_000, 1_000);
    let mut client = Client::connect(port).await?;
    client.request("$JS.API.STREAM.CREATE.bench", r#"{"name":"bench","subjects":["bench"],"storage":"file"}"#).await?;
    samples.put("nats.published", rate(messages, publish_durably(&mut client, messages).await?));
    samples.put("nats.replayed", rate(messages, replay(&mut client, messages).await?));
    process.kill().await?;
    Ok(samples)
}

async fn start(context: &Context) -> Result<(TempDir, Child, u16)> {
    let home = tempfile::Builder::new().prefix("moorline-bench-nats-").tempdir_in(&context.scratch)?;
    // The server takes no free port by itself and says which; this one was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let process = Command::new(server().context("there is no nats-server")?)
        .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
        .arg(home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    for _ in 0..START_TRIES {
        if let Ok(mut client) = Client::connect(port).await
            && client.settled().await.is_ok()
        {
            return Ok((home, process, port));
        }
        sleep(START_PAUSE).await;
    }
    bail!("nats-server does not listen on port {port}")
}

async fn fan_out(context: &Context, port: u16, subscribers: u64, messages: u64) -> Result<Duration> {
    let mut clients = Vec::new();
    for _ in 0..subscribers {
        let mut client = Client::connect(port).await?;
        client.subscribe(SUBJECT).await?;
        client.settled().await?;
        clients.push(client);
    }
    let mut publisher = Command::new(&context.own)
        .args(["send-nats", &port.to_string(), &messages.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let read = try_join_all(clients.into_iter().map(|client| read(client, messages))).await?;
    ensure!(publisher.wait().await?.success(), "the publisher failed");
    let begun = read.iter().map(|(begun, _)| *begun).min().unwrap_or_else(clock::now);
    let ended = read.iter().map(|(_, ended)| *ended).max().unwrap_or(begun);
    Ok(ended - begun)
}

async fn read(mut client: Client, messages: u64) -> Result<(Instant, Instant)> {
    let mut begun = None;
    let mut read = 0;
    while read < messages {
        if client.next().await? == Arrived::Message {
            begun.get_or_insert_with(clock::now);
            read += 1;
        }
    }
    let ended = clock::now();
    Ok((begun.unwrap_or(ended), ended))
}

/// Publishes with an acknowledgement for each, many under way at once.
async fn publish_durably(client: &mut Client, messages: u64) -> Result<Duration> {
    let acknowledged_on = client.subscribe(ACKNOWLEDGED).await?;
    let payload = vec![b'x'; MESSAGE_BYTES];
    let begun = clock::now();
    let (mut published, mut acknowledged) = (0, 0);
    while acknowledged < messages {
        while published < messages && published - acknowledged < IN_FLIGHT {
            client.publish(SUBJECT, Some(ACKNOWLEDGED), &payload).await?;
            published += 1;
        }
        client.flush().await?;
        // At least half of them, so that the next ones are written together too.
        let wanted = messages.min(acknowledged + IN_FLIGHT / 2).min(published);
        while acknowledged < wanted {
            if client.next().await? == Arrived::Message && client.is_for(acknowledged_on) {
                acknowledged += 1;
            }
        }
    }
    Ok(begun.elapsed())
}

/// Has everything delivered again, with the flow control of NATS's own ordered consumers.
async fn replay(client: &mut Client, messages: u64) -> Result<Duration> {
    let replayed = client.subscribe(REPLAYED).await?;
    let consumer = format!(
        r#"{{"stream_name":"bench","config":{{"deliver_subject":"{REPLAYED}","deliver_policy":"all","ack_policy":"none","flow_control":true,"idle_heartbeat":5000000000}}}}"#
    );
    let begun = clock::now();
    client.ask("$JS.API.CONSUMER.CREATE.bench", &consumer).await?;
    let mut read = 0;
    while read < messages {
        if client.next().await? == Arrived::Message && client.is_for(replayed) {
            read += 1;
        }
    }
    Ok(begun.elapsed())
}

/// The publisher: `send-nats PORT MESSAGES`.
pub(crate) fn send(args: &[String]) -> Result<()> {
    let [port, messages] = args else { bail!("send-nats PORT MESSAGES") };
    let (port, messages): (u16, u64) = (port.parse()?, messages.parse()?);
    let stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    let mut written = std::io::BufWriter::with_capacity(64 * 1024, stream);
    written.write_all(b"CONNECT {\"verbose\":false}\r\n")?;
    let message = format!("PUB {SUBJECT} {MESSAGE_BYTES}\r\n{}\r\n", "x".repeat(MESSAGE_BYTES));
    for _ in 0..messages {
        written.write_all(message.as_bytes())?;
    }
    written.write_all(b"PING\r\n")?;
    written.flush()?;
    // The answer says that the server has read all of it.
    let mut answers = std::io::BufReader::new(written.into_inner()?);
    let mut line = String::new();
    while line.trim_end() != "PONG" {
        line.clear();
        ensure!(std::io::BufRead::read_line(&mut answers, &mut line)? > 0, "the server has ended the connection");
    }
    Ok(())
}
