//! Which job an idempotency key was used for (spec 7.2).
//!
//! A submission with a key first writes a *claim*: the key belongs to this job, which was asked for with these
//! parameters. Then the job is accepted. Claim and acceptance are two writes, so a crash may leave a claim whose job
//! never began; the claim names the job, so that is seen, and the next submission takes the claim over.
//!
//! - Keys are the principal's own: two principals with the same key do not meet.
//! - Two submissions are the same if everything that decides what the job does is ([`Parameters`]), however it is
//!   written as JSON.
//! - A claim lasts for [`limits::IDEMPOTENCY_TTL`] from when it was made, whether or not its job goes on. After that the
//!   key is free.
//!
//! Deliberately absent: waiting for a claim that is under way (the runtime does that), and the store.

use moorline_types::{JobId, Json, PrincipalId, Timestamp, limits};
use serde::{Deserialize, Serialize};

use crate::Refusal;
use crate::canonical::canonical;
use crate::digest::{Digest, Parts};

/// Names a claim: a digest of principal and key, so that neither's length or characters matter to a store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimKey(Digest);

impl ClaimKey {
    /// The name of this principal's claim of this key.
    pub fn of(principal: &PrincipalId, key: &str) -> Self {
        Self(Parts::new("idempotency key").with(principal.as_str()).with(key).finish())
    }
}

impl std::fmt::Display for ClaimKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What decides whether two submissions are the same, as the client gave it.
#[derive(Debug, Clone)]
pub struct Parameters<'a> {
    /// The agent as it was named: a bare name is not the version that it stands for today.
    pub agent: &'a str,
    /// What the agent is given.
    pub input: &'a Json,
    /// What the job wants to be allowed.
    pub lease_request: Option<&'a Json>,
    /// When the lease is to end.
    pub lease_constraints: Option<&'a Json>,
    /// After how many seconds of running the job is to be ended.
    pub max_runtime_sec: Option<u64>,
    /// The job that this one is a part of.
    pub parent_job_id: Option<&'a str>,
    /// What that one is to call it, if the client says.
    pub delegate_id: Option<&'a str>,
}

/// A digest of [`Parameters`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The digest of these parameters.
    pub fn of(parameters: &Parameters<'_>) -> Self {
        let Parameters { agent, input, lease_request, lease_constraints, max_runtime_sec, parent_job_id, delegate_id } =
            parameters;
        let parts = Parts::new("submission")
            .with(agent)
            .with(canonical(input))
            .with_maybe(lease_request.map(canonical))
            .with_maybe(lease_constraints.map(canonical))
            .with_maybe(max_runtime_sec.map(u64::to_be_bytes))
            .with_maybe(*parent_job_id);
        // Claims of earlier versions have no such part.
        let parts = if let Some(id) = delegate_id { parts.with(id) } else { parts };
        Self(parts.finish().to_string())
    }
}

/// What is stored under a [`ClaimKey`]. JSON, like records; fields are added, never renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The digest of what was asked for.
    fingerprint: String,
    /// The job that it was to become.
    pub job: JobId,
    /// When.
    pub at: Timestamp,
}

impl Claim {
    /// The key belongs to this job from `now` on.
    pub fn new(now: Timestamp, fingerprint: &Fingerprint, job: JobId) -> Self {
        Self { fingerprint: fingerprint.0.clone(), job, at: now }
    }

    /// Whether the key is free again.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.at + limits::IDEMPOTENCY_TTL
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        // Serialising to memory fails only for maps with keys that are no strings; a claim has no map.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What was stored.
    ///
    /// # Errors
    /// If it is no claim: the store is damaged.
    pub fn decode(stored: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(stored)
    }
}

/// What became of a claim's job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was never accepted.
    NeverBegan,
    /// It goes on, or its end can be read.
    Known,
    /// It is over, and what it reported has been removed.
    Removed,
}

/// What a submission with a key is to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The key is free: claim it for a new job, in the place of whatever claim was found.
    Claim,
    /// This job is what was asked for.
    Same(JobId),
    /// The key cannot be used for this.
    Refuse(Refusal),
}

/// Decides about a submission, given the claim that its key has, if any. No other submission with the key may be under
/// way.
pub fn judge(now: Timestamp, fingerprint: &Fingerprint, found: Option<(&Claim, Fate)>) -> Verdict {
    match found {
        Some((claim, fate)) if fate != Fate::NeverBegan && !claim.is_expired(now) => {
            let job = claim.job;
            if claim.fingerprint != fingerprint.0 {
                Verdict::Refuse(Refusal::KeyTaken { job })
            } else if fate == Fate::Removed {
                Verdict::Refuse(Refusal::KeyOfRemovedJob { job })
            } else {
                Verdict::Same(job)
            }
        }
        Some(_) | None => Verdict::Claim,
    }
}

#[cfg(test)]
mod tests;
