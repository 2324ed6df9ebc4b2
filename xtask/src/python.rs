//! Environments of Python under the target directory, each with packages that are pinned with everything that they need.

use anyhow::{Context as _, Result, bail};

use crate::metadata::Metadata;
use crate::{command, install, sources};

/// The official Python SDK.
pub(crate) const SDK: Environment = Environment { name: "interop", requirements: "interop/python/requirements.txt" };

/// `asyncua`.
pub(crate) const ASYNCUA: Environment =
    Environment { name: "interop-opcua", requirements: "interop/opcua/requirements.txt" };

/// What the Python client of the session gateway needs, and what checks its types.
pub(crate) const GATEWAY_CLIENT: Environment =
    Environment { name: "clients", requirements: "python/moorline-gateway/requirements.txt" };

/// Tells whether the interpreter is new enough for all of them.
const NEW_ENOUGH: &str = "import sys; sys.exit(sys.version_info < (3, 11))";

/// An interpreter with packages of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Environment {
    /// Its directory under the target directory.
    name: &'static str,
    /// What is installed, with the hashes of it.
    requirements: &'static str,
}

impl Environment {
    /// The interpreter. The environment is made anew when the requirements, or the Python of the system, change.
    pub(crate) fn interpreter(self) -> Result<String> {
        install::programs(&["python3"])?;
        install::python_modules(&["venv", "ensurepip"], "python3-venv")?;
        if !command::succeeds("python3", &["-c", NEW_ENOUGH]) {
            bail!("Python 3.11 or later is needed; put a newer python3 first in PATH");
        }
        let venv = Metadata::read()?.target_directory().join(self.name).join("venv");
        let python = command::path_text(&venv.join("bin").join("python"))?;
        let marker = venv.join("installed");
        let wanted = self.wanted(&command::output("python3", &["--version"])?)?;
        if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
            return Ok(python);
        }
        command::run("python3", &["-m", "venv", "--clear", &command::path_text(&venv)?])?;
        let install =
            ["-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r", self.requirements];
        command::run(&python, &install).with_context(|| {
            format!(
                "what {} names cannot be installed. It comes from PyPI, which pip must be able to reach; PIP_INDEX_URL \
                 names a mirror",
                self.requirements
            )
        })?;
        std::fs::write(&marker, wanted).with_context(|| format!("{} cannot be written", marker.display()))?;
        Ok(python)
    }

    /// What an environment that is up to date was made of.
    fn wanted(self, version: &str) -> Result<String> {
        let requirements = std::fs::read_to_string(sources::root().join(self.requirements));
        let requirements = requirements.with_context(|| format!("{} cannot be read", self.requirements))?;
        Ok(format!("{}\n{requirements}", version.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_of_one_interpreter_and_one_list_of_requirements() {
        for (environment, package) in [
            (SDK, "agentruntimecontrolprotocol==1.1.3"),
            (ASYNCUA, "asyncua==2.1.0"),
            (GATEWAY_CLIENT, "grpcio==1.85.1"),
        ] {
            let old = environment.wanted("Python 3.11.2\n").unwrap();
            assert_eq!(old, environment.wanted("Python 3.11.2").unwrap());
            assert_ne!(old, environment.wanted("Python 3.12.0").unwrap());
            assert!(old.contains(package) && old.contains("--hash=sha256:"));
        }
    }

    #[test]
    fn the_requirements_are_all_pinned_and_hashed() {
        for environment in [SDK, ASYNCUA, GATEWAY_CLIENT] {
            let text = std::fs::read_to_string(sources::root().join(environment.requirements)).unwrap();
            let joined = text.replace("\\\n", " ");
            let lines = joined.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
            for line in lines {
                assert!(line.contains("==") && line.contains("--hash=sha256:"), "{line}");
            }
        }
    }
}
