//! House rules that no compiler checks.
//!
//! Each rule is a function from the sources to what is wrong, so that each has a test with something right and
//! something wrong.

mod arrows;
mod documents;
mod text;

use anyhow::{Result, bail};

use crate::metadata::Metadata;
use crate::sources;

pub(crate) fn run() -> Result<()> {
    let sources = sources::all()?;
    let metadata = Metadata::read()?;
    let mut problems = Vec::new();
    problems.extend(arrows::wrong_arrows(&metadata));
    problems.extend(arrows::without_lints(&sources));
    for source in &sources {
        problems.extend(text::untidy(source));
        problems.extend(text::banned(source));
    }
    problems.extend(text::dead_files(&sources));
    problems.extend(documents::broken_links(&sources));
    problems.extend(documents::error_pages(&sources));
    if !problems.is_empty() {
        bail!("{} places:\n{}", problems.len(), problems.join("\n"));
    }
    println!("{} files are tidy", sources.len());
    Ok(())
}
