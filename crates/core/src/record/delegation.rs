//! What a job's records say of the jobs that it has delegated (spec 10).
//!
//! A child's first record is committed in one batch with [`Delegated`] in its parent's stream: there is no child without
//! a parent that knows it, and no budget that is set aside for nobody.

use moorline_types::{JobId, Json, Timestamp, WorkerSeq};
use serde::{Deserialize, Serialize};

use super::{Accepted, Failure};
use crate::job::Status;

/// Which job delegated a job, and what that one calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The parent.
    pub job: JobId,
    /// What the parent calls the delegation.
    pub delegate_id: Box<str>,
    /// How many generations are above the job; at least 1.
    pub depth: u32,
    /// Whether it goes on when its parent ends.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub detached: bool,
}

/// A job is to delegate, and an upstream is asked for the child's credential first. What is set aside for the child is said
/// by a [`Reserved`](super::Reserved) before it, if it is given a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegationHeld {
    /// What the worker numbered the report that asked for it.
    pub worker_seq: WorkerSeq,
    /// What it is called in its job.
    pub delegate_id: Box<str>,
    /// The child.
    pub child: JobId,
    /// The child as it will be accepted, but for its credential.
    pub accepted: Box<Accepted>,
}

/// A job has delegated. What is set aside for the child is said by a [`Reserved`](super::Reserved) before it, if it is
/// given a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegated {
    /// What the worker numbered the report that asked for it; absent if a client did, or if a [`DelegationHeld`] says it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub worker_seq: Option<WorkerSeq>,
    /// What it is called in its job.
    pub delegate_id: Box<str>,
    /// The child.
    pub child: JobId,
    /// The agent version that runs the child.
    pub agent: String,
    /// What the child is given.
    pub input: Json,
    /// What the child may do, as a JSON object.
    pub lease: Json,
    /// When the child's lease ends.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<Timestamp>,
    /// Whether it goes on when its parent ends.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub detached: bool,
}

/// A job was to delegate, and may not or cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegationRefused {
    /// What it is called in its job.
    pub delegate_id: Box<str>,
    /// Why.
    pub failure: Failure,
}

/// A child has ended. What it has spent is said by a [`Settled`](super::Settled) before it, if it was given a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildEnded {
    /// What the delegation is called in its job.
    pub delegate_id: Box<str>,
    /// The child.
    pub child: JobId,
    /// How it ended.
    pub status: Status,
    /// Why it has no result; absent if it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<Failure>,
}
