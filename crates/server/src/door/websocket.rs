//! WebSocket: one envelope a text message.
//!
//! What arrives is the library's business: masks, fragments, control frames, the close handshake. It compares a
//! message's announced length with the limit before it reads the message. Pings of the WebSocket layer are answered by
//! it; they say nothing about the session.
//!
//! What is sent is framed by [`Outgoing`]: a server's frame is a header of at most ten bytes and the text. The library
//! would want an owned message for each, copy it into a buffer of its own, and keep the buffer for as long as the
//! connection lives.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

use super::{CloseReason, Framing, Incoming, Outgoing, Transport};

/// What is read from the socket at once. Most frames of a client have some hundred bytes; larger ones are read in
/// pieces into room that is made for them. Every connection holds this much for as long as it lives.
const READ_BYTES: usize = 1024;

/// How much may wait to be written before pings of the WebSocket layer are not answered any more but for the last: a
/// client that pings and does not read costs no memory.
const MAX_WAITING_FOR_REPLIES: usize = 64 * 1024;

/// The library's own buffer for what it answers: a pong and a goodbye have at most 131 bytes each.
const REPLY_BYTES: usize = 512;

/// A WebSocket whose handshake is over.
#[derive(Debug)]
pub struct WebSocket<S> {
    socket: S,
    protocol: Box<WebSocketContext>,
    /// The client has said goodbye, and was answered.
    over: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Serves over this socket; messages have at most `max_message` bytes.
    pub fn new(socket: S, max_message: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(REPLY_BYTES)
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        Self { socket, protocol: Box::new(WebSocketContext::new(Role::Server, Some(config))), over: false }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Transport for WebSocket<S> {
    const READS_ON_AFTER_TOO_LARGE: bool = false;

    const FRAMING: Framing = Framing::WebSocket;

    fn poll_recv(&mut self, context: &mut Context<'_>, outgoing: &mut Outgoing) -> Poll<Incoming> {
        let mut bridge = Bridge { socket: &mut self.socket, context, outgoing };
        loop {
            return Poll::Ready(match self.protocol.read(&mut bridge) {
                Ok(Message::Text(text)) => Incoming::Frame(Bytes::from(text)),
                Ok(Message::Binary(_)) => Incoming::NotText,
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                Ok(Message::Close(_)) => {
                    self.over = true;
                    if let Err(error) = self.protocol.flush(&mut bridge) {
                        tracing::trace!(%error, "the goodbye is answered");
                    }
                    Incoming::Closed
                }
                Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Poll::Pending;
                }
                Err(tungstenite::Error::Capacity(_)) => Incoming::TooLarge,
                Err(error) => {
                    tracing::debug!(%error, "the connection failed");
                    Incoming::Closed
                }
            });
        }
    }

    fn limit(&mut self, max_frame: usize) {
        self.protocol.set_config(|config| {
            *config = config.max_message_size(Some(max_frame)).max_frame_size(Some(max_frame));
        });
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn say_goodbye(&mut self, reason: CloseReason, outgoing: &mut Outgoing) {
        if self.over {
            return;
        }
        let code = match reason {
            CloseReason::Normal | CloseReason::TakenOver => CloseCode::Normal,
            CloseReason::GoingAway => CloseCode::Away,
            CloseReason::Policy => CloseCode::Policy,
            CloseReason::TooLarge => CloseCode::Size,
            CloseReason::Internal => CloseCode::Error,
        };
        outgoing.close_frame(code.into(), &reason.to_string());
    }
}

/// The socket as the library reads it, and where its answers go.
struct Bridge<'a, 'c, S> {
    socket: &'a mut S,
    context: &'a mut Context<'c>,
    outgoing: &'a mut Outgoing,
}

impl<S: AsyncRead + Unpin> Read for Bridge<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(&mut *self.socket).poll_read(self.context, &mut buffer) {
            Poll::Ready(read) => read.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S> Write for Bridge<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.outgoing.waiting() > MAX_WAITING_FOR_REPLIES {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.outgoing.raw(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::door::{Turn, turn};

    #[tokio::test]
    async fn a_client_that_pings_and_does_not_read_costs_no_memory() {
        let (mut client, server) = tokio::io::duplex(1024 * 1024);
        // A masked ping of 125 bytes; the mask is zero.
        let ping = [[0x89, 0x80 | 125, 0, 0, 0, 0].as_slice(), &[b'x'; 125]].concat();
        client.write_all(&ping.repeat(4_000)).await.unwrap();
        let mut websocket = WebSocket::new(server, 1024);
        let mut outgoing = Outgoing::new(Framing::WebSocket);
        let mut context = Context::from_waker(Waker::noop());
        while websocket.poll_recv(&mut context, &mut outgoing).is_ready() {}
        assert!(outgoing.waiting() > MAX_WAITING_FOR_REPLIES);
        assert!(outgoing.waiting() < MAX_WAITING_FOR_REPLIES + REPLY_BYTES, "{}", outgoing.waiting());

        assert!(matches!(turn(&mut websocket, &mut outgoing, false).await, Turn::Written));
        assert!(websocket.poll_recv(&mut context, &mut outgoing).is_pending());
        assert!(!outgoing.is_empty(), "the last ping is answered when there is room again");
        drop(websocket);
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).await.unwrap();
        assert_eq!(answers.len() % 127, 0);
    }
}
