//! No locked dependency has a hole that is known: the lock file against an advisory database in the form of RustSec's.
//!
//! The database is read from a directory and never fetched, so the check works offline. It is looked for where
//! `MOORLINE_ADVISORY_DB` says, and if that is not set under cargo's home (`advisory-db`, and the folders of
//! `advisory-dbs`, where the usual tools keep it). Without one the step says so and passes.
//!
//! A pre-release satisfies no requirement that does not name it, so one of a package with an advisory is reported: that
//! errs on the safe side.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use semver::{Version, VersionReq};
use toml_edit::{DocumentMut, Item};

use crate::sources;

/// Names the directory of the database.
pub(crate) const DATABASE_VARIABLE: &str = "MOORLINE_ADVISORY_DB";

/// What an advisory says.
#[derive(Debug)]
struct Advisory {
    id: String,
    package: String,
    /// A remark, such as that a crate has no maintainer; no hole.
    informational: bool,
    patched: Vec<VersionReq>,
    unaffected: Vec<VersionReq>,
}

pub(crate) fn run() -> Result<()> {
    let named = std::env::var_os(DATABASE_VARIABLE).map(PathBuf::from);
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let Some(database) = database(named, home)? else {
        println!("no advisory database on this machine; name one with {DATABASE_VARIABLE}. Nothing was checked");
        return Ok(());
    };
    println!("{}", check(&sources::root(), &database)?);
    Ok(())
}

/// Checks the lock file in a directory; says what was looked at.
fn check(root: &Path, database: &Path) -> Result<String> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).context("Cargo.lock cannot be read")?;
    let deny = std::fs::read_to_string(root.join("deny.toml")).context("deny.toml cannot be read")?;
    let ignored = ignored(&deny)?;
    let advisories = read_all(database)?;
    let packages = locked(&lock)?;
    let problems = holes(&packages, &advisories, &ignored);
    if !problems.is_empty() {
        bail!("{} known holes:\n{}", problems.len(), problems.join("\n"));
    }
    Ok(format!("{} packages against {} advisories in {}", packages.len(), advisories.len(), database.display()))
}

/// The database that was named, or the first that is found. One that was named and is none is an error.
fn database(named: Option<PathBuf>, home: Option<PathBuf>) -> Result<Option<PathBuf>> {
    let is_database = |path: &PathBuf| path.join("crates").is_dir();
    if let Some(path) = named {
        if !is_database(&path) {
            bail!("{DATABASE_VARIABLE}: {} is no advisory database: it has no folder `crates`", path.display());
        }
        return Ok(Some(path));
    }
    let Some(home) = home else { return Ok(None) };
    let kept = std::fs::read_dir(home.join("advisory-dbs")).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut kept: Vec<PathBuf> = kept.collect();
    kept.sort();
    Ok([home.join("advisory-db")].into_iter().chain(kept).find(is_database))
}

fn read_all(database: &Path) -> Result<Vec<Advisory>> {
    let mut advisories = Vec::new();
    for package in std::fs::read_dir(database.join("crates")).context("the advisory database cannot be read")? {
        let package = package?.path();
        if !package.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(package)? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                advisories.extend(parse(&text).with_context(|| path.display().to_string())?);
            }
        }
    }
    Ok(advisories)
}

/// Reads the front block of an advisory; `None` if it was withdrawn.
fn parse(text: &str) -> Result<Option<Advisory>> {
    let block = text.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).context("no front block")?;
    let document: DocumentMut = block.parse().context("the front block is not TOML")?;
    let advisory = document.get("advisory").context("no table `advisory`")?;
    let field = |name: &str| advisory.get(name).and_then(Item::as_str).map(str::to_owned);
    if field("withdrawn").is_some() {
        return Ok(None);
    }
    let requirements = |name: &str| -> Result<Vec<VersionReq>> {
        let listed = document.get("versions").and_then(|versions| versions.get(name)).and_then(Item::as_array);
        let texts = listed.into_iter().flatten().filter_map(|value| value.as_str());
        texts.map(|text| VersionReq::parse(text).with_context(|| format!("{text:?}"))).collect()
    };
    Ok(Some(Advisory {
        id: field("id").context("no id")?,
        package: field("package").context("no package")?,
        informational: field("informational").is_some(),
        patched: requirements("patched")?,
        unaffected: requirements("unaffected")?,
    }))
}

fn locked(lock: &str) -> Result<Vec<(String, Version)>> {
    let document: DocumentMut = lock.parse().context("Cargo.lock is not TOML")?;
    let packages = document.get("package").and_then(Item::as_array_of_tables).context("Cargo.lock lists no package")?;
    let package = |table: &toml_edit::Table| {
        let text = |name: &str| table.get(name).and_then(Item::as_str).context("a package without name or version");
        Ok((text("name")?.to_owned(), text("version")?.parse()?))
    };
    packages.iter().map(package).collect()
}

/// The advisories that were looked at and found not to concern us, each with a reason beside it.
fn ignored(deny: &str) -> Result<Vec<String>> {
    let document: DocumentMut = deny.parse().context("deny.toml is not TOML")?;
    let listed = document.get("advisories").and_then(|table| table.get("ignore")).and_then(Item::as_array);
    let mut ignored = Vec::new();
    for entry in listed.into_iter().flatten() {
        let entry = entry.as_inline_table().context("deny.toml: an ignored advisory is { id, reason }")?;
        let text = |name: &str| entry.get(name).and_then(|value| value.as_str()).filter(|text| !text.is_empty());
        text("reason").context("deny.toml: an ignored advisory needs a reason")?;
        ignored.push(text("id").context("deny.toml: an ignored advisory needs an id")?.to_owned());
    }
    Ok(ignored)
}

fn holes(packages: &[(String, Version)], advisories: &[Advisory], ignored: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    for advisory in advisories.iter().filter(|advisory| !advisory.informational && !ignored.contains(&advisory.id)) {
        let safe = |version: &Version| {
            advisory.patched.iter().chain(&advisory.unaffected).any(|requirement| requirement.matches(version))
        };
        let hit = packages.iter().filter(|(name, version)| *name == advisory.package && !safe(version));
        problems.extend(hit.map(|(name, version)| format!("{name} {version}: {}", advisory.id)));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADVISORY: &str = "```toml\n[advisory]\nid = \"RUSTSEC-2026-0001\"\npackage = \"leaky\"\n\n[versions]\n\
        patched = [\">=1.2.3, <2.0.0\", \">=2.1.0\"]\nunaffected = [\"<1.0.0\"]\n```\n# Leaks\n";

    fn packages(version: &str) -> Vec<(String, Version)> {
        locked(&format!("[[package]]\nname = \"leaky\"\nversion = \"{version}\"\n")).unwrap()
    }

    #[test]
    fn a_version_between_the_patched_ones_has_the_hole() {
        let advisories = [parse(ADVISORY).unwrap().unwrap()];
        for (version, hit) in
            [("0.9.0", false), ("1.0.0", true), ("1.2.2", true), ("1.2.3", false), ("2.0.5", true), ("2.1.0", false)]
        {
            assert_eq!(!holes(&packages(version), &advisories, &[]).is_empty(), hit, "{version}");
        }
    }

    #[test]
    fn what_is_ignored_needs_a_reason() {
        let advisories = [parse(ADVISORY).unwrap().unwrap()];
        let ignored_ids =
            ignored("[advisories]\nignore = [{ id = \"RUSTSEC-2026-0001\", reason = \"not reachable\" }]\n").unwrap();
        assert!(holes(&packages("1.0.0"), &advisories, &ignored_ids).is_empty());
        assert!(ignored("[advisories]\nignore = [{ id = \"RUSTSEC-2026-0001\" }]\n").is_err());
        assert!(ignored("[advisories]\nignore = [\"RUSTSEC-2026-0001\"]\n").is_err());
    }

    #[test]
    fn remarks_and_withdrawn_advisories_are_no_holes() {
        let remark = ADVISORY.replace("package =", "informational = \"unmaintained\"\npackage =");
        assert!(holes(&packages("1.0.0"), &[parse(&remark).unwrap().unwrap()], &[]).is_empty());
        let withdrawn = ADVISORY.replace("package =", "withdrawn = \"2026-01-01\"\npackage =");
        assert!(parse(&withdrawn).unwrap().is_none());
    }

    #[test]
    fn an_advisory_that_says_too_little_is_an_error() {
        for text in ["no front block", "```toml\n[x]\n```", "```toml\n[advisory]\nid = \"A\"\n```", "```toml\n[\n```"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse(&ADVISORY.replace(">=2.1.0", "newer")).is_err());
    }

    /// A repository with this package locked and this advisory ignored.
    fn repository(version: &str, ignore: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let lock = format!("version = 4\n\n[[package]]\nname = \"leaky\"\nversion = \"{version}\"\n");
        std::fs::write(root.path().join("Cargo.lock"), lock).unwrap();
        std::fs::write(root.path().join("deny.toml"), format!("[advisories]\nignore = [{ignore}]\n")).unwrap();
        root
    }

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/advisory-db")
    }

    #[test]
    fn a_lock_file_is_checked_against_a_database() {
        let ignore = "{ id = \"RUSTSEC-2024-9001\", reason = \"the parser is not called\" }";
        for (version, ignore, problem) in [
            ("1.4.2", "", None),
            ("1.4.1", "", Some("1 known holes:\nleaky 1.4.1: RUSTSEC-2024-9001")),
            ("1.4.1", ignore, None),
        ] {
            let checked = check(repository(version, ignore).path(), &fixture()).map_err(|error| error.to_string());
            assert_eq!(checked.as_ref().err().map(String::as_str), problem, "{version}");
            // The advisory that was withdrawn is not counted.
            assert!(checked.is_err() || checked.unwrap().starts_with("1 packages against 2 advisories in "));
        }
    }

    #[test]
    fn a_database_that_was_named_must_be_one() {
        let home = tempfile::tempdir().unwrap();
        let at_home = || Some(home.path().to_owned());
        assert_eq!(database(None, None).unwrap(), None);
        assert_eq!(database(None, at_home()).unwrap(), None);
        let kept = home.path().join("advisory-dbs/advisory-db-1");
        std::fs::create_dir_all(kept.join("crates")).unwrap();
        assert_eq!(database(None, at_home()).unwrap(), Some(kept));
        assert_eq!(database(Some(fixture()), at_home()).unwrap(), Some(fixture()));
        assert!(database(Some(home.path().join("nowhere")), at_home()).is_err());
    }
}
