//! A lease as it is written, taken apart.

use std::collections::BTreeMap;

use moorline_types::{COST_BUDGET, Json};

use super::budget::{Budget, BudgetError};
use super::{Grants, GrantsError};

/// What a lease says: what may be done, and what that may cost. When it ends is beside it (spec 9.5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// What may be done.
    pub grants: Grants,
    /// What it may cost; empty if that is not bounded.
    pub budget: Budget,
}

/// A lease cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// It is no lease at all.
    #[error("must be an object of arrays of strings")]
    Shape,
    /// A namespace or a pattern is none.
    #[error(transparent)]
    Grants(#[from] GrantsError),
    /// The budget is none.
    #[error(transparent)]
    Budget(#[from] BudgetError),
}

impl Terms {
    /// Reads a lease: an object of namespaces with their patterns (spec 9.2).
    ///
    /// # Errors
    /// See [`TermsError`].
    pub fn read(lease: &Json) -> Result<Self, TermsError> {
        let lease: BTreeMap<String, Vec<String>> = lease.to().map_err(|_| TermsError::Shape)?;
        let grants = lease.iter().filter(|(namespace, _)| *namespace != COST_BUDGET);
        let grants = Grants::new(grants.map(|(namespace, patterns)| (namespace.as_str(), patterns.as_slice())))?;
        let budget = Budget::new(lease.get(COST_BUDGET).into_iter().flatten())?;
        Ok(Self { grants, budget })
    }
}

impl TermsError {
    /// Which namespace is wrong, if one is.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Shape => None,
            Self::Grants(GrantsError::Capability { namespace, .. }) => Some(namespace),
            Self::Grants(GrantsError::Pattern(error)) => Some(error.capability.as_str()),
            Self::Budget(_) => Some(COST_BUDGET),
        }
    }

    /// Which pattern of it is, if one is.
    pub fn pattern(&self) -> Option<&str> {
        match self {
            Self::Grants(GrantsError::Pattern(error)) => Some(&error.pattern),
            Self::Budget(BudgetError::Entry { text, .. }) => Some(text),
            Self::Shape | Self::Grants(GrantsError::Capability { .. }) | Self::Budget(BudgetError::Currencies) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(lease: &str) -> Json {
        Json::parse(lease).unwrap()
    }

    #[test]
    fn a_lease_is_grants_and_a_budget() {
        let terms = Terms::read(&json(r#"{"tool.call":["git-*"],"cost.budget":["USD:1","USD:0.5"]}"#)).unwrap();
        let budget: Vec<_> = terms.budget.iter().map(|(currency, units)| format!("{currency}:{units}")).collect();
        assert_eq!(budget, ["USD:1.5"]);
        assert_eq!(terms.grants.patterns(&moorline_types::Capability::ToolCall).unwrap().len(), 1);
        assert_eq!(Terms::read(&json("{}")), Ok(Terms::default()));
    }

    #[test]
    fn what_is_wrong_with_a_lease_is_named() {
        for (lease, namespace, pattern) in [
            ("[]", None, None),
            (r#"{"fs.read":"/"}"#, None, None),
            (r#"{"fs.chown":["/"]}"#, Some("fs.chown"), None),
            (r#"{"fs.read":["/a/../b"]}"#, Some("fs.read"), Some("/a/../b")),
            (r#"{"cost.budget":["USD:-1"]}"#, Some("cost.budget"), Some("USD:-1")),
            (r#"{"cost.budget":["USD"]}"#, Some("cost.budget"), Some("USD")),
        ] {
            let error = Terms::read(&json(lease)).unwrap_err();
            assert_eq!((error.namespace(), error.pattern()), (namespace, pattern), "{lease}");
        }
    }
}
