//! An administrator looks after credentials for upstreams (spec 14): a request of our own, and its answer.

use moorline_types::{CredentialId, JobId, MessageId, Timestamp};

use crate::{JobRef, de};

/// What is to be done. A field that is not known is refused.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Credentials {
    /// What is to be withdrawn is listed.
    List {},
    /// The upstream is asked at once for everything that is to be withdrawn.
    Retry {},
    /// A credential of a job is to have another value at once.
    Rotate {
        /// The job.
        job_id: JobRef,
        /// What the job calls the credential; without it, the only one that it has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<CredentialId>,
    },
}

/// A credential that is to be withdrawn and is not yet. Never its value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CredentialEntry {
    /// Under which name the upstream has it, if it has it.
    pub name: CredentialId,
    /// The job that it was for.
    pub job_id: JobId,
    /// The upstream.
    pub upstream: String,
    /// Since when it is to be withdrawn.
    #[serde(with = "de::text")]
    pub since: Timestamp,
    /// How often that has failed.
    pub failed: u32,
    /// Why, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CredentialsReport {
    /// The envelope that asked.
    #[serde(default, with = "de::maybe_text", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// The upstream that is configured, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Whether clients are offered credentials.
    #[serde(default, deserialize_with = "de::or_default")]
    pub offered: bool,
    /// Why not, if an upstream is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How many credentials jobs have.
    #[serde(default, deserialize_with = "de::or_default")]
    pub live: usize,
    /// How many are to be withdrawn, of which the first follow.
    #[serde(default, deserialize_with = "de::or_default")]
    pub outstanding: usize,
    /// The credential that has another value, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated: Option<CredentialId>,
    /// The oldest of those that are to be withdrawn.
    #[serde(default, deserialize_with = "de::or_default")]
    pub credentials: Vec<CredentialEntry>,
}
