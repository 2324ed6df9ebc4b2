//! Connections of the session gateway's clients: HTTP/2.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use moorline_gateway_proto::v1;
use moorline_gateway_proto::v1::session_gateway_server::SessionGatewayServer;
use moorline_runtime::backend_sessions::BackendSessions;
use moorline_runtime::{TaskKind, Tasks};
use moorline_types::Principal;
use tonic::body::Body;
use tonic::service::{Routes, RoutesBuilder};
use tower::ServiceExt as _;

use super::auth::authenticate;
use super::health;
use super::service::Calls;
use crate::accept::{Accepted, Acceptor};
use crate::admission::Admission;
use crate::certified::{ClientPrincipals, certified};
use crate::connection::Service;
use crate::door::Peer;
use crate::keys::Authenticated;
use crate::tls::{CertName, Certificates};

/// After how much silence a peer is asked for a sign of life, and how long it has for that. A client that is gone, or
/// stopped, would otherwise hold its stream, and with it its session, for ever.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls under way on one connection: every subscriber that a session may have, and as many commands, thirty times over.
const MAX_CONCURRENT_CALLS: u32 = 256;

/// How long a connection has to finish its calls when the gateway ends. Streams are told at once; a command that takes
/// longer is answered by the next gateway.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// What the session gateway's door is opened with.
#[derive(Debug, Clone)]
pub struct GrpcOptions {
    /// Where.
    pub listen: SocketAddr,
    /// With which certificate; without one the door is plaintext.
    pub tls: Option<Arc<Certificates>>,
    /// Whom a client's certificate authenticates, by a name in it, and what that principal may do without a token.
    pub client_principals: BTreeMap<CertName, Arc<Principal>>,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address.
    pub max_connections_per_address: usize,
    /// The largest message, in bytes.
    pub max_message_bytes: usize,
    /// Whether the API can be asked for.
    pub reflection: bool,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen for clients of the session gateway on {address}: {source}; choose another address with --gateway-listen"
)]
pub struct ListenGrpcError {
    /// The address.
    pub address: SocketAddr,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// A door that is open.
#[derive(Debug)]
pub struct GrpcListener {
    acceptor: Acceptor,
    options: GrpcOptions,
}

impl GrpcListener {
    /// Opens the door. Nobody is served yet.
    ///
    /// # Errors
    /// See [`ListenGrpcError`].
    pub async fn bind(options: GrpcOptions) -> Result<Self, ListenGrpcError> {
        let address = options.listen;
        let acceptor = Acceptor::bind(address, options.tls.clone()).await;
        let acceptor = acceptor.map_err(|source| ListenGrpcError { address, source })?;
        Ok(Self { acceptor, options })
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        let scheme = if self.acceptor.is_encrypted() { "https" } else { "http" };
        format!("{scheme}://{}", self.acceptor.address())
    }

    /// Serves until the tasks are stopped.
    pub fn serve(self, service: Arc<Service>, sessions: BackendSessions) {
        let Self { acceptor, options } = self;
        let tasks = service.gateway().tasks().clone();
        let admission = Admission::new(options.max_connections, options.max_connections_per_address);
        let routes = routes(&options, Arc::clone(&service), sessions, &tasks);
        let serve = {
            let (tasks, principals) = (tasks.clone(), Arc::new(options.client_principals));
            move |accepted| {
                serve_one(accepted, Arc::clone(&principals), Arc::clone(&service), routes.clone(), tasks.clone())
            }
        };
        tasks.spawn(TaskKind::Door, acceptor.accept_all(admission, tasks.clone(), TaskKind::Connection, serve));
    }
}

fn routes(options: &GrpcOptions, service: Arc<Service>, sessions: BackendSessions, tasks: &Tasks) -> Routes {
    let (reporter, health) = tonic_health::server::health_reporter();
    let stopping = tasks.stopping().clone();
    let reported = Arc::clone(&service);
    tasks.spawn(TaskKind::Door, async move {
        tokio::select! {
            () = health::report(reporter, reported) => {}
            () = stopping.cancelled() => {}
        }
    });
    let mut routes = RoutesBuilder::default();
    routes.add_service(
        SessionGatewayServer::new(Calls { sessions, service })
            .max_decoding_message_size(options.max_message_bytes)
            .max_encoding_message_size(options.max_message_bytes),
    );
    routes.add_service(health);
    if options.reflection {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(v1::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1();
        match reflection {
            Ok(reflection) => {
                routes.add_service(reflection);
            }
            Err(error) => tracing::error!(%error, "the session gateway's API cannot be told by reflection"),
        }
    }
    routes.routes().prepare()
}

/// Spawns what a connection does beside itself: its calls.
#[derive(Debug, Clone)]
struct Calling(Tasks);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Calling {
    fn execute(&self, call: F) {
        self.0.spawn(TaskKind::Connection, call);
    }
}

async fn serve_one(
    Accepted { stream, from, place }: Accepted,
    principals: Arc<ClientPrincipals>,
    service: Arc<Service>,
    routes: Routes,
    tasks: Tasks,
) {
    let stream = match stream {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(peer = %from, %error, "the TLS handshake failed"),
    };
    let certified = certified(&stream, &principals);
    let is_known = Arc::new(AtomicBool::new(false));
    let (known, asked) = (Arc::clone(&is_known), Arc::clone(&service));
    let answer = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let (service, routes, known) = (Arc::clone(&asked), routes.clone(), Arc::clone(&known));
        let certified = certified.clone();
        async move {
            match authenticate(&service, Peer::Network(from), certified.as_deref(), &request).await {
                Ok(Authenticated { principal, standing, .. }) => {
                    known.store(true, Ordering::Relaxed);
                    let mut request = request.map(Body::new);
                    request.extensions_mut().insert(principal);
                    request.extensions_mut().insert(standing);
                    routes.oneshot(request).await
                }
                Err(status) => Ok(status.into_http()),
            }
        }
    });
    let hello_deadline = service.options().hello_deadline.as_duration();
    let closing = service.closing().clone();
    let connection = http2::Builder::new(Calling(tasks))
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(MAX_CONCURRENT_CALLS)
        .serve_connection(TokioIo::new(stream), answer);
    let served = service.track(async move {
        let mut connection = std::pin::pin!(connection);
        let stranger = async {
            tokio::time::sleep(hello_deadline).await;
            if is_known.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            served = connection.as_mut() => served,
            () = stranger => {
                tracing::debug!(peer = %from, "nobody has authenticated on a connection in time");
                Ok(())
            }
            () = closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(CLOSE_GRACE, connection).await.unwrap_or(Ok(()))
            }
        }
    });
    if let Err(error) = served.await {
        tracing::debug!(peer = %from, %error, "a connection of the session gateway ended with an error");
    }
    drop(place);
}
