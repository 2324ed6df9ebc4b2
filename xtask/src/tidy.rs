//! House rules that no compiler checks.
//!
//! Each rule is a function from the files to what is wrong, so that each has a test with something right and something
//! wrong.

mod arrows;
mod documents;
mod style;
mod text;

use anyhow::{Result, bail};

use crate::conformance;
use crate::metadata::Metadata;
use crate::rust::Tree;
use crate::sources::{self, Source};

/// The folder of files whose style is their generator's; each has a test that compares it with what is generated.
const GENERATED: &str = "/src/generated/";

pub(crate) fn run() -> Result<()> {
    let mut sources = sources::all()?;
    sources.retain(|source| !source.path.contains(GENERATED));
    let metadata = Metadata::read()?;
    let problems = problems(&sources, &metadata);
    if !problems.is_empty() {
        bail!("{} places:\n{}", problems.len(), problems.join("\n"));
    }
    println!("{} files are tidy", sources.len());
    Ok(())
}

fn problems(sources: &[Source], metadata: &Metadata) -> Vec<String> {
    let tree = Tree::of_repository(sources, &metadata.roots());
    let mut problems = arrows::wrong_arrows(metadata);
    problems.extend(arrows::without_lints(sources));
    problems.extend(sources.iter().flat_map(text::untidy));
    problems.extend(sources.iter().flat_map(text::machine_paths));
    problems.extend(tree.dead.iter().map(|path| format!("{path}: no crate contains this file")));
    problems.extend(tree.files.iter().flat_map(style::problems));
    problems.extend(documents::broken_links(sources));
    problems.extend(documents::error_pages(sources));
    problems.extend(conformance::problems(sources, &tree));
    problems
}
