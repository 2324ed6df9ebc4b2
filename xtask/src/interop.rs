//! Live interoperation with software that nobody here wrote: the official Python SDK, as a client of our gateway and as
//! a runtime for our command; and `asyncua`, as a server of OPC UA for our worker and as a client of its test kit.
//!
//! What is run is in `interop/`. The software is pinned there, with everything that it needs and the hashes of it, and is
//! installed into environments of their own under the target directory.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::metadata::Metadata;
use crate::{command, install, sources, steps};

/// Software of others, with what runs the scenarios with it.
#[derive(Debug, Clone, Copy)]
struct Peer {
    /// What it is, for people.
    what: &'static str,
    /// Its environment under the target directory.
    directory: &'static str,
    /// What is installed.
    requirements: &'static str,
    /// What runs the scenarios.
    runner: &'static str,
    /// Our program that they are about.
    program: &'static str,
}

const SDK: Peer = Peer {
    what: "the official Python SDK",
    directory: "interop",
    requirements: "interop/python/requirements.txt",
    runner: "interop/python/run.py",
    program: "moorline",
};

const ASYNCUA: Peer = Peer {
    what: "asyncua",
    directory: "interop-opcua",
    requirements: "interop/opcua/requirements.txt",
    runner: "interop/opcua/run.py",
    program: "moorline-opcua-testkit",
};

/// Tells whether the interpreter is new enough for both.
const NEW_ENOUGH: &str = "import sys; sys.exit(sys.version_info < (3, 11))";

pub(crate) fn run() -> Result<()> {
    let pythons = [(SDK, python_with(&SDK)?), (ASYNCUA, python_with(&ASYNCUA)?)];
    steps::build_tests()?;
    for (peer, python) in pythons {
        run_with(&peer, &python, &[])?;
    }
    Ok(())
}

/// Runs the scenarios with a peer, or what the arguments say.
fn run_with(peer: &Peer, python: &Path, args: &[&str]) -> Result<()> {
    let program = Metadata::read()?.target_directory().join("debug").join(peer.program);
    let program = path_text(&program)?;
    let mut all = vec![peer.runner, &program];
    all.extend(args);
    command::run(&path_text(python)?, &all)
}

/// Builds the test kit of OPC UA, and lets it cut the worker off from both servers.
pub(crate) fn cuts(args: &[&str]) -> Result<()> {
    let python = python_with(&ASYNCUA)?;
    command::cargo(&["build", "--locked", "--package", "moorline-opcua-testkit"], &[])?;
    let mut all = vec!["cuts"];
    all.extend(args);
    run_with(&ASYNCUA, &python, &all)
}

/// An interpreter of Python that has the SDK, which is installed for it if need be.
pub(crate) fn python_with_sdk() -> Result<PathBuf> {
    python_with(&SDK)
}

fn python_with(peer: &Peer) -> Result<PathBuf> {
    install::programs(&["python3"])?;
    install::python_modules(&["venv", "ensurepip"], "python3-venv")?;
    if !command::succeeds("python3", &["-c", NEW_ENOUGH]) {
        bail!("{} needs Python 3.11 or later; put a newer python3 first in PATH", peer.what);
    }
    environment(&Metadata::read()?.target_directory().join(peer.directory), peer)
}

/// The interpreter of an environment with a peer. It is made anew when the requirements or the interpreter change.
fn environment(directory: &Path, peer: &Peer) -> Result<PathBuf> {
    let venv = directory.join("venv");
    let python = venv.join("bin").join("python");
    let marker = venv.join("installed");
    let wanted = wanted(&command::output("python3", &["--version"])?, peer)?;
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    command::run("python3", &["-m", "venv", "--clear", &path_text(&venv)?])?;
    let install =
        ["-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r", peer.requirements];
    command::run(&path_text(&python)?, &install).with_context(|| {
        format!(
            "{} cannot be installed. It comes from PyPI, which pip must be able to reach; PIP_INDEX_URL names a mirror. \
             Then run again: cargo xtask interop",
            peer.what
        )
    })?;
    std::fs::write(&marker, wanted).with_context(|| format!("{} cannot be written", marker.display()))?;
    Ok(python)
}

/// What an environment that is up to date was made of.
fn wanted(version: &str, peer: &Peer) -> Result<String> {
    let requirements = std::fs::read_to_string(sources::root().join(peer.requirements));
    let requirements = requirements.with_context(|| format!("{} cannot be read", peer.requirements))?;
    Ok(format!("{}\n{requirements}", version.trim()))
}

fn path_text(path: &Path) -> Result<String> {
    Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_of_one_interpreter_and_one_list_of_requirements() {
        for (peer, package) in [(SDK, "agentruntimecontrolprotocol==1.1.3"), (ASYNCUA, "asyncua==2.1.0")] {
            let old = wanted("Python 3.11.2\n", &peer).unwrap();
            assert_eq!(old, wanted("Python 3.11.2", &peer).unwrap());
            assert_ne!(old, wanted("Python 3.12.0", &peer).unwrap());
            assert!(old.contains(package) && old.contains("--hash=sha256:"));
        }
    }

    #[test]
    fn the_requirements_are_all_pinned_and_hashed() {
        for peer in [SDK, ASYNCUA] {
            let text = std::fs::read_to_string(sources::root().join(peer.requirements)).unwrap();
            let joined = text.replace("\\\n", " ");
            let lines = joined.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
            for line in lines {
                assert!(line.contains("==") && line.contains("--hash=sha256:"), "{line}");
            }
        }
    }
}
