//! What a connection writes into the audit trail.
//!
//! An entry says what was asked for by identifiers of ours, and why it was refused by the code that its client was told.
//! Nothing else of what a client sends gets into it: a secret may be in the wrong field.

use moorline_core::Refusal;
use moorline_core::audit::{AuditAction, AuditEntry};
use moorline_types::{JobId, KeyId, PrincipalId, TraceId};
use moorline_wire::{ClientMessage, JobRef};

use super::Driver;
use crate::front::to_wire;

/// What a request is in the trail.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deed {
    pub(super) action: AuditAction,
    pub(super) job: Option<JobId>,
    pub(super) trace_id: Option<TraceId>,
}

impl Deed {
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
            ClientMessage::Hello(_)
            | ClientMessage::Resume(_)
            | ClientMessage::Unsubscribe(_)
            | ClientMessage::Ack(_)
            | ClientMessage::ListJobs(_)
            | ClientMessage::Close(_)
            | ClientMessage::Bye(_)
            | ClientMessage::Ping(_)
            | ClientMessage::Pong(_) => None,
        }
    }
}

impl Driver<'_> {
    /// Something was done to a job, of this principal's.
    pub(super) fn note_done(&self, deed: Deed, owner: Option<&PrincipalId>) {
        let now = self.service.gateway().now();
        let owner = owner.map(ToString::to_string);
        self.note(AuditEntry { owner, ..self.entry(AuditEntry::allowed(now, deed.action), deed) });
    }

    /// Something was not done.
    pub(super) fn note_refused(&self, deed: Deed, refusal: &Refusal) {
        let now = self.service.gateway().now();
        let code = to_wire::code(refusal).to_string();
        self.note(self.entry(AuditEntry::refused(now, deed.action, &code), deed));
    }

    /// A key was made or changed.
    pub(super) fn note_key(&self, key: KeyId, what: &str) {
        let entry = AuditEntry::allowed(self.service.gateway().now(), AuditAction::Keys);
        self.note(AuditEntry { object: Some(key.to_string()), reason: Some(what.to_owned()), ..entry });
    }

    /// A session was opened or gone on with, by somebody who has authenticated like this.
    pub(super) fn note_session(&self, action: AuditAction, how: &str) {
        let entry = AuditEntry::allowed(self.service.gateway().now(), action);
        self.note(AuditEntry { reason: Some(how.to_owned()), ..entry });
    }

    /// Nobody was let in.
    pub(super) fn note_stranger(&self, reason: &str) {
        self.note(AuditEntry::refused(self.service.gateway().now(), AuditAction::Authenticate, reason));
    }

    fn entry(&self, entry: AuditEntry, deed: Deed) -> AuditEntry {
        AuditEntry { object: deed.job.map(|job| job.to_string()), trace_id: deed.trace_id, ..entry }
    }

    fn note(&self, entry: AuditEntry) {
        let session = self.session.as_ref();
        self.service.gateway().audit().note(AuditEntry {
            who: session.map(|session| session.principal().id.to_string()),
            session: session.map(|session| session.id().to_string()),
            from: Some(self.peer.to_string()),
            ..entry
        });
    }
}
