//! From answers and records to messages.

use moorline_core::Refusal;
use moorline_core::access::ConstraintBroken;
use moorline_core::audit::AuditEntry;
use moorline_core::backlog::{Missed, MissedReason};
use moorline_core::credential::{BEARER, Provisioned, Revocation};
use moorline_core::inventory::Inventory;
use moorline_core::job::Status;
use moorline_core::lease::Terms;
use moorline_core::record::{Cause, Corrupt, CredentialRotated, Event, Fact, Failure, Output, Success};
use moorline_runtime::credentials::{CredentialsReport, Value};
use moorline_runtime::session::Subscription;
use moorline_runtime::{AuditPage, Delivery, GcStep, JobPage, JobSummary, ListedJob};
use moorline_types::{CredentialId, Epoch, EventKind, EventSeq, Json, MessageId, Millis, SessionId, Timestamp, Units};
use moorline_wire::payload::credential;
use moorline_wire::payload::{
    Accepted, AgentEntry, Credential, JobEntry, JobError, JobEvent, JobResult, Jobs, RuntimeCapabilities, RuntimeInfo,
    SessionError, Subscribed, Welcome,
};
use moorline_wire::vendor::{self, AuditRecord, CredentialEntry, Gap, GapReason, GcReport, KeyEntry, KeysReport};
use moorline_wire::{
    Budget, DecodeErrorKind, ErrorCode, Feature, FeatureSet, FinalStatus, JobStatus, LeaseConstraints, RuntimeMessage,
    Secret, Text,
};

use super::delegation;
use crate::key_store::KeysAnswer;
use crate::keys::KeyRecord;

/// What the runtime calls itself.
pub(crate) const RUNTIME_NAME: &str = "moorline";

/// The welcome of a session.
pub(crate) fn welcome(
    session: SessionId,
    now: Timestamp,
    features: FeatureSet,
    resume: (Secret, Millis),
    heartbeat: Millis,
    inventory: &Inventory,
) -> RuntimeMessage {
    let (resume_token, resume_window) = resume;
    let agents = inventory.iter().map(|(name, versions)| AgentEntry {
        name: name.to_string(),
        versions: versions.all().iter().map(ToString::to_string).collect(),
        default: versions.default_version().map(ToString::to_string),
    });
    let heartbeat = features.contains(Feature::Heartbeat).then(|| heartbeat.get().div_ceil(1_000).max(1));
    RuntimeMessage::Welcome(Box::new(Welcome {
        runtime: RuntimeInfo { name: RUNTIME_NAME.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        session_id: Some(session.into()),
        resume_token: Some(resume_token),
        resume_window_sec: Some(resume_window.get().div_ceil(1_000)),
        heartbeat_interval_sec: heartbeat,
        capabilities: RuntimeCapabilities { encodings: vec!["json".to_owned()], features, agents: agents.collect() },
        accepted_at: Some(now),
    }))
}

/// The acceptance of a job.
pub(crate) fn accepted(
    job: &JobSummary,
    credentials: Option<Vec<Credential>>,
    request: &MessageId,
    features: FeatureSet,
) -> RuntimeMessage {
    RuntimeMessage::Accepted(Box::new(Accepted {
        job_id: job.job.into(),
        agent: agent(job),
        lease: job.accepted.lease.clone(),
        lease_constraints: constraints(job),
        budget: initial_budget(job).filter(|_| features.contains(Feature::CostBudget)),
        credentials,
        accepted_at: Some(job.accepted_at),
        trace_id: job.accepted.trace_id,
        parent_job_id: job.accepted.parent.as_ref().map(|parent| parent.job.into()),
        delegate_id: job.accepted.parent.as_ref().map(|parent| parent.delegate_id.to_string()),
        request_id: Some(request.clone()),
    }))
}

/// The beginning of a subscription.
pub(crate) fn subscribed(
    subscription: &Subscription,
    credentials: Option<Vec<Credential>>,
    request: &MessageId,
) -> RuntimeMessage {
    let job = &subscription.job;
    RuntimeMessage::Subscribed(Box::new(Subscribed {
        request_id: Some(request.clone()),
        job_id: job.job.into(),
        current_status: job_status(job.status).into(),
        agent: agent(job),
        lease: job.accepted.lease.clone(),
        lease_constraints: constraints(job),
        budget: budget(subscription.remaining.iter().map(|(currency, left)| (&**currency, *left))),
        parent_job_id: job.accepted.parent.as_ref().map(|parent| parent.job.into()),
        trace_id: job.accepted.trace_id,
        subscribed_from: subscription.subscribed_from,
        replayed: subscription.replayed,
        credentials,
    }))
}

/// A credential, for the job's submitter.
pub(crate) fn credential((provisioned, value): (Provisioned, Value)) -> Credential {
    let Provisioned { id, endpoint, profile, constraints, .. } = provisioned;
    Credential {
        id: id.to_string(),
        scheme: BEARER.to_owned(),
        value: Secret::new(value.expose()),
        endpoint,
        profile,
        constraints: Some(constraints),
    }
}

/// A page of jobs.
pub(crate) fn jobs(page: JobPage, request: &MessageId) -> RuntimeMessage {
    let entry = |job: ListedJob| JobEntry {
        job_id: job.job.into(),
        agent: format!("{}@{}", job.agent, job.version),
        status: job_status(job.status).into(),
        lease: job.lease,
        parent_job_id: job.parent.map(Into::into),
        owner: job.owner.map(|owner| owner.to_string()),
        created_at: Some(job.created_at),
        submitted_at: Some(job.created_at),
        trace_id: job.trace_id,
        last_event_seq: job.last_event_seq,
    };
    let JobPage { jobs, next_cursor } = page;
    let jobs = jobs.into_iter().map(entry).collect();
    RuntimeMessage::Jobs(Jobs { request_id: Some(request.clone()), jobs, next_cursor })
}

fn constraints(job: &JobSummary) -> Option<LeaseConstraints> {
    job.accepted.expires_at.map(|at| LeaseConstraints { expires_at: Some(at) })
}

/// The budget with which the job began (spec 7.1).
fn initial_budget(job: &JobSummary) -> Option<Budget> {
    budget(Terms::read(&job.accepted.lease).ok()?.budget.iter())
}

/// Amounts by currency; `None` if there are none.
fn budget<'a>(amounts: impl Iterator<Item = (&'a str, Units)>) -> Option<Budget> {
    let amounts = amounts.filter_map(|(currency, units)| Some((currency.into(), units.to_string().parse().ok()?)));
    Some(amounts.collect()).filter(|budget: &Budget| !budget.is_empty())
}

/// What a step of removing what is over came to.
pub(crate) fn audit_page(page: AuditPage, request: &MessageId) -> RuntimeMessage {
    let record = |entry: AuditEntry| AuditRecord {
        at: entry.at.to_string(),
        action: entry.action.as_str().to_owned(),
        decision: entry.decision.as_str().to_owned(),
        relation: entry.relation,
        scope: entry.scope,
        who: entry.who,
        object: entry.object,
        owner: entry.owner,
        reason: entry.reason,
        credential: entry.credential,
        from: entry.from,
        session: entry.session,
        trace_id: entry.trace_id.map(|trace| trace.to_string()),
        count: entry.count,
    };
    RuntimeMessage::AuditPage(vendor::AuditPage {
        request_id: Some(request.clone()),
        entries: page.entries.into_iter().map(record).collect(),
        next_cursor: page.next.as_deref().and_then(Text::cut),
        more: page.more,
    })
}

pub(crate) fn gc_report(step: GcStep, dry_run: bool, request: &MessageId) -> RuntimeMessage {
    let GcStep { jobs, sessions, kept, bytes_before, bytes_after, oldest, newest, next_cursor } = step;
    RuntimeMessage::GcReport(GcReport {
        request_id: Some(request.clone()),
        dry_run,
        jobs,
        sessions,
        kept: kept.into_iter().map(Into::into).collect(),
        bytes_before,
        bytes_after,
        oldest,
        newest,
        next_cursor: next_cursor.as_deref().and_then(Text::cut),
    })
}

/// Keys that were asked for, and the secret of one that was just made.
pub(crate) fn keys_report(answer: KeysAnswer, request: &MessageId) -> RuntimeMessage {
    let KeysAnswer { keys, secret, next } = answer;
    RuntimeMessage::KeysReport(KeysReport {
        request_id: Some(request.clone()),
        keys: keys.into_iter().map(key_entry).collect(),
        secret: secret.map(|key| Secret::new(key.expose())),
        next_cursor: next.and_then(|last| Text::cut(&last.to_string())),
    })
}

/// Credentials in one report: with the longest of everything, a tenth of what fits a frame.
const MAX_LISTED_CREDENTIALS: usize = 200;

/// Credentials that are to be withdrawn, and the one that was given another value.
pub(crate) fn credentials_report(
    report: CredentialsReport,
    rotated: Option<CredentialId>,
    request: &MessageId,
) -> RuntimeMessage {
    let CredentialsReport { upstream, is_offered, trouble, live, revocations } = report;
    let outstanding = revocations.len();
    let entry = |revocation: Revocation| CredentialEntry {
        name: revocation.custody.issue,
        job_id: revocation.custody.job,
        upstream: revocation.custody.upstream,
        since: revocation.since,
        failed: revocation.failed,
        error: revocation.error,
    };
    RuntimeMessage::CredentialsReport(vendor::CredentialsReport {
        request_id: Some(request.clone()),
        upstream,
        offered: is_offered,
        trouble,
        live,
        outstanding,
        rotated,
        credentials: revocations.into_iter().take(MAX_LISTED_CREDENTIALS).map(entry).collect(),
    })
}

fn key_entry(record: KeyRecord) -> KeyEntry {
    KeyEntry {
        id: record.id,
        grants: record.grants(),
        hint: record.hint,
        name: record.name,
        principal: record.principal,
        created_at: record.created_at,
        rotated_at: record.rotated_at,
        previous_until: record.previous.map(|previous| previous.until),
        expires_at: record.expires_at,
        last_used_at: record.last_used_at,
        revoked: record.disabled,
        revoked_at: record.revoked_at,
    }
}

fn agent(job: &JobSummary) -> String {
    format!("{}@{}", job.accepted.agent, job.accepted.version)
}

const fn job_status(status: Status) -> JobStatus {
    match status {
        Status::Pending => JobStatus::Pending,
        Status::Running => JobStatus::Running,
        Status::Success => JobStatus::Success,
        Status::Error => JobStatus::Error,
        Status::Cancelled => JobStatus::Cancelled,
        Status::TimedOut => JobStatus::TimedOut,
    }
}

/// A record that a session sees; `None` for one that no session ever sees. `value_of` tells the value that a credential
/// was given, if this client is to be told.
pub(crate) fn delivery(
    delivery: &Delivery,
    features: FeatureSet,
    value_of: impl FnOnce(&CredentialRotated) -> Option<Value>,
) -> Result<Option<RuntimeMessage>, Corrupt> {
    let record = delivery.record.get();
    Ok(match Fact::decode(record)? {
        Fact::Event(event) => Some(RuntimeMessage::Event(job_event(event, features))),
        Fact::Notice(notice) => Some(RuntimeMessage::Event(JobEvent::new(&notice.kind, record.at, notice.body))),
        Fact::Result(success) => Some(RuntimeMessage::JobResult(job_result(success, record.at))),
        Fact::Error(failure) => Some(RuntimeMessage::JobError(job_error(failure, record.at))),
        Fact::CredentialRotated(rotated) => {
            let value = value_of(&rotated).filter(|_| features.contains(Feature::ProvisionedCredentials));
            let value = value.map(|value| Secret::new(value.expose()));
            let body = credential::rotated(&rotated.credential.to_string(), value.as_ref());
            Some(RuntimeMessage::Event(JobEvent::new(&EventKind::Status, record.at, body)))
        }
        Fact::Delegated(fact) => Some(RuntimeMessage::Event(delegation::delegated(&fact, record.at))),
        Fact::DelegationRefused(fact) => Some(RuntimeMessage::Event(delegation::refused(&fact, record.at))),
        Fact::ChildEnded(fact) => Some(RuntimeMessage::Event(delegation::ended(&fact, record.at))),
        Fact::Accepted(_)
        | Fact::Started(_)
        | Fact::CancelRequested(_)
        | Fact::Reserved(_)
        | Fact::Settled(_)
        | Fact::DelegationHeld(_)
        | Fact::Opened(_)
        | Fact::Attached(_)
        | Fact::History(_)
        | Fact::Detached(_)
        | Fact::Closed(_)
        | Fact::Subscribed(_) => None,
    })
}

/// Whether an event of this kind is shown to a client with these features; a status is in its place otherwise.
pub(crate) fn shows(kind: &[u8], features: FeatureSet) -> bool {
    [EventKind::Progress, EventKind::ResultChunk]
        .iter()
        .all(|gated| gated.as_str().as_bytes() != kind || needs(gated).is_none_or(|feature| features.contains(feature)))
}

/// The feature without which events of this kind are not shown.
const fn needs(kind: &EventKind) -> Option<Feature> {
    match kind {
        EventKind::Progress => Some(Feature::Progress),
        EventKind::ResultChunk => Some(Feature::ResultChunk),
        EventKind::Log
        | EventKind::Thought
        | EventKind::ToolCall
        | EventKind::ToolResult
        | EventKind::Status
        | EventKind::Metric
        | EventKind::ArtifactRef
        | EventKind::Delegate
        | EventKind::Vendor(_) => None,
    }
}

/// The event. One of a kind that was not negotiated is told as a status, under the same number: leaving it out would
/// be a hole in the client's numbering.
fn job_event(event: Event, features: FeatureSet) -> JobEvent {
    match needs(&event.kind).filter(|feature| !features.contains(*feature)) {
        None => JobEvent::new(&event.kind, event.ts, event.body),
        Some(feature) => {
            let message = format!("an event of kind {} is not shown: feature {feature} was not negotiated", event.kind);
            let body = Json::of(&serde_json::json!({ "phase": event.kind.as_str(), "message": message }));
            JobEvent::new(&EventKind::Status, event.ts, body.unwrap_or(event.body))
        }
    }
}

fn job_result(success: Success, at: Timestamp) -> JobResult {
    let mut result = match success.output {
        Output::Inline(value) => JobResult::inline(value, at),
        Output::Streamed { result_id, result_size } => JobResult::streamed(result_id.into(), result_size, at),
    };
    result.summary = success.summary;
    result
}

fn job_error(failure: Failure, at: Timestamp) -> JobError {
    let status = match Status::of(failure.cause) {
        Status::Cancelled => FinalStatus::Cancelled,
        Status::TimedOut => FinalStatus::TimedOut,
        Status::Pending | Status::Running | Status::Success | Status::Error => FinalStatus::Error,
    };
    let mut error = JobError::new(status, code_of(failure.cause), &failure.message, failure.retryable, at);
    error.details = failure.details;
    error
}

/// The code of a cause.
pub(crate) const fn code_of(cause: Cause) -> ErrorCode {
    match cause {
        Cause::Cancelled => ErrorCode::Cancelled,
        Cause::TimedOut => ErrorCode::Timeout,
        Cause::InvalidRequest => ErrorCode::InvalidRequest,
        Cause::PermissionDenied => ErrorCode::PermissionDenied,
        Cause::LeaseExpired => ErrorCode::LeaseExpired,
        Cause::BudgetExhausted => ErrorCode::BudgetExhausted,
        Cause::LeaseSubset => ErrorCode::LeaseSubsetViolation,
        Cause::AgentNotAvailable => ErrorCode::AgentNotAvailable,
        Cause::AgentVersionNotAvailable => ErrorCode::AgentVersionNotAvailable,
        Cause::NotDispatched | Cause::WorkerLost | Cause::Agent | Cause::Gateway => ErrorCode::InternalError,
    }
}

/// Numbers that are left out before the record with the next one.
pub(crate) fn missed(missed: Missed, next: EventSeq, epoch: Epoch) -> Gap {
    let reason = match missed.reason {
        MissedReason::Skipped => GapReason::Skipped,
        MissedReason::Superseded => GapReason::Superseded,
        MissedReason::TrimmedByAge => GapReason::TrimmedByAge,
        MissedReason::TrimmedBySize => GapReason::TrimmedBySize,
        MissedReason::TrimmedByOperator => GapReason::TrimmedByOperator,
    };
    Gap { from: Some(missed.from), to: Some(missed.to), next, reason: reason.into(), epoch }
}

/// A refusal.
pub(crate) fn refusal(refusal: &Refusal) -> SessionError {
    let mut error = SessionError::new(code(refusal), &refusal.to_string());
    if let Refusal::QuotaReached(reached) = refusal {
        error = error.retryable_if(reached.quota.frees_itself());
    }
    error.details = details(refusal);
    error
}

pub(crate) const fn code(refusal: &Refusal) -> ErrorCode {
    match refusal {
        Refusal::HelloExpected
        | Refusal::SecondHello
        | Refusal::HelloTooLate { .. }
        | Refusal::ForeignSession
        | Refusal::FeatureNotNegotiated { .. }
        | Refusal::NotServed { .. }
        | Refusal::QuotaReached(_)
        | Refusal::TooManyWatched { .. }
        | Refusal::CursorUnknown
        | Refusal::KeyUnknown { .. }
        | Refusal::KeyOver { .. }
        | Refusal::KeyRefused { .. }
        | Refusal::TooManyKeys { .. }
        | Refusal::LastAdministrator
        | Refusal::JobEnded { .. }
        | Refusal::AckAhead { .. }
        | Refusal::LeaseUnreadable { .. }
        | Refusal::CredentialRefused { .. }
        | Refusal::CredentialUnknown { .. }
        | Refusal::LeasePast { .. } => ErrorCode::InvalidRequest,
        Refusal::Unauthenticated
        | Refusal::CredentialExpired { .. }
        | Refusal::KeyRevoked { .. }
        | Refusal::ResumeWithoutHello => ErrorCode::Unauthenticated,
        Refusal::ResumeUnknown
        | Refusal::ResumeAhead { .. }
        | Refusal::ResumeReplaced { .. }
        | Refusal::ResumeTrimmed { .. } => ErrorCode::ResumeWindowExpired,
        Refusal::AgentNotAvailable { .. } => ErrorCode::AgentNotAvailable,
        Refusal::AgentVersionNotAvailable { .. } => ErrorCode::AgentVersionNotAvailable,
        Refusal::ScopeMissing { .. } | Refusal::NotWithinConstraints { .. } | Refusal::ResumeNotAllowed { .. } => {
            ErrorCode::PermissionDenied
        }
        Refusal::JobNotFound { .. } => ErrorCode::JobNotFound,
        Refusal::NotDelegated { error } => code_of(error.cause()),
        Refusal::KeyTaken { .. } | Refusal::KeyOfRemovedJob { .. } => ErrorCode::DuplicateKey,
        Refusal::Draining
        | Refusal::ResumeBusy
        | Refusal::Crowded
        | Refusal::Overrun { .. }
        | Refusal::CredentialUnavailable { .. }
        | Refusal::StoreUnavailable { .. } => ErrorCode::InternalError,
    }
}

/// The fields of a refusal, for programs.
fn details(refusal: &Refusal) -> Option<Json> {
    let details = match refusal {
        Refusal::FeatureNotNegotiated { feature } => serde_json::json!({ "feature": feature }),
        Refusal::QuotaReached(reached) => reached.details(),
        // Each is refused when there are as many as there may be.
        Refusal::TooManyWatched { limit } | Refusal::TooManyKeys { limit } => {
            serde_json::json!({ "limit": limit, "used": limit })
        }
        Refusal::CredentialExpired { at } => serde_json::json!({ "expired_at": at.to_string() }),
        Refusal::KeyRevoked { key } | Refusal::KeyUnknown { key } | Refusal::KeyOver { key } => {
            serde_json::json!({ "key": key.to_string() })
        }
        Refusal::AgentNotAvailable { name } => serde_json::json!({ "agent": name.as_str() }),
        Refusal::AgentVersionNotAvailable { name, version, available } => serde_json::json!({
            "agent": name.as_str(),
            "version": version.as_str(),
            "available": available.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        Refusal::ResumeAhead { asked, last } => {
            serde_json::json!({ "last_event_seq": asked, "last": last, "oldest": 1 })
        }
        Refusal::ResumeTrimmed { asked, through } => {
            serde_json::json!({ "last_event_seq": asked, "oldest": through.next() })
        }
        Refusal::ResumeReplaced { asked, epoch } => serde_json::json!({ "asked_epoch": asked, "epoch": epoch }),
        Refusal::AckAhead { asked, last } => serde_json::json!({ "last_processed_seq": asked, "last": last }),
        Refusal::KeyTaken { job } | Refusal::KeyOfRemovedJob { job } => {
            serde_json::json!({ "existing_job_id": job.to_string() })
        }
        Refusal::Overrun { job, limit } => serde_json::json!({ "job_id": job.to_string(), "limit": limit }),
        Refusal::NotDelegated { error } => return error.details().and_then(|details| Json::of(&details).ok()),
        Refusal::LeasePast { expires_at } => serde_json::json!({ "expires_at": expires_at.to_string() }),
        Refusal::LeaseUnreadable { source } => serde_json::json!({
            "field": "payload.lease_request",
            "namespace": source.namespace(),
            "pattern": source.pattern(),
        }),
        Refusal::ScopeMissing { needs, .. } => serde_json::json!({ "scope": needs.as_str() }),
        Refusal::NotWithinConstraints { broken } => constraint(broken),
        Refusal::ResumeNotAllowed { job } => serde_json::json!({ "job_id": job.to_string() }),
        Refusal::JobEnded { status } => serde_json::json!({ "final_status": status.to_string() }),
        Refusal::HelloExpected
        | Refusal::SecondHello
        | Refusal::HelloTooLate { .. }
        | Refusal::ForeignSession
        | Refusal::NotServed { .. }
        | Refusal::Unauthenticated
        | Refusal::ResumeWithoutHello
        | Refusal::ResumeUnknown
        | Refusal::ResumeBusy
        | Refusal::Crowded
        | Refusal::Draining
        | Refusal::CursorUnknown
        | Refusal::KeyRefused { .. }
        | Refusal::LastAdministrator
        | Refusal::JobNotFound { .. }
        | Refusal::CredentialRefused { .. }
        | Refusal::CredentialUnknown { .. }
        | Refusal::CredentialUnavailable { .. }
        | Refusal::StoreUnavailable { .. } => return None,
    };
    Json::of(&details).ok()
}

fn constraint(broken: &ConstraintBroken) -> serde_json::Value {
    match broken {
        ConstraintBroken::Agent { agent, allowed } => {
            serde_json::json!({ "constraint": "agents", "agent": agent.as_str(), "allowed": allowed })
        }
        ConstraintBroken::Lease { capability, pattern } => {
            serde_json::json!({ "constraint": "lease", "namespace": capability.as_str(), "pattern": pattern })
        }
        ConstraintBroken::Unreadable { .. } => serde_json::json!({ "constraint": "lease" }),
        ConstraintBroken::Budget { currency, asked, limit } => serde_json::json!({
            "constraint": "max_budget",
            "currency": currency,
            "asked": asked,
            "limit": limit,
        }),
        ConstraintBroken::Runtime { asked, limit } => {
            serde_json::json!({ "constraint": "max_runtime_sec", "max_runtime_sec": asked, "limit": limit })
        }
    }
}

/// What is wrong with a frame.
pub(crate) fn malformed(kind: &DecodeErrorKind) -> SessionError {
    let mut error = SessionError::new(ErrorCode::InvalidRequest, &kind.to_string());
    error.details = kind.details();
    error
}
