//! As much of the client protocol of NATS as the baselines need.

use std::ops::Range;

use anyhow::{Context as _, Result, bail};
use memchr::memchr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What is read at once, and what is written at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Where answers to requests go.
const INBOX: &str = "_INBOX.bench";

/// What has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrived {
    /// A message of a subscription.
    Message,
    /// The answer to a ping of ours.
    Pong,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: Range<usize>,
    written: Vec<u8>,
    subscriptions: u64,
    /// The subscription that the last message is for, and its payload.
    subscription: u64,
    payload: Range<usize>,
}

impl Client {
    /// Connects to the server of this machine on this port.
    pub(super) async fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let written = b"CONNECT {\"verbose\":false,\"headers\":true}\r\n".to_vec();
        let buffer = vec![0; BUFFER_BYTES];
        let mut client =
            Self { stream, buffer, filled: 0..0, written, subscriptions: 0, subscription: 0, payload: 0..0 };
        client.flush().await?;
        Ok(client)
    }

    /// Subscribes to a subject, and answers the subscription's number.
    pub(super) async fn subscribe(&mut self, subject: &str) -> Result<u64> {
        self.subscriptions += 1;
        self.written.extend(format!("SUB {subject} {}\r\n", self.subscriptions).bytes());
        self.flush().await?;
        Ok(self.subscriptions)
    }

    /// Waits until the server has taken in all that was said.
    pub(super) async fn settled(&mut self) -> Result<()> {
        self.written.extend(b"PING\r\n");
        self.flush().await?;
        while self.next().await? != Arrived::Pong {}
        Ok(())
    }

    /// Publishes, at the latest with the next flush.
    pub(super) async fn publish(&mut self, subject: &str, reply: Option<&str>, payload: &[u8]) -> Result<()> {
        self.written.extend(b"PUB ");
        self.written.extend(subject.bytes());
        if let Some(reply) = reply {
            self.written.push(b' ');
            self.written.extend(reply.bytes());
        }
        self.written.extend(format!(" {}\r\n", payload.len()).bytes());
        self.written.extend(payload);
        self.written.extend(b"\r\n");
        if self.written.len() >= BUFFER_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Writes what waits.
    pub(super) async fn flush(&mut self) -> Result<()> {
        self.stream.write_all(&self.written).await?;
        self.written.clear();
        Ok(())
    }

    /// Asks for something, and waits for nothing.
    pub(super) async fn ask(&mut self, subject: &str, payload: &str) -> Result<()> {
        self.publish(subject, Some(INBOX), payload.as_bytes()).await?;
        self.flush().await
    }

    /// Asks for something, and answers what is said to it.
    pub(super) async fn request(&mut self, subject: &str, payload: &str) -> Result<String> {
        let inbox = self.subscribe(INBOX).await?;
        self.ask(subject, payload).await?;
        while self.next().await? != Arrived::Message || !self.is_for(inbox) {}
        let answer = String::from_utf8_lossy(self.buffer.get(self.payload.clone()).unwrap_or_default()).into_owned();
        if answer.contains("\"error\"") {
            bail!("refused: {answer}");
        }
        Ok(answer)
    }

    /// Whether the last message is for this subscription.
    pub(super) const fn is_for(&self, subscription: u64) -> bool {
        self.subscription == subscription
    }

    /// The next message, or the answer to a ping. The server's pings and its flow control are answered on the way.
    pub(super) async fn next(&mut self) -> Result<Arrived> {
        loop {
            if let Some(arrived) = self.take()? {
                return Ok(arrived);
            }
            if !self.written.is_empty() {
                self.flush().await?;
            }
            self.fill().await?;
        }
    }

    /// What has been read already.
    fn take(&mut self) -> Result<Option<Arrived>> {
        loop {
            let start = self.filled.start;
            let read = self.buffer.get(self.filled.clone()).unwrap_or_default();
            let Some(end) = memchr(b'\n', read) else { return Ok(None) };
            let line = read.get(..end.saturating_sub(1)).unwrap_or_default();
            if line.starts_with(b"MSG ") || line.starts_with(b"HMSG ") {
                let text = std::str::from_utf8(line).context("a line that is no text")?;
                let fields: Vec<&str> = text.split(' ').collect();
                let [kind, _, subscription, rest @ ..] = fields.as_slice() else { bail!("{text}") };
                let length: usize = rest.last().context("a message without a length")?.parse()?;
                let whole = end + 1 + length + 2;
                if read.len() < whole {
                    return Ok(None);
                }
                self.subscription = subscription.parse()?;
                self.payload = start + end + 1..start + end + 1 + length;
                // What JetStream says of itself has headers and nothing else; where it names a subject, it wants to hear
                // there how far we are.
                let is_status = *kind == "HMSG" && rest.iter().rev().nth(1) == rest.last();
                let reply = if *kind == "HMSG" { rest.len() > 2 } else { rest.len() > 1 };
                if is_status && reply {
                    let reply = rest.first().copied().unwrap_or_default();
                    let answer = format!("PUB {reply} 0\r\n\r\n");
                    self.written.extend(answer.bytes());
                }
                self.filled.start += whole;
                if is_status {
                    continue;
                }
                return Ok(Some(Arrived::Message));
            }
            let (is_ping, is_pong) = (line == b"PING", line == b"PONG");
            let error = line.starts_with(b"-ERR").then(|| String::from_utf8_lossy(line).into_owned());
            self.filled.start += end + 1;
            if let Some(error) = error {
                bail!("{error}");
            }
            if is_ping {
                self.written.extend(b"PONG\r\n");
            }
            if is_pong {
                return Ok(Some(Arrived::Pong));
            }
        }
    }

    async fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        let room = self.buffer.get_mut(self.filled.end..).unwrap_or_default();
        let read = self.stream.read(room).await?;
        if read == 0 {
            bail!("the server has ended the connection");
        }
        self.filled.end += read;
        Ok(())
    }
}
