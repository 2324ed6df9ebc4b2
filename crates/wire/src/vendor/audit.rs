//! An administrator reads the audit trail: a request of our own, and its answer.
//!
//! One request is one page. A page says where the next one begins, also when there is no more at the moment, so the trail
//! can be followed.

use moorline_types::{MessageId, Timestamp};

use crate::payload::MAX_CURSOR_BYTES;
use crate::{Text, de};

/// The longest text that is looked for, in bytes: the longest name of a principal.
const MAX_FILTER_BYTES: usize = 256;

/// Asks for a page of the trail: entries that fit everything that is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// No earlier than this.
    #[serde(default, with = "de::maybe_text", skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// At the most so long ago, in milliseconds of the runtime's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_ms: Option<u64>,
    /// Done by this principal or worker.
    #[serde(default, deserialize_with = "de::empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub principal: Option<Text<MAX_FILTER_BYTES>>,
    /// What was done, such as `submit`.
    #[serde(default, deserialize_with = "de::empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub action: Option<Text<MAX_FILTER_BYTES>>,
    /// Done to this job.
    #[serde(default, deserialize_with = "de::empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub job: Option<Text<MAX_FILTER_BYTES>>,
    /// `allowed` or `refused`.
    #[serde(default, deserialize_with = "de::empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub decision: Option<Text<MAX_FILTER_BYTES>>,
    /// The most entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Where the page before ended.
    #[serde(default, deserialize_with = "de::empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Text<MAX_CURSOR_BYTES>>,
}

/// A page of the trail.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AuditPage {
    /// The envelope that asked.
    #[serde(default, with = "de::maybe_text", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// In the order in which they were written.
    pub entries: Vec<AuditRecord>,
    /// Where the next page begins; absent if nothing was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<Text<MAX_CURSOR_BYTES>>,
    /// Whether there is more already.
    #[serde(default, deserialize_with = "de::or_default")]
    pub more: bool,
}

/// One entry of the trail. It has no secret in it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AuditRecord {
    /// When, as RFC 3339.
    pub at: String,
    /// What was done, or was to be done.
    pub action: String,
    /// `allowed` or `refused`.
    pub decision: String,
    /// How who did it stands to whose it is: `owner`, `same tag` or `stranger`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<String>,
    /// The scope that was enough, or the least that would have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Who did it: a principal, a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// To what: a job, a session, a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Whose that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Why, or how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// By what it was shown who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// In which session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Under which trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// For how many this stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}
