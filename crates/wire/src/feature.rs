//! Features: parts of the protocol that are used only if both sides name them (spec 6.2).

use std::borrow::Cow;
use std::fmt;

use moorline_types::limits::MAX_FEATURES;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::Word;

words! {
    /// A part of the protocol that is negotiated.
    Feature {
        /// `session.ping` and `session.pong` (spec 6.4).
        Heartbeat = "heartbeat";
        /// `session.ack` (spec 6.5).
        Ack = "ack";
        /// `session.list_jobs` (spec 6.6).
        ListJobs = "list_jobs";
        /// `job.subscribe` (spec 7.6).
        Subscribe = "subscribe";
        /// Leases that expire (spec 9.5).
        LeaseExpiresAt = "lease_expires_at";
        /// Budgets (spec 9.6).
        CostBudget = "cost.budget";
        /// Leases that name models (spec 9.7).
        ModelUse = "model.use";
        /// Credentials handed out with a lease (spec 9.8).
        ProvisionedCredentials = "provisioned_credentials";
        /// `progress` events (spec 8.2.1).
        Progress = "progress";
        /// Streamed results (spec 8.4).
        ResultChunk = "result_chunk";
        /// `name@version` (spec 7.5).
        AgentVersions = "agent_versions";
        /// A resume beyond what is retained goes on after a message that says what is missing. Not in the spec.
        Gap = "x-vendor.moorline.gap";
    }
}

/// A set of features. Names that we do not know are not in it: they cannot be used anyway.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FeatureSet(u16);

impl FeatureSet {
    /// No feature.
    pub const NONE: Self = Self(0);

    /// Every feature of the table.
    pub fn all() -> Self {
        Feature::ALL.iter().copied().collect()
    }

    /// Whether `feature` is in the set.
    pub const fn contains(self, feature: Feature) -> bool {
        self.0 & bit(feature) != 0
    }

    /// The set with `feature`.
    #[must_use]
    pub const fn with(self, feature: Feature) -> Self {
        Self(self.0 | bit(feature))
    }

    /// The set without `feature`.
    #[must_use]
    pub const fn without(self, feature: Feature) -> Self {
        Self(self.0 & !bit(feature))
    }

    /// What both sets hold: what two peers may use.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The features, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL.iter().copied().filter(move |feature| self.contains(*feature))
    }
}

const fn bit(feature: Feature) -> u16 {
    1 << feature as u16
}

impl FromIterator<Feature> for FeatureSet {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Self {
        features.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for FeatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Feature::as_str)).finish()
    }
}

impl Serialize for FeatureSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for FeatureSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = FeatureSet;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of feature names")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<FeatureSet, A::Error> {
                let mut set = FeatureSet::NONE;
                let mut count = 0;
                while let Some(name) = names.next_element::<Cow<'de, str>>()? {
                    count += 1;
                    if count > MAX_FEATURES {
                        return Err(A::Error::custom(format_args!("must have at most {MAX_FEATURES} entries")));
                    }
                    set = Feature::read(&name).map_or(set, |feature| set.with(feature));
                }
                Ok(set)
            }
        }

        deserializer.deserialize_seq(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_peers_may_use_what_both_of_them_named() {
        let ours = FeatureSet::all().without(Feature::CostBudget);
        let theirs: FeatureSet = serde_json::from_str(r#"["ack","cost.budget","x-vendor.acme.teleport"]"#).unwrap();
        assert_eq!(ours.intersection(theirs).iter().collect::<Vec<_>>(), [Feature::Ack]);
    }

    #[test]
    fn a_set_reads_back_as_it_was_written() {
        let text = serde_json::to_string(&FeatureSet::all()).unwrap();
        assert_eq!(serde_json::from_str::<FeatureSet>(&text).unwrap(), FeatureSet::all());
        assert_eq!(FeatureSet::all().iter().count(), 12);
    }

    #[test]
    fn more_names_than_the_bound_are_refused() {
        let many = serde_json::to_string(&vec!["x"; MAX_FEATURES + 1]).unwrap();
        let error = serde_json::from_str::<FeatureSet>(&many).unwrap_err().to_string();
        assert!(error.starts_with("must have at most 64 entries"), "{error}");
    }
}
