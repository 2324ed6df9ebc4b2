//! Every dependency may be used in a program under MIT OR Apache-2.0.
//!
//! What is allowed stands in `deny.toml`, in the form that cargo-deny reads: a list for all, and exceptions for named
//! crates.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use toml_edit::{DocumentMut, Item};

use crate::metadata::{Metadata, Package};
use crate::{sources, spdx};

/// The licences that dependencies may have.
#[derive(Debug, Default)]
struct Allowed {
    everywhere: Vec<String>,
    /// By the crate that they are allowed for.
    exceptions: BTreeMap<String, Vec<String>>,
}

pub(crate) fn run() -> Result<()> {
    let deny = std::fs::read_to_string(sources::root().join("deny.toml")).context("deny.toml cannot be read")?;
    let allowed = Allowed::parse(&deny)?;
    let metadata = Metadata::read()?;
    let problems: Vec<String> = metadata.foreign().filter_map(|package| problem(package, &allowed)).collect();
    if !problems.is_empty() {
        bail!("{} packages:\n{}", problems.len(), problems.join("\n"));
    }
    println!("{} dependencies, all under licences that are allowed", metadata.foreign().count());
    Ok(())
}

impl Allowed {
    fn parse(deny: &str) -> Result<Self> {
        let document: DocumentMut = deny.parse().context("deny.toml is not TOML")?;
        let licenses = document.get("licenses").context("deny.toml: no table `licenses`")?;
        let everywhere =
            licenses.get("allow").and_then(Item::as_array).context("deny.toml: no list `licenses.allow`")?;
        let mut allowed = Self { everywhere: texts(everywhere)?, exceptions: BTreeMap::new() };
        for exception in licenses.get("exceptions").and_then(Item::as_array).into_iter().flatten() {
            let exception =
                exception.as_inline_table().context("deny.toml: an exception is { crate = \"…\", allow = [\"…\"] }")?;
            let name = exception.get("crate").and_then(|name| name.as_str());
            let name = name.context("deny.toml: an exception names no crate")?;
            let licences = exception.get("allow").and_then(|allow| allow.as_array());
            let licences = licences.with_context(|| format!("deny.toml: the exception for {name} allows nothing"))?;
            allowed.exceptions.insert(name.to_owned(), texts(licences)?);
        }
        Ok(allowed)
    }

    fn allows(&self, name: &str, licence: &str) -> bool {
        let exceptions = self.exceptions.get(name).into_iter().flatten();
        self.everywhere.iter().chain(exceptions).any(|allowed| allowed == licence)
    }
}

fn texts(array: &toml_edit::Array) -> Result<Vec<String>> {
    let text = |value: &toml_edit::Value| value.as_str().map(str::to_owned);
    array.iter().map(|value| text(value).with_context(|| format!("deny.toml: {value} is no text"))).collect()
}

fn problem(package: &Package, allowed: &Allowed) -> Option<String> {
    let Package { name, version, license, license_file, .. } = package;
    match (license, license_file) {
        (Some(expression), _) => match spdx::is_satisfied(expression, |licence| allowed.allows(name, licence)) {
            Some(true) => None,
            Some(false) => Some(format!("{name} {version} is under {expression}, which is not allowed")),
            None => Some(format!("{name} {version} has a licence that cannot be read: {expression:?}")),
        },
        (None, Some(file)) => Some(format!("{name} {version} names no licence but a file, {file}")),
        (None, None) => Some(format!("{name} {version} names no licence")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::package;

    const DENY: &str = "[licenses]\nallow = [\"MIT\"]\nexceptions = [{ crate = \"special\", allow = [\"MPL-2.0\"] }]\n";

    #[test]
    fn a_package_without_a_usable_licence_is_named() {
        let allowed = Allowed::parse(DENY).unwrap();
        for (name, licence, expected) in [
            ("x", Some("MIT OR GPL-3.0"), None),
            ("x", Some("GPL-3.0"), Some("x 1.0.0 is under GPL-3.0, which is not allowed")),
            ("x", Some("MPL-2.0"), Some("x 1.0.0 is under MPL-2.0, which is not allowed")),
            ("special", Some("MPL-2.0"), None),
            ("special", Some("MIT AND MPL-2.0"), None),
            ("x", Some("MIT OR"), Some("x 1.0.0 has a licence that cannot be read: \"MIT OR\"")),
            ("x", None, Some("x 1.0.0 names no licence")),
        ] {
            assert_eq!(problem(&package(name, licence, &[]), &allowed).as_deref(), expected);
        }
    }

    #[test]
    fn what_deny_toml_cannot_mean_is_an_error() {
        for (text, error) in [
            ("", "no table `licenses`"),
            ("[licenses]\n", "no list `licenses.allow`"),
            ("[licenses]\nallow = [1]\n", "1 is no text"),
            ("[licenses]\nallow = []\nexceptions = [\"x\"]\n", "an exception is {"),
            ("[licenses]\nallow = []\nexceptions = [{ allow = [] }]\n", "names no crate"),
            ("[licenses]\nallow = []\nexceptions = [{ crate = \"x\" }]\n", "x allows nothing"),
        ] {
            let found = Allowed::parse(text).unwrap_err().to_string();
            assert!(found.contains(error), "{text:?}: {found}");
        }
    }

    #[test]
    fn the_list_of_the_repository_is_read() {
        let deny = std::fs::read_to_string(sources::root().join("deny.toml")).unwrap();
        let allowed = Allowed::parse(&deny).unwrap();
        assert!(allowed.allows("x", "MIT") && !allowed.allows("x", "GPL-3.0-only") && !allowed.allows("x", "OpenSSL"));
    }
}
