//! Work that is given to another agent (spec 10).

use std::fmt;

use moorline_types::{AgentRef, JobId, Json};

use super::context::{DelegateId, JobContext};
use super::{Failure, FailureCode};
use crate::message::{ChildFailure, DelegationCode, DelegationNews, Output, Until};

/// A part of the work that is to be another agent's. The gateway makes a child job of it, within the job's own lease and
/// budget, or refuses it; the job goes on either way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// Which agent. `agent.delegate` in the job's lease has to cover its name.
    pub agent: AgentRef,
    /// Its input.
    pub input: Json,
    /// What the child may do, within what the job may; without it, nothing. A job with a budget names one for the child
    /// in each of its currencies.
    pub lease_request: Option<Json>,
    /// Until when; without it, as long as the job's own lease.
    pub lease_constraints: Option<Json>,
    /// After how many seconds of running the child is ended; without it, as the job itself.
    pub max_runtime_sec: Option<u64>,
    /// Whether the child goes on when the job ends, or is cancelled, and the job's end waits for it. Without it, as the
    /// gateway is configured.
    pub detached: Option<bool>,
}

impl Delegation {
    /// A child of this agent with this input, that may do nothing but compute.
    pub const fn new(agent: AgentRef, input: Json) -> Self {
        let (lease_request, lease_constraints, max_runtime_sec) = (None, None, None);
        Self { agent, input, lease_request, lease_constraints, max_runtime_sec, detached: None }
    }

    /// The same with this lease: an object of namespaces with their patterns.
    #[must_use]
    pub fn lease(self, lease: Json) -> Self {
        Self { lease_request: Some(lease), ..self }
    }
}

/// A delegation that is on its way. It happens whether this is kept or not.
#[derive(Clone)]
pub struct Delegated {
    job: JobContext,
    id: DelegateId,
}

/// How a child has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildEnd {
    /// The child.
    pub child: JobId,
    /// Its result, or why it has none. A streamed result is named; its parts are events of the child.
    pub outcome: Result<Output, ChildFailure>,
}

/// There is nothing to wait for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// The gateway has refused the delegation.
    #[error("the delegation is refused ({}): {}", .0.code, .0.message)]
    Refused(ChildFailure),
    /// The job itself is over.
    #[error("the job is over")]
    Ended,
}

impl Delegated {
    pub(super) const fn new(job: JobContext, id: DelegateId) -> Self {
        Self { job, id }
    }

    /// What it is called in its job.
    pub const fn id(&self) -> &DelegateId {
        &self.id
    }

    /// Returns when there is a child, durably. Waits while no gateway is there.
    ///
    /// # Errors
    /// If there is none.
    pub async fn begun(&self) -> Result<JobId, DelegationError> {
        match self.job.ask_delegation(&self.id, Until::Begun).await? {
            DelegationNews::Begun { child } | DelegationNews::Ended { child, .. } => Ok(child),
            DelegationNews::Refused(failure) => Err(DelegationError::Refused(failure)),
        }
    }

    /// Returns when the child has ended. Waits while no gateway is there.
    ///
    /// # Errors
    /// If there is no child.
    pub async fn ended(&self) -> Result<ChildEnd, DelegationError> {
        match self.job.ask_delegation(&self.id, Until::Ended).await? {
            DelegationNews::Ended { child, outcome } => Ok(ChildEnd { child, outcome }),
            DelegationNews::Refused(failure) => Err(DelegationError::Refused(failure)),
            // No gateway answers so before the end.
            DelegationNews::Begun { .. } => Err(DelegationError::Ended),
        }
    }
}

impl fmt::Debug for Delegated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delegated").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A child's failure as its parent's own: what only a delegation can be told is an internal error of the job.
impl From<ChildFailure> for Failure {
    fn from(failure: ChildFailure) -> Self {
        let code = match failure.code {
            DelegationCode::InvalidRequest => FailureCode::InvalidRequest,
            DelegationCode::PermissionDenied => FailureCode::PermissionDenied,
            DelegationCode::LeaseExpired => FailureCode::LeaseExpired,
            DelegationCode::BudgetExhausted => FailureCode::BudgetExhausted,
            DelegationCode::Cancelled
            | DelegationCode::Timeout
            | DelegationCode::LeaseSubsetViolation
            | DelegationCode::AgentNotAvailable
            | DelegationCode::AgentVersionNotAvailable
            | DelegationCode::InternalError => FailureCode::InternalError,
        };
        let ChildFailure { message, retryable, details, .. } = failure;
        Self { code, message, retryable, details }
    }
}
