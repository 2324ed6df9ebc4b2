//! Programs that tests need beside Rust.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Makes sure that these programs are there; installs the Debian packages of the same names if they are not.
pub(crate) fn programs(names: &[&str]) -> Result<()> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| !is_on_path(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    let remedy = format!("install it yourself: apt-get install {packages}");
    println!("missing: {packages}; installing with apt-get");
    for args in [vec!["update", "--quiet"], [vec!["install", "--yes", "--no-install-recommends"], missing].concat()] {
        let status = Command::new("apt-get")
            .args(&args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .with_context(|| remedy.clone())?;
        if !status.success() {
            bail!("apt-get {} ended with {status}; {remedy}", args.join(" "));
        }
    }
    Ok(())
}

fn is_on_path(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| Path::new(&directory).join(name).is_file())
}
