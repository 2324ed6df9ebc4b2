//! What the records of a session's stream say: what it watches, from where on, and what only it is told.

use std::collections::BTreeSet;

use moorline_types::{EventKind, JobId, Json, PrincipalId, StreamSeq, Tag};
use serde::{Deserialize, Serialize};

/// Who opened the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The principal that the session belongs to.
    pub principal: PrincipalId,
    /// What it is marked with.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub tags: BTreeSet<Tag>,
    /// The client's name, as it calls itself.
    pub client: String,
}

/// From the place of this record on, the session sees the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The job.
    pub job: JobId,
    /// The first record of the job that is seen, if it precedes this record; without it only later ones are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<StreamSeq>,
    /// What becomes of records that the session does not take in time.
    #[serde(skip_serializing_if = "Overflow::is_default", default)]
    pub overflow: Overflow,
}

/// What becomes of a job's records that a session does not take in time.
///
/// It changes which of them are sent, never their numbers: what is left out is told as a gap, and a session that is
/// resumed from before it is shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// They wait in the journal.
    #[default]
    CatchUp,
    /// The oldest are left out.
    Skip,
    /// Of progress and of each metric only the latest is sent.
    Latest,
    /// The connection is closed.
    Disconnect,
}

impl Overflow {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The session is to see the job's records from one on; [`History`] and [`Attached`] follow, stretch by stretch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribed {
    /// The job.
    pub job: JobId,
    /// The first record that is seen.
    pub from: StreamSeq,
    /// What becomes of records that the session does not take in time.
    #[serde(skip_serializing_if = "Overflow::is_default", default)]
    pub overflow: Overflow,
}

/// An event that only this session sees, among those of a job that it watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The job.
    pub job: JobId,
    /// What it is about.
    pub kind: EventKind,
    /// The kind's own fields.
    pub body: Json,
}

/// At the place of this record, the session sees a stretch of the job's records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The job.
    pub job: JobId,
    /// The first record of the stretch.
    pub from: StreamSeq,
    /// Its last record; committed before this one is.
    pub to: StreamSeq,
}

/// From the place of this record on, the session does not see the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detached {
    /// The job.
    pub job: JobId,
}

/// The session was closed by its client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Why, in the client's words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}
