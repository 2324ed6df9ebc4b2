//! An administrator has removed what is over: a request of our own, and its answer.
//!
//! One request is one step. What is left for the next one is said by a cursor, so that a long removal can be watched, and
//! stopped between any two steps.

use moorline_types::{MessageId, Timestamp};

use crate::payload::MAX_CURSOR_BYTES;
use crate::{JobRef, Text, de};

/// Asks for the next step. Without an age and a size, what the runtime is configured to keep is kept.
///
/// A field that is not known is refused, unlike elsewhere: what is misspelt here would remove more than was meant.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gc {
    /// Whether it is only said what would go.
    #[serde(default, deserialize_with = "de::or_default")]
    pub dry_run: bool,
    /// What ended at least so long ago goes, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than_ms: Option<u64>,
    /// What ended first goes until the journal is no larger, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Where the step before ended.
    #[serde(default, deserialize_with = "de::empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Text<MAX_CURSOR_BYTES>>,
}

/// What one step has removed, or would remove.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GcReport {
    /// The envelope that asked.
    #[serde(default, with = "de::maybe_text", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// Jobs that go.
    pub jobs: u64,
    /// Sessions that go.
    pub sessions: u64,
    /// Jobs that would go, and stay because a session is about to be shown them.
    #[serde(default, deserialize_with = "de::or_default")]
    pub kept: Vec<JobRef>,
    /// How much of the journal was in use before the step, in bytes.
    pub bytes_before: u64,
    /// How much of it is after the step, in bytes; of a dry run, how much at the most would be after this step and those
    /// before it.
    pub bytes_after: u64,
    /// When the first of what goes ended.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
    /// When the last of what goes ended.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
    /// Where the next step begins; absent if there is nothing left to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<Text<MAX_CURSOR_BYTES>>,
}
