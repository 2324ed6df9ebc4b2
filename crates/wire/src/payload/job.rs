//! `job.event` and `job.result` (spec 8).

use std::fmt;

use moorline_types::{EventKind, Json, Timestamp};

use crate::{FinalStatus, Received, de};

/// Something happened in a job. Its `Debug` form has no value of a credential.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct JobEvent {
    /// What it is about. Text, because a client may meet a kind that is newer than it is.
    pub kind: Box<str>,
    /// When.
    #[serde(with = "de::text")]
    pub ts: Timestamp,
    /// The kind's own fields; [`crate::Event::parse`] reads them.
    #[serde(default = "de::empty_object", deserialize_with = "de::json_object")]
    pub body: Json,
}

impl fmt::Debug for JobEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, ts, body } = self;
        let body = super::credential::shown(kind, body);
        f.debug_struct("JobEvent").field("kind", kind).field("ts", ts).field("body", &body).finish()
    }
}

impl JobEvent {
    /// An event of a kind that we know.
    pub fn new(kind: &EventKind, ts: Timestamp, body: Json) -> Self {
        Self { kind: kind.as_str().into(), ts, body }
    }
}

/// A job ended with a result.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct JobResult {
    /// `success`; one official runtime reports other ends in this message too.
    #[serde(default = "ended_with_success")]
    pub final_status: Received<FinalStatus>,
    /// The result, if it is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// The same under the name that one official peer looks for.
    #[serde(default, alias = "value", skip_serializing_if = "Option::is_none")]
    pub output: Option<Json>,
    /// The chunks that make up the result, if it was streamed (spec 8.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_id: Option<Box<str>>,
    /// The size of the streamed result, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_size: Option<u64>,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// When the job ended. Always written; one official client needs it.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

impl JobResult {
    /// A success with its result.
    pub const fn inline(result: Json, completed_at: Timestamp) -> Self {
        Self {
            final_status: Received::Known(FinalStatus::Success),
            result: Some(result),
            output: None,
            result_id: None,
            result_size: None,
            summary: None,
            completed_at: Some(completed_at),
        }
    }

    /// A success whose result was streamed.
    pub const fn streamed(result_id: Box<str>, result_size: u64, completed_at: Timestamp) -> Self {
        Self {
            final_status: Received::Known(FinalStatus::Success),
            result: None,
            output: None,
            result_id: Some(result_id),
            result_size: Some(result_size),
            summary: None,
            completed_at: Some(completed_at),
        }
    }

    /// The result, if it is here, under whatever name.
    pub fn value(&self) -> Option<&Json> {
        self.result.as_ref().or(self.output.as_ref())
    }
}

const fn ended_with_success() -> Received<FinalStatus> {
    Received::Known(FinalStatus::Success)
}
