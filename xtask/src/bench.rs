//! `cargo xtask bench`: builds everything as it is released, and measures it.
//!
//! The measuring is done by `moorline-bench`, which starts what it measures as processes of their own.

use anyhow::Result;

use crate::command::{self, cargo};
use crate::metadata::Metadata;
use crate::{python, sources};

/// The scenario that needs the official Python SDK.
const PYTHON: &str = "python";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Bench {
    /// Goes to the program as it is.
    args: Vec<String>,
    names: Vec<String>,
    list: bool,
    write_docs: bool,
}

impl Bench {
    /// What the arguments after `bench` ask for.
    pub(crate) fn read(args: &[String]) -> Result<Self, String> {
        let mut bench = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--list" => bench.list = true,
                "--write-docs" => bench.write_docs = true,
                "--quick" => bench.args.push(arg.clone()),
                "--runs" | "--out" => {
                    let value = args.next().ok_or_else(|| format!("{arg} takes a value"))?;
                    bench.args.extend([arg.clone(), value.clone()]);
                }
                flag if flag.starts_with('-') => {
                    return Err(format!(
                        "bench takes names, --quick, --runs N, --out DIR, --write-docs and --list, not {flag:?}"
                    ));
                }
                name => bench.names.push(name.to_owned()),
            }
        }
        Ok(bench)
    }

    /// Builds what is needed, and measures.
    pub(crate) fn run(&self) -> Result<()> {
        cargo(&["build", "--release", "--package", "moorline-cli", "--package", "moorline-bench"], &[])?;
        let target = Metadata::read()?.target_directory();
        let program = command::path_text(&target.join("release/moorline-bench"))?;
        if self.list {
            return command::run(&program, &["--list"]);
        }
        let mut args = vec!["--moorline".to_owned(), command::path_text(&target.join("release/moorline"))?];
        args.extend(["--command".to_owned(), self.to_string()]);
        if self.names.is_empty() || self.names.iter().any(|name| name == PYTHON) {
            args.extend(["--python".to_owned(), python::SDK.interpreter()?]);
        }
        if self.write_docs {
            args.extend(["--write-docs".to_owned(), command::path_text(&sources::root().join("docs"))?]);
        }
        args.extend(self.args.iter().chain(&self.names).cloned());
        command::run(&program, &args.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

impl std::fmt::Display for Bench {
    /// The command that asks for this.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cargo xtask bench")?;
        self.args.iter().chain(&self.names).try_for_each(|arg| write!(f, " {arg}"))?;
        if self.write_docs { write!(f, " --write-docs") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_anything_else_refused() {
        let read = |line: &str| Bench::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        for bad in ["--runs", "--fast", "--out"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        for line in ["", " --quick --runs 2 firehose fanout", " --out x.json --write-docs"] {
            assert_eq!(read(line).unwrap().to_string(), format!("cargo xtask bench{line}"));
        }
        assert!(read("--list").unwrap().list);
    }
}
