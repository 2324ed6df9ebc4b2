//! What the principals of clients' certificates may do: the grants of an API key, in the configuration.

use std::collections::BTreeMap;
use std::path::Path;

use moorline_types::{Grants, PrincipalId};

use super::kind::{Kind, Raw, quoted};
use crate::keys::check_grants;

/// The text for an empty table.
const NONE: &str = "none";

/// A table from principals to what they are granted.
pub(super) struct ClientGrants;

impl Kind for ClientGrants {
    type Value = BTreeMap<PrincipalId, Grants>;
    const VALUE_NAME: &'static str = "JSON";

    fn accepts(&self) -> String {
        format!(
            "a table from names of principals to what an API key would grant them: `scopes`, `tags`, `constraints` and \
             `quotas` (as a flag or variable: as JSON, or {NONE:?})"
        )
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<Self::Value> {
        let read: Self::Value = match raw {
            Raw::Text(text) if text == NONE => BTreeMap::new(),
            Raw::Text(text) => serde_json::from_str(text).ok()?,
            Raw::Table(table) => serde_json::from_value(serde_json::Value::Object(table.clone())).ok()?,
            Raw::Switch(_) | Raw::Number(_) | Raw::List(_) | Raw::Other(_) => return None,
        };
        read.values().all(|grants| check_grants(grants).is_ok()).then_some(read)
    }

    fn literal(&self, value: &Self::Value) -> Option<String> {
        if value.is_empty() {
            return Some(quoted(NONE));
        }
        serde_json::to_string(value).ok().map(|json| quoted(&json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_those_of_a_key_and_nothing_else_is() {
        let read = |text: &str| ClientGrants.read(&Raw::Text(text.to_owned()), Path::new("/"));
        let good =
            r#"{"ci":{"scopes":["submit"],"tags":["team/a"],"quotas":{"jobs":3}},"nightly":{"scopes":["admin"]}}"#;
        let grants = read(good).unwrap();
        assert_eq!(grants.len(), 2);
        let literal = ClientGrants.literal(&grants).unwrap();
        let toml: toml_edit::Value = literal.parse().unwrap();
        assert_eq!(read(toml.as_str().unwrap()), Some(grants), "what is shown is read as the same");
        assert_eq!(read(NONE), Some(BTreeMap::new()));
        for text in [
            "",
            "{",
            "[]",
            r#"{"ci":["submit"]}"#,
            r#"{"a b":{"scopes":["submit"]}}"#,
            r#"{"ci":{"scopes":["everything"]}}"#,
            r#"{"ci":{"scopes":["submit"],"readonly":true}}"#,
            r#"{"ci":{"quotas":{"submits_per_sec":0}}}"#,
            r#"{"ci":{"constraints":{"lease":{"fs.chown":["/"]}}}}"#,
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
