//! The files of the repository.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{command, install};

/// A file and what is in it.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path from the root, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// Every file of the repository that is text: those that git tracks, and those that it does not ignore. A file that is
/// tracked and was deleted is left out.
pub(crate) fn all() -> Result<Vec<Source>> {
    install::programs(&["git"])?;
    let root = root();
    let names = command::output("git", &["ls-files", "-co", "--exclude-standard", "-z"])?;
    let sources = names.split_terminator('\0').filter_map(|name| {
        let text = std::fs::read_to_string(root.join(name)).ok()?;
        Some(Source { path: name.to_owned(), text })
    });
    Ok(sources.collect())
}
