//! Standard input and output: one envelope a line.
//!
//! Blank lines are skipped when read and never written: one official SDK takes a blank line for the end. Standard
//! output carries envelopes and nothing else.

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{BytesCodec, Decoder, FramedRead, FramedWrite};

use super::{CloseReason, FrameSink, FrameSource, Incoming};

/// Reads lines.
#[derive(Debug)]
pub struct StdioSource<R>(FramedRead<R, Lines>);

/// Writes lines.
#[derive(Debug)]
pub struct StdioSink<W>(FramedWrite<W, BytesCodec>);

/// Both halves of a connection over these streams.
pub fn stdio<R: AsyncRead, W: AsyncWrite>(read: R, write: W, max_frame: usize) -> (StdioSource<R>, StdioSink<W>) {
    let lines = Lines { max: max_frame, skipping: false };
    (StdioSource(FramedRead::new(read, lines)), StdioSink(FramedWrite::new(write, BytesCodec::new())))
}

impl<R: AsyncRead + Send + Unpin> FrameSource for StdioSource<R> {
    const READS_ON_AFTER_TOO_LARGE: bool = true;

    async fn recv(&mut self) -> Incoming {
        match self.0.next().await {
            Some(Ok(incoming)) => incoming,
            Some(Err(error)) => {
                tracing::debug!(%error, "standard input failed");
                Incoming::Closed
            }
            None => Incoming::Closed,
        }
    }
}

impl<W: AsyncWrite + Send + Unpin> FrameSink for StdioSink<W> {
    async fn feed(&mut self, frame: Bytes) -> io::Result<()> {
        self.0.feed(frame).await?;
        self.0.feed(Bytes::from_static(b"\n")).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        SinkExt::<Bytes>::flush(&mut self.0).await
    }

    async fn close(&mut self, _reason: CloseReason) -> io::Result<()> {
        SinkExt::<Bytes>::flush(&mut self.0).await
    }
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

    async fn check(input: &'static [u8], expected: &[Incoming]) {
        let (mut source, _) = stdio(input, tokio::io::sink(), 8);
        let mut arrived = Vec::new();
        loop {
            let incoming = source.recv().await;
            if incoming == Incoming::Closed {
                break;
            }
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
        let (_, mut sink) = stdio(tokio::io::empty(), &mut written, 8);
        sink.feed(Bytes::from_static(b"{}")).await.unwrap();
        sink.feed(Bytes::from_static(b"[]")).await.unwrap();
        sink.close(CloseReason::Normal).await.unwrap();
        drop(sink);
        assert_eq!(written, b"{}\n[]\n");
    }
}
