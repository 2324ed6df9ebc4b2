//! Why a delegation is refused.

use moorline_types::{AgentName, COST_BUDGET, Capability, Json, Timestamp, WorkerSeq};
use serde_json::json;

use crate::Refusal;
use crate::job::Denied;
use crate::lease::budget::Shortfall;
use crate::record::{Cause, Failure};

/// Why a delegation is refused. Its job goes on and may do something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// It cannot be read.
    #[error("the delegation cannot be read: {problem}")]
    Malformed {
        /// What is wrong.
        problem: String,
    },
    /// The job has called another delegation so.
    #[error("this job has used delegate_id {delegate_id:?} before; give each delegation an id of its own")]
    Repeated {
        /// The id.
        delegate_id: Box<str>,
    },
    /// The job is to end.
    #[error("this job is being cancelled and delegates nothing more")]
    Stopping,
    /// The job's own lease does not allow it.
    #[error(transparent)]
    Denied(Denied),
    /// Whoever submitted the job may not use the agent.
    #[error("agent {agent} is not among those that the submitter of this job may use: {}", .allowed.join(", "))]
    AgentNotAllowed {
        /// The agent.
        agent: AgentName,
        /// The patterns of those that are.
        allowed: Vec<String>,
    },
    /// There are too many generations above.
    #[error("a job may have {limit} generations of jobs below it, and this one is the last")]
    TooDeep {
        /// The limit.
        limit: u32,
    },
    /// The job has too many children.
    #[error("this job has {limit} children that have not ended, which is its limit; wait for one to end")]
    TooManyOpen {
        /// The limit.
        limit: usize,
    },
    /// The job has delegated too often.
    #[error("this job has delegated {limit} times, which is the most for one job")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The child would get a grant that is not within the parent's.
    #[error("lease_request names {capability} {pattern:?}, which is not within the lease of this job; ask for less")]
    NotWithin {
        /// The capability.
        capability: Capability,
        /// The pattern.
        pattern: String,
    },
    /// The child would get more budget than is left.
    #[error("{}", shortfall(.0))]
    Shortfall(Shortfall),
    /// The child would have no bound where its parent has one.
    #[error(
        "this job has a budget in {currency} and lease_request names none for the child; name an amount in cost.budget, `{currency}:0` if the child shall spend nothing"
    )]
    Unbounded {
        /// The currency.
        currency: Box<str>,
    },
    /// The child's lease would end later than its parent's.
    #[error("lease_constraints.expires_at is {expires_at}, later than the lease of this job, which ends at {limit}")]
    Later {
        /// What was asked for.
        expires_at: Timestamp,
        /// When the parent's ends.
        limit: Timestamp,
    },
    /// The child's lease would have ended already.
    #[error("lease_constraints.expires_at is {expires_at}, which is past; name a moment that is to come")]
    Past {
        /// What was asked for.
        expires_at: Timestamp,
    },
    /// The child would run for longer than its parent may.
    #[error("max_runtime_sec is {asked}, and this job itself may run for {limit} seconds")]
    Runtime {
        /// What was asked for, in seconds.
        asked: u64,
        /// The most, in seconds.
        limit: u64,
    },
    /// Nobody runs it, or there is no room.
    #[error(transparent)]
    Unavailable(Refusal),
}

fn shortfall(shortfall: &Shortfall) -> String {
    let Shortfall { currency, asked, remaining } = shortfall;
    match remaining {
        Some(left) => format!("cost.budget asks for {currency}:{asked}, and this job has {left} left; ask for less"),
        None => {
            format!("cost.budget asks for {currency}:{asked}, and this job has no budget in {currency} to give from")
        }
    }
}

impl DelegationError {
    /// As a client is told that submitted below a job. What any submission may be refused for is told as to any.
    pub fn into_refusal(self) -> Refusal {
        if let Self::Unavailable(refusal) = self { refusal } else { Refusal::NotDelegated { error: Box::new(self) } }
    }

    /// As it is recorded.
    pub fn into_failure(self, worker_seq: Option<WorkerSeq>) -> Failure {
        let (cause, message, details) = (self.cause(), self.to_string(), self.details());
        let retryable = matches!(&self, Self::Unavailable(refusal) if is_worth_repeating(refusal));
        Failure { worker_seq, cause, message, retryable, details: details.and_then(|details| Json::of(&details).ok()) }
    }

    /// What the delegation is refused for, for whoever is to be given a code of it.
    pub const fn cause(&self) -> Cause {
        match self {
            Self::Malformed { .. }
            | Self::Repeated { .. }
            | Self::TooDeep { .. }
            | Self::TooManyOpen { .. }
            | Self::TooMany { .. }
            | Self::Past { .. } => Cause::InvalidRequest,
            Self::Stopping | Self::Denied(Denied::Ended { .. }) => Cause::Cancelled,
            Self::Denied(Denied::Expired { .. }) => Cause::LeaseExpired,
            Self::Denied(Denied::Target { .. } | Denied::NotCovered { .. })
            | Self::AgentNotAllowed { .. }
            | Self::Runtime { .. } => Cause::PermissionDenied,
            Self::Denied(Denied::Exhausted { .. }) => Cause::BudgetExhausted,
            Self::NotWithin { .. } | Self::Shortfall(_) | Self::Unbounded { .. } | Self::Later { .. } => {
                Cause::LeaseSubset
            }
            Self::Unavailable(refusal) => of_refusal(refusal),
        }
    }

    /// The fields of it, for programs.
    pub fn details(&self) -> Option<serde_json::Value> {
        Some(match self {
            Self::Repeated { delegate_id } => json!({ "delegate_id": delegate_id }),
            Self::Denied(Denied::Expired { at }) => json!({ "expired_at": at.to_string() }),
            Self::Denied(Denied::NotCovered { capability, target }) => {
                json!({ "namespace": capability.as_str(), "target": target })
            }
            Self::Denied(Denied::Exhausted { currency, remaining }) => {
                json!({ "namespace": COST_BUDGET, "currency": currency, "remaining": remaining.to_string() })
            }
            Self::AgentNotAllowed { agent, allowed } => {
                json!({ "constraint": "agents", "agent": agent.as_str(), "allowed": allowed })
            }
            Self::TooDeep { limit } => json!({ "limit": limit }),
            Self::TooManyOpen { limit } | Self::TooMany { limit } => json!({ "limit": limit }),
            Self::NotWithin { capability, pattern } => {
                json!({ "namespace": capability.as_str(), "pattern": pattern })
            }
            Self::Shortfall(Shortfall { currency, asked, remaining }) => json!({
                "namespace": COST_BUDGET,
                "pattern": format!("{currency}:{asked}"),
                "remaining": remaining.map(|left| left.to_string()),
            }),
            Self::Unbounded { currency } => json!({ "namespace": COST_BUDGET, "currency": currency }),
            Self::Later { expires_at, limit } => {
                json!({ "expires_at": expires_at.to_string(), "limit": limit.to_string() })
            }
            Self::Past { expires_at } => json!({ "expires_at": expires_at.to_string() }),
            Self::Runtime { asked, limit } => json!({ "max_runtime_sec": asked, "limit": limit }),
            Self::Unavailable(Refusal::AgentNotAvailable { name }) => json!({ "agent": name.as_str() }),
            Self::Unavailable(Refusal::AgentVersionNotAvailable { name, version, available }) => json!({
                "agent": name.as_str(),
                "version": version.as_str(),
                "available": available.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }),
            Self::Unavailable(Refusal::QuotaReached(reached)) => reached.details(),
            Self::Malformed { .. }
            | Self::Stopping
            | Self::Denied(Denied::Ended { .. } | Denied::Target { .. })
            | Self::Unavailable(_) => return None,
        })
    }
}

/// The cause of a refusal that says that nobody runs the child, or that there is no room for it.
#[expect(clippy::wildcard_enum_match_arm, reason = "of many refusals these have a cause of their own")]
const fn of_refusal(refusal: &Refusal) -> Cause {
    match refusal {
        Refusal::AgentNotAvailable { .. } => Cause::AgentNotAvailable,
        Refusal::AgentVersionNotAvailable { .. } => Cause::AgentVersionNotAvailable,
        Refusal::QuotaReached(_) | Refusal::CredentialRefused { .. } => Cause::InvalidRequest,
        _ => Cause::Gateway,
    }
}

/// Whether the same delegation may succeed a little later.
#[expect(clippy::wildcard_enum_match_arm, reason = "of many refusals these two know more of it")]
fn is_worth_repeating(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::QuotaReached(reached) => reached.quota.frees_itself(),
        Refusal::CredentialUnavailable { .. } => true,
        other => other.is_for_later(),
    }
}
