//! Frames that wait to be written.

use std::io;
use std::task::{Context, Poll, ready};

use super::Transport;

/// The first byte of a WebSocket frame that is a whole text message (RFC 6455, section 5.2).
const FINAL_TEXT: u8 = 0x81;

/// The first byte of a WebSocket frame that says goodbye.
const FINAL_CLOSE: u8 = 0x88;

/// What a WebSocket frame with a length of two bytes begins with; a server masks nothing.
const HEADER: [u8; 4] = [FINAL_TEXT, 126, 0, 0];

/// The most that a new buffer is given before anything is in it: what a page of small records comes to. Larger frames
/// make it grow.
const MAX_FIRST_BYTES: usize = 256 * 1024;

/// How frames are told from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Each is a text message of a WebSocket.
    WebSocket,
    /// Each is a line.
    Lines,
}

/// Frames that wait to be written, as one text of the transport's bytes.
///
/// The buffer is given back as soon as it is empty: a connection that has nothing to say holds none. The next one
/// begins with the size of the last, so that a busy connection's does not grow anew for each page.
#[derive(Debug)]
pub struct Outgoing {
    framing: Framing,
    bytes: Vec<u8>,
    written: usize,
    /// Everything is written, but the transport may hold some of it back.
    unflushed: bool,
    first_bytes: usize,
}

impl Outgoing {
    /// Nothing yet.
    pub const fn new(framing: Framing) -> Self {
        Self { framing, bytes: Vec::new(), written: 0, unflushed: false, first_bytes: 0 }
    }

    /// Whether there is nothing to write.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.unflushed
    }

    /// How many bytes wait.
    pub const fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Adds a frame. `write` appends its text, which is JSON, and nothing else to the buffer.
    pub fn frame(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let framing = self.framing;
        let bytes = self.buffer();
        match framing {
            Framing::WebSocket => {
                let start = bytes.len();
                bytes.extend_from_slice(&HEADER);
                write(bytes);
                finish_header(bytes, start);
            }
            Framing::Lines => {
                let start = bytes.len();
                write(bytes);
                join_lines(&mut bytes[start..]);
                bytes.push(b'\n');
            }
        }
    }

    /// Adds a WebSocket's goodbye.
    pub(super) fn close_frame(&mut self, code: u16, reason: &str) {
        let bytes = self.buffer();
        let start = bytes.len();
        bytes.extend_from_slice(&HEADER);
        bytes.extend_from_slice(&code.to_be_bytes());
        bytes.extend_from_slice(reason.as_bytes());
        finish_header(bytes, start);
        bytes[start] = FINAL_CLOSE;
    }

    /// Adds bytes of the transport's own.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.buffer().extend_from_slice(bytes);
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(self.first_bytes);
        }
        &mut self.bytes
    }

    /// Writes everything.
    pub(super) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        transport: &mut impl Transport,
    ) -> Poll<io::Result<()>> {
        while self.written < self.bytes.len() {
            let written = ready!(transport.poll_write(context, &self.bytes[self.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        if !self.bytes.is_empty() {
            self.first_bytes = self.bytes.len().min(MAX_FIRST_BYTES);
            (self.bytes, self.written, self.unflushed) = (Vec::new(), 0, true);
        }
        ready!(transport.poll_flush(context))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }
}

/// What an agent sent is passed on as it is, and may be laid out over lines. In JSON a line break is white space
/// wherever it stands: within a string it would be escaped.
fn join_lines(text: &mut [u8]) {
    for byte in text {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// Says in the header at `start` how long the payload is that follows it to the end. The form is the shortest, as it
/// must be; the one that most frames have was left room for.
fn finish_header(bytes: &mut Vec<u8>, start: usize) {
    let payload = start + HEADER.len();
    let length = bytes.len() - payload;
    if let Ok(short @ ..126) = u8::try_from(length) {
        bytes.copy_within(payload.., start + 2);
        bytes.truncate(start + 2 + length);
        bytes[start + 1] = short;
    } else if let Ok(medium) = u16::try_from(length) {
        bytes[start + 2..payload].copy_from_slice(&medium.to_be_bytes());
    } else {
        let end = bytes.len();
        bytes.extend_from_slice(&[0; 6]);
        bytes.copy_within(payload..end, start + 10);
        bytes[start + 1] = 127;
        bytes[start + 2..start + 10].copy_from_slice(&(length as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use tungstenite::Message;
    use tungstenite::protocol::{Role, WebSocket};

    use super::*;

    #[test]
    fn every_length_of_frame_is_read_back_by_the_library() {
        let lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 900 * 1024];
        let mut outgoing = Outgoing::new(Framing::WebSocket);
        for length in lengths {
            outgoing.frame(|bytes| bytes.extend(std::iter::repeat_n(b'x', length)));
        }
        outgoing.close_frame(1001, "bye");
        let mut client = WebSocket::from_raw_socket(io::Cursor::new(outgoing.bytes), Role::Client, None);
        for length in lengths {
            assert_eq!(client.read().unwrap(), Message::text("x".repeat(length)));
        }
        let Message::Close(Some(goodbye)) = client.read().unwrap() else { panic!("no goodbye") };
        assert_eq!((u16::from(goodbye.code), goodbye.reason.as_str()), (1001, "bye"));
    }

    #[test]
    fn every_frame_is_one_line() {
        let mut outgoing = Outgoing::new(Framing::Lines);
        for text in ["{}", "[]", "{\r\n  \"a\": \"b\\n\"\n}"] {
            outgoing.frame(|bytes| bytes.extend_from_slice(text.as_bytes()));
        }
        assert_eq!(outgoing.bytes, b"{}\n[]\n{    \"a\": \"b\\n\" }\n");
    }
}
