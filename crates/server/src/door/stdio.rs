//! Standard input and output: one envelope a line.
//!
//! Blank lines are skipped when read and never written: one official SDK takes a blank line for the end. Standard
//! output carries envelopes and nothing else.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{Decoder, FramedRead};

use super::{CloseReason, Framing, Incoming, Outgoing, Transport};

/// Reads and writes lines.
#[derive(Debug)]
pub struct Stdio<R, W> {
    read: FramedRead<R, Lines>,
    write: W,
}

impl<R: AsyncRead, W> Stdio<R, W> {
    /// Serves over these streams; lines have at most `max_frame` bytes.
    pub fn new(read: R, write: W, max_frame: usize) -> Self {
        Self { read: FramedRead::new(read, Lines { max: max_frame, skipping: false }), write }
    }
}

impl<R: AsyncRead + Send + Unpin, W: AsyncWrite + Send + Unpin> Transport for Stdio<R, W> {
    const READS_ON_AFTER_TOO_LARGE: bool = true;

    const FRAMING: Framing = Framing::Lines;

    fn poll_recv(&mut self, context: &mut Context<'_>, _outgoing: &mut Outgoing) -> Poll<Incoming> {
        self.read.poll_next_unpin(context).map(|arrived| match arrived {
            Some(Ok(incoming)) => incoming,
            Some(Err(error)) => {
                tracing::debug!(%error, "standard input failed");
                Incoming::Closed
            }
            None => Incoming::Closed,
        })
    }

    fn limit(&mut self, max_frame: usize) {
        self.read.decoder_mut().max = max_frame;
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write(context, bytes)
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(context)
    }

    fn say_goodbye(&mut self, _reason: CloseReason, _outgoing: &mut Outgoing) {}
}

/// Cuts the input at line ends. A line over the limit is reported once, as soon as it exceeds it, and skipped.
#[derive(Debug)]
struct Lines {
    max: usize,
    skipping: bool,
}

impl Decoder for Lines {
    type Item = Incoming;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Incoming>> {
        loop {
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let Some(end) = end else {
                if self.skipping {
                    buffer.clear();
                } else if buffer.len() > self.max {
                    buffer.clear();
                    self.skipping = true;
                    return Ok(Some(Incoming::TooLarge));
                }
                return Ok(None);
            };
            let line = buffer.split_to(end + 1).freeze();
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            let line = trim(line.slice(..end));
            if line.is_empty() {
                continue;
            }
            return Ok(Some(if line.len() > self.max { Incoming::TooLarge } else { Incoming::Frame(line) }));
        }
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Incoming>> {
        if let Some(incoming) = self.decode(buffer)? {
            return Ok(Some(incoming));
        }
        // A last line without its end was cut off by whatever ended the peer: it is no frame.
        buffer.clear();
        Ok(None)
    }
}

fn trim(line: Bytes) -> Bytes {
    let start = line.len() - line.trim_ascii_start().len();
    let length = line.trim_ascii().len();
    line.slice(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::{Turn, turn};

    async fn check(input: &'static [u8], expected: &[Incoming]) {
        let mut stdio = Stdio::new(input, tokio::io::sink(), 8);
        let mut outgoing = Outgoing::new(Framing::Lines);
        let mut arrived = Vec::new();
        while let Turn::Arrived(incoming) = turn(&mut stdio, &mut outgoing, true).await
            && incoming != Incoming::Closed
        {
            arrived.push(incoming);
        }
        assert_eq!(arrived, expected, "{:?}", String::from_utf8_lossy(input));
    }

    fn frame(text: &'static str) -> Incoming {
        Incoming::Frame(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn lines_become_frames_and_blank_ones_are_skipped() {
        check(b"a\nb\r\n\n  \n c \n", &[frame("a"), frame("b"), frame("c")]).await;
        check(b"", &[]).await;
        check(b"cut off", &[]).await;
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_reported_once_and_the_next_is_read() {
        check(b"12345678\n", &[frame("12345678")]).await;
        check(b"123456789\nok\n", &[Incoming::TooLarge, frame("ok")]).await;
        static LONG: [u8; 100_000] = [b'x'; 100_000];
        let mut input = LONG.to_vec();
        input.extend_from_slice(b"\nok\n");
        check(input.leak(), &[Incoming::TooLarge, frame("ok")]).await;
    }

    #[tokio::test]
    async fn each_frame_is_written_as_one_line() {
        let mut written = Vec::new();
        let mut stdio = Stdio::new(tokio::io::empty(), &mut written, 8);
        let mut outgoing = Outgoing::new(Framing::Lines);
        for text in ["{}", "[]"] {
            outgoing.frame(|bytes| bytes.extend_from_slice(text.as_bytes()));
        }
        stdio.say_goodbye(CloseReason::Normal, &mut outgoing);
        assert!(matches!(turn(&mut stdio, &mut outgoing, true).await, Turn::Written));
        drop(stdio);
        assert_eq!(written, b"{}\n[]\n");
    }
}
