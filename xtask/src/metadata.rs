//! What cargo knows about the packages.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::command;
use crate::rust::Root;

/// `cargo metadata`, as far as we look.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    workspace_root: String,
    #[serde(default)]
    target_directory: PathBuf,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) license_file: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    #[serde(default)]
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Absent for a normal dependency.
    pub(crate) kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Debug, Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Debug, Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

impl Metadata {
    /// Asks cargo.
    pub(crate) fn read() -> Result<Self> {
        let output = command::output("cargo", &["metadata", "--format-version", "1", "--locked"])?;
        serde_json::from_str(&output).context("cargo metadata is not what was expected")
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target_directory(&self) -> PathBuf {
        self.target_directory.clone()
    }

    /// The packages of the workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The packages from elsewhere.
    pub(crate) fn foreign(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| !self.workspace_members.contains(&package.id))
    }

    /// The files that the compilations of the workspace begin with.
    pub(crate) fn roots(&self) -> Vec<Root> {
        let targets = self.members().flat_map(|package| &package.targets);
        let root = |target: &Target| {
            let path = target.src_path.strip_prefix(&self.workspace_root)?.trim_start_matches('/').to_owned();
            Some(Root { path, test: target.kind.iter().any(|kind| kind == "test" || kind == "bench") })
        };
        targets.filter_map(root).collect()
    }

    /// Everything that a package of the workspace needs to run, on any platform: its normal dependencies and theirs,
    /// each with the shortest way to it.
    pub(crate) fn closure(&self, name: &str) -> Result<BTreeMap<&str, Vec<&str>>> {
        let names: BTreeMap<&str, &str> =
            self.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
        let nodes: BTreeMap<&str, &Node> = self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let root = self.members().find(|package| package.name == name).with_context(|| format!("no package {name}"))?;
        let mut found = BTreeMap::new();
        let mut seen = BTreeSet::from([root.id.as_str()]);
        let mut waiting = VecDeque::from([(root.id.as_str(), vec![root.name.as_str()])]);
        while let Some((id, way)) = waiting.pop_front() {
            for dependency in nodes.get(id).into_iter().flat_map(|node| &node.deps) {
                let normal = dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
                let Some(name) = names.get(dependency.pkg.as_str()) else { continue };
                // Two versions of a package have one name, but dependencies of their own.
                if normal && seen.insert(&dependency.pkg) {
                    let way = [way.as_slice(), &[name]].concat();
                    found.entry(*name).or_insert_with(|| way.clone());
                    waiting.push_back((&dependency.pkg, way));
                }
            }
        }
        Ok(found)
    }
}

/// A package with these dependencies, each with its kind, for tests.
#[cfg(test)]
pub(crate) fn package(name: &str, license: Option<&str>, dependencies: &[(&str, Option<&str>)]) -> Package {
    let dependency =
        |(name, kind): &(&str, Option<&str>)| Dependency { name: (*name).to_owned(), kind: kind.map(str::to_owned) };
    Package {
        id: name.to_owned(),
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        license: license.map(str::to_owned),
        license_file: None,
        dependencies: dependencies.iter().map(dependency).collect(),
        targets: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"{
        "workspace_root": "/srv/x", "workspace_members": ["a"],
        "packages": [
            {"id": "a", "name": "a", "version": "1.0.0", "license": null, "license_file": null, "dependencies": [],
             "targets": [{"kind": ["lib"], "src_path": "/srv/x/crates/a/src/lib.rs"},
                         {"kind": ["test"], "src_path": "/srv/x/crates/a/tests/t.rs"}]},
            {"id": "b", "name": "b", "version": "1.0.0", "license": null, "license_file": null, "dependencies": []},
            {"id": "c", "name": "c", "version": "1.0.0", "license": null, "license_file": null, "dependencies": []},
            {"id": "d", "name": "d", "version": "1.0.0", "license": null, "license_file": null, "dependencies": []}
        ],
        "resolve": {"nodes": [
            {"id": "a", "deps": [{"pkg": "b", "dep_kinds": [{"kind": null}]}, {"pkg": "d", "dep_kinds": [{"kind": "dev"}]}]},
            {"id": "b", "deps": [{"pkg": "c", "dep_kinds": [{"kind": "dev"}, {"kind": null}]}]},
            {"id": "c", "deps": []},
            {"id": "d", "deps": []}
        ]}
    }"#;

    #[test]
    fn the_closure_follows_normal_dependencies_only() {
        let metadata: Metadata = serde_json::from_str(SMALL).unwrap();
        let closure = metadata.closure("a").unwrap();
        assert_eq!(closure, BTreeMap::from([("b", vec!["a", "b"]), ("c", vec!["a", "b", "c"])]));
        assert!(metadata.closure("b").is_err(), "not a package of the workspace");
    }

    #[test]
    fn the_roots_are_those_of_the_workspace() {
        let metadata: Metadata = serde_json::from_str(SMALL).unwrap();
        let roots: Vec<_> = metadata.roots().into_iter().map(|root| (root.path, root.test)).collect();
        assert_eq!(roots, [("crates/a/src/lib.rs".to_owned(), false), ("crates/a/tests/t.rs".to_owned(), true)]);
    }
}
