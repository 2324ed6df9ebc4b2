//! The Python client of the session gateway: its messages are those of the proto file, its types are right, and it keeps
//! to the contract that the Rust client keeps to in the tests of all packages.

use anyhow::{Context as _, Result};

use crate::command::{self, cargo};
use crate::metadata::Metadata;
use crate::{python, steps};

/// What makes the messages of the client.
const GENERATE: &str = "python/moorline-gateway/generate.py";

/// Says what has its types checked, and how strictly.
const CONFIGURATION: &str = "python/moorline-gateway/pyproject.toml";

/// Which interpreter the contract is run with.
const PYTHON_VARIABLE: &str = "MOORLINE_TEST_PYTHON";

/// The contract. Of all packages, although it is in one of them: so it is built with the features of [`steps::build_tests`].
const CONTRACT: [&str; 5] = ["test", "--workspace", "--locked", "--test", "gateway_clients"];

pub(crate) fn run() -> Result<()> {
    let python = python::GATEWAY_CLIENT.interpreter()?;
    command::run(&python, &[GENERATE, "--check"])?;
    check_types(&python)?;
    steps::build_tests()?;
    cargo(&CONTRACT, &[(PYTHON_VARIABLE, &python)])
}

fn check_types(python: &str) -> Result<()> {
    let cache = command::path_text(&Metadata::read()?.target_directory().join("clients").join("mypy"))?;
    command::run(python, &["-m", "mypy", "--config-file", CONFIGURATION, "--cache-dir", &cache])
        .context("the types of the Python client are not right")
}
