//! From what a client sent to what it asks for.

use moorline_core::Refusal;
use moorline_core::audit::{AuditDecision, AuditFilter};
use moorline_core::connection::{Arrival, Gate, Negotiated};
use moorline_core::idempotency::{Fingerprint, Parameters};
use moorline_core::job::Status;
use moorline_core::listing;
use moorline_core::record::Overflow;
use moorline_core::resume::ResumeToken;
use moorline_runtime::{
    GcRequest, Idempotency, JobQuery, ResumeRequest, SubmitParent, SubmitRequest, SubscribeRequest,
};
use moorline_types::{COST_BUDGET, Capability, Json, Millis, Principal, Timestamp, TraceRef};
use moorline_wire::payload::{DelegateId, JobFilter, ListJobs, Resume, Submit, Subscribe};
use moorline_wire::profile::Asked;
use moorline_wire::vendor::{self, AuditQuery, Extensions, Gc, Keys, OnGap};
use moorline_wire::{ClientMessage, DecodeErrorKind, Feature, FeatureSet, Frame, JobRef, JobStatus};

use crate::key_store::{DEFAULT_OVERLAP, KeysRequest};

/// The features that this runtime serves: credentials only while they are offered (spec 14).
pub(crate) fn served(are_credentials_offered: bool) -> FeatureSet {
    let always = [
        Feature::Heartbeat,
        Feature::Ack,
        Feature::ListJobs,
        Feature::Subscribe,
        Feature::LeaseExpiresAt,
        Feature::CostBudget,
        Feature::ModelUse,
        Feature::Progress,
        Feature::ResultChunk,
        Feature::AgentVersions,
        Feature::Gap,
    ];
    let offered = are_credentials_offered.then_some(Feature::ProvisionedCredentials);
    always.into_iter().chain(offered).fold(FeatureSet::NONE, FeatureSet::with)
}

/// What a connection depends on, of what both sides agreed on.
pub(crate) const fn negotiated(features: FeatureSet) -> Negotiated {
    Negotiated {
        heartbeat: features.contains(Feature::Heartbeat),
        ack: features.contains(Feature::Ack),
        list_jobs: features.contains(Feature::ListJobs),
        subscribe: features.contains(Feature::Subscribe),
    }
}

/// What kind of message arrived. `session` is the connection's, once it has one.
pub(crate) fn arrival(frame: &Frame<ClientMessage>, session: Option<&str>) -> Arrival {
    let foreign = frame.session_id.as_ref().is_some_and(|named| session.is_some_and(|ours| named.as_str() != ours));
    let request = |needs| Arrival::Request { needs, foreign };
    match &frame.message {
        ClientMessage::Hello(_) => Arrival::Hello,
        ClientMessage::Ping(_) => Arrival::Ping,
        ClientMessage::Pong(_) => Arrival::Pong,
        ClientMessage::Close(_) | ClientMessage::Bye(_) => Arrival::Close { foreign },
        ClientMessage::Ack(_) => request(Some(Gate::Ack)),
        ClientMessage::ListJobs(_) => request(Some(Gate::ListJobs)),
        ClientMessage::Subscribe(_) | ClientMessage::Unsubscribe(_) => request(Some(Gate::Subscribe)),
        ClientMessage::Resume(_) => Arrival::Resume,
        ClientMessage::Submit(_)
        | ClientMessage::Cancel(_)
        | ClientMessage::Gc(_)
        | ClientMessage::Keys(_)
        | ClientMessage::Credentials(_)
        | ClientMessage::Audit(_) => request(None),
    }
}

/// The request, as far as its answer needs it.
pub(crate) fn asked(frame: &Frame<ClientMessage>) -> Asked {
    let in_payload = match &frame.message {
        ClientMessage::Cancel(cancel) => cancel.job_id.as_ref(),
        ClientMessage::Subscribe(subscribe) => Some(&subscribe.job_id),
        ClientMessage::Unsubscribe(unsubscribe) => Some(&unsubscribe.job_id),
        ClientMessage::Hello(_)
        | ClientMessage::Resume(_)
        | ClientMessage::Ack(_)
        | ClientMessage::ListJobs(_)
        | ClientMessage::Gc(_)
        | ClientMessage::Audit(_)
        | ClientMessage::Keys(_)
        | ClientMessage::Credentials(_)
        | ClientMessage::Submit(_)
        | ClientMessage::Close(_)
        | ClientMessage::Bye(_)
        | ClientMessage::Ping(_)
        | ClientMessage::Pong(_) => None,
    };
    Asked {
        id: Some(frame.id.clone()),
        message_type: Some(frame.message.message_type()),
        job_id: in_payload.or(frame.job_id.as_ref()).cloned(),
        trace_id: frame.trace_id,
    }
}

/// What kind of arrival a frame is that could not be read.
pub(crate) const fn unreadable(kind: &DecodeErrorKind) -> Arrival {
    match kind {
        DecodeErrorKind::UnknownType { optional: true, .. } => Arrival::UnknownOptional,
        DecodeErrorKind::UnknownType { optional: false, .. }
        | DecodeErrorKind::TooLarge { .. }
        | DecodeErrorKind::NotText
        | DecodeErrorKind::TooDeep { .. }
        | DecodeErrorKind::NotJson { .. }
        | DecodeErrorKind::NotObject
        | DecodeErrorKind::WrongVersion { .. }
        | DecodeErrorKind::NotExpectedHere { .. }
        | DecodeErrorKind::Field { .. } => Arrival::Malformed,
    }
}

/// A submission, as far as this runtime can do what it asks for.
pub(crate) fn submit(
    submit: Submit,
    trace: Option<TraceRef>,
    extensions: &Extensions,
    features: FeatureSet,
) -> Result<SubmitRequest, Refusal> {
    if submit.parent_job_id.is_none() && submit.delegate_id.is_some() {
        return Err(Refusal::NotServed { what: "delegate_id without parent_job_id" });
    }
    let grants = submit.lease_request.clone().unwrap_or_default();
    for (namespace, feature) in [(COST_BUDGET, Feature::CostBudget), (Capability::ModelUse.as_str(), Feature::ModelUse)]
    {
        if grants.grants().contains_key(namespace) && !features.contains(feature) {
            return Err(Refusal::FeatureNotNegotiated { feature: feature.as_str() });
        }
    }
    let lease = Json::of(&grants).map_err(|_| Refusal::NotServed { what: "this lease_request" })?;
    let idempotency = idempotency(&submit, &lease);
    let delegate_id = submit.delegate_id.as_ref().map(|named| named.as_str().to_owned());
    let parent = submit.parent_job_id.as_ref().map(|job| SubmitParent { job: job.as_str().to_owned(), delegate_id });
    Ok(SubmitRequest {
        agent: submit.agent,
        input: submit.input,
        lease,
        max_runtime_sec: submit.max_runtime_sec,
        // Whoever asks for it gets it, whether or not the feature was negotiated: it only takes away.
        expires_at: submit.lease_constraints.and_then(|constraints| constraints.expires_at),
        trace,
        takes_credentials: features.contains(Feature::ProvisionedCredentials),
        idempotency,
        overflow: overflow(extensions, features, Overflow::CatchUp)?,
        parent,
    })
}

/// What the client calls the submission, if it does, and what it asks for under that name.
fn idempotency(submit: &Submit, lease: &Json) -> Option<Idempotency> {
    let key = submit.idempotency_key.as_ref()?.as_str().to_owned();
    let constraints = submit.lease_constraints.as_ref().filter(|constraints| constraints.expires_at.is_some());
    let constraints = constraints.and_then(|constraints| Json::of(constraints).ok());
    let fingerprint = Fingerprint::of(&Parameters {
        agent: &submit.agent.to_string(),
        input: &submit.input,
        // An empty request asks for the same as none, and so do empty constraints.
        lease_request: Some(lease),
        lease_constraints: constraints.as_ref(),
        max_runtime_sec: submit.max_runtime_sec,
        parent_job_id: submit.parent_job_id.as_ref().map(JobRef::as_str),
        delegate_id: submit.delegate_id.as_ref().map(DelegateId::as_str),
    });
    Some(Idempotency { key, fingerprint })
}

/// A step of removing what is over.
/// What of the audit trail is looked for, from where on, and how much of it.
pub(crate) fn audit(query: AuditQuery, now: Timestamp) -> (AuditFilter, Option<String>, usize) {
    let AuditQuery { since, max_age_ms, principal, action, job, decision, limit, cursor } = query;
    let decision = decision.map(|decision| match decision.to_string() == AuditDecision::Refused.as_str() {
        true => AuditDecision::Refused,
        false => AuditDecision::Allowed,
    });
    let age = max_age_ms.map(|age| Timestamp::from_unix_millis(now.as_unix_millis().saturating_sub(age)));
    let since = since.max(age);
    let text = |text: Option<_>| text.map(|text: moorline_wire::Text<256>| text.to_string());
    let filter = AuditFilter { since, who: text(principal), action: text(action), job: text(job), decision };
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    (filter, cursor.map(|cursor| cursor.to_string()), limit)
}

pub(crate) fn gc(request: Gc) -> GcRequest {
    let Gc { dry_run, older_than_ms, max_bytes, cursor } = request;
    GcRequest {
        dry_run,
        older_than: older_than_ms.map(Millis::new),
        max_bytes,
        cursor: cursor.map(|cursor| cursor.to_string()),
    }
}

/// What is to be done about keys.
pub(crate) fn keys(request: Keys) -> Result<KeysRequest, Refusal> {
    Ok(match request {
        Keys::Create { name, principal, grants, expires_in_ms } => KeysRequest::Create {
            name: name.to_string(),
            principal: Box::new(Principal { id: principal, grants: *grants }),
            expires_in: expires_in_ms.map(Millis::new),
        },
        Keys::List { cursor } => KeysRequest::List {
            after: cursor.map(|cursor| cursor.as_str().parse().map_err(|_| Refusal::CursorUnknown)).transpose()?,
        },
        Keys::Revoke { key } => KeysRequest::Revoke { key },
        Keys::Rotate { key, overlap_ms } => {
            KeysRequest::Rotate { key, overlap: overlap_ms.map_or(DEFAULT_OVERLAP, Millis::new) }
        }
    })
}

/// Which jobs are to be listed.
pub(crate) fn list_jobs(request: ListJobs) -> JobQuery {
    let ListJobs { filter, limit, cursor } = request;
    let JobFilter { whose, status, agent, created_after, created_before } = filter.unwrap_or_default();
    let whose = match whose {
        Some(vendor::Whose::Observable) => listing::Whose::Observable,
        Some(vendor::Whose::Own) | None => listing::Whose::Own,
    };
    let statuses = status.into_iter().map(job_status).collect();
    let filter = listing::JobFilter { whose, statuses, agent, created_after, created_before };
    JobQuery { filter, limit, cursor: cursor.map(|cursor| cursor.as_str().to_owned()) }
}

const fn job_status(status: JobStatus) -> Status {
    match status {
        JobStatus::Pending => Status::Pending,
        JobStatus::Running => Status::Running,
        JobStatus::Success => Status::Success,
        JobStatus::Error => Status::Error,
        JobStatus::Cancelled => Status::Cancelled,
        JobStatus::TimedOut => Status::TimedOut,
    }
}

/// A wish to go on with a session. A session that cannot be ours is as unknown as one that is over.
pub(crate) fn resume(resume: &Resume, extensions: &Extensions, features: FeatureSet) -> Result<ResumeRequest, Refusal> {
    let session = match &resume.session_id {
        Some(named) => Some(named.known().ok_or(Refusal::ResumeUnknown)?),
        None => None,
    };
    let options = extensions.resume.unwrap_or_default();
    Ok(ResumeRequest {
        session,
        token: ResumeToken::new(resume.resume_token.expose()),
        last: resume.last_event_seq,
        epoch: options.epoch,
        accepts_gap: features.contains(Feature::Gap) && options.on_gap == Some(OnGap::Continue),
    })
}

/// What a client asks to be shown of a job. `from_event_seq` says something only beside `history` (spec 7.6).
pub(crate) fn subscribe(
    subscribe: &Subscribe,
    extensions: &Extensions,
    features: FeatureSet,
    default: Overflow,
) -> Result<SubscribeRequest, Refusal> {
    let history = subscribe.history.then(|| subscribe.from_event_seq.unwrap_or_default());
    let overflow = overflow(extensions, features, default)?;
    Ok(SubscribeRequest { history, budget: features.contains(Feature::CostBudget), overflow })
}

/// What is to become of records that the client does not take in time. Whoever cannot be told of a gap would take what
/// is left out for a loss, so nothing is.
fn overflow(extensions: &Extensions, features: FeatureSet, default: Overflow) -> Result<Overflow, Refusal> {
    let told = features.contains(Feature::Gap);
    let asked = extensions.subscribe.map(|options| match options.overflow {
        vendor::Overflow::CatchUp => Overflow::CatchUp,
        vendor::Overflow::Skip => Overflow::Skip,
        vendor::Overflow::Latest => Overflow::Latest,
        vendor::Overflow::Disconnect => Overflow::Disconnect,
    });
    match asked {
        Some(Overflow::Skip | Overflow::Latest) if !told => {
            Err(Refusal::FeatureNotNegotiated { feature: Feature::Gap.as_str() })
        }
        Some(overflow) => Ok(overflow),
        None if told || default == Overflow::Disconnect => Ok(default),
        None => Ok(Overflow::CatchUp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(payload: &str) -> Submit {
        serde_json::from_str(payload).unwrap()
    }

    #[test]
    fn what_is_not_served_is_refused_rather_than_passed_over() {
        for (payload, expected) in [
            (r#"{"agent":"a","delegate_id":"d"}"#, "delegate_id without parent_job_id is not served by this runtime"),
            (
                r#"{"agent":"a","lease_request":{"cost.budget":["USD:1"]}}"#,
                "feature \"cost.budget\" was not negotiated: session.welcome lists what this runtime serves, and session.hello must list it too",
            ),
        ] {
            assert_eq!(
                submit(parse(payload), None, &Extensions::NONE, FeatureSet::NONE).unwrap_err().to_string(),
                expected,
                "{payload}"
            );
        }
    }

    #[test]
    fn the_lease_is_kept_as_it_was_asked_for() {
        let submit = |payload| submit(parse(payload), None, &Extensions::NONE, FeatureSet::NONE).unwrap();
        let request = submit(r#"{"agent":"a@1","input":[1],"lease_request":{"fs.read":["/a/**"]}}"#);
        assert_eq!(request.lease.get(), r#"{"fs.read":["/a/**"]}"#);
        assert_eq!(request.input.get(), "[1]");
        let empty = submit(r#"{"agent":"a"}"#);
        assert_eq!((empty.lease.get(), empty.input.get()), ("{}", "null"));
    }
}
