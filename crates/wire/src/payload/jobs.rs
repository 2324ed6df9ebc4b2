//! Listing jobs (spec 6.6).

use moorline_types::{AgentRef, EventSeq, Json, MessageId, Timestamp, TraceId};
use serde::de::{Deserialize, Deserializer};

use crate::vendor::Whose;
use crate::{JobRef, JobStatus, Received, Text, de};

/// The longest cursor that is read, in bytes. Ours hold two ids and a checksum.
pub const MAX_CURSOR_BYTES: usize = 512;

/// Asks for jobs that the principal may see.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct ListJobs {
    /// Which of them.
    #[serde(default, deserialize_with = "de::maybe_object", skip_serializing_if = "Option::is_none")]
    pub filter: Option<JobFilter>,
    /// How many at the most. Absent, zero and negative leave it to the runtime.
    #[serde(default, deserialize_with = "limit", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Where the page before ended.
    #[serde(default, deserialize_with = "de::empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Text<MAX_CURSOR_BYTES>>,
}

/// Which jobs. What is absent does not narrow the choice.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct JobFilter {
    /// Whose; the principal's own unless it says otherwise. Ours, for [`WHOSE`](crate::vendor::WHOSE).
    #[serde(default, rename = "x-vendor.moorline.whose", skip_serializing_if = "Option::is_none")]
    pub whose: Option<Whose>,
    /// In one of these states; empty means any.
    #[serde(default, deserialize_with = "de::or_default", skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<JobStatus>,
    /// Of this agent; a bare name means every version.
    #[serde(default, serialize_with = "de::maybe_text::serialize", deserialize_with = "de::empty_is_absent")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentRef>,
    /// Accepted after this moment.
    #[serde(default, with = "de::maybe_text", skip_serializing_if = "Option::is_none")]
    pub created_after: Option<Timestamp>,
    /// Accepted before this moment.
    #[serde(default, with = "de::maybe_text", skip_serializing_if = "Option::is_none")]
    pub created_before: Option<Timestamp>,
}

fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let limit = Option::<i64>::deserialize(deserializer)?;
    Ok(limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0))
}

/// A page of jobs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Jobs {
    /// The envelope that asked.
    #[serde(default, with = "de::maybe_text", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// The jobs, oldest first.
    #[serde(default, deserialize_with = "de::objects")]
    pub jobs: Vec<JobEntry>,
    /// Where the next page begins; null if this is the last. Written in either case: one official client waits for
    /// ever without it.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// One job in a page.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct JobEntry {
    /// The job.
    pub job_id: JobRef,
    /// The agent and the version that the job is bound to.
    #[serde(default, deserialize_with = "de::or_default")]
    pub agent: String,
    /// Where it stands.
    pub status: Received<JobStatus>,
    /// What the job may do, as an object.
    #[serde(default = "de::empty_object", deserialize_with = "de::json_object")]
    pub lease: Json,
    /// The job that this one is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_job_id: Option<JobRef>,
    /// Whose it is, where jobs of others were asked for too. Ours, for [`OWNER`](crate::vendor::OWNER).
    #[serde(default, rename = "x-vendor.moorline.owner", deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// When it was accepted.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// The same under the name that one official peer looks for.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub submitted_at: Option<Timestamp>,
    /// The trace that the job belongs to.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// The last number that the submitter's session has seen of it.
    #[serde(default, deserialize_with = "de::or_default")]
    pub last_event_seq: EventSeq,
}

impl JobEntry {
    /// When it was accepted, under whatever name.
    pub fn accepted_at(&self) -> Option<Timestamp> {
        self.created_at.or(self.submitted_at)
    }
}
