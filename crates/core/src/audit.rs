//! The audit trail: who did what, to what, whether it was allowed, and why.
//!
//! An entry is written once and never changed. It has no secret in it: whoever reads the trail need not be trusted with
//! more than that. Entries go when they are older than the trail is kept.

mod throttle;

use moorline_types::{Timestamp, TraceId};
use serde::{Deserialize, Serialize};

use crate::access::Ruling;

pub use throttle::Throttle;

/// The longest reason that is kept, in bytes: a sentence or two, not what a stranger had to say.
pub const MAX_REASON_BYTES: usize = 512;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// What was done, or was to be done.
    pub action: AuditAction,
    /// Who did it, as far as that is known: a principal, a worker.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub who: Option<String>,
    /// To what: a job, a session, a worker.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub object: Option<String>,
    /// Whether it was allowed.
    pub decision: AuditDecision,
    /// How who did it stands to whose it is: `owner`, `same tag` or `stranger`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub relation: Option<String>,
    /// The scope that was enough, or the least that would have been.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scope: Option<String>,
    /// Why, or how.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// By what it was shown who it is: which API key, a certificate, a token. Never the secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credential: Option<String>,
    /// From where: an address, or the standard input of the process that started the gateway.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// In which session.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session: Option<String>,
    /// Whose what was done to was: the principal of the job.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
    /// Under which trace.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace_id: Option<TraceId>,
    /// For how many this stands, if it is not one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<u32>,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $word:literal;)*) => {
        /// What is written into the trail.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum AuditAction {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl AuditAction {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

actions! {
    /// Somebody wanted to open a session without being let in. Who is let in has a session.
    Authenticate = "authenticate";
    /// A session was opened.
    SessionOpen = "session_open";
    /// A session was gone on with.
    SessionResume = "session_resume";
    /// A job was submitted.
    Submit = "submit";
    /// A job was to be cancelled.
    Cancel = "cancel";
    /// A job was watched.
    Subscribe = "subscribe";
    /// How a job ended, and with what, was told to a session that has not submitted it.
    Result = "result";
    /// A command was to be carried out in a gateway session, or an alarm of it acknowledged. Those that were are in the
    /// session's records.
    Invoke = "invoke";
    /// Jobs were listed.
    List = "list";
    /// A job ended because its lease did.
    LeaseExpiry = "lease_expiry";
    /// An operation that a job asked about was denied.
    Operation = "operation";
    /// A worker attached, or somebody wanted to as one.
    WorkerAttach = "worker_attach";
    /// A worker of another machine may attach from now on.
    WorkerEnrol = "worker_enroll";
    /// A worker of another machine may not attach any more.
    WorkerRevoke = "worker_revoke";
    /// An API key was made, or changed.
    Keys = "keys";
    /// An administrator looked at credentials that are to be withdrawn, or had it done.
    Credentials = "credentials";
    /// The gateway was started.
    Start = "start";
    /// A setting is not what it was at the last start; or certificates were loaded anew while the gateway ran, or were to
    /// be.
    Configuration = "configuration";
    /// An administrator removed what was over.
    Gc = "gc";
    /// Somebody read the trail.
    Audit = "audit";
    /// The oldest entries were removed.
    Trim = "trim";
    /// Refusals that were counted and not written one by one.
    Counted = "counted";
    /// Entries that could not be written, and are lost.
    Lost = "lost";
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditDecision {
    /// It was done.
    Allowed,
    /// It was not.
    Refused,
}

impl AuditDecision {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
        }
    }
}

/// Which entries are looked for: those that fit everything that is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// No earlier than this.
    pub since: Option<Timestamp>,
    /// Done by this principal or worker.
    pub who: Option<String>,
    /// Named like this. A name that no action has finds nothing: a newer gateway may have written it.
    pub action: Option<String>,
    /// Done to this job.
    pub job: Option<String>,
    /// Allowed or refused.
    pub decision: Option<AuditDecision>,
}

impl AuditFilter {
    /// Whether the entry is looked for.
    pub fn matches(&self, entry: &AuditEntry) -> bool {
        let Self { since, who, action, job, decision } = self;
        since.is_none_or(|since| entry.at >= since)
            && who.as_ref().is_none_or(|who| entry.who.as_ref() == Some(who))
            && action.as_ref().is_none_or(|action| entry.action.as_str() == action)
            && job.as_ref().is_none_or(|job| entry.object.as_ref() == Some(job))
            && decision.is_none_or(|decision| entry.decision == decision)
    }
}

impl AuditEntry {
    /// Something that was done.
    pub const fn allowed(at: Timestamp, action: AuditAction) -> Self {
        Self {
            at,
            action,
            who: None,
            object: None,
            decision: AuditDecision::Allowed,
            relation: None,
            scope: None,
            reason: None,
            credential: None,
            from: None,
            session: None,
            owner: None,
            trace_id: None,
            count: None,
        }
    }

    /// The same, decided like this. What is known of the trace already stays.
    #[must_use]
    pub fn ruled(self, ruling: Option<Ruling>) -> Self {
        let Some(Ruling { ground, owner, trace_id }) = ruling else { return self };
        Self {
            relation: ground.relation.map(|relation| relation.as_str().to_owned()),
            scope: Some(ground.scope.to_string()),
            owner: owner.map(|owner| owner.to_string()),
            trace_id: self.trace_id.or(trace_id),
            ..self
        }
    }

    /// The same, for this reason or in this way, of which at most [`MAX_REASON_BYTES`] are kept.
    #[must_use]
    pub fn because(self, reason: &str) -> Self {
        let mut end = reason.len().min(MAX_REASON_BYTES);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        Self { reason: reason.get(..end).map(str::to_owned), ..self }
    }

    /// Something that was not, and why.
    pub fn refused(at: Timestamp, action: AuditAction, reason: &str) -> Self {
        Self { decision: AuditDecision::Refused, ..Self::allowed(at, action) }.because(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_back_and_a_long_reason_is_cut_between_characters() {
        let at = Timestamp::from_unix_millis(7);
        let refused = AuditEntry::refused(at, AuditAction::WorkerAttach, &"ä".repeat(MAX_REASON_BYTES));
        assert_eq!(refused.reason.as_ref().map(String::len), Some(MAX_REASON_BYTES));
        let entry = AuditEntry { who: Some("wrk_1".into()), ..AuditEntry::allowed(at, AuditAction::WorkerAttach) };
        for entry in [refused, entry] {
            let text = serde_json::to_string(&entry).unwrap();
            assert_eq!(serde_json::from_str::<AuditEntry>(&text).unwrap(), entry, "{text}");
        }
    }

    #[test]
    fn an_entry_is_found_by_everything_that_is_asked_for() {
        let at = Timestamp::from_unix_millis;
        let entry = AuditEntry {
            who: Some("ada".into()),
            object: Some("job_1".into()),
            ..AuditEntry::allowed(at(7), AuditAction::Cancel)
        };
        let text = |text: &str| Some(text.to_owned());
        let all = AuditFilter::default();
        for (filter, expected) in [
            (AuditFilter { since: Some(at(8)), ..all.clone() }, false),
            (AuditFilter { who: text("eve"), ..all.clone() }, false),
            (AuditFilter { action: text("submit"), ..all.clone() }, false),
            (AuditFilter { job: text("job_2"), ..all.clone() }, false),
            (AuditFilter { decision: Some(AuditDecision::Refused), ..all.clone() }, false),
            (
                AuditFilter {
                    since: Some(at(7)),
                    who: text("ada"),
                    action: text("cancel"),
                    job: text("job_1"),
                    decision: Some(AuditDecision::Allowed),
                },
                true,
            ),
            (all, true),
        ] {
            assert_eq!(filter.matches(&entry), expected, "{filter:?}");
        }
    }

    #[test]
    fn an_action_is_written_under_its_name() {
        for action in AuditAction::ALL {
            assert_eq!(serde_json::to_string(action).unwrap(), format!("{:?}", action.as_str()));
        }
    }
}
