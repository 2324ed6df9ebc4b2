//! The audit trail: who did what, to what, whether it was allowed, and why.
//!
//! An entry is written once and never changed. It has no secret in it: whoever reads the trail need not be trusted with
//! more than that. Entries go when they are older than what is over is kept.

use moorline_types::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// Why, or how.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// What is written into the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    /// A worker attached, or somebody wanted to as one.
    WorkerAttach,
    /// An administrator removed what was over.
    Gc,
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

impl AuditEntry {
    /// Something that was done.
    pub const fn allowed(at: Timestamp, action: AuditAction) -> Self {
        Self { at, action, who: None, object: None, decision: AuditDecision::Allowed, reason: None }
    }

    /// Something that was not, and why.
    pub fn refused(at: Timestamp, action: AuditAction, reason: &str) -> Self {
        let mut end = reason.len().min(MAX_REASON_BYTES);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let reason = reason.get(..end).map(str::to_owned);
        Self { decision: AuditDecision::Refused, reason, ..Self::allowed(at, action) }
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
}
