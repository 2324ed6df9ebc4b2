//! Who calls.

use std::sync::Arc;

use moorline_core::audit::{AuditAction, AuditEntry};
use moorline_types::Principal;
use tonic::Status;

use super::status::unauthenticated;
use crate::connection::Service;
use crate::door::Peer;

/// How a token is written in the header `authorization`.
const SCHEME: &str = "Bearer ";

/// Who has sent the request. Whoever may not call at all is answered before anything else is looked at.
pub(super) async fn authenticate<B>(
    service: &Arc<Service>,
    peer: Peer,
    request: &hyper::Request<B>,
) -> Result<Principal, Box<Status>> {
    if let Some(wait) = service.wait(peer) {
        let message = "too many attempts to authenticate from this address have failed";
        return Err(Box::new(unauthenticated(message, Some(wait))));
    }
    let header = request.headers().get(hyper::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = header.and_then(|header| header.strip_prefix(SCHEME)) else {
        let message = "say who you are in the metadata `authorization: Bearer KEY`";
        return Err(Box::new(unauthenticated(message, None)));
    };
    match service.authenticate(token.trim()).await {
        Ok(authenticated) => Ok(authenticated.principal),
        Err(_) => {
            service.note_failure(peer);
            let now = service.gateway().now();
            let entry = AuditEntry::refused(now, AuditAction::Authenticate, "UNAUTHENTICATED");
            service.gateway().audit().note(AuditEntry { from: Some(peer.to_string()), ..entry });
            Err(Box::new(unauthenticated("the token is not known here, or is over", None)))
        }
    }
}
