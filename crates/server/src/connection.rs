//! One client's connection: [`moorline_core::connection::Connection`] between a door and the gateway.
//!
//! One task reads, decides and pulls; a second one writes, so that a client that does not read keeps neither its own
//! requests nor its heartbeats from being seen. What waits to be written is bounded: nothing is pulled from the
//! session's view, and nothing is read from the client, while the answers to what it has sent already wait.
//!
//! The connection cannot name the store. When it ends, the session's jobs do not notice.

mod driver;
mod hello;
mod inline;
mod retry;
mod service;
mod writer;

use std::sync::Arc;

use moorline_types::PrincipalId;

use crate::door::{FrameSink, FrameSource, Peer};

pub use service::{Service, ServiceOptions};

/// See the module's documentation.
#[derive(Debug)]
pub struct Connection {
    service: Arc<Service>,
    peer: Peer,
    certified: Option<PrincipalId>,
}

impl Connection {
    /// A connection of this peer.
    pub const fn new(service: Arc<Service>, peer: Peer) -> Self {
        Self { service, peer, certified: None }
    }

    /// The same, with whom its TLS certificate authenticates.
    #[must_use]
    pub fn certified(mut self, principal: Option<PrincipalId>) -> Self {
        self.certified = principal;
        self
    }

    /// Serves the peer until either side ends the connection.
    #[tracing::instrument(name = "connection", skip_all, fields(peer = %self.peer))]
    pub async fn serve(self, source: impl FrameSource + 'static, sink: impl FrameSink + 'static) {
        let Self { service, peer, certified } = self;
        let served = driver::drive(Arc::clone(&service), peer, certified, source, sink);
        service.track(served).await;
    }
}
