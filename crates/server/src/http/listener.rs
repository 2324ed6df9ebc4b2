//! Accepting connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use moorline_runtime::{TaskKind, Tasks};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::admission::{Admission, Place};
use super::routes::router;
use crate::connection::Service;
use crate::door::Peer;

/// How long a TLS handshake, or the head of a request, may take: the same as a hello, which is one round trip more.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// The largest request head, in bytes. An upgrade with a few headers has five hundred.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// How long accepting pauses when the machine has no descriptors left: long enough for a connection to end, short
/// enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the door is opened with.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Where.
    pub listen: SocketAddr,
    /// With which certificate; without one the door is plaintext.
    pub tls: Option<Arc<ServerConfig>>,
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
    listener: TcpListener,
    address: SocketAddr,
    options: HttpOptions,
}

impl Listener {
    /// Opens the door. Nobody is served yet.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub async fn bind(options: HttpOptions) -> Result<Self, ListenError> {
        let address = options.listen;
        let bound = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
        match bound {
            Ok((address, listener)) => Ok(Self { listener, address, options }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(ListenError::InUse { address }),
            Err(source) => Err(ListenError::Bind { address, source }),
        }
    }

    /// Where clients find ARCP.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}/arcp", self.address)
    }

    /// Serves until the tasks are stopped.
    pub fn serve(self, service: Arc<Service>) {
        let tasks = service.gateway().tasks().clone();
        tasks.clone().spawn(TaskKind::Door, self.accept_all(service, tasks));
    }

    async fn accept_all(self, service: Arc<Service>, tasks: Tasks) {
        let admission = Admission::new(self.options.max_connections, self.options.max_connections_per_address);
        let router = router(service);
        let tls = self.options.tls.map(TlsAcceptor::from);
        let stopping = tasks.stopping().clone();
        loop {
            let accepted = tokio::select! {
                room = admission.room() => match room {
                    Some(room) => tokio::select! {
                        accepted = self.listener.accept() => accepted.map(|(stream, from)| (room, stream, from)),
                        () = stopping.cancelled() => return,
                    },
                    None => return,
                },
                () = stopping.cancelled() => return,
            };
            match accepted {
                Ok((room, stream, from)) => match admission.admit(room, from.ip()) {
                    Some(place) => {
                        let (router, tls) = (router.clone(), tls.clone());
                        tasks.spawn(TaskKind::Connection, serve_one(stream, from, place, router, tls));
                    }
                    None => tracing::warn!(peer = %from.ip(), "the address has all the connections that it may"),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn serve_one(stream: TcpStream, from: SocketAddr, place: Arc<Place>, router: Router, tls: Option<TlsAcceptor>) {
    // Frames are written whole; waiting for more to send would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the connection keeps its delay");
    }
    match tls {
        None => serve_http(stream, from, place, router).await,
        Some(tls) => match tokio::time::timeout(HEAD_DEADLINE, tls.accept(stream)).await {
            Ok(Ok(stream)) => serve_http(stream, from, place, router).await,
            Ok(Err(error)) => tracing::debug!(peer = %from.ip(), %error, "the TLS handshake failed"),
            Err(_) => tracing::debug!(peer = %from.ip(), "the TLS handshake took too long"),
        },
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    from: SocketAddr,
    place: Arc<Place>,
    router: Router,
) {
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer::Network(from.ip()));
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
        tracing::debug!(peer = %from.ip(), %error, "an HTTP connection ended with an error");
    }
}
