//! `job.submit` and `job.accepted` (spec 7.1).

use moorline_types::limits::{MAX_IDEMPOTENCY_KEY_BYTES, MAX_RUNTIME_SEC};
use moorline_types::{AgentRef, Json, MessageId, Timestamp, TraceId};
use serde::de::{Deserialize, Deserializer, Error};

use super::credential::{self, Credential};
use crate::id::MAX_ID_BYTES;
use crate::{Budget, JobRef, LeaseConstraints, LeaseRequest, Text, de};

/// What a client calls one submission, so that it can send it again without a second job (spec 7.2).
pub type IdempotencyKey = Text<MAX_IDEMPOTENCY_KEY_BYTES>;

/// What a parent calls a part of its work (spec 10).
pub type DelegateId = Text<MAX_ID_BYTES>;

/// Asks for work to be done.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Submit {
    /// By whom.
    #[serde(with = "de::text")]
    pub agent: AgentRef,
    /// What the agent is given; null if absent. Always written, because one official runtime needs it.
    #[serde(default = "Json::null")]
    pub input: Json,
    /// What the job wants to be allowed; absent means nothing beyond the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_request: Option<LeaseRequest>,
    /// When the lease is to end.
    #[serde(default, deserialize_with = "de::maybe_object", skip_serializing_if = "Option::is_none")]
    pub lease_constraints: Option<LeaseConstraints>,
    /// What the client calls this submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
    /// After how many seconds of running the job is to be ended: 1 to [`MAX_RUNTIME_SEC`].
    #[serde(default, deserialize_with = "runtime", skip_serializing_if = "Option::is_none")]
    pub max_runtime_sec: Option<u64>,
    /// The job that this one is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_job_id: Option<JobRef>,
    /// What the parent calls this part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate_id: Option<DelegateId>,
}

impl Submit {
    /// Asks `agent` to work on `input`, with no wishes beyond that.
    pub const fn new(agent: AgentRef, input: Json) -> Self {
        Self {
            agent,
            input,
            lease_request: None,
            lease_constraints: None,
            idempotency_key: None,
            max_runtime_sec: None,
            parent_job_id: None,
            delegate_id: None,
        }
    }
}

fn runtime<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let seconds = Option::<u64>::deserialize(deserializer)?;
    if seconds.is_some_and(|seconds| seconds == 0 || seconds > MAX_RUNTIME_SEC) {
        return Err(D::Error::custom(format_args!("must be a whole number from 1 to {MAX_RUNTIME_SEC}")));
    }
    Ok(seconds)
}

/// The job exists.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Accepted {
    /// The job.
    pub job_id: JobRef,
    /// The agent and the version that the job is bound to.
    #[serde(default, deserialize_with = "de::or_default")]
    pub agent: String,
    /// What the job may do, as an object; empty grants nothing.
    #[serde(default = "de::empty_object", deserialize_with = "de::json_object")]
    pub lease: Json,
    /// When the lease ends.
    #[serde(default, deserialize_with = "de::maybe_object", skip_serializing_if = "Option::is_none")]
    pub lease_constraints: Option<LeaseConstraints>,
    /// The budget's counters at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Credentials for upstreams, for the submitter only.
    #[serde(default, deserialize_with = "credential::of_known_schemes", skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Vec<Credential>>,
    /// When it was accepted.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    /// The trace that the job belongs to.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// The job that this one is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_job_id: Option<JobRef>,
    /// What the parent calls this part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate_id: Option<String>,
    /// The envelope of the submission. Not in the spec; several peers correlate by it.
    #[serde(default, with = "de::maybe_text", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
}
