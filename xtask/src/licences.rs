//! Every dependency may be used in a program under MIT OR Apache-2.0.

use anyhow::{Result, bail};

use crate::metadata::{Metadata, Package};
use crate::spdx;

/// Licences that ask for nothing but their notice.
const ALLOWED: [&str; 13] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "CC0-1.0",
    "Unlicense",
    "BSL-1.0",
    "Unicode-3.0",
    "CDLA-Permissive-2.0",
];

pub(crate) fn run() -> Result<()> {
    let metadata = Metadata::read()?;
    let problems: Vec<String> = metadata.foreign().filter_map(problem).collect();
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    println!("{} dependencies, all under licences that are allowed", metadata.foreign().count());
    Ok(())
}

fn problem(package: &Package) -> Option<String> {
    let Package { name, version, license, license_file, .. } = package;
    match (license, license_file) {
        (Some(expression), _) => match spdx::is_satisfied(expression, |licence| ALLOWED.contains(&licence)) {
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

    #[test]
    fn a_package_without_a_usable_licence_is_named() {
        let package = |license: Option<&str>| Package {
            id: String::new(),
            name: "x".to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(str::to_owned),
            license_file: None,
            dependencies: Vec::new(),
        };
        assert_eq!(problem(&package(Some("MIT OR GPL-3.0"))), None);
        let refused = problem(&package(Some("GPL-3.0"))).unwrap();
        assert_eq!(refused, "x 1.0.0 is under GPL-3.0, which is not allowed");
        assert_eq!(problem(&package(None)).unwrap(), "x 1.0.0 names no licence");
        assert!(problem(&package(Some("MIT OR"))).unwrap().contains("cannot be read"));
    }
}
