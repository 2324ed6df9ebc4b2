//! Who is at the other end of a Unix socket, as the kernel says.

use std::io;

use tokio::net::UnixStream;

/// Why the other end is not let in.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The kernel does not say who it is.
    #[error("the kernel does not say who is at the other end of the socket")]
    Unknown(#[source] io::Error),
    /// It belongs to somebody else.
    #[error("the process at the other end of the socket belongs to user {theirs}, not to {ours}")]
    OtherUser {
        /// Our user id.
        ours: u32,
        /// Theirs.
        theirs: u32,
    },
}

/// Refuses a peer that another user runs. Both sides ask: the gateway of each connection, the worker of the gateway.
/// Returns the peer's process id where the kernel tells it.
pub fn check_same_user(stream: &UnixStream) -> Result<Option<i32>, PeerError> {
    let peer = stream.peer_cred().map_err(PeerError::Unknown)?;
    let ours = our_user();
    if peer.uid() == ours { Ok(peer.pid()) } else { Err(PeerError::OtherUser { ours, theirs: peer.uid() }) }
}

/// The user that this process runs as.
pub fn our_user() -> u32 {
    rustix::process::geteuid().as_raw()
}
