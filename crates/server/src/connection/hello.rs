//! The handshake: who is it, and what do both sides speak (spec 6.1, 6.2).

use moorline_core::Refusal;
use moorline_runtime::Attached;
use moorline_types::{Principal, PrincipalId, Scopes};
use moorline_wire::payload::Hello;
use moorline_wire::vendor::Extensions;
use moorline_wire::{FeatureSet, Secret};

use super::Service;
use crate::front::from_wire;

/// The only scheme of the spec (6.1). Others are not turned down by name: whoever has no bearer token has none.
const BEARER: &str = "bearer";

/// Opens the session that the hello asks for, or goes on with it.
pub(super) async fn open(
    service: &Service,
    hello: Hello,
    extensions: &Extensions,
    certified: Option<&PrincipalId>,
) -> Result<(Attached, FeatureSet), Refusal> {
    let Hello { client, auth, capabilities, resume } = hello;
    let token = auth.filter(|auth| auth.scheme.as_str().eq_ignore_ascii_case(BEARER)).and_then(|auth| auth.token);
    let principal = who(service, token.as_ref().map(Secret::expose), certified).ok_or(Refusal::Unauthenticated)?;
    let features = capabilities.features.intersection(from_wire::served());
    if let Some(resume) = resume {
        let request = from_wire::resume(&resume, extensions, features)?;
        return Ok((service.gateway().resume_session(principal, request).await?, features));
    }
    let name = match &client.version {
        Some(version) => format!("{} {version}", client.name),
        None => client.name.to_string(),
    };
    Ok((service.gateway().open_session(principal, name).await?, features))
}

/// Whom token and certificate authenticate. A token says more than a certificate, namely what its bearer may do, but not
/// another name: who has stolen one of the two does not become the other's principal.
fn who(service: &Service, token: Option<&str>, certified: Option<&PrincipalId>) -> Option<Principal> {
    match (token, certified) {
        (Some(token), None) => service.authenticate(token),
        (Some(token), Some(certified)) => service.authenticate(token).filter(|principal| principal.id == *certified),
        (None, certified) => Some(Principal::new(certified?.clone(), Scopes::JOBS)),
    }
}
