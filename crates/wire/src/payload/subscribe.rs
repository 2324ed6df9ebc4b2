//! Watching a job that another session, or an earlier connection, submitted (spec 7.6).

use moorline_types::{EventSeq, Json, MessageId, TraceId};
use serde::de::{Deserializer, Error, Visitor};

use super::credential::{self, Credential};
use crate::{Budget, JobRef, JobStatus, LeaseConstraints, Received, de};

/// Asks to watch a job.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Subscribe {
    /// The job.
    pub job_id: JobRef,
    /// With `history`: only what follows this number of the submitter's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_event_seq: Option<EventSeq>,
    /// Whether what has happened so far is wanted too.
    #[serde(default, deserialize_with = "de::or_default", skip_serializing_if = "is_false")]
    pub history: bool,
}

const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// The session watches the job: what an observer may know of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Subscribed {
    /// The envelope that asked. Not in the spec; several peers correlate by it.
    #[serde(default, with = "de::maybe_text", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// The job.
    pub job_id: JobRef,
    /// Where it stands.
    pub current_status: Received<JobStatus>,
    /// The agent and the version that the job is bound to.
    #[serde(default, deserialize_with = "de::or_default")]
    pub agent: String,
    /// What the job may do, as an object.
    #[serde(default = "de::empty_object", deserialize_with = "de::json_object")]
    pub lease: Json,
    /// When the lease ends.
    #[serde(default, deserialize_with = "de::maybe_object", skip_serializing_if = "Option::is_none")]
    pub lease_constraints: Option<LeaseConstraints>,
    /// The budget's counters as they stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// The job that this one is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_job_id: Option<JobRef>,
    /// The trace that the job belongs to.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// The session's own number after which the job's records follow.
    #[serde(default)]
    pub subscribed_from: EventSeq,
    /// Whether history follows.
    #[serde(default, deserialize_with = "flag")]
    pub replayed: bool,
    /// Credentials for upstreams, for the submitter only.
    #[serde(default, deserialize_with = "credential::of_known_schemes", skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Vec<Credential>>,
}

/// Reads a flag. One official runtime sends a count.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct Flag;

    impl Visitor<'_> for Flag {
        type Value = bool;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a boolean")
        }

        fn visit_bool<E: Error>(self, flag: bool) -> Result<bool, E> {
            Ok(flag)
        }

        fn visit_u64<E: Error>(self, count: u64) -> Result<bool, E> {
            Ok(count > 0)
        }

        fn visit_unit<E: Error>(self) -> Result<bool, E> {
            Ok(false)
        }
    }

    deserializer.deserialize_any(Flag)
}

/// The session stops watching the job. There is no answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unsubscribe {
    /// The job.
    pub job_id: JobRef,
}
