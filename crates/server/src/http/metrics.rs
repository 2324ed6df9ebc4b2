//! What is counted, for whoever collects that: `GET /metrics` in the text form of OpenMetrics.
//!
//! Counts tell how busy everybody is, so they are for those who may observe everything, who say so by the same key or token
//! as everywhere else (`authorization: Bearer ...`).

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use moorline_core::access::{Action, Relation, authorise};
use moorline_core::audit::{AuditAction, AuditEntry};

use super::listener::CertifiedClient;
use crate::connection::{NotKnown, Service, who};
use crate::door::Peer;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn metrics(
    State(service): State<Arc<Service>>,
    Extension(peer): Extension<Peer>,
    Extension(certified): Extension<CertifiedClient>,
    headers: HeaderMap,
) -> Response {
    if let Some(wait) = service.wait(peer) {
        let seconds = wait.get().div_ceil(1_000).to_string();
        let message = "too many have failed to authenticate from this address; try again later\n";
        return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds)], message).into_response();
    }
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|header| header.strip_prefix("Bearer ")).map(str::trim);
    let unauthenticated =
        |message: &'static str| (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], message).into_response();
    if token.is_none() && certified.0.is_none() {
        return unauthenticated("say who you are: authorization: Bearer KEY\n");
    }
    let principal = match who(&service, token, certified.0.as_deref()).await {
        Ok((authenticated, _)) => authenticated.principal,
        Err(NotKnown { reason, .. }) => {
            service.note_failure(peer);
            let entry = AuditEntry::refused(service.gateway().now(), AuditAction::Authenticate, reason);
            service.gateway().audit().note(AuditEntry { from: Some(peer.to_string()), ..entry });
            return unauthenticated("the token is not known here, or is over\n");
        }
    };
    if authorise(&principal, Action::Observe, Relation::Stranger).is_err() {
        return (StatusCode::FORBIDDEN, "metrics are for keys with the scope observe_all\n").into_response();
    }
    ([(CONTENT_TYPE, OPEN_METRICS)], service.gateway().metrics_text()).into_response()
}
