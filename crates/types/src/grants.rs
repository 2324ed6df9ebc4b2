//! What comes with an identity: scopes, tags, constraints and quotas.
//!
//! Every field that is absent grants nothing more than its documentation says. All of it is stored with a key and read
//! again, so a field that is not known is refused: it may be a restriction.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::limits::{
    MAX_GRANT_PATTERNS, MAX_LEASE_NAMESPACES, MAX_LEASE_PATTERN_BYTES, MAX_LEASE_PATTERNS, MAX_TAG_BYTES, MAX_TAGS,
};
use crate::{AgentPattern, BudgetEntry, BudgetEntryError, Scopes};

/// What an identity may do, and how much of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// What it may do at all.
    #[serde(deserialize_with = "or_default")]
    pub scopes: Scopes,
    /// What its sessions and jobs are marked with, and whose it may watch beside its own.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[serde(deserialize_with = "or_default")]
    pub tags: BTreeSet<Tag>,
    /// What its submissions may ask for.
    #[serde(skip_serializing_if = "Constraints::is_none")]
    #[serde(deserialize_with = "or_default")]
    pub constraints: Constraints,
    /// How much it may have at once, where that is not the configured default.
    #[serde(skip_serializing_if = "Quotas::is_default")]
    #[serde(deserialize_with = "or_default")]
    pub quotas: Quotas,
}

impl Grants {
    /// Whether every list is within its bound.
    pub fn is_bounded(&self) -> bool {
        let lease = |cap: &LeaseCap| {
            let patterns = |patterns: &Vec<Box<str>>| {
                patterns.len() <= MAX_LEASE_PATTERNS && patterns.iter().all(|one| one.len() <= MAX_LEASE_PATTERN_BYTES)
            };
            cap.0.len() <= MAX_LEASE_NAMESPACES
                && cap.0.iter().all(|(name, all)| name.len() <= MAX_LEASE_PATTERN_BYTES && patterns(all))
        };
        let Constraints { agents, lease: cap, max_budget, .. } = &self.constraints;
        self.tags.len() <= MAX_TAGS
            && agents.len() <= MAX_GRANT_PATTERNS
            && max_budget.len() <= MAX_GRANT_PATTERNS
            && cap.as_ref().is_none_or(lease)
    }
}

/// A mark on sessions and jobs, of 1 to [`MAX_TAG_BYTES`] characters `A-Z a-z 0-9 . _ - : / @`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Box<str>);

/// A text is no tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tag is 1 to {MAX_TAG_BYTES} characters of A-Z a-z 0-9 . _ - : / @")]
pub struct TagError;

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':' | b'/' | b'@');
        let fits = !text.is_empty() && text.len() <= MAX_TAG_BYTES && text.bytes().all(allowed);
        if fits { Ok(Self(text.into())) } else { Err(TagError) }
    }
}

/// What submissions may ask for. Nothing is constrained that is absent.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Constraints {
    /// Which agents; any if there is no pattern.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "or_default")]
    pub agents: Vec<AgentPattern>,
    /// What a lease may name at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseCap>,
    /// How much a job may spend at most, for each currency.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "or_default")]
    pub max_budget: Vec<BudgetCap>,
    /// How long a job may run at most, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_runtime_sec: Option<u64>,
}

impl Constraints {
    /// Whether nothing is constrained.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Namespace to patterns (spec 9.2): the most that a lease may name. A namespace that is not in it may not be named.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct LeaseCap(pub BTreeMap<Box<str>, Vec<Box<str>>>);

/// A ceiling for what a job spends in one currency: `USD:5.00` (spec 9.6).
#[derive(Clone, PartialEq, Eq)]
pub struct BudgetCap(Box<str>);

/// A text is no ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a budget {0}")]
pub struct BudgetCapError(#[from] BudgetEntryError);

impl FromStr for BudgetCap {
    type Err = BudgetCapError;

    fn from_str(text: &str) -> Result<Self, BudgetCapError> {
        BudgetEntry::read(text)?;
        Ok(Self(text.into()))
    }
}

macro_rules! text {
    ($($name:ident)*) => {$(
        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <std::borrow::Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

text! { Tag BudgetCap }

/// How much of the gateway one principal may take up. What is absent in a key is as configured, and what is absent there
/// has no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Sessions, those that wait for their client included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u64>,
    /// Jobs that have not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u64>,
    /// Jobs that no worker has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
    /// Submissions in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submits_per_sec: Option<u64>,
    /// Bytes of records of its jobs and sessions in the journal, beyond which nothing is submitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<u64>,
}

impl Quotas {
    /// Every bound of these, and where there is none that of `defaults`.
    #[must_use]
    pub const fn or(self, defaults: Self) -> Self {
        const fn or(own: Option<u64>, default: Option<u64>) -> Option<u64> {
            if own.is_some() { own } else { default }
        }

        Self {
            sessions: or(self.sessions, defaults.sessions),
            jobs: or(self.jobs, defaults.jobs),
            queued: or(self.queued, defaults.queued),
            submits_per_sec: or(self.submits_per_sec, defaults.submits_per_sec),
            stored_bytes: or(self.stored_bytes, defaults.stored_bytes),
        }
    }

    /// Whether all is as configured.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What is null is absent.
fn or_default<'de, T: serde::Deserialize<'de> + Default, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    serde::Deserialize::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_tag_or_budget_is_refused() {
        for text in ["", "a b", "a,b", "ä", "a\n", &"x".repeat(MAX_TAG_BYTES + 1)] {
            assert_eq!(text.parse::<Tag>(), Err(TagError), "{text:?}");
        }
        for text in ["", "USD", "USD:", ":5", "USD:-1", "USD:1e3", "USD:NaN", "USD:1.", "US D:1", "USD:1:2"] {
            assert!(text.parse::<BudgetCap>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_field_that_is_not_known_is_refused_as_it_may_be_a_restriction() {
        for text in [
            r#"{"scopes":["jobs"],"readonly":true}"#,
            r#"{"constraints":{"networks":["10.0.0.0/8"]}}"#,
            r#"{"quotas":{"gpus":1}}"#,
        ] {
            assert!(serde_json::from_str::<Grants>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn grants_read_back_and_say_nothing_that_is_absent() {
        let text = r#"{"scopes":["submit"],"tags":["team/a"],"constraints":{"agents":["census*"],"lease":{"fs.read":["/data/**"]},"max_budget":["USD:5.00"],"max_runtime_sec":60},"quotas":{"jobs":3}}"#;
        let grants: Grants = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&grants).unwrap(), text);
        assert_eq!(serde_json::to_string(&Grants::default()).unwrap(), r#"{"scopes":[]}"#);
        assert!(grants.is_bounded());
    }

    #[test]
    fn a_bound_of_ones_own_goes_before_the_default() {
        let read = |text: &str| serde_json::from_str::<Quotas>(text).unwrap();
        let defaults = read(r#"{"sessions":1,"jobs":2,"queued":3}"#);
        let own = read(r#"{"jobs":7,"stored_bytes":9}"#);
        assert_eq!(own.or(defaults), read(r#"{"sessions":1,"jobs":7,"queued":3,"stored_bytes":9}"#));
        assert_eq!(Quotas::default().or(defaults), defaults);
    }

    #[test]
    fn more_than_the_bounds_allow_is_seen() {
        let tags = (0..=MAX_TAGS).map(|number| number.to_string().parse().unwrap()).collect();
        assert!(!Grants { tags, ..Grants::default() }.is_bounded());
        let many = BTreeMap::from([("fs.read".into(), vec!["/".into(); MAX_LEASE_PATTERNS + 1])]);
        let constraints = Constraints { lease: Some(LeaseCap(many)), ..Constraints::default() };
        assert!(!Grants { constraints, ..Grants::default() }.is_bounded());
    }
}
