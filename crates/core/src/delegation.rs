//! Delegation: what a job may give to a child, and the child that comes of it (spec 9.4, 10).
//!
//! The order of the questions is that of every operation: has the lease ended, is the agent covered by
//! `agent.delegate`, is there budget left. Then the child is derived from its parent:
//!
//! | of the child | is |
//! | --- | --- |
//! | grants | what was asked for, each pattern included in one of the parent's; without a request none |
//! | budget | what was asked for, set aside from the parent; a currency that the parent counts must be named |
//! | end of the lease | the earlier of what was asked for and the parent's; a later one is refused |
//! | longest runtime | what was asked for, the parent's otherwise and at most |
//! | owner, tags, trace, bounds of the submitter | the parent's |
//!
//! So a child can do nothing that its parent cannot, and its parent nothing that its submitter may not: the bounds hold
//! along the whole tree.
//!
//! A child that may use models has a credential of its own if its parent has one, and its first record names it: such a
//! delegation is held until the upstream has answered (`job/held.rs`). Not if it is detached, because no credential may
//! outlive the job that delegated.
//!
//! Deliberately absent: which agents there are, how many jobs the owner has. Whoever has a delegation decided hands in
//! what it has found out ([`Found`]).

use moorline_types::limits::{
    DEFAULT_DELEGATION_DEPTH, DEFAULT_OPEN_CHILDREN, MAX_DELEGATE_ID_BYTES, MAX_EVENT_BODY_BYTES,
};
use moorline_types::{AgentRef, Capability, JobId, Json, ResolvedAgent, Timestamp};
use serde::Deserialize;

use crate::Refusal;
use crate::digest::Parts;
use crate::job::Authority;
use crate::lease::{Excess, Terms};
use crate::record::{Accepted, Parent};

mod error;
pub use error::DelegationError;

/// What the event that tells of a delegation has beside input and lease, which it has twice: names, ids and moments.
const TOLD_BYTES: usize = 2 * 1024;

/// How far delegation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelegationLimits {
    /// Generations below a job that a client has submitted.
    pub depth: u32,
    /// Children that one job has at once.
    pub open_children: usize,
    /// What the end of a job does to children of which it was not said.
    pub at_parent_end: AtParentEnd,
}

/// What the end of a job does to a child that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtParentEnd {
    /// It is cancelled, and the parent ends after it.
    #[default]
    Cancel,
    /// It goes on, and what it was given of the budget counts as spent.
    Detach,
}

impl DelegationLimits {
    /// Those that hold unless configured otherwise.
    pub const DEFAULT: Self = Self {
        depth: DEFAULT_DELEGATION_DEPTH,
        open_children: DEFAULT_OPEN_CHILDREN,
        at_parent_end: AtParentEnd::Cancel,
    };
}

/// A delegation, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// What it is called in its job.
    pub delegate_id: Box<str>,
    /// What is asked for, or what is wrong with the request.
    pub wanted: Result<Wanted, String>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which agent.
    pub agent: AgentRef,
    /// What it is given.
    pub input: Json,
    /// What it may do, as it was written.
    pub lease: Json,
    /// The same, read.
    pub terms: Terms,
    /// When its lease is to end.
    pub expires_at: Option<Timestamp>,
    /// After how many seconds of running it is to be ended.
    pub max_runtime_sec: Option<u64>,
    /// Whether it goes on when its parent ends, if that was said.
    pub detached: Option<bool>,
}

/// What is known of the world when a delegation is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The agent version that would run the child, or why none would.
    pub agent: Result<ResolvedAgent, Refusal>,
    /// Whether the owner may have one more job.
    pub room: Result<(), Refusal>,
    /// Whether a child that may use models is to have a credential of its own (spec 9.8.2).
    pub credentials: bool,
}

/// The body of a `delegate` event, as an agent writes it.
#[derive(Deserialize)]
struct Body {
    agent: String,
    #[serde(default = "Json::null")]
    input: Json,
    lease_request: Option<Json>,
    lease_constraints: Option<Constraints>,
    max_runtime_sec: Option<u64>,
    detached: Option<bool>,
}

#[derive(Deserialize)]
struct Constraints {
    expires_at: Option<String>,
}

impl Delegation {
    /// Reads the body of a `delegate` event.
    ///
    /// # Errors
    /// What is wrong, if it does not even say what it is called: then nobody can be answered.
    pub fn read(body: &Json) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Named {
            delegate_id: String,
        }

        let Named { delegate_id } = body.to().map_err(|error| error.to_string())?;
        Self::new(delegate_id, Wanted::read(body))
    }

    /// A delegation of this name.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn new(delegate_id: String, wanted: Result<Wanted, String>) -> Result<Self, String> {
        if delegate_id.is_empty() || delegate_id.len() > MAX_DELEGATE_ID_BYTES {
            return Err(format!("`delegate_id` must have 1 to {MAX_DELEGATE_ID_BYTES} bytes"));
        }
        Ok(Self { delegate_id: delegate_id.into(), wanted })
    }
}

impl Wanted {
    fn read(body: &Json) -> Result<Self, String> {
        let Body { agent, input, lease_request, lease_constraints, max_runtime_sec, detached } =
            body.to().map_err(|error| error.to_string())?;
        let expires_at = lease_constraints.and_then(|constraints| constraints.expires_at);
        let expires_at = expires_at.map(|text| text.parse().map_err(|_| no_moment(&text))).transpose()?;
        let lease = match lease_request {
            Some(lease) => lease,
            None => Json::parse("{}").map_err(|error| error.to_string())?,
        };
        let agent = agent.parse().map_err(|error| format!("`agent`: {error}"))?;
        Ok(Self { expires_at, max_runtime_sec, detached, ..Self::new(agent, input, lease)? })
    }

    /// What is asked for with this lease, until the parent's end and bound to it.
    ///
    /// # Errors
    /// If the lease is none, or the event that tells of the delegation would be too large.
    pub fn new(agent: AgentRef, input: Json, lease: Json) -> Result<Self, String> {
        let told = input.get().len() + 2 * lease.get().len() + TOLD_BYTES;
        if told > MAX_EVENT_BODY_BYTES {
            let most = MAX_EVENT_BODY_BYTES - TOLD_BYTES;
            return Err(format!("`input` and twice `lease_request` must have at most {most} bytes together"));
        }
        let terms = Terms::read(&lease).map_err(|error| format!("`lease_request`: {error}"))?;
        Ok(Self { agent, input, lease, terms, expires_at: None, max_runtime_sec: None, detached: None })
    }
}

fn no_moment(text: &str) -> String {
    let told: String = text.chars().take(64).collect();
    format!("`lease_constraints.expires_at` is {told:?}, which is no moment in UTC like 2026-05-13T23:42:00Z")
}

/// The id of a child: it begins with the moment like every other and follows from its parent and what the delegation is
/// called there, so that deciding the same again names the same job.
pub fn child_id(now: Timestamp, parent: JobId, delegate_id: &str) -> JobId {
    let digest = Parts::new("child of").with(parent.to_bytes()).with(delegate_id).finish();
    let mut entropy = [0; 10];
    entropy.copy_from_slice(&digest.as_bytes()[..10]);
    JobId::mint(now, entropy)
}

/// A job that delegates.
#[derive(Debug, Clone, Copy)]
pub struct Delegating<'a> {
    /// The job.
    pub job: JobId,
    /// As it was accepted.
    pub accepted: &'a Accepted,
    /// What it may do at this moment.
    pub authority: &'a Authority,
}

/// The child that is asked for. What it is to be given of the budget is not set aside yet, and its span is not begun.
///
/// # Errors
/// Why there is none.
pub fn derive(
    now: Timestamp,
    parent: Delegating<'_>,
    delegate_id: &str,
    wanted: Wanted,
    found: Found,
    limits: DelegationLimits,
) -> Result<Accepted, DelegationError> {
    let Delegating { job, accepted: above, authority } = parent;
    authority
        .authorize(now, &Capability::AgentDelegate, wanted.agent.name.as_str())
        .map_err(DelegationError::Denied)?;
    let Wanted { agent, input, lease, terms, expires_at, max_runtime_sec, detached } = wanted;
    let detached = detached.unwrap_or(limits.at_parent_end == AtParentEnd::Detach);
    let allowed = above.bounds.as_ref().map_or(&[][..], |bounds| &bounds.agents);
    if !allowed.is_empty() && !allowed.iter().any(|pattern| pattern.matches(&agent.name)) {
        let allowed = allowed.iter().map(ToString::to_string).collect();
        return Err(DelegationError::AgentNotAllowed { agent: agent.name, allowed });
    }
    let depth = above.parent.as_ref().map_or(0, |parent| parent.depth) + 1;
    if depth > limits.depth {
        return Err(DelegationError::TooDeep { limit: limits.depth });
    }
    check_within(&terms, authority)?;
    let expires_at = earlier(now, expires_at, above.expires_at)?;
    let max_runtime_sec = shorter(max_runtime_sec, above.max_runtime_sec)?;
    let agent = found.agent.map_err(DelegationError::Unavailable)?;
    found.room.map_err(DelegationError::Unavailable)?;
    Ok(Accepted {
        session: above.session,
        principal: above.principal.clone(),
        tags: above.tags.clone(),
        agent: agent.name.to_string(),
        version: agent.version.to_string(),
        input,
        lease,
        max_runtime_sec,
        expires_at,
        trace_id: above.trace_id,
        credentials: Vec::new(),
        span: None,
        parent: Some(Parent { job, delegate_id: delegate_id.into(), depth, detached }),
        bounds: above.bounds.clone(),
    })
}

fn earlier(
    now: Timestamp,
    asked: Option<Timestamp>,
    limit: Option<Timestamp>,
) -> Result<Option<Timestamp>, DelegationError> {
    match (asked, limit) {
        (Some(expires_at), Some(limit)) if expires_at > limit => Err(DelegationError::Later { expires_at, limit }),
        (Some(expires_at), _) if expires_at <= now => Err(DelegationError::Past { expires_at }),
        (asked, limit) => Ok(asked.or(limit)),
    }
}

fn shorter(asked: Option<u64>, limit: Option<u64>) -> Result<Option<u64>, DelegationError> {
    match (asked, limit) {
        (Some(asked), Some(limit)) if asked > limit => Err(DelegationError::Runtime { asked, limit }),
        (asked, limit) => Ok(asked.or(limit)),
    }
}

/// Whether a lease is a subset of the parent's, apart from how much of the budget is left (spec 9.4).
fn check_within(asked: &Terms, parent: &Authority) -> Result<(), DelegationError> {
    asked
        .grants
        .check_within(parent.grants())
        .map_err(|Excess { capability, pattern }| DelegationError::NotWithin { capability, pattern })?;
    let named = |currency: &str| asked.budget.iter().any(|(named, _)| named == currency);
    match parent.remaining().find(|(currency, _)| !named(currency)) {
        Some((currency, _)) => Err(DelegationError::Unbounded { currency: currency.into() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
