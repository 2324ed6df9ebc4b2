//! A WebSocket client that reads as fast as the socket gives: one buffer, no copy of a frame, no allocation.
//!
//! Deliberately absent: TLS, compression, frames in fragments and checks of the server's handshake. It talks to servers
//! that are started for a measurement, and none of them fragments.

use std::net::SocketAddr;
use std::ops::Range;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::frame::Envelope;
use crate::session::Manner;

/// What is read at once: enough for five hundred small frames.
const BUFFER_BYTES: usize = 256 * 1024;

/// What a connection that is idle keeps. Ten thousand of them are one measurement.
const IDLE_BUFFER_BYTES: usize = 2 * 1024;

/// The largest frame that is read.
const MAX_FRAME_BYTES: usize = 8 * 1024 * 1024;

/// The masking key of what we send. It has to be there; zeros leave the bytes as they are.
const MASK: [u8; 4] = [0; 4];

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A connection.
#[derive(Debug)]
pub(crate) struct WebSocket {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: Range<usize>,
    written: Vec<u8>,
}

impl WebSocket {
    /// Connects to `address` and asks for `path`.
    pub(crate) async fn open(address: SocketAddr, path: &str, manner: Manner) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = manner.from {
            socket.bind((from, 0).into())?;
        }
        if let Some(bytes) = manner.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let mut socket = Self { stream, buffer: vec![0; IDLE_BUFFER_BYTES], filled: 0..0, written: Vec::new() };
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.stream.write_all(head.as_bytes()).await?;
        socket.answered().await?;
        Ok(socket)
    }

    async fn answered(&mut self) -> Result<()> {
        loop {
            let head = self.buffer.get(self.filled.clone()).unwrap_or_default();
            if let Some(end) = memchr::memmem::find(head, b"\r\n\r\n") {
                if !head.starts_with(b"HTTP/1.1 101") {
                    bail!("no WebSocket: {}", String::from_utf8_lossy(head.get(..end).unwrap_or_default()));
                }
                self.filled.start += end + 4;
                return Ok(());
            }
            if !self.fill().await? {
                bail!("the connection ended before the upgrade");
            }
        }
    }

    /// Sends a text.
    pub(crate) async fn send(&mut self, text: &str) -> Result<()> {
        self.send_frame(TEXT, text.as_bytes()).await
    }

    async fn send_frame(&mut self, opcode: u8, payload: &[u8]) -> Result<()> {
        self.written.clear();
        self.written.push(0x80 | opcode);
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(length @ ..126), _) => self.written.push(0x80 | length),
            (_, Ok(length)) => {
                self.written.push(0x80 | 126);
                self.written.extend(length.to_be_bytes());
            }
            (_, Err(_)) => {
                self.written.push(0x80 | 127);
                self.written.extend((payload.len() as u64).to_be_bytes());
            }
        }
        self.written.extend(MASK);
        self.written.extend(payload);
        self.stream.write_all(&self.written).await.context("the connection is gone")
    }

    /// Where the next envelope is; none when the connection has ended. Cancel safe: what was read of a frame stays.
    pub(crate) async fn read(&mut self) -> Result<Option<Range<usize>>> {
        loop {
            match self.take()? {
                Some((TEXT, payload)) => return Ok(Some(payload)),
                Some((CLOSE, _)) => return Ok(None),
                Some((PING, payload)) => {
                    let payload = self.buffer.get(payload).unwrap_or_default().to_vec();
                    self.send_frame(PONG, &payload).await?;
                }
                Some(_) => {}
                None if self.fill().await? => {}
                None => return Ok(None),
            }
        }
    }

    /// The envelope that was read last.
    pub(crate) fn envelope(&self, at: &Range<usize>) -> Envelope<'_> {
        Envelope(self.buffer.get(at.clone()).unwrap_or_default())
    }

    /// A whole frame, if there is one: its opcode, and where its payload is.
    fn take(&mut self) -> Result<Option<(u8, Range<usize>)>> {
        let read = self.buffer.get(self.filled.clone()).unwrap_or_default();
        let [first, second, rest @ ..] = read else { return Ok(None) };
        if first & 0x80 == 0 || second & 0x80 != 0 {
            bail!("a frame in fragments, or masked by the server");
        }
        let (head, length) = match (second, rest) {
            (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                (10, usize::try_from(u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))?)
            }
            (126 | 127, _) => return Ok(None),
            (length, _) => (2, usize::from(*length)),
        };
        if length > MAX_FRAME_BYTES {
            bail!("a frame of {length} bytes");
        }
        let opcode = first & 0x0f;
        if read.len() < head + length {
            let needed = head + length;
            if needed > self.buffer.len() {
                self.buffer.resize((2 * needed).max(BUFFER_BYTES), 0);
            }
            return Ok(None);
        }
        let payload = self.filled.start + head..self.filled.start + head + length;
        self.filled.start = payload.end;
        Ok(Some((opcode, payload)))
    }

    /// Reads what there is; `false` at the end.
    async fn fill(&mut self) -> Result<bool> {
        if self.filled.is_empty() {
            self.filled = 0..0;
        } else if self.filled.end == self.buffer.len() {
            if self.filled.start == 0 {
                let larger = (self.buffer.len() * 2).max(BUFFER_BYTES);
                self.buffer.resize(larger, 0);
            }
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        let Some(room) = self.buffer.get_mut(self.filled.end..) else { bail!("no room") };
        let read = match self.stream.read(room).await {
            Ok(read) => read,
            // A gateway that is killed resets its connections.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(error).context("the connection cannot be read"),
        };
        self.filled.end += read;
        Ok(read > 0)
    }

    /// Makes room for many frames at once.
    pub(crate) fn enlarge(&mut self) {
        if self.buffer.len() < BUFFER_BYTES {
            self.buffer.resize(BUFFER_BYTES, 0);
        }
    }
}
