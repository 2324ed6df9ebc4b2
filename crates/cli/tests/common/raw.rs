//! A client that keeps to no rule: bytes on a socket, from whichever loopback address.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use serde_json::Value;

use super::PATIENCE;
use super::secrets::{keep, keep_of_frame};

/// The first byte of a text frame that is whole.
pub(crate) const TEXT: u8 = 0x81;

/// A connection.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    /// Connects to the gateway with this URL from `127.0.0.<host>`; `None` if it does not let us.
    pub(crate) fn connect(url: &str, host: u8) -> Option<Self> {
        let to: SocketAddr = url.trim_start_matches("ws://").trim_end_matches("/arcp").parse().unwrap();
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, host), 0)).unwrap();
        connect(&socket, &to).ok()?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // A frame is written in two parts, and the second one would wait for an acknowledgement of the first.
        stream.set_nodelay(true).unwrap();
        Some(Self(stream))
    }

    /// Sends what the peer takes; it may have had enough.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        drop(self.0.write_all(bytes));
    }

    /// Asks for a WebSocket, with these further headers, and returns the head of the answer.
    pub(crate) fn upgrade(&mut self, headers: &str) -> String {
        self.send(
            format!(
                "GET /arcp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
            )
            .as_bytes(),
        );
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && self.0.read_exact(&mut byte).is_ok() {
            head.push(byte[0]);
        }
        String::from_utf8_lossy(&head).into_owned()
    }

    /// Sends a frame with this first byte.
    pub(crate) fn frame(&mut self, first: u8, payload: &[u8]) {
        self.announce(first, payload.len() as u64);
        self.send(payload);
    }

    /// Sends the head of a frame that is to have so many bytes. The mask is zero, which leaves them as they are.
    pub(crate) fn announce(&mut self, first: u8, length: u64) {
        let mut head = vec![first];
        match length {
            0..=125 => head.push(0x80 | u8::try_from(length).unwrap()),
            126..=0xffff => {
                head.push(0x80 | 126);
                head.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                head.push(0x80 | 127);
                head.extend_from_slice(&length.to_be_bytes());
            }
        }
        head.extend_from_slice(&[0; 4]);
        self.send(&head);
    }

    /// The next text frame; `None` when the gateway has said or done that it is over.
    pub(crate) fn recv(&mut self) -> Option<Value> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).ok()?;
                usize::from(u16::from_be_bytes(length))
            }
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).ok()?;
        let frame = if head[0] == TEXT { serde_json::from_slice(&payload).ok() } else { None };
        frame.iter().for_each(keep_of_frame);
        frame
    }

    /// Everything until the gateway closes.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        drop(self.0.read_to_end(&mut rest));
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Whether the gateway has not closed the connection within a moment. For what must stay open, not for waiting.
    pub(crate) fn is_open(&mut self) -> bool {
        self.0.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let read = self.0.read(&mut [0]);
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        read.is_err_and(|error| matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut))
    }
}

/// A hello with this token.
pub(crate) fn hello(token: &str) -> Value {
    keep("a token of a hello", token);
    serde_json::json!({
        "arcp": "1.1", "id": "msg_hello", "type": "session.hello",
        "payload": {
            "client": { "name": "raw", "version": "1" },
            "auth": { "scheme": "bearer", "token": token },
            "capabilities": { "encodings": ["json"], "features": [] },
        },
    })
}
