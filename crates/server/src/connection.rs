//! One client's connection: [`moorline_core::connection::Connection`] between a door and the gateway.
//!
//! One task reads, decides, pulls and writes. What is to be written is encoded into one buffer, and whatever is in it is
//! offered to the transport in one piece before anything is waited for: under load a write carries a page of frames,
//! otherwise a frame goes at once. A client that does not read keeps neither its own requests nor its heartbeats from
//! being seen, and costs one page: nothing is pulled from the session's view while something waits to be written, and
//! nothing is read from the client while the answers to what it has sent already wait.
//!
//! The connection cannot name the store. When it ends, the session's jobs do not notice.

mod driver;
mod hello;
mod inline;
mod retry;
mod service;
mod who;

use std::sync::Arc;

use crate::door::{Peer, Transport};
use crate::keys::Certified;

pub use service::{Service, ServiceOptions};
pub(crate) use who::{NotKnown, who};

/// See the module's documentation.
#[derive(Debug)]
pub struct Connection {
    service: Arc<Service>,
    peer: Peer,
    certified: Option<Arc<Certified>>,
}

impl Connection {
    /// A connection of this peer.
    pub const fn new(service: Arc<Service>, peer: Peer) -> Self {
        Self { service, peer, certified: None }
    }

    /// The same, with whom its TLS certificate authenticates.
    #[must_use]
    pub fn certified(mut self, certified: Option<Arc<Certified>>) -> Self {
        self.certified = certified;
        self
    }

    /// Serves the peer until either side ends the connection.
    #[tracing::instrument(name = "connection", skip_all, fields(peer = %self.peer))]
    pub async fn serve(self, transport: impl Transport) {
        let Self { service, peer, certified } = self;
        let served = driver::drive(Arc::clone(&service), peer, certified, transport);
        service.track(served).await;
    }
}
