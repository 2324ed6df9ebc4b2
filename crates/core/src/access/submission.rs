//! What a submission may ask for at most, the constraints of whoever submits, and what it gets.
//!
//! A submission asks, and what it gets is written into its lease, so that whoever reads the lease knows all of it: the
//! gateway that enforces it, the client, and a child that is given a part of it.
//!
//! - A request that is too high is refused, not lowered: its sender counts on what it asked for.
//! - What is bounded for the submitter and not asked for is given as far as the bound allows: the longest runtime, and a
//!   budget in each currency in which one may spend so much at most. Otherwise leaving it out would be the way around
//!   the bound.
//! - A lease that does not name `model.use` allows no model; where the operator has decided otherwise it gets all of those
//!   that its submitter may lease.
//!
//! What cannot be shown to be within the constraints is refused. Leases are compared as a delegation's are:
//! [`crate::lease`].

use std::collections::BTreeMap;

use moorline_types::{AgentName, BudgetEntry, COST_BUDGET, Capability, Constraints, Json, LeaseCap, Principal, Units};

use crate::Refusal;
use crate::lease::budget::BudgetError;
use crate::lease::{Excess, Grants, GrantsError, Terms, TermsError};

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
    /// What may be leased cannot be read, so nothing is known to be within it.
    #[error("what this identity may lease cannot be read: {source}; an administrator can replace its key")]
    Unreadable {
        /// Why not.
        source: TermsError,
    },
    /// The budget is larger than it may be.
    #[error("lease_request asks for a budget of {asked} {currency}, and this identity may spend {limit} at most")]
    Budget {
        /// The currency.
        currency: Box<str>,
        /// What was asked for.
        asked: Units,
        /// The most.
        limit: Units,
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

/// What submissions get that do not say, as the operator has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unasked {
    /// The runtime, in seconds; without it there is no bound.
    pub max_runtime_sec: Option<u64>,
    /// Whether a lease that does not name `model.use` allows every model (spec 9.7).
    pub any_model: bool,
}

/// What a submission gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The lease that is enforced: what was asked for, and what follows without being asked for.
    pub lease: Json,
    /// The longest runtime, in seconds, if there is one.
    pub max_runtime_sec: Option<u64>,
}

/// What the submission gets, if it keeps to the constraints of its principal.
///
/// # Errors
/// What it does not keep to, or what is wrong with its lease.
pub fn check_submission(principal: &Principal, asked: Asked<'_>, unasked: Unasked) -> Result<Granted, Refusal> {
    let constraints = &principal.grants.constraints;
    let terms = Terms::read(asked.lease).map_err(|source| Refusal::LeaseUnreadable { source })?;
    let broken = |broken| Refusal::NotWithinConstraints { broken };
    within(constraints, asked, &terms).map_err(broken)?;
    let lease = effective(constraints, asked.lease, &terms, unasked.any_model).map_err(broken)?;
    let default = match (unasked.max_runtime_sec, constraints.max_runtime_sec) {
        (Some(default), Some(most)) => Some(default.min(most)),
        (one, None) | (None, one) => one,
    };
    Ok(Granted { lease, max_runtime_sec: asked.max_runtime_sec.or(default) })
}

fn within(constraints: &Constraints, asked: Asked<'_>, terms: &Terms) -> Result<(), ConstraintBroken> {
    let Asked { agent, max_runtime_sec, .. } = asked;
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
    for (currency, limit) in budget_limits(constraints)? {
        if let Some(asked) = terms.budget.get(currency).filter(|asked| *asked > limit) {
            return Err(ConstraintBroken::Budget { currency: currency.into(), asked, limit });
        }
    }
    let Some(cap) = &constraints.lease else { return Ok(()) };
    let most = read_lease_cap(cap).map_err(unreadable)?;
    let excess = |Excess { capability, pattern }| ConstraintBroken::Lease { capability, pattern };
    terms.grants.check_within(&most).map_err(excess)
}

/// The lease with what follows without being asked for. One to which nothing is added keeps its text.
fn effective(
    constraints: &Constraints,
    lease: &Json,
    terms: &Terms,
    any_model: bool,
) -> Result<Json, ConstraintBroken> {
    let model_use = Capability::ModelUse;
    let models = (any_model && terms.grants.patterns(&model_use).is_none())
        .then(|| match &constraints.lease {
            None => vec!["**".to_owned()],
            Some(LeaseCap(cap)) => cap.get(model_use.as_str()).into_iter().flatten().map(ToString::to_string).collect(),
        })
        .filter(|models| !models.is_empty());
    let limits = budget_limits(constraints)?.into_iter().filter(|(currency, _)| terms.budget.get(currency).is_none());
    let budget: Vec<_> = limits.map(|(currency, limit)| format!("{currency}:{limit}")).collect();
    if models.is_none() && budget.is_empty() {
        return Ok(lease.clone());
    }
    let mut lease: BTreeMap<String, Vec<String>> =
        lease.to().map_err(|_| ConstraintBroken::Unreadable { source: TermsError::Shape })?;
    lease.extend(models.map(|models| (model_use.as_str().to_owned(), models)));
    if !budget.is_empty() {
        lease.entry(COST_BUDGET.to_owned()).or_default().extend(budget);
    }
    let lease = Json::of(&lease).map_err(|_| ConstraintBroken::Unreadable { source: TermsError::Shape })?;
    // With the currencies of both there may be too many.
    Terms::read(&lease).map_err(|source| ConstraintBroken::Unreadable { source })?;
    Ok(lease)
}

/// The most that may be spent in each currency; the least if it is said more than once.
fn budget_limits(constraints: &Constraints) -> Result<BTreeMap<&str, Units>, ConstraintBroken> {
    let mut limits = BTreeMap::new();
    for cap in &constraints.max_budget {
        let BudgetEntry { currency, amount } = BudgetEntry::read(cap.as_str())
            .map_err(|source| unreadable(BudgetError::Entry { text: cap.to_string(), source }))?;
        let limit = limits.entry(currency).or_insert(amount);
        *limit = amount.min(*limit);
    }
    Ok(limits)
}

fn unreadable(source: impl Into<TermsError>) -> ConstraintBroken {
    ConstraintBroken::Unreadable { source: source.into() }
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

    fn check_with(constraints: &str, asked: (&str, &str, Option<u64>), any_model: bool) -> Result<Granted, String> {
        let (agent, lease, runtime) = asked;
        let (principal, agent, lease) = asking(constraints, agent, lease);
        let asked = Asked { agent: &agent, lease: &lease, max_runtime_sec: runtime };
        let unasked = Unasked { max_runtime_sec: Some(100), any_model };
        check_submission(&principal, asked, unasked).map_err(|refusal| refusal.to_string())
    }

    fn check(constraints: &str, agent: &str, lease: &str, runtime: Option<u64>) -> Result<Option<u64>, String> {
        check_with(constraints, (agent, lease, runtime), false).map(|granted| granted.max_runtime_sec)
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
                "lease_request cannot be read: pattern \"/data/../etc/x\" of fs.read must not have empty, `.` or `..` segments, nor a slash at its end: no target has one",
            ),
            (
                r#"{"lease":{"fs.chown":["/"]}}"#,
                "echo",
                "{}",
                None,
                "what this identity may lease cannot be read: namespace \"fs.chown\" must be one of fs.read, fs.write, net.fetch, tool.call, agent.delegate, model.use or x-vendor.<vendor>.<name>; an administrator can replace its key",
            ),
            (
                cap,
                "echo",
                r#"{"fs.read":"/data/x"}"#,
                None,
                "lease_request cannot be read: must be an object of arrays of strings",
            ),
            (
                "{}",
                "echo",
                r#"{"cost.budget":["USD:1e3"]}"#,
                None,
                "lease_request cannot be read: cost.budget \"USD:1e3\" has an amount that must be a decimal number",
            ),
            (
                r#"{"max_budget":["USD:5"]}"#,
                "echo",
                r#"{"cost.budget":["USD:4","USD:1.01"]}"#,
                None,
                "lease_request asks for a budget of 5.01 USD, and this identity may spend 5 at most",
            ),
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

    #[test]
    fn what_is_bounded_and_not_asked_for_is_written_into_the_lease() {
        for (constraints, lease, any_model, expected) in [
            ("{}", r#"{ "fs.read" : ["/x"] }"#, false, r#"{ "fs.read" : ["/x"] }"#),
            (r#"{"max_budget":["USD:5","EUR:2"]}"#, "{}", false, r#"{"cost.budget":["EUR:2","USD:5"]}"#),
            (r#"{"max_budget":["USD:5","USD:3"]}"#, "{}", false, r#"{"cost.budget":["USD:3"]}"#),
            (
                r#"{"max_budget":["USD:5"]}"#,
                r#"{"cost.budget":["credits:9"]}"#,
                false,
                r#"{"cost.budget":["credits:9","USD:5"]}"#,
            ),
            (r#"{"max_budget":["USD:5"]}"#, r#"{"cost.budget":["USD:1"]}"#, false, r#"{"cost.budget":["USD:1"]}"#),
            ("{}", "{}", true, r#"{"model.use":["**"]}"#),
            ("{}", r#"{"model.use":[]}"#, true, r#"{"model.use":[]}"#),
            (r#"{"lease":{"model.use":["fast/*"]}}"#, "{}", true, r#"{"model.use":["fast/*"]}"#),
            (r#"{"lease":{"fs.read":["/x"]}}"#, "{}", true, "{}"),
        ] {
            let granted = check_with(constraints, ("echo", lease, None), any_model).unwrap();
            assert_eq!(granted.lease.get(), expected, "{constraints} {lease}");
        }
    }
}
