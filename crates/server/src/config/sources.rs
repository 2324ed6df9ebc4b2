//! Everything a configuration is resolved from, gathered before anything is looked at.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::files::{Files, RealFiles};
use super::locate;
use super::mistake::Mistake;

/// Environment variables by name. Values need not be UTF-8: whoever needs text says so where it is missing.
pub type Environment = BTreeMap<String, OsString>;

/// The configuration file.
#[derive(Debug)]
pub enum ConfigFile {
    /// None was named and none stands where one is looked for.
    Absent,
    /// This one.
    Read {
        /// Where it is, absolute.
        path: PathBuf,
        /// What it says.
        text: String,
    },
    /// There should be one, but it cannot be used.
    Unusable(Mistake),
}

/// What was given, by everybody who may give something.
#[derive(Debug)]
pub struct Sources<'a> {
    /// Values of flags, by the flag's name without its dashes.
    pub flags: BTreeMap<String, String>,
    /// The environment.
    pub env: Environment,
    /// The configuration file.
    pub file: ConfigFile,
    /// The directory that relative paths of flags and variables are relative to.
    pub cwd: PathBuf,
    /// The program that is running.
    pub program: Option<PathBuf>,
    /// The disk, as far as values refer to it.
    pub files: &'a dyn Files,
}

impl Sources<'static> {
    /// What this process was given: `flags` as the command line had them, `config` the value of `--config`.
    ///
    /// A variable whose name is not UTF-8 cannot be one of ours and is left out.
    pub fn from_process(flags: BTreeMap<String, String>, config: Option<&Path>) -> Self {
        let env: Environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let file = locate::find(config, &env, &cwd);
        Self { flags, env, file, cwd, program: std::env::current_exe().ok(), files: &RealFiles }
    }
}

impl Sources<'_> {
    /// A directory of the XDG base directory specification, which has relative values ignored.
    pub(super) fn directory(&self, name: &str) -> Option<PathBuf> {
        absolute_directory(&self.env, name)
    }
}

/// The directory that a variable names, if it names one absolutely.
pub(super) fn absolute_directory(env: &Environment, name: &str) -> Option<PathBuf> {
    env.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
}
