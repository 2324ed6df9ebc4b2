//! Whom a client's certificate authenticates: the same at every door with TLS.

use std::collections::BTreeMap;
use std::sync::Arc;

use moorline_types::Principal;

use crate::accept::Stream;
use crate::keys::Certified;
use crate::tls::{CertName, fingerprint_of, names_of};

/// Whom a name in a certificate authenticates, and what that principal may do without a token.
pub(crate) type ClientPrincipals = BTreeMap<CertName, Arc<Principal>>;

/// Whom the client's certificate authenticates, if it has shown one and its names stand for one principal.
pub(crate) fn certified(stream: &Stream, principals: &ClientPrincipals) -> Option<Arc<Certified>> {
    let Stream::Right(encrypted) = stream else { return None };
    let certificate = encrypted.get_ref().1.peer_certificates()?.first()?;
    let found = names_of(certificate);
    let found: BTreeMap<_, _> =
        found.iter().filter_map(|name| principals.get(name)).map(|who| (&who.id, who)).collect();
    if found.len() > 1 {
        tracing::warn!(principals = found.len(), "a client's certificate has names of several principals");
        return None;
    }
    let principal = Arc::clone(found.into_values().next()?);
    Some(Arc::new(Certified { principal, fingerprint: fingerprint_of(certificate).into() }))
}
