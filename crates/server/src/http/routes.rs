//! What is served under which path.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper_util::rt::TokioIo;
use moorline_runtime::TaskKind;
use moorline_types::limits::MAX_HELLO_BYTES;
use tungstenite::handshake::server::create_response_with_body;

use super::listener::CertifiedClient;
use super::metrics::metrics;
use super::visitors::Visitors;
use crate::admission::Place;
use crate::connection::{Connection, Service};
use crate::door::Peer;
use crate::door::websocket::WebSocket;

pub(super) fn router(service: Arc<Service>, visitors: Visitors) -> Router {
    let arcp = get(upgrade).layer(middleware::from_fn_with_state(Arc::new(visitors), admit));
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/arcp", arcp.clone())
        .route("/arcp/", arcp.clone())
        .route("/", arcp)
        .fallback(unknown)
        .with_state(service)
}

/// Turns away who may not connect. Whoever only asks for our health may come from anywhere: there is nothing to learn.
async fn admit(State(visitors): State<Arc<Visitors>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match visitors.judge(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(reason) => {
            tracing::debug!(?reason, "a request is turned away");
            reason.into_response()
        }
    }
}

/// The process is alive and serves.
async fn health() -> &'static str {
    "ok\n"
}

/// New work would be taken: the gateway is not about to stop, and its journal can be written.
async fn ready(State(service): State<Arc<Service>>) -> Response {
    if service.gateway().is_ready().await {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the gateway is stopping or its journal cannot be written\n")
            .into_response()
    }
}

async fn unknown() -> Response {
    (StatusCode::NOT_FOUND, "nothing is here; ARCP is served over WebSocket at /arcp\n").into_response()
}

async fn upgrade(
    State(service): State<Arc<Service>>,
    Extension(peer): Extension<Peer>,
    Extension(certified): Extension<CertifiedClient>,
    Extension(place): Extension<Arc<Place>>,
    request: Request,
) -> Response {
    // Looked at before the upgrade, which is what costs memory.
    if let Some(wait) = service.wait(peer) {
        let seconds = wait.get().div_ceil(1_000).to_string();
        let message = "too many have failed to authenticate from this address; try again later\n";
        return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds)], message).into_response();
    }
    let Ok(response) = create_response_with_body(&request, Body::empty) else {
        let message = "this is the ARCP endpoint; connect to it with WebSocket (ws:// or wss://)\n";
        return (StatusCode::UPGRADE_REQUIRED, [("upgrade", "websocket")], message).into_response();
    };
    let upgrade = hyper::upgrade::on(request);
    let connection = Connection::new(Arc::clone(&service), peer).certified(certified.0);
    service.gateway().tasks().spawn(TaskKind::Connection, async move {
        match upgrade.await {
            Ok(socket) => connection.serve(WebSocket::new(TokioIo::new(socket), MAX_HELLO_BYTES)).await,
            Err(error) => tracing::debug!(%error, "the client did not wait for the upgrade"),
        }
        drop(place);
    });
    response
}
