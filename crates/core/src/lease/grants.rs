//! The grants of a lease: every capability with its patterns.

use std::collections::BTreeMap;

use moorline_types::{Capability, CapabilityError};

use super::pattern::{Effort, Pattern, PatternError};
use super::target::Target;

/// What a lease allows, besides its budget: capability to patterns. A capability that is not there, or has no patterns,
/// allows nothing (spec 9.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants(BTreeMap<Capability, Vec<Pattern>>);

/// A lease cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantsError {
    /// A namespace is no capability.
    #[error("namespace {namespace:?} {source}")]
    Capability {
        /// The namespace.
        namespace: String,
        /// What it would have to be.
        source: CapabilityError,
    },
    /// A pattern cannot be read.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// A grant that another lease does not cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// The capability.
    pub capability: Capability,
    /// The pattern that no pattern of the other lease is known to include.
    pub pattern: String,
}

impl Grants {
    /// Reads grants: namespace to patterns, without the budget.
    ///
    /// # Errors
    /// See [`GrantsError`].
    pub fn new<'a, P: AsRef<str> + 'a>(
        namespaces: impl IntoIterator<Item = (&'a str, &'a [P])>,
    ) -> Result<Self, GrantsError> {
        let mut grants = BTreeMap::new();
        for (namespace, patterns) in namespaces {
            let capability: Capability = namespace
                .parse()
                .map_err(|source| GrantsError::Capability { namespace: namespace.to_owned(), source })?;
            let patterns: Result<Vec<_>, _> =
                patterns.iter().map(|pattern| Pattern::new(&capability, pattern.as_ref())).collect();
            grants.insert(capability, patterns?);
        }
        Ok(Self(grants))
    }

    /// The patterns of a capability; `None` if the lease does not name it.
    pub fn patterns(&self, capability: &Capability) -> Option<&[Pattern]> {
        self.0.get(capability).map(Vec::as_slice)
    }

    /// Whether some pattern matches the target.
    pub fn cover(&self, target: &Target) -> bool {
        self.0.get(target.capability()).is_some_and(|patterns| patterns.iter().any(|pattern| pattern.matches(target)))
    }

    /// Whether these grants are a subset of `other` (spec 9.4): each pattern is included in one of the other's.
    ///
    /// # Errors
    /// The first grant of which that is not known.
    pub fn check_within(&self, other: &Self) -> Result<(), Excess> {
        let mut effort = Effort::default();
        for (capability, patterns) in &self.0 {
            let theirs = other.0.get(capability).map_or(&[][..], Vec::as_slice);
            for pattern in patterns {
                if !theirs.iter().any(|their| their.includes(pattern, &mut effort)) {
                    return Err(Excess { capability: capability.clone(), pattern: pattern.as_str().to_owned() });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(entries: &[(&str, &[&str])]) -> Grants {
        Grants::new(entries.iter().copied()).unwrap()
    }

    fn covers(grants: &Grants, capability: Capability, target: &str) -> bool {
        grants.cover(&Target::new(&capability, target).unwrap())
    }

    #[test]
    fn what_is_no_grant_is_refused_with_its_name() {
        let error =
            |namespace: &str, pattern: &str| Grants::new([(namespace, [pattern].as_slice())]).unwrap_err().to_string();
        assert!(error("fs.chown", "/").contains("fs.chown"));
        assert!(error("cost.budget", "USD:1").contains("cost.budget"));
        assert!(error("fs.read", "/a/../b").contains("/a/../b"));
    }

    #[test]
    fn a_capability_without_patterns_allows_nothing() {
        let lease = grants(&[("fs.read", &["/ws/**"]), ("fs.write", &[])]);
        assert!(covers(&lease, Capability::FsRead, "/ws/a"));
        assert!(!covers(&lease, Capability::FsWrite, "/ws/a"));
        assert!(!covers(&lease, Capability::ToolCall, "grep"));
        assert!(!covers(&Grants::default(), Capability::FsRead, "/"));
    }

    #[test]
    fn a_subset_names_nothing_that_the_other_does_not_cover() {
        let parent = grants(&[("fs.read", &["/ws/**", "/etc/hosts"]), ("tool.call", &["git-*"])]);
        for (child, excess) in [
            (grants(&[]), None),
            (grants(&[("fs.read", &["/ws/a/*", "/etc/hosts"])]), None),
            (grants(&[("fs.write", &[])]), None),
            (grants(&[("tool.call", &["git-log"]), ("fs.read", &["/ws/**"])]), None),
            (grants(&[("fs.read", &["/ws/a", "/etc/*"])]), Some("/etc/*")),
            (grants(&[("fs.write", &["/ws/a"])]), Some("/ws/a")),
            (grants(&[("tool.call", &["*"])]), Some("*")),
        ] {
            let found = child.check_within(&parent).err().map(|excess| excess.pattern);
            assert_eq!(found.as_deref(), excess, "{child:?}");
        }
        assert_eq!(parent.check_within(&parent), Ok(()));
    }
}
