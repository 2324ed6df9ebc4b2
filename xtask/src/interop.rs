//! Live interoperation with software that nobody here wrote: the official Python SDK, as a client of our gateway and as
//! a runtime for our command.
//!
//! What is run is in `interop/python/`. The SDK is pinned there, with everything that it needs and the hashes of it,
//! and is installed into an environment of its own under the target directory.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::metadata::Metadata;
use crate::{command, install, sources, steps};

/// What is installed.
const REQUIREMENTS: &str = "interop/python/requirements.txt";

/// What runs the scenarios.
const RUNNER: &str = "interop/python/run.py";

/// Tells whether the interpreter is new enough for the SDK.
const NEW_ENOUGH: &str = "import sys; sys.exit(sys.version_info < (3, 11))";

pub(crate) fn run() -> Result<()> {
    let python = python_with_sdk()?;
    steps::build_tests()?;
    let program = Metadata::read()?.target_directory().join("debug").join("moorline");
    command::run(&path_text(&python)?, &[RUNNER, &path_text(&program)?])
}

/// An interpreter of Python that has the SDK, which is installed for it if need be.
pub(crate) fn python_with_sdk() -> Result<PathBuf> {
    install::programs(&["python3"])?;
    install::python_modules(&["venv", "ensurepip"], "python3-venv")?;
    if !command::succeeds("python3", &["-c", NEW_ENOUGH]) {
        bail!("the official Python SDK needs Python 3.11 or later; put a newer python3 first in PATH");
    }
    environment(&Metadata::read()?.target_directory().join("interop"))
}

/// The interpreter of an environment with the SDK. It is made anew when the requirements or the interpreter change.
fn environment(directory: &Path) -> Result<PathBuf> {
    let venv = directory.join("venv");
    let python = venv.join("bin").join("python");
    let marker = venv.join("installed");
    let wanted = wanted(&command::output("python3", &["--version"])?)?;
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    command::run("python3", &["-m", "venv", "--clear", &path_text(&venv)?])?;
    let install = ["-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r", REQUIREMENTS];
    command::run(&path_text(&python)?, &install).context(
        "the official Python SDK cannot be installed. It comes from PyPI, which pip must be able to reach; \
         PIP_INDEX_URL names a mirror. Then run again: cargo xtask interop",
    )?;
    std::fs::write(&marker, wanted).with_context(|| format!("{} cannot be written", marker.display()))?;
    Ok(python)
}

/// What an environment that is up to date was made of.
fn wanted(version: &str) -> Result<String> {
    let requirements = std::fs::read_to_string(sources::root().join(REQUIREMENTS));
    Ok(format!("{}\n{}", version.trim(), requirements.with_context(|| format!("{REQUIREMENTS} cannot be read"))?))
}

fn path_text(path: &Path) -> Result<String> {
    Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_of_one_interpreter_and_one_list_of_requirements() {
        let old = wanted("Python 3.11.2\n").unwrap();
        assert_eq!(old, wanted("Python 3.11.2").unwrap());
        assert_ne!(old, wanted("Python 3.12.0").unwrap());
        assert!(old.contains("agentruntimecontrolprotocol==1.1.3") && old.contains("--hash=sha256:"));
    }

    #[test]
    fn the_requirements_are_all_pinned_and_hashed() {
        let text = std::fs::read_to_string(sources::root().join(REQUIREMENTS)).unwrap();
        let joined = text.replace("\\\n", " ");
        let lines = joined.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        for line in lines {
            assert!(line.contains("==") && line.contains("--hash=sha256:"), "{line}");
        }
    }
}
