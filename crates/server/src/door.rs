//! The doors: how bytes of a client become frames, and frames bytes.
//!
//! A door knows a transport and nothing of what the frames say. Whatever it reads is bounded before it is buffered,
//! and it hands on one frame at a time, so a client that floods waits in its own socket. What is to be written waits in
//! one buffer, [`Outgoing`], as the transport's bytes: a frame is encoded into it, behind those that wait already, and
//! all that waits is one write.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};

use bytes::Bytes;

mod outgoing;
pub mod stdio;
pub mod websocket;

pub use outgoing::{Framing, Outgoing};

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

/// A client's transport. It is polled by one task, which both reads and writes.
pub trait Transport: Send {
    /// Whether there can be a next frame after one that was [`Incoming::TooLarge`].
    const READS_ON_AFTER_TOO_LARGE: bool;

    /// How frames are told from each other.
    const FRAMING: Framing;

    /// The next thing that arrives. What the transport itself answers, to whatever asks nothing of the session, goes to
    /// `outgoing`.
    fn poll_recv(&mut self, context: &mut Context<'_>, outgoing: &mut Outgoing) -> Poll<Incoming>;

    /// From here on, frames have at most so many bytes.
    fn limit(&mut self, max_frame: usize);

    /// Writes some of these bytes, and answers how many.
    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Hands on what was written and is held back.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Says goodbye in the transport's own way, as the last thing that is written.
    fn say_goodbye(&mut self, reason: CloseReason, outgoing: &mut Outgoing);
}

/// What a transport has come to.
#[derive(Debug)]
pub enum Turn {
    /// Everything that waited is written.
    Written,
    /// Something was read.
    Arrived(Incoming),
    /// The peer is gone.
    Broken(io::Error),
}

/// Writes what waits, and reads if that is wanted, until something has come of it. Dropping the future loses nothing.
pub async fn turn(transport: &mut impl Transport, outgoing: &mut Outgoing, may_read: bool) -> Turn {
    poll_fn(|context| {
        if let Poll::Ready(written) = poll_written(context, transport, outgoing) {
            return Poll::Ready(written);
        }
        if may_read && let Poll::Ready(incoming) = transport.poll_recv(context, outgoing) {
            return Poll::Ready(Turn::Arrived(incoming));
        }
        // The transport may have answered something itself.
        poll_written(context, transport, outgoing)
    })
    .await
}

/// Writes what the transport takes at once.
pub async fn write_now(transport: &mut impl Transport, outgoing: &mut Outgoing) -> Option<Turn> {
    poll_fn(|context| match poll_written(context, transport, outgoing) {
        Poll::Ready(turn) => Poll::Ready(Some(turn)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// What has arrived already, if something has.
pub async fn read_now(transport: &mut impl Transport, outgoing: &mut Outgoing) -> Option<Incoming> {
    poll_fn(|context| match transport.poll_recv(context, outgoing) {
        Poll::Ready(incoming) => Poll::Ready(Some(incoming)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn poll_written(context: &mut Context<'_>, transport: &mut impl Transport, outgoing: &mut Outgoing) -> Poll<Turn> {
    if outgoing.is_empty() {
        return Poll::Pending;
    }
    outgoing.poll_write(context, transport).map(|written| written.map_or_else(Turn::Broken, |()| Turn::Written))
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
