//! Who calls.

use std::sync::Arc;

use moorline_core::audit::{AuditAction, AuditEntry};
use tonic::Status;

use super::status::unauthenticated;
use crate::connection::{NotKnown, Service, who};
use crate::door::Peer;
use crate::keys::{Authenticated, Certified};

/// How a token is written in the header `authorization`.
const SCHEME: &str = "Bearer ";

/// Who has sent the request. Whoever may not call at all is answered before anything else is looked at.
pub(super) async fn authenticate<B>(
    service: &Arc<Service>,
    peer: Peer,
    certified: Option<&Certified>,
    request: &hyper::Request<B>,
) -> Result<Authenticated, Box<Status>> {
    if let Some(wait) = service.wait(peer) {
        let message = "too many attempts to authenticate from this address have failed";
        return Err(Box::new(unauthenticated(message, Some(wait))));
    }
    let header = request.headers().get(hyper::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|header| header.strip_prefix(SCHEME)).map(str::trim);
    if token.is_none() && certified.is_none() {
        let message = "say who you are in the metadata `authorization: Bearer KEY`";
        return Err(Box::new(unauthenticated(message, None)));
    }
    match who(service, token, certified).await {
        Ok((authenticated, _)) => Ok(authenticated),
        Err(NotKnown { reason, .. }) => {
            service.note_failure(peer);
            let now = service.gateway().now();
            let entry = AuditEntry::refused(now, AuditAction::Authenticate, reason);
            service.gateway().audit().note(AuditEntry { from: Some(peer.to_string()), ..entry });
            Err(Box::new(unauthenticated("the token is not known here, or is over", None)))
        }
    }
}
