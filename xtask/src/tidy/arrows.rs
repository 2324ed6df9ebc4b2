//! Which crate may know which: the shape of the whole, in two tables.

use toml_edit::DocumentMut;

use crate::metadata::{Metadata, Package};
use crate::sources::Source;

/// Who may depend on whom, beside everybody on `types`. Tests may reach further.
const ARROWS: [(&str, &[&str]); 21] = [
    ("types", &[]),
    ("wire", &["types"]),
    ("core", &["types"]),
    ("store", &["types"]),
    ("store-sqlite", &["types", "store"]),
    ("worker", &["types"]),
    ("agents", &["types", "worker"]),
    ("backend", &["types", "worker"]),
    ("opcua", &["types", "backend"]),
    ("runtime", &["types", "core", "store", "worker", "backend"]),
    (
        "server",
        &["types", "wire", "core", "store", "store-sqlite", "worker", "agents", "runtime", "backend", "gateway-proto"],
    ),
    ("client", &["types", "wire"]),
    ("gateway-proto", &[]),
    ("gateway-client", &["gateway-proto"]),
    ("cli", &["types", "wire", "server", "client", "worker", "runtime", "agents", "gateway-proto", "gateway-client"]),
    ("sim", &["types", "core", "store", "worker", "runtime"]),
    ("fuzz", &["types", "wire", "core"]),
    ("counted", &["types", "wire", "core", "store"]),
    ("bench", &["types", "backend", "gateway-proto", "gateway-client"]),
    ("opcua-testkit", &["types", "backend", "opcua", "gateway-client"]),
    ("xtask", &[]),
];

/// Heavy dependencies, and the crates that each is quarantined in: one, but for what has two ends.
const QUARANTINE: [(&str, &[&str]); 8] = [
    ("rusqlite", &["store-sqlite"]),
    ("axum", &["server"]),
    ("prost", &["worker", "gateway-proto", "gateway-client", "server"]),
    ("tonic", &["gateway-proto", "gateway-client", "server", "bench"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("tokio-tungstenite", &["client"]),
    // Under MPL-2.0, so nothing that is linked into the gateway may have it.
    ("async-opcua", &["opcua", "opcua-testkit"]),
];

pub(super) fn wrong_arrows(metadata: &Metadata) -> Vec<String> {
    metadata.members().flat_map(wrong_arrows_of).collect()
}

fn wrong_arrows_of(package: &Package) -> Vec<String> {
    let name = short(&package.name);
    let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
        return vec![format!("crates/{name}: not in the table of arrows in xtask/src/tidy/arrows.rs")];
    };
    let shipped = package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"));
    shipped
        .filter_map(|dependency| {
            let to = short(&dependency.name);
            let ours = dependency.name.starts_with("moorline-");
            let homes = QUARANTINE.iter().find(|(heavy, _)| *heavy == dependency.name).map(|(_, homes)| *homes);
            match homes {
                _ if ours && !allowed.contains(&to) => Some(format!("crates/{name}: may not depend on {to}")),
                Some(homes) if !homes.contains(&name) => {
                    let homes = homes.join(", ");
                    Some(format!("crates/{name}: may not depend on {}, which belongs to {homes}", dependency.name))
                }
                _ => None,
            }
        })
        .collect()
}

fn short(name: &str) -> &str {
    name.strip_prefix("moorline-").unwrap_or(name)
}

/// Crates that do not take part in the workspace's lints.
pub(super) fn without_lints(sources: &[Source]) -> Vec<String> {
    let manifests = sources.iter().filter(|source| source.path.ends_with("/Cargo.toml"));
    manifests
        .filter(|manifest| !takes_part_in_lints(&manifest.text))
        .map(|manifest| format!("{}: [lints] workspace = true is missing", manifest.path))
        .collect()
}

fn takes_part_in_lints(manifest: &str) -> bool {
    let manifest = manifest.parse::<DocumentMut>().ok();
    let workspace = manifest.as_ref().and_then(|manifest| manifest.get("lints")?.get("workspace")?.as_bool());
    workspace == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::package;

    #[test]
    fn an_arrow_that_is_not_in_the_table_is_found() {
        for (name, dependency, kind, wrong) in [
            ("moorline-core", "moorline-types", None, false),
            ("moorline-core", "moorline-wire", None, true),
            ("moorline-core", "moorline-wire", Some("dev"), false),
            ("moorline-core", "moorline-wire", Some("build"), true),
            ("moorline-runtime", "rusqlite", None, true),
            ("moorline-runtime", "rusqlite", Some("dev"), false),
            ("moorline-store-sqlite", "rusqlite", None, false),
            ("moorline-new", "moorline-types", None, true),
        ] {
            let found = wrong_arrows_of(&package(name, None, &[(dependency, kind)]));
            assert_eq!(!found.is_empty(), wrong, "{name} on {dependency}: {found:?}");
        }
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        let manifest = |text: &str| Source { path: "crates/x/Cargo.toml".to_owned(), text: text.to_owned() };
        for text in ["[package]\n", "[lints.rust]\nunsafe_code = \"deny\"\n", "[lints]\nworkspace = false\n"] {
            assert_eq!(without_lints(&[manifest(text)]).len(), 1, "{text:?}");
        }
        assert!(without_lints(&[manifest("[lints]\nworkspace = true\n")]).is_empty());
    }
}
