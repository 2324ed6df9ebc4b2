//! The tests that exist: functions of Rust that are marked as tests, and scenarios in Python.

use std::collections::BTreeSet;

use crate::rust::{RustFile, Tree};
use crate::sources::Source;

/// Where the scenarios are.
const SCENARIOS: &str = "interop/";

/// Every test as `file::function`; files of crates without `crates/`.
pub(super) fn all(sources: &[Source], tree: &Tree) -> BTreeSet<String> {
    let rust = tree.files.iter().flat_map(|file| {
        let path = file.path.strip_prefix("crates/").unwrap_or(&file.path);
        rust_tests(file).into_iter().map(move |name| format!("{path}::{name}"))
    });
    let scenarios = sources.iter().filter(|source| source.path.starts_with(SCENARIOS) && source.path.ends_with(".py"));
    let python = scenarios
        .flat_map(|source| python_functions(&source.text).into_iter().map(|name| format!("{}::{name}", source.path)));
    rust.chain(python).collect()
}

/// Functions behind `#[test]` or `#[tokio::test]` that are not ignored.
fn rust_tests(file: &RustFile) -> Vec<String> {
    let mut names = Vec::new();
    let (mut test, mut ignored) = (false, false);
    for line in &file.lines {
        let code = line.code.trim();
        test |= code.starts_with("#[test]") || code.starts_with("#[tokio::test");
        ignored |= code.starts_with("#[ignore");
        if let Some(name) = function(code, "fn ") {
            if test && !ignored {
                names.push(name.to_owned());
            }
            (test, ignored) = (false, false);
        }
    }
    names
}

/// Functions at the top of a Python file.
fn python_functions(text: &str) -> Vec<String> {
    let top = text.lines().filter(|line| !line.starts_with(char::is_whitespace));
    top.filter_map(|line| function(line, "def ")).map(str::to_owned).collect()
}

/// The name of the function that the line declares.
fn function<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let (before, rest) = line.split_once(word)?;
    let starts = before.is_empty() || before.ends_with(' ');
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    (starts && end > 0).then(|| rest.get(..end)).flatten()
}
