//! What a client may ask for in a lease (spec 9.2), and how much of it.
//!
//! The shape and the bounds are checked here. What a namespace or a pattern means is not known here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use moorline_types::limits::{MAX_LEASE_NAMESPACES, MAX_LEASE_PATTERN_BYTES, MAX_LEASE_PATTERNS};
use moorline_types::{COST_BUDGET, Capability, Timestamp};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::de;

/// Whether `name` is a namespace of the spec or a vendor's: a capability's, or that of budgets.
pub fn is_lease_namespace(name: &str) -> bool {
    name == COST_BUDGET || name.parse::<Capability>().is_ok()
}

/// Namespace to patterns, as asked for. Namespaces are sorted, patterns are in the order in which they came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LeaseRequest(BTreeMap<Box<str>, Vec<Pattern>>);

/// One pattern: 1 to [`MAX_LEASE_PATTERN_BYTES`] bytes.
pub type Pattern = crate::Text<MAX_LEASE_PATTERN_BYTES>;

impl LeaseRequest {
    /// A request for these patterns; `None` if a namespace is neither the spec's nor a vendor's, or a bound is passed.
    pub fn new(grants: BTreeMap<Box<str>, Vec<Pattern>>) -> Option<Self> {
        let fits = grants.len() <= MAX_LEASE_NAMESPACES
            && grants.iter().all(|(name, patterns)| is_lease_namespace(name) && patterns.len() <= MAX_LEASE_PATTERNS);
        fits.then_some(Self(grants))
    }

    /// Namespace to patterns.
    pub const fn grants(&self) -> &BTreeMap<Box<str>, Vec<Pattern>> {
        &self.0
    }
}

impl Serialize for LeaseRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LeaseRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Grants;

        impl<'de> Visitor<'de> for Grants {
            type Value = LeaseRequest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of arrays of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<LeaseRequest, A::Error> {
                let mut grants = BTreeMap::new();
                while let Some(name) = entries.next_key::<Cow<'de, str>>()? {
                    if !is_lease_namespace(&name) {
                        return Err(A::Error::custom(
                            "has a namespace that is neither the spec's nor x-vendor.<vendor>.<name>",
                        ));
                    }
                    let patterns: Vec<Pattern> = entries.next_value()?;
                    if patterns.len() > MAX_LEASE_PATTERNS {
                        return Err(A::Error::custom(format_args!(
                            "must have at most {MAX_LEASE_PATTERNS} patterns in a namespace"
                        )));
                    }
                    if grants.insert(name.as_ref().into(), patterns).is_some() {
                        return Err(A::Error::custom("has a namespace twice"));
                    }
                    if grants.len() > MAX_LEASE_NAMESPACES {
                        return Err(A::Error::custom(format_args!(
                            "must have at most {MAX_LEASE_NAMESPACES} namespaces"
                        )));
                    }
                }
                Ok(LeaseRequest(grants))
            }
        }

        deserializer.deserialize_map(Grants)
    }
}

/// When a lease ends (spec 9.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct LeaseConstraints {
    /// The moment; without one the lease does not expire. Read in UTC only, as the spec wants it.
    #[serde(default, serialize_with = "de::maybe_text::serialize", deserialize_with = "utc")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

fn utc<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<Cow<'de, str>>::deserialize(deserializer)? else { return Ok(None) };
    // One official client spells UTC as an offset of zero.
    if !["Z", "z", "+00:00", "-00:00"].iter().any(|zone| text.ends_with(zone)) {
        return Err(D::Error::custom("must be an RFC 3339 timestamp in UTC, ending in Z"));
    }
    text.parse().map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LeaseRequest, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_lease_request_has_the_specs_namespaces_and_vendors() {
        let request = read(r#"{"fs.read":["/ws/**"],"x-vendor.acme.gpu":["a100"],"cost.budget":[]}"#).unwrap();
        assert_eq!(request.grants().len(), 3);
        assert_eq!(read("{}").unwrap(), LeaseRequest::default());
    }

    #[test]
    fn what_is_not_in_the_grammar_or_passes_a_bound_is_refused() {
        let many = |n: usize| vec![r#""p""#; n].join(",");
        let namespaces: Vec<_> = (0..=MAX_LEASE_NAMESPACES).map(|n| format!(r#""x-vendor.a.n{n}":[]"#)).collect();
        for (text, expected) in [
            (r#"{"fs.chown":["/"]}"#.to_owned(), "namespace"),
            (r#"{"x-vendor.acme":["/"]}"#.to_owned(), "namespace"),
            (r#"{"fs.read":"/"}"#.to_owned(), "invalid type"),
            (r#"{"fs.read":[1]}"#.to_owned(), "invalid type"),
            (r#"{"fs.read":null}"#.to_owned(), "invalid type"),
            (r#"{"fs.read":[""]}"#.to_owned(), "must not be empty"),
            (format!(r#"{{"fs.read":["{}"]}}"#, "x".repeat(1025)), "at most 1024 bytes"),
            (format!(r#"{{"fs.read":[{}]}}"#, many(257)), "at most 256 patterns"),
            (format!("{{{}}}", namespaces.join(",")), "at most 64 namespaces"),
            (r#"{"fs.read":[],"fs.read":[]}"#.to_owned(), "twice"),
            ("[]".to_owned(), "an object of arrays of strings"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(expected), "{text:.60} gives {error}");
        }
    }

    #[test]
    fn a_lease_ends_at_a_moment_in_utc() {
        let at = |text: &str| serde_json::from_str::<LeaseConstraints>(&format!(r#"{{"expires_at":{text}}}"#));
        for text in [r#""2026-05-14T13:00:00Z""#, r#""2026-05-14T13:00:00.000+00:00""#] {
            let constraints = at(text).unwrap();
            let written = serde_json::to_string(&constraints).unwrap();
            assert_eq!(written, r#"{"expires_at":"2026-05-14T13:00:00.000Z"}"#);
        }
        for text in [r#""2026-05-14T13:00:00+02:00""#, r#""tomorrow""#, "5", r#""""#] {
            assert!(at(text).is_err(), "{text}");
        }
        assert_eq!(at("null").unwrap(), LeaseConstraints::default());
    }
}
