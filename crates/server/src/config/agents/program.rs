//! Finding the program of an agent, as a shell would, but once and before anything starts.

use std::path::{Path, PathBuf};

use crate::config::files::Entry;
use crate::config::kind::absolute;
use crate::config::mistake::AgentProblem;
use crate::config::sources::Sources;

/// The absolute path of an executable file: `name` itself if it has a slash, else the first of that name on `PATH`.
pub(super) fn find(name: &str, base: &Path, sources: &Sources<'_>) -> Result<PathBuf, AgentProblem> {
    if name.contains('/') {
        let path = absolute(base, name);
        return match sources.files.entry(&path) {
            Entry::Executable => Ok(path),
            Entry::Missing => Err(AgentProblem::ProgramMissing { path }),
            Entry::Directory | Entry::File => Err(AgentProblem::ProgramNotExecutable { path }),
        };
    }
    let search = sources.env.get("PATH").cloned().unwrap_or_default();
    std::env::split_paths(&search)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|path| sources.files.entry(path) == Entry::Executable)
        .ok_or_else(|| AgentProblem::ProgramNotFound { name: name.to_owned() })
}
