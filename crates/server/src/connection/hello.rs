//! The handshake: who is it, and what do both sides speak (spec 6.1, 6.2).

use moorline_core::Refusal;
use moorline_core::access::Ruling;
use moorline_core::audit::{AuditAction, AuditEntry};
use moorline_runtime::{Attached, SessionHandle};
use moorline_types::{JobId, KeyId, Principal, PrincipalId};
use moorline_wire::payload::Hello;
use moorline_wire::vendor::Extensions;
use moorline_wire::{FeatureSet, Secret};

use super::Service;
use super::who::{NotKnown, who};
use crate::door::Peer;
use crate::front::from_wire;
use crate::keys::{Authenticated, Certified, Standing};

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
    /// The API key that was presented and lets nobody in any more.
    pub(super) over: Option<KeyId>,
    /// Who was not given one; `None` if nobody has authenticated.
    pub(super) known: Option<Known>,
}

impl From<NotKnown> for NotOpened {
    fn from(NotKnown { refusal, reason, over }: NotKnown) -> Self {
        Self { refusal, reason, over, known: None }
    }
}

/// Somebody who has authenticated, as the audit trail says it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) principal: PrincipalId,
    /// By what it was shown.
    pub(super) credential: String,
    /// What was wanted.
    pub(super) action: AuditAction,
    /// What was decided about the job for which it was refused.
    pub(super) ruling: Option<Ruling>,
}

/// Opens the session that the hello asks for, or goes on with it. The audit trail has it before this returns.
pub(super) async fn open(
    service: &Service,
    peer: Peer,
    hello: Hello,
    extensions: &Extensions,
    certified: Option<&Certified>,
) -> Result<Opened, NotOpened> {
    let Hello { client, auth, capabilities, resume } = hello;
    let token = auth.filter(|auth| auth.scheme.as_str().eq_ignore_ascii_case(BEARER)).and_then(|auth| auth.token);
    let (Authenticated { principal, standing, .. }, credential) =
        who(service, token.as_ref().map(Secret::expose), certified).await?;
    let caller = principal.clone();
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
    match attached {
        Ok(attached) => Ok(Opened { attached, features, standing }),
        Err(refusal) => {
            let ruling = ruling(service, &caller, &refusal).await;
            let known = Some(Known { principal: caller.id, credential, action, ruling });
            Err(NotOpened { refusal, reason: "authenticated, but no session", over: None, known })
        }
    }
}

/// On what ground a session is not resumed that shows a job which may not be seen any more.
pub(super) async fn ruling(service: &Service, principal: &Principal, refusal: &Refusal) -> Option<Ruling> {
    service.gateway().rule_observation(principal, job_of(refusal)?).await
}

/// The job for which a session is not resumed.
pub(super) const fn job_of(refusal: &Refusal) -> Option<JobId> {
    if let Refusal::ResumeNotAllowed { job } = refusal { Some(*job) } else { None }
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
