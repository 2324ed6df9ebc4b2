//! Accepting connections.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use moorline_runtime::TaskKind;
use moorline_types::Principal;
use tower::ServiceExt as _;

use super::routes::router;
use super::visitors::Visitors;
use crate::accept::{Accepted, Acceptor};
use crate::admission::Admission;
use crate::certified::{ClientPrincipals, certified};
use crate::config::Allowed;
use crate::connection::Service;
use crate::door::Peer;
use crate::keys::Certified;
use crate::tls::{CertName, Certificates};

/// How long the head of a request may take: the same as a hello, which is one round trip more.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// The largest request head, in bytes. An upgrade with a few headers has five hundred.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// What the door is opened with.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Where.
    pub listen: SocketAddr,
    /// With which certificate; without one the door is plaintext.
    pub tls: Option<Arc<Certificates>>,
    /// Web pages of which origins may connect.
    pub allowed_origins: Allowed,
    /// Under which names the gateway is reached, beside those that always are its own.
    pub allowed_hosts: Allowed,
    /// Whom a client's certificate authenticates, by a name in it, and what that principal may do without a token.
    pub client_principals: BTreeMap<CertName, Arc<Principal>>,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address.
    pub max_connections_per_address: usize,
}

/// Why the door does not open.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Something else listens there.
    #[error(
        "{address} is in use; stop what listens there, or choose another address with --listen (port 0: any free one)"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The machine does not have the address, or the port is not ours to use.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A door that is open.
#[derive(Debug)]
pub struct Listener {
    acceptor: Acceptor,
    options: HttpOptions,
}

impl Listener {
    /// Opens the door. Nobody is served yet.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub async fn bind(options: HttpOptions) -> Result<Self, ListenError> {
        let address = options.listen;
        match Acceptor::bind(address, options.tls.clone()).await {
            Ok(acceptor) => Ok(Self { acceptor, options }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(ListenError::InUse { address }),
            Err(source) => Err(ListenError::Bind { address, source }),
        }
    }

    /// Where clients find ARCP.
    pub fn url(&self) -> String {
        let scheme = if self.acceptor.is_encrypted() { "wss" } else { "ws" };
        format!("{scheme}://{}/arcp", self.acceptor.address())
    }

    /// Serves until the tasks are stopped.
    pub fn serve(self, service: Arc<Service>) {
        let Self { acceptor, options } = self;
        let tasks = service.gateway().tasks().clone();
        let admission = Admission::new(options.max_connections, options.max_connections_per_address);
        let HttpOptions { allowed_origins, allowed_hosts, client_principals, tls, .. } = options;
        let client_principals = Arc::new(client_principals);
        let router = router(service, Visitors { origins: allowed_origins, hosts: allowed_hosts, certificates: tls });
        let serve = move |accepted| serve_one(accepted, router.clone(), Arc::clone(&client_principals));
        tasks.spawn(TaskKind::Door, acceptor.accept_all(admission, tasks.clone(), TaskKind::Connection, serve));
    }
}

/// Whom the client's certificate authenticates.
#[derive(Debug, Clone)]
pub(super) struct CertifiedClient(pub(super) Option<Arc<Certified>>);

async fn serve_one(Accepted { stream, from, place }: Accepted, router: Router, principals: Arc<ClientPrincipals>) {
    let stream = match stream {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(peer = %from, %error, "the TLS handshake failed"),
    };
    let certified = CertifiedClient(certified(&stream, &principals));
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer::Network(from));
        request.extensions_mut().insert(certified.clone());
        request.extensions_mut().insert(Arc::clone(&place));
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(peer = %from, %error, "an HTTP connection ended with an error");
    }
}
