//! What a submission may ask for at most: the constraints of whoever submits.
//!
//! What cannot be shown to be within them is refused. Leases are compared as a delegation's are: [`crate::lease`].

use std::collections::BTreeMap;

use moorline_types::{AgentName, COST_BUDGET, Capability, Constraints, Json, LeaseCap, Principal};

use crate::Refusal;
use crate::lease::{Excess, Grants, GrantsError};

/// What a submission asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The agent.
    pub agent: &'a AgentName,
    /// The lease, as a JSON object of arrays of patterns.
    pub lease: &'a Json,
    /// The longest runtime, in seconds, if it asks for one.
    pub max_runtime_sec: Option<u64>,
}

/// Which constraint a submission does not keep to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintBroken {
    /// The agent is none of those that may be used.
    #[error("agent {agent:?} is not among those that this identity may use: {}", list(.allowed))]
    Agent {
        /// The agent.
        agent: AgentName,
        /// The patterns of those that are.
        allowed: Vec<String>,
    },
    /// The lease names what it may not, or what cannot be shown to be within it.
    #[error(
        "lease_request names {capability} {pattern:?}, which is not within what this identity may lease; ask for less"
    )]
    Lease {
        /// The capability.
        capability: Capability,
        /// The pattern.
        pattern: String,
    },
    /// The lease is none. The wire lets no such thing through; if it did, nothing would be known to be within anything.
    #[error("lease_request must be an object of arrays of strings")]
    NoLease,
    /// The lease cannot be compared.
    #[error("lease_request cannot be compared with what this identity may lease: {source}")]
    Unreadable {
        /// Why not.
        source: GrantsError,
    },
    /// It asks for a longer runtime.
    #[error("max_runtime_sec is {asked}, and this identity may ask for {limit} at most")]
    Runtime {
        /// What was asked for, in seconds.
        asked: u64,
        /// The most, in seconds.
        limit: u64,
    },
}

/// Whether the submission keeps to the constraints of its principal. Answers the runtime that it is to have at most, in
/// seconds: a submission that asks for none gets what is allowed, so that nobody has to know.
///
/// # Errors
/// What it does not keep to. A request that is too high is refused, not lowered: its sender counts on what it asked for.
pub fn check_submission(
    principal: &Principal,
    asked: Asked<'_>,
    default_runtime_sec: Option<u64>,
) -> Result<Option<u64>, Refusal> {
    let constraints = &principal.grants.constraints;
    within(constraints, asked).map_err(|broken| Refusal::NotWithinConstraints { broken })?;
    let default = match (default_runtime_sec, constraints.max_runtime_sec) {
        (Some(default), Some(most)) => Some(default.min(most)),
        (one, None) | (None, one) => one,
    };
    Ok(asked.max_runtime_sec.or(default))
}

fn within(constraints: &Constraints, asked: Asked<'_>) -> Result<(), ConstraintBroken> {
    let Asked { agent, lease, max_runtime_sec } = asked;
    let agents = &constraints.agents;
    if !agents.is_empty() && !agents.iter().any(|pattern| pattern.matches(agent)) {
        let allowed = agents.iter().map(ToString::to_string).collect();
        return Err(ConstraintBroken::Agent { agent: agent.clone(), allowed });
    }
    if let (Some(limit), Some(asked)) = (constraints.max_runtime_sec, max_runtime_sec)
        && asked > limit
    {
        return Err(ConstraintBroken::Runtime { asked, limit });
    }
    constraints.lease.as_ref().map_or(Ok(()), |cap| lease_within(cap, lease))
}

fn lease_within(cap: &LeaseCap, lease: &Json) -> Result<(), ConstraintBroken> {
    let asked: BTreeMap<String, Vec<String>> = lease.to().map_err(|_| ConstraintBroken::NoLease)?;
    // Budgets are compared by amount and not by pattern.
    let asked = asked.iter().filter(|(namespace, _)| *namespace != COST_BUDGET);
    let asked = Grants::new(asked.map(|(namespace, patterns)| (namespace.as_str(), patterns.as_slice())))
        .map_err(|source| ConstraintBroken::Unreadable { source })?;
    let most = read_lease_cap(cap).map_err(|source| ConstraintBroken::Unreadable { source })?;
    asked.check_within(&most).map_err(|Excess { capability, pattern }| ConstraintBroken::Lease { capability, pattern })
}

/// What a lease may name at most, as it is compared.
///
/// # Errors
/// If it is none. A key is not made then, and of one that was nothing may be leased.
pub fn read_lease_cap(cap: &LeaseCap) -> Result<Grants, GrantsError> {
    Grants::new(cap.0.iter().map(|(namespace, patterns)| (&**namespace, patterns.as_slice())))
}

fn list(patterns: &[String]) -> String {
    patterns.join(", ")
}

#[cfg(test)]
mod tests {
    use moorline_types::Scopes;

    use super::*;

    fn asking(constraints: &str, agent: &str, lease: &str) -> (Principal, AgentName, Json) {
        let mut principal = Principal::new("ada".parse().unwrap(), Scopes::JOBS);
        principal.grants.constraints = serde_json::from_str(constraints).unwrap();
        (principal, agent.parse().unwrap(), Json::parse(lease).unwrap())
    }

    fn check(constraints: &str, agent: &str, lease: &str, runtime: Option<u64>) -> Result<Option<u64>, String> {
        let (principal, agent, lease) = asking(constraints, agent, lease);
        let asked = Asked { agent: &agent, lease: &lease, max_runtime_sec: runtime };
        check_submission(&principal, asked, Some(100)).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_submission_beyond_its_constraints_is_refused_with_the_remedy() {
        let cap = r#"{"lease":{"fs.read":["/data/**"]}}"#;
        for (constraints, agent, lease, runtime, expected) in [
            (
                r#"{"agents":["census*","echo"]}"#,
                "shell",
                "{}",
                None,
                "agent shell is not among those that this identity may use: census*, echo",
            ),
            (
                r#"{"max_runtime_sec":60}"#,
                "echo",
                "{}",
                Some(61),
                "max_runtime_sec is 61, and this identity may ask for 60 at most",
            ),
            (
                cap,
                "echo",
                r#"{"fs.read":["/data/x","/etc/x"]}"#,
                None,
                "lease_request names fs.read \"/etc/x\", which is not within what this identity may lease; ask for less",
            ),
            (
                cap,
                "echo",
                r#"{"fs.read":["/data/../etc/x"]}"#,
                None,
                "lease_request cannot be compared with what this identity may lease: pattern \"/data/../etc/x\" of fs.read must not have empty, `.` or `..` segments, nor a slash at its end: no target has one",
            ),
            (
                r#"{"lease":{"fs.chown":["/"]}}"#,
                "echo",
                "{}",
                None,
                "lease_request cannot be compared with what this identity may lease: namespace \"fs.chown\" must be one of fs.read, fs.write, net.fetch, tool.call, agent.delegate, model.use or x-vendor.<vendor>.<name>",
            ),
            (cap, "echo", r#"{"fs.read":"/data/x"}"#, None, "lease_request must be an object of arrays of strings"),
            (
                cap,
                "echo",
                r#"{"fs.write":["/data/x"]}"#,
                None,
                "lease_request names fs.write \"/data/x\", which is not within what this identity may lease; ask for less",
            ),
        ] {
            assert_eq!(check(constraints, agent, lease, runtime), Err(expected.to_owned()), "{constraints}");
        }
    }

    #[test]
    fn a_submission_within_its_constraints_runs_no_longer_than_they_say() {
        for (constraints, lease, runtime, expected) in [
            ("{}", r#"{"fs.read":["/etc/x"]}"#, None, Some(100)),
            ("{}", "{}", Some(500), Some(500)),
            (r#"{"max_runtime_sec":60}"#, "{}", None, Some(60)),
            (r#"{"max_runtime_sec":600}"#, "{}", None, Some(100)),
            (r#"{"max_runtime_sec":60}"#, "{}", Some(60), Some(60)),
            (r#"{"lease":{"fs.read":["/data/**"]}}"#, r#"{"fs.read":["/data/x"],"fs.write":[]}"#, None, Some(100)),
            (r#"{"lease":{}}"#, r#"{"cost.budget":["USD:5"]}"#, None, Some(100)),
        ] {
            assert_eq!(check(constraints, "echo", lease, runtime), Ok(expected), "{constraints} {lease}");
        }
    }
}
