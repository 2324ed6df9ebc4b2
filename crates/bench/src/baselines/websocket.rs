//! A sender that does nothing but send: the same message again and again over the WebSocket library that the gateway
//! uses too, from memory, with a thread for each connection. It is the limit of the socket on this machine.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::future::try_join_all;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tungstenite::{Message, Utf8Bytes};

use crate::clock;
use crate::context::Context;
use crate::samples::{Samples, rate};
use crate::session;
use crate::websocket::WebSocket;

/// The bytes of a message: what an event of the `load` agent has with its envelope.
const MESSAGE_BYTES: usize = 470;

/// What begins as an event does, so that the reader looks at it as it looks at one.
const HEAD: &str = r#"{"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"job.event","session_id":"sess_01KRHDRWGW144GJ289144GJ289","job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","event_seq":17,"payload":{"kind":"log","ts":"2026-05-13T19:42:13.020Z","body":{"level":"info","message":""#;

/// How messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Into the library's buffer, which is written when it is full.
    Batched,
    /// Each by itself.
    Flushed,
}

impl Manner {
    const ALL: [Self; 2] = [Self::Batched, Self::Flushed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Batched => "batched",
            Self::Flushed => "flushed",
        }
    }

    fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|manner| manner.as_str() == name)
    }
}

pub(crate) async fn run(context: &Context) -> Result<Samples> {
    let mut samples = Samples::default();
    for manner in Manner::ALL {
        let all = match manner {
            Manner::Batched => context.scale.of(6_000_000, 1_000_000, 2_000),
            Manner::Flushed => context.scale.of(300_000, 60_000, 2_000),
        };
        for subscribers in [1, 10, 100] {
            let took = measure(context, manner, subscribers, all / subscribers).await?;
            samples.put(format!("websocket.{}_{subscribers}", manner.as_str()), rate(all, took));
        }
    }
    Ok(samples)
}

async fn measure(context: &Context, manner: Manner, subscribers: u64, messages: u64) -> Result<Duration> {
    let mut process = Command::new(&context.own)
        .arg("send-websocket")
        .args([manner.as_str(), &subscribers.to_string(), &messages.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = process.stdout.take().context("the sender has no standard output")?;
    let address = BufReader::new(stdout).lines().next_line().await?.context("the sender did not start")?.parse()?;
    let mut sockets = Vec::new();
    for _ in 0..subscribers {
        sockets.push(WebSocket::open(address, "/", session::Manner::default()).await?);
    }
    let read = try_join_all(sockets.into_iter().map(|socket| read(socket, messages))).await?;
    let begun = read.iter().map(|(begun, _)| *begun).min().unwrap_or_else(clock::now);
    let ended = read.iter().map(|(_, ended)| *ended).max().unwrap_or(begun);
    ensure!(process.wait().await?.success(), "the sender failed");
    Ok(ended - begun)
}

async fn read(mut socket: WebSocket, messages: u64) -> Result<(Instant, Instant)> {
    socket.enlarge();
    let mut begun = None;
    for _ in 0..messages {
        let Some(at) = socket.read().await? else { bail!("the sender has ended") };
        ensure!(socket.envelope(&at).event_seq().is_some(), "not what was sent");
        begun.get_or_insert_with(clock::now);
    }
    let ended = clock::now();
    Ok((begun.unwrap_or(ended), ended))
}

/// The sender: `send-websocket MANNER SUBSCRIBERS MESSAGES`. Prints its address, waits for all subscribers, sends, ends.
pub(crate) fn send(args: &[String]) -> Result<()> {
    let [manner, subscribers, messages] = args else { bail!("send-websocket MANNER SUBSCRIBERS MESSAGES") };
    let manner = Manner::find(manner).context("batched or flushed")?;
    let (subscribers, messages): (u64, u64) = (subscribers.parse()?, messages.parse()?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let mut sockets = Vec::new();
    for _ in 0..subscribers {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        sockets.push(tungstenite::accept(stream).map_err(|error| anyhow::anyhow!("no upgrade: {error}"))?);
    }
    let message = Utf8Bytes::from(format!("{HEAD}{}\"}}}}}}", "x".repeat(MESSAGE_BYTES - HEAD.len() - 4)));
    let threads: Vec<_> = sockets
        .into_iter()
        .map(|socket| {
            let message = message.clone();
            thread::spawn(move || send_all(socket, &message, manner, messages))
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a sender has failed"))??;
    }
    Ok(())
}

fn send_all(
    mut socket: tungstenite::WebSocket<TcpStream>,
    message: &Utf8Bytes,
    manner: Manner,
    messages: u64,
) -> Result<()> {
    for _ in 0..messages {
        socket.write(Message::Text(message.clone()))?;
        if manner == Manner::Flushed {
            socket.flush()?;
        }
    }
    socket.flush()?;
    // The reader ends the connection when it has read all.
    while socket.read().is_ok() {}
    Ok(())
}
