//! The handshake: who is it, and what do both sides speak (spec 6.1, 6.2).

use moorline_core::Refusal;
use moorline_runtime::SessionHandle;
use moorline_wire::FeatureSet;
use moorline_wire::payload::Hello;

use super::Service;
use crate::front::from_wire;

/// The only scheme of the spec (6.1). Others are not turned down by name: whoever has no bearer token has none.
const BEARER: &str = "bearer";

/// Opens the session that the hello asks for.
pub(super) async fn open(service: &Service, hello: Hello) -> Result<(SessionHandle, FeatureSet), Refusal> {
    let Hello { client, auth, capabilities, resume } = hello;
    let token = auth.filter(|auth| auth.scheme.as_str().eq_ignore_ascii_case(BEARER)).and_then(|auth| auth.token);
    let principal = token.and_then(|token| service.authenticate(token.expose())).ok_or(Refusal::Unauthenticated)?;
    if resume.is_some() {
        return Err(Refusal::ResumeNotServed);
    }
    let name = match &client.version {
        Some(version) => format!("{} {version}", client.name),
        None => client.name.to_string(),
    };
    let session = service.gateway().open_session(principal, name).await?;
    Ok((session, capabilities.features.intersection(from_wire::served())))
}
