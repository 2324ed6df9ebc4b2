//! The handshake: who is it, and what do both sides speak (spec 6.1, 6.2).

use moorline_core::Refusal;
use moorline_wire::FeatureSet;
use moorline_wire::payload::Hello;

use super::Service;
use super::sessions::Attached;
use crate::front::from_wire;

/// The only scheme of the spec (6.1). Others are not turned down by name: whoever has no bearer token has none.
const BEARER: &str = "bearer";

/// Opens the session that the hello asks for, or goes on with it.
pub(super) async fn open(service: &Service, hello: Hello) -> Result<(Attached, FeatureSet), Refusal> {
    let Hello { client, auth, capabilities, resume } = hello;
    let token = auth.filter(|auth| auth.scheme.as_str().eq_ignore_ascii_case(BEARER)).and_then(|auth| auth.token);
    let principal = token.and_then(|token| service.authenticate(token.expose())).ok_or(Refusal::Unauthenticated)?;
    let features = capabilities.features.intersection(from_wire::served());
    let now = service.gateway().now();
    if let Some(resume) = resume {
        let attached = service.sessions().resume(now, &principal, &resume).await?;
        return Ok((attached, features));
    }
    let name = match &client.version {
        Some(version) => format!("{} {version}", client.name),
        None => client.name.to_string(),
    };
    let session = loop {
        match service.gateway().open_session(principal.clone(), name.clone()).await {
            // A session that waits for its client makes room for one that is here.
            Err(Refusal::TooManySessions { .. }) if service.sessions().evict_longest_parked(&principal.id) => {}
            opened => break opened?,
        }
    };
    let attached = service.sessions().open(now, session).map_err(|error| {
        tracing::error!(%error, "a session gets no token");
        Refusal::StoreUnavailable { reason: "the machine gives no randomness" }
    })?;
    Ok((attached, features))
}
