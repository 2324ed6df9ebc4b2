//! The doors: how bytes of a client become frames, and frames bytes.
//!
//! A door knows a transport and nothing of what the frames say. Whatever it reads is bounded before it is buffered,
//! and it hands on one frame at a time, so a client that floods waits in its own socket.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;

use bytes::Bytes;

pub mod stdio;
pub mod websocket;

/// What arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// One frame, complete and within the limit.
    Frame(Bytes),
    /// A frame of a kind that carries no envelope, which was discarded.
    NotText,
    /// A frame over the limit, which was discarded. The transport may be unreadable from here on.
    TooLarge,
    /// The peer is gone, or has said that it goes.
    Closed,
}

/// Why the gateway ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The session was closed, or the peer is done.
    Normal,
    /// The gateway goes away; the session may be continued elsewhere or later.
    GoingAway,
    /// The session goes on over another connection.
    TakenOver,
    /// The peer broke the protocol, or is not who it must be.
    Policy,
    /// The peer sent a frame over the limit.
    TooLarge,
    /// The gateway failed.
    Internal,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "the session is closed",
            Self::GoingAway => "the gateway is shutting down",
            Self::TakenOver => "the session goes on over another connection",
            Self::Policy => "the connection was refused",
            Self::TooLarge => "a frame exceeded the limit",
            Self::Internal => "the gateway failed",
        })
    }
}

/// Reads frames.
pub trait FrameSource: Send {
    /// Whether there can be a next frame after one that was [`Incoming::TooLarge`].
    const READS_ON_AFTER_TOO_LARGE: bool;

    /// The next thing that arrives. Dropping the future loses nothing.
    fn recv(&mut self) -> impl Future<Output = Incoming> + Send;
}

/// Writes frames.
pub trait FrameSink: Send {
    /// Takes one frame, to be written with those that follow it, or before if they are many.
    fn feed(&mut self, frame: Bytes) -> impl Future<Output = io::Result<()>> + Send;

    /// Writes the frames that were taken; returns when the transport has them.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Says goodbye in the transport's own way.
    fn close(&mut self, reason: CloseReason) -> impl Future<Output = io::Result<()>> + Send;
}

/// Where a connection comes from, for logs and limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// An address.
    Network(IpAddr),
    /// The process that started us.
    Parent,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address) => fmt::Display::fmt(address, f),
            Self::Parent => f.write_str("stdio"),
        }
    }
}
