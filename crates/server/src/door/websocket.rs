//! WebSocket: one envelope a text message.
//!
//! The library compares a message's announced length with the limit before it reads the message. Pings of the
//! WebSocket layer are answered by the library; they say nothing about the session.

use std::io;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};

use super::{CloseReason, FrameSink, FrameSource, Incoming};

/// Reads messages.
#[derive(Debug)]
pub struct WebSocketSource(SplitStream<WebSocket>);

/// Writes messages.
#[derive(Debug)]
pub struct WebSocketSink(SplitSink<WebSocket, Message>);

/// Both halves of a connection.
pub fn websocket(socket: WebSocket) -> (WebSocketSource, WebSocketSink) {
    let (sink, source) = socket.split();
    (WebSocketSource(source), WebSocketSink(sink))
}

impl FrameSource for WebSocketSource {
    const READS_ON_AFTER_TOO_LARGE: bool = false;

    async fn recv(&mut self) -> Incoming {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Incoming::Frame(Bytes::from(text)),
                Some(Ok(Message::Binary(_))) => return Incoming::NotText,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Incoming::Closed,
                Some(Err(error)) if is_too_large(&error) => return Incoming::TooLarge,
                Some(Err(error)) => {
                    tracing::debug!(%error, "the connection failed");
                    return Incoming::Closed;
                }
            }
        }
    }
}

impl FrameSink for WebSocketSink {
    async fn feed(&mut self, frame: Bytes) -> io::Result<()> {
        let text = Utf8Bytes::try_from(frame).map_err(io::Error::other)?;
        self.0.feed(Message::Text(text)).await.map_err(io::Error::other)
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await.map_err(io::Error::other)
    }

    async fn close(&mut self, reason: CloseReason) -> io::Result<()> {
        let code = match reason {
            CloseReason::Normal | CloseReason::TakenOver => close_code::NORMAL,
            CloseReason::GoingAway => close_code::AWAY,
            CloseReason::Policy => close_code::POLICY,
            CloseReason::TooLarge => close_code::SIZE,
            CloseReason::Internal => close_code::ERROR,
        };
        let frame = CloseFrame { code, reason: reason.to_string().into() };
        self.0.send(Message::Close(Some(frame))).await.map_err(io::Error::other)
    }
}

/// Whether the library refused a message for its size, which only the source of its error tells.
fn is_too_large(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if matches!(error.downcast_ref(), Some(tungstenite::Error::Capacity(_))) {
            return true;
        }
        source = error.source();
    }
    false
}
