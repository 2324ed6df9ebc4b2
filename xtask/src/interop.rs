//! Live interoperation with software that nobody here wrote: the official Python SDK, as a client of our gateway and as
//! a runtime for our command; and `asyncua`, as a server of OPC UA for our worker and as a client of its test kit.
//!
//! What is run is in `interop/`. The software is pinned there, with everything that it needs and the hashes of it, and is
//! installed into environments of their own under the target directory.

use anyhow::Result;

use crate::metadata::Metadata;
use crate::python::{self, Environment};
use crate::{command, steps};

/// Software of others, with what runs the scenarios with it.
#[derive(Debug, Clone, Copy)]
struct Peer {
    /// Where it is installed.
    environment: Environment,
    /// What runs the scenarios.
    runner: &'static str,
    /// Our program that they are about.
    program: &'static str,
}

const SDK: Peer = Peer { environment: python::SDK, runner: "interop/python/run.py", program: "moorline" };

const ASYNCUA: Peer =
    Peer { environment: python::ASYNCUA, runner: "interop/opcua/run.py", program: "moorline-opcua-testkit" };

pub(crate) fn run() -> Result<()> {
    let pythons = [(SDK, SDK.environment.interpreter()?), (ASYNCUA, ASYNCUA.environment.interpreter()?)];
    steps::build_tests()?;
    for (peer, python) in pythons {
        run_with(&peer, &python, &[])?;
    }
    Ok(())
}

/// Runs the scenarios with a peer, or what the arguments say.
fn run_with(peer: &Peer, python: &str, args: &[&str]) -> Result<()> {
    let program = command::path_text(&Metadata::read()?.target_directory().join("debug").join(peer.program))?;
    let mut all = vec![peer.runner, &program];
    all.extend(args);
    command::run(python, &all)
}

/// Builds the test kit of OPC UA, the worker and the gateway, and lets the kit cut the worker off from both servers.
pub(crate) fn cuts(args: &[&str]) -> Result<()> {
    let python = ASYNCUA.environment.interpreter()?;
    let mut build = vec!["build", "--locked", "--bins"];
    build.extend(
        ["moorline-opcua-testkit", "moorline-opcua", "moorline-cli"].iter().flat_map(|name| ["--package", name]),
    );
    command::cargo(&build, &[])?;
    let mut all = vec!["cuts"];
    all.extend(args);
    run_with(&ASYNCUA, &python, &all)
}
