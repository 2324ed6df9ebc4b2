//! What all connections share.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moorline_core::backoff::Backoff;
use moorline_runtime::Gateway;
use moorline_types::{Millis, PrincipalId};
use moorline_wire::Profile;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::door::Peer;
use crate::jwt::{Jwt, NotTrusted};
use crate::key_store::Keys;
use crate::keys::{Authenticated, NotLetIn};

/// What the operator decided about connections.
#[derive(Debug, Clone, Copy)]
pub struct ServiceOptions {
    /// The largest frame that is read, in bytes.
    pub max_frame_bytes: usize,
    /// How long a connection may stay without a hello.
    pub hello_deadline: Millis,
    /// How often either side should be heard.
    pub heartbeat_interval: Millis,
    /// Failures to authenticate that an address has free before it has to wait.
    pub free_failures: u32,
}

/// Why a bearer token authenticates nobody.
#[derive(Debug)]
pub(crate) enum Nobody {
    ApiKey(NotLetIn),
    Jwt(NotTrusted),
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Service {
    gateway: Gateway,
    keys: Arc<Keys>,
    jwt: Option<Arc<Jwt>>,
    options: ServiceOptions,
    backoff: Mutex<Backoff>,
    profiles: BTreeMap<PrincipalId, Profile>,
    closing: CancellationToken,
    connections: TaskTracker,
}

impl Service {
    /// Serves `gateway` to whoever has one of these keys.
    pub fn new(gateway: Gateway, keys: Arc<Keys>, options: ServiceOptions) -> Self {
        let (closing, connections) = (CancellationToken::new(), TaskTracker::new());
        let backoff = Mutex::new(Backoff::new(options.free_failures));
        Self { gateway, keys, jwt: None, options, backoff, profiles: BTreeMap::new(), closing, connections }
    }

    /// The same, with the clients of these principals served as these peers.
    #[must_use]
    pub fn with_profiles(mut self, profiles: BTreeMap<PrincipalId, Profile>) -> Self {
        self.profiles = profiles;
        self
    }

    /// The same, also to whoever has a token that this trusts.
    #[must_use]
    pub fn with_jwt(mut self, jwt: Option<Arc<Jwt>>) -> Self {
        self.jwt = jwt;
        self
    }

    /// As which peer the clients of a principal are served, if that is configured.
    pub(super) fn profile_of(&self, principal: &PrincipalId) -> Option<Profile> {
        self.profiles.get(principal).copied()
    }

    /// The gateway.
    pub const fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// What the operator decided.
    pub const fn options(&self) -> &ServiceOptions {
        &self.options
    }

    /// Cancelled when every connection is to say goodbye.
    pub(crate) const fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// How long a peer has to wait before it may try to authenticate.
    pub(crate) fn wait(&self, peer: Peer) -> Option<Millis> {
        let Peer::Network(address) = peer else { return None };
        self.backoff().wait(self.gateway.now(), address)
    }

    /// A peer has failed to authenticate.
    pub(crate) fn note_failure(&self, peer: Peer) {
        if let Peer::Network(address) = peer {
            self.backoff().handle_failure(self.gateway.now(), address);
        }
    }

    fn backoff(&self) -> MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The API keys.
    pub(crate) const fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// Whom a bearer token authenticates, and for how long.
    pub(crate) async fn authenticate(&self, token: &str) -> Result<Authenticated, Nobody> {
        let now = self.gateway.now();
        match &self.jwt {
            Some(jwt) if Jwt::is_one(token) => jwt.authenticate(token, now).await.map_err(Nobody::Jwt),
            _ => self.keys.authenticate(token, now).await.map_err(Nobody::ApiKey),
        }
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The future, waited for by [`Service::close_connections`].
    pub(crate) fn track<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        self.connections.track_future(future)
    }

    /// Tells every client that the gateway goes away, and waits until their connections have ended, but not for longer
    /// than `patience`.
    pub async fn close_connections(&self, patience: Duration) {
        self.closing.cancel();
        self.connections.close();
        if tokio::time::timeout(patience, self.connections.wait()).await.is_err() {
            tracing::warn!(connections = self.connections.len(), "clients do not take their last frames");
        }
    }
}
