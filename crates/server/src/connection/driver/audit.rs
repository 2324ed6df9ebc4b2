//! What a connection writes into the audit trail.
//!
//! An entry says what was asked for by identifiers of ours, and why it was refused by the code that its client was told.
//! Nothing else of what a client sends gets into it: a secret may be in the wrong field.

use moorline_core::Refusal;
use moorline_core::access::Ruling;
use moorline_core::audit::{AuditAction, AuditEntry};
use moorline_runtime::GcStep;
use moorline_types::{CredentialId, JobId, KeyId, TraceId};
use moorline_wire::vendor::Credentials;
use moorline_wire::{ClientMessage, JobRef};

use super::Driver;
use crate::connection::hello::{self, Known};
use crate::front::to_wire;
use crate::keys::Credential;

/// What a request is in the trail.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deed {
    pub(super) action: AuditAction,
    pub(super) job: Option<JobId>,
    pub(super) trace_id: Option<TraceId>,
}

impl Deed {
    /// What concerns no job.
    pub(super) const fn of_none(action: AuditAction) -> Self {
        Self { action, job: None, trace_id: None }
    }

    /// The entry, of this deed.
    fn told_by(self, entry: AuditEntry) -> AuditEntry {
        AuditEntry { object: self.job.map(|job| job.to_string()), trace_id: self.trace_id, ..entry }
    }

    /// `None` for what is not written into the trail.
    pub(super) fn of(message: &ClientMessage, envelope: Option<&JobRef>, trace_id: Option<TraceId>) -> Option<Self> {
        let deed = |action, job: Option<&JobRef>| Some(Self { action, job: job.and_then(JobRef::known), trace_id });
        match message {
            ClientMessage::Submit(_) => deed(AuditAction::Submit, None),
            ClientMessage::Cancel(cancel) => deed(AuditAction::Cancel, cancel.target(envelope).ok()),
            ClientMessage::Subscribe(subscribe) => deed(AuditAction::Subscribe, Some(&subscribe.job_id)),
            ClientMessage::Gc(_) => deed(AuditAction::Gc, None),
            ClientMessage::Audit(_) => deed(AuditAction::Audit, None),
            ClientMessage::Keys(_) => deed(AuditAction::Keys, None),
            ClientMessage::Credentials(Credentials::Rotate { job_id, .. }) => {
                deed(AuditAction::Credentials, Some(job_id))
            }
            ClientMessage::Credentials(_) => deed(AuditAction::Credentials, None),
            ClientMessage::ListJobs(_) => deed(AuditAction::List, None),
            ClientMessage::Hello(_)
            | ClientMessage::Resume(_)
            | ClientMessage::Unsubscribe(_)
            | ClientMessage::Ack(_)
            | ClientMessage::Close(_)
            | ClientMessage::Bye(_)
            | ClientMessage::Ping(_)
            | ClientMessage::Pong(_) => None,
        }
    }
}

impl Driver<'_> {
    /// Something was done, as the session has decided. For what is a record of the journal too.
    pub(super) fn note_done(&self, deed: Deed) {
        self.service.gateway().audit().note(self.done(deed));
    }

    /// Something was done, by this decision.
    pub(super) fn note_ruled(&self, deed: Deed, ruling: Option<Ruling>) {
        self.note(deed.told_by(self.allowed(deed.action)).ruled(ruling));
    }

    /// Somebody controls or administers: the trail has it before it is answered.
    pub(super) async fn record_done(&mut self, deed: Deed) -> Result<(), Refusal> {
        self.service.gateway().audit().record(self.done(deed)).await
    }

    /// What is over was removed, or it was looked what would be.
    pub(super) async fn record_removal(&mut self, step: &GcStep, dry_run: bool) -> Result<(), Refusal> {
        let what = if dry_run { "a dry run" } else { "removed" };
        let reason = Some(format!("{what}: {} jobs and {} sessions", step.jobs, step.sessions));
        let entry = AuditEntry { reason, ..self.done(Deed::of_none(AuditAction::Gc)) };
        self.service.gateway().audit().record(entry).await
    }

    /// A credential of a job was given another value.
    pub(super) async fn record_rotation(&mut self, deed: Deed, rotated: CredentialId) -> Result<(), Refusal> {
        let entry = AuditEntry { reason: Some(format!("rotated {rotated}")), ..self.done(deed) };
        self.service.gateway().audit().record(entry).await
    }

    /// The entry of what the session has decided and is done.
    pub(super) fn done(&self, deed: Deed) -> AuditEntry {
        self.entry(deed.told_by(self.allowed(deed.action)).ruled(self.ruling()))
    }

    /// Something was not done. Whose the job is, which its client may not know, is in the trail.
    pub(super) fn note_refused(&self, deed: Deed, refusal: &Refusal) {
        let code = to_wire::code(refusal).to_string();
        let entry = AuditEntry::refused(self.service.gateway().now(), deed.action, &code);
        self.note(deed.told_by(entry).ruled(self.ruling()));
    }

    /// Somebody who has authenticated got no session.
    pub(super) fn note_known(&self, known: Known, refusal: &Refusal) {
        let Known { principal, credential, action, ruling } = known;
        let code = to_wire::code(refusal).to_string();
        let entry = AuditEntry::refused(self.service.gateway().now(), action, &code);
        let object = hello::job_of(refusal).map(|job| job.to_string());
        let entry = AuditEntry { who: Some(principal.to_string()), credential: Some(credential), object, ..entry };
        self.note(entry.ruled(ruling));
    }

    /// Another session was not gone on with, by this decision about a job of it.
    pub(super) fn note_not_resumed(&self, refusal: &Refusal, ruling: Option<Ruling>) {
        let code = to_wire::code(refusal).to_string();
        let entry = AuditEntry::refused(self.service.gateway().now(), AuditAction::SessionResume, &code);
        let object = hello::job_of(refusal).map(|job| job.to_string());
        self.note(AuditEntry { object, ..entry }.ruled(ruling));
    }

    /// Nobody was let in, perhaps with this API key, which is over.
    pub(super) fn note_stranger(&self, reason: &str, over: Option<KeyId>) {
        let entry = AuditEntry::refused(self.service.gateway().now(), AuditAction::Authenticate, reason);
        let credential = over.map(|key| Credential::ApiKey(key).to_string());
        self.note(AuditEntry { credential, ..entry });
    }

    fn allowed(&self, action: AuditAction) -> AuditEntry {
        AuditEntry::allowed(self.service.gateway().now(), action)
    }

    fn ruling(&self) -> Option<Ruling> {
        self.session.as_ref()?.take_ruling()
    }

    fn note(&self, entry: AuditEntry) {
        self.service.gateway().audit().note(self.entry(entry));
    }

    /// The entry, of this connection.
    fn entry(&self, entry: AuditEntry) -> AuditEntry {
        let session = self.session.as_ref();
        AuditEntry {
            who: entry.who.or_else(|| session.map(|session| session.principal().id.to_string())),
            session: session.map(|session| session.id().to_string()),
            from: Some(self.peer.to_string()),
            ..entry
        }
    }
}
