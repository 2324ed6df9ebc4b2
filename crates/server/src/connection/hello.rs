//! The handshake: who is it, and what do both sides speak (spec 6.1, 6.2).

use moorline_core::Refusal;
use moorline_core::audit::{AuditAction, AuditEntry};
use moorline_runtime::{Attached, SessionHandle};
use moorline_types::{Principal, PrincipalId};
use moorline_wire::payload::Hello;
use moorline_wire::vendor::Extensions;
use moorline_wire::{FeatureSet, Secret};

use super::Service;
use super::service::Nobody;
use crate::door::Peer;
use crate::front::from_wire;
use crate::keys::{Authenticated, Credential, Standing};

/// The only scheme of the spec (6.1). Others are not turned down by name: whoever has no bearer token has none.
const BEARER: &str = "bearer";

/// A session that is open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) attached: Attached,
    pub(super) features: FeatureSet,
    /// How long what its client has authenticated with is good.
    pub(super) standing: Standing,
}

/// A session that is not.
#[derive(Debug)]
pub(super) struct NotOpened {
    pub(super) refusal: Refusal,
    /// What the audit trail says, and the client is not told.
    pub(super) reason: &'static str,
    /// Who was not given one; `None` if nobody has authenticated.
    pub(super) known: Option<Known>,
}

/// Somebody who has authenticated, as the audit trail says it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) principal: PrincipalId,
    /// By what it was shown.
    pub(super) credential: String,
    /// What was wanted.
    pub(super) action: AuditAction,
}

/// Opens the session that the hello asks for, or goes on with it. The audit trail has it before this returns.
pub(super) async fn open(
    service: &Service,
    peer: Peer,
    hello: Hello,
    extensions: &Extensions,
    certified: Option<&Principal>,
) -> Result<Opened, NotOpened> {
    let Hello { client, auth, capabilities, resume } = hello;
    let token = auth.filter(|auth| auth.scheme.as_str().eq_ignore_ascii_case(BEARER)).and_then(|auth| auth.token);
    let (Authenticated { principal, standing, .. }, credential) =
        who(service, token.as_ref().map(Secret::expose), certified).await?;
    let id = principal.id.clone();
    let features = capabilities.features.intersection(from_wire::served(service.gateway().credentials().is_offered()));
    let (attached, action) = match resume {
        Some(resume) => match from_wire::resume(&resume, extensions, features) {
            Ok(request) => (service.gateway().resume_session(principal, request).await, AuditAction::SessionResume),
            Err(refusal) => (Err(refusal), AuditAction::SessionResume),
        },
        None => {
            let name = match &client.version {
                Some(version) => format!("{} {version}", client.name),
                None => client.name.to_string(),
            };
            (service.gateway().open_session(principal, name).await, AuditAction::SessionOpen)
        }
    };
    let attached = match attached {
        Ok(attached) => record(service, peer, attached, action, Some(&credential)).await,
        refused @ Err(_) => refused,
    };
    attached.map(|attached| Opened { attached, features, standing }).map_err(|refusal| {
        let known = Some(Known { principal: id, credential, action });
        NotOpened { refusal, reason: "authenticated, but no session", known }
    })
}

/// Writes into the audit trail who has this session from here on. What it does not have, nobody gets.
pub(super) async fn record(
    service: &Service,
    peer: Peer,
    attached: Attached,
    action: AuditAction,
    credential: Option<&str>,
) -> Result<Attached, Refusal> {
    let (gateway, session) = (service.gateway(), &attached.session);
    let entry = AuditEntry {
        who: Some(session.principal().id.to_string()),
        session: Some(session.id().to_string()),
        credential: credential.map(str::to_owned),
        from: Some(peer.to_string()),
        ..AuditEntry::allowed(gateway.now(), action)
    };
    match gateway.audit().record(entry).await {
        Ok(()) => Ok(attached),
        Err(refusal) => {
            give_back(attached.session, action).await;
            Err(refusal)
        }
    }
}

/// A new session is over; another waits for its client.
async fn give_back(session: SessionHandle, action: AuditAction) {
    if action == AuditAction::SessionOpen {
        session.close(None).await;
    } else {
        session.park().await;
    }
}

/// Whom token and certificate authenticate, and by what; or why nobody: what the client is told, and what the audit trail
/// says.
///
/// A token says more than a certificate, namely what its bearer may do, but not another name: who has stolen one of the
/// two does not become the other's principal.
async fn who(
    service: &Service,
    token: Option<&str>,
    certified: Option<&Principal>,
) -> Result<(Authenticated, String), NotOpened> {
    let nobody = |reason| NotOpened { refusal: Refusal::Unauthenticated, reason, known: None };
    let Some(token) = token else {
        let principal = certified.ok_or_else(|| nobody("no token"))?.clone();
        let (standing, credential) = (Standing::until(None), Credential::Certificate);
        return Ok((Authenticated { principal, standing, credential }, credential.to_string()));
    };
    let authenticated = service.authenticate(token).await.map_err(|nobody_is| match nobody_is {
        Nobody::ApiKey(Refusal::Unauthenticated) => nobody("the token is nobody's"),
        Nobody::ApiKey(refusal) => NotOpened { refusal, reason: "the credential is over", known: None },
        Nobody::Jwt(not) => nobody(not.reason()),
    })?;
    match certified {
        Some(certified) if certified.id != authenticated.principal.id => {
            Err(nobody("the token is not that of the certificate's principal"))
        }
        certified => {
            let also = if certified.is_some() { " and certificate" } else { "" };
            let credential = format!("{}{also}", authenticated.credential);
            Ok((authenticated, credential))
        }
    }
}
