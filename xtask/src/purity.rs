//! `types`, `wire` and `core` know no socket, clock, random source or executor.
//!
//! Proven three times: by what they depend on, by what their sources name, and, if the target is installed, by building
//! them for a machine that has none of these.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::command;
use crate::metadata::Metadata;
use crate::rust::{RustFile, Tree};
use crate::sources;

const PURE: [&str; 3] = ["types", "wire", "core"];

/// What a pure crate may not even depend on through others, and what it would bring.
const BANNED_CRATES: [(&str, &str); 27] = [
    ("tokio", "an executor"),
    ("async-std", "an executor"),
    ("async-executor", "an executor"),
    ("smol", "an executor"),
    ("futures-executor", "an executor"),
    ("async-io", "sockets"),
    ("mio", "sockets"),
    ("polling", "sockets"),
    ("socket2", "sockets"),
    ("hyper", "sockets"),
    ("rustls", "sockets"),
    ("rustix", "system calls"),
    ("nix", "system calls"),
    ("libc", "system calls"),
    ("windows-sys", "system calls"),
    ("wasm-bindgen", "calls of the browser"),
    ("getrandom", "randomness"),
    ("rand", "randomness"),
    ("fastrand", "randomness"),
    ("chrono", "a clock"),
    ("jiff", "a clock"),
    ("quanta", "a clock"),
    ("tracing", "output"),
    ("log", "output"),
    ("parking_lot", "threads"),
    ("crossbeam-channel", "threads"),
    ("rayon", "threads"),
];

/// Modules of the standard library that their sources may not name.
const BANNED_MODULES: [&str; 7] = ["env", "fs", "io", "net", "os", "process", "thread"];

/// What of these they may: a trait that does nothing by itself, through which bytes are put into memory, and addresses,
/// which are numbers until somebody connects to one.
const ALLOWED_PATHS: [&str; 3] = ["io::Write", "net::IpAddr", "net::Ipv6Addr"];

/// Words that their sources may not contain: the clocks.
const BANNED_WORDS: [&str; 5] = ["Instant", "SystemTime", "now_utc", "now_local", "UtcDateTime"];

const TARGET: &str = "wasm32-unknown-unknown";

pub(crate) fn run() -> Result<()> {
    let metadata = Metadata::read()?;
    let mut problems = Vec::new();
    for name in PURE {
        problems.extend(impure_dependencies(&metadata.closure(&format!("moorline-{name}"))?));
    }
    let tree = Tree::new(&sources::all()?, &metadata.roots());
    problems.extend(tree.files.iter().flat_map(impure_names));
    if !problems.is_empty() {
        bail!("{} places:\n{}", problems.len(), problems.join("\n"));
    }
    build_for_wasm()
}

fn impure_dependencies(closure: &BTreeMap<&str, Vec<&str>>) -> Vec<String> {
    let banned = BANNED_CRATES.iter().filter_map(|(banned, what)| Some((closure.get(banned)?, what)));
    banned.map(|(way, what)| format!("a pure crate depends on {what}: {}", way.join(" -> "))).collect()
}

fn impure_names(file: &RustFile) -> Vec<String> {
    if !PURE.iter().any(|name| file.path.starts_with(&format!("crates/{name}/src/"))) {
        return Vec::new();
    }
    let code = file.code(false);
    let mut problems = Vec::new();
    for (line, path) in standard_paths(&code) {
        let module = path.split("::").next().unwrap_or_default();
        if BANNED_MODULES.contains(&module) && !ALLOWED_PATHS.contains(&path.as_str()) {
            problems.push(format!("{}:{line}: a pure crate names std::{path}", file.path));
        }
    }
    for (line, number) in code.lines().zip(1..) {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(word) = words.find(|word| BANNED_WORDS.contains(word)) {
            problems.push(format!("{}:{number}: a pure crate names {word}", file.path));
        }
    }
    problems
}

/// The paths into the standard library that code names, without `std::`, each with its line. A group in braces gives
/// each of its members, but the groups within it are not taken apart.
fn standard_paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("std::") {
        let before = code.get(..at).unwrap_or_default();
        if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = code.get(at + "std::".len()..).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let members = if rest.starts_with('{') { members(rest) } else { vec![rest] };
        found.extend(members.into_iter().map(|member| (line, path(member))));
    }
    found
}

/// What stands between the commas of the group in braces that the text begins with.
fn members(text: &str) -> Vec<&str> {
    let mut members = Vec::new();
    let mut depth = 0_usize;
    let mut start = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 1 => depth -= 1,
            ',' | '}' if depth == 1 => {
                members.extend(text.get(start..at));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    members
}

/// The path that the text begins with.
fn path(text: &str) -> String {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    text.get(..end).unwrap_or_default().trim_end_matches(':').to_owned()
}

/// A program for this target has no operating system to call.
fn build_for_wasm() -> Result<()> {
    let libraries = command::output("rustc", &["--print", "target-libdir", "--target", TARGET]);
    if !libraries.is_ok_and(|path| std::path::Path::new(path.trim()).is_dir()) {
        println!("target {TARGET} is not installed; dependencies and sources were checked");
        return Ok(());
    }
    let packages = PURE.map(|name| format!("--package=moorline-{name}"));
    let args: Vec<&str> =
        ["check", "--locked", "--target", TARGET].into_iter().chain(packages.iter().map(String::as_str)).collect();
    command::cargo(&args, &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rust;

    #[test]
    fn what_a_pure_crate_may_not_name_is_found() {
        for (text, found) in [
            ("use std::net::TcpStream;", "std::net::TcpStream"),
            ("use std::{fmt, fs};", "std::fs"),
            ("use std::{\n    fmt,\n    io::{Read, Write},\n};", "std::io"),
            ("let x = ::std::env::var(n);", "std::env::var"),
            ("use std::io;", "std::io"),
            ("use std::io::Write as _;", ""),
            ("use std::io::WriterPanicked;", "std::io::WriterPanicked"),
            ("use std::time::Instant;", "Instant"),
            ("let x = OffsetDateTime::now_utc();", "now_utc"),
            ("struct Instants;", ""),
            ("// std::fs in a comment", ""),
            ("let x = \"std::fs in a string\";", ""),
            ("use my_std::fs;", ""),
            ("use std::fmt;\n#[cfg(test)]\nmod tests { use std::fs; }", ""),
        ] {
            let tree = rust::tree(&[("crates/core/src/lib.rs", text)]);
            let problems: Vec<String> = tree.files.iter().flat_map(impure_names).collect();
            let expected = if found.is_empty() { vec![] } else { vec![format!("names {found}")] };
            let named: Vec<String> = problems
                .iter()
                .filter_map(|problem| problem.split_once("crate ").map(|(_, what)| what.to_owned()))
                .collect();
            assert_eq!(named, expected, "{text:?}");
        }
        let elsewhere = rust::tree(&[("crates/server/src/lib.rs", "use std::fs;")]);
        assert!(elsewhere.files.iter().flat_map(impure_names).next().is_none());
    }

    #[test]
    fn what_a_pure_crate_may_not_depend_on_is_found() {
        let pure = BTreeMap::from([("serde", vec!["moorline-core", "serde"])]);
        assert!(impure_dependencies(&pure).is_empty());
        let way = vec!["moorline-core", "serde", "mio"];
        assert_eq!(
            impure_dependencies(&BTreeMap::from([("serde", vec![]), ("mio", way)])),
            ["a pure crate depends on sockets: moorline-core -> serde -> mio"]
        );
    }
}
