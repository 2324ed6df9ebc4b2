//! `types`, `wire` and `core` know no socket, clock, random source or executor.
//!
//! Proven three times: by what they depend on, by what their sources name, and, if the target is installed, by building
//! them for a machine that has none of these.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::metadata::Metadata;
use crate::sources::{self, Source};

const PURE: [&str; 3] = ["types", "wire", "core"];

/// What a pure crate may not even depend on through others.
const BANNED_CRATES: [(&str, &str); 18] = [
    ("tokio", "an executor"),
    ("async-std", "an executor"),
    ("smol", "an executor"),
    ("futures-executor", "an executor"),
    ("mio", "sockets"),
    ("socket2", "sockets"),
    ("hyper", "sockets"),
    ("rustix", "system calls"),
    ("nix", "system calls"),
    ("libc", "system calls"),
    ("getrandom", "randomness"),
    ("rand", "randomness"),
    ("fastrand", "randomness"),
    ("chrono", "a clock"),
    ("jiff", "a clock"),
    ("tracing", "an effect"),
    ("log", "an effect"),
    ("parking_lot", "threads"),
];

/// What their sources may not name.
const BANNED_NAMES: [&str; 11] = [
    "std::net",
    "std::fs",
    "std::process",
    "std::thread",
    "std::env::",
    "std::io::stdin",
    "std::io::stdout",
    "Instant::now",
    "SystemTime",
    "now_utc",
    "now_local",
];

const TARGET: &str = "wasm32-unknown-unknown";

pub(crate) fn run() -> Result<()> {
    let metadata = Metadata::read()?;
    let mut problems = Vec::new();
    for name in PURE {
        let closure = metadata.closure(&format!("moorline-{name}"))?;
        for (banned, what) in BANNED_CRATES {
            if closure.contains(banned) {
                problems.push(format!("moorline-{name} depends on {banned}, which brings {what}"));
            }
        }
    }
    problems.extend(sources::all()?.iter().flat_map(named));
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    build_for_wasm()
}

fn named(source: &Source) -> Vec<String> {
    let pure = PURE.iter().any(|name| source.path.starts_with(&format!("crates/{name}/src/")));
    if !pure || !source.is_rust() {
        return Vec::new();
    }
    let hits = source.production_lines().filter(|(_, line)| !line.trim_start().starts_with("//"));
    hits.flat_map(|(n, line)| {
        let named = BANNED_NAMES.iter().filter(move |name| line.contains(**name));
        named.map(move |name| format!("{}:{n}: a pure crate names {name}", source.path))
    })
    .collect()
}

/// A program for this target has no operating system to call.
fn build_for_wasm() -> Result<()> {
    let installed = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let there = installed.is_ok_and(|output| {
        output.status.success() && std::path::Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    });
    if !there {
        println!("target {TARGET} is not installed; dependencies and sources were checked");
        return Ok(());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let packages = PURE.map(|name| format!("--package=moorline-{name}"));
    let status = Command::new(cargo).args(["check", "--locked", "--target", TARGET]).args(packages).status();
    if !status.context("cargo cannot be started")?.success() {
        bail!("the pure crates do not build for {TARGET}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pure_crate_may_not_name_is_found_outside_of_tests_and_comments() {
        let text = "use std::net::TcpStream;\n// std::fs in a comment\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        let source = |path: &str| Source { path: path.to_owned(), text: text.to_owned() };
        assert_eq!(named(&source("crates/core/src/x.rs")), ["crates/core/src/x.rs:1: a pure crate names std::net"]);
        assert!(named(&source("crates/server/src/x.rs")).is_empty());
    }

    #[test]
    fn the_closure_of_a_pure_crate_is_known() {
        let metadata = Metadata::read().unwrap();
        assert!(metadata.closure("moorline-core").unwrap().contains("moorline-types"));
        assert!(metadata.closure("moorline-runtime").unwrap().contains("tokio"));
    }
}
