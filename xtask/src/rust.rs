//! The Rust files of the repository as the compiler finds them: from the roots of the crates along `mod`.
//!
//! Which file is test code follows from that as well: what hangs on the root of an integration test, or on a module
//! behind `#[cfg(test)]`. A module whose path is set by an attribute is not followed; tidy refuses the attribute.

mod declared;

use std::collections::{BTreeMap, BTreeSet};

use crate::lex;
use crate::sources::Source;

use declared::Declaration;

/// The file that a compilation begins with.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    /// From the root of the repository.
    pub(crate) path: String,
    /// Whether it is an integration test or a benchmark.
    pub(crate) test: bool,
}

/// A Rust file.
#[derive(Debug)]
pub(crate) struct RustFile {
    pub(crate) path: String,
    pub(crate) lines: Vec<Line>,
}

/// A line of a Rust file.
#[derive(Debug)]
pub(crate) struct Line {
    /// Counted from 1.
    pub(crate) number: usize,
    /// Without comments and literals.
    pub(crate) code: String,
    pub(crate) comment: String,
    pub(crate) test: bool,
}

/// All Rust files.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) files: Vec<RustFile>,
    /// The files that no crate contains.
    pub(crate) dead: Vec<String>,
}

/// Where the programs of cargo-fuzz are: each is a crate of its own, outside of the workspace.
const FUZZ_TARGETS: &str = "fuzz/fuzz_targets/";

impl Tree {
    /// The files of the repository, from the roots of the workspace's crates and from the programs of cargo-fuzz.
    pub(crate) fn of_repository(sources: &[Source], workspace: &[Root]) -> Self {
        let programs = sources.iter().filter(|source| source.path.starts_with(FUZZ_TARGETS));
        let programs = programs.map(|source| Root { path: source.path.clone(), test: true });
        Self::new(sources, &workspace.iter().cloned().chain(programs).collect::<Vec<_>>())
    }

    pub(crate) fn new(sources: &[Source], roots: &[Root]) -> Self {
        let rust = sources.iter().filter(|source| source.path.ends_with(".rs"));
        let mut files: BTreeMap<&str, RustFile> =
            rust.map(|source| (source.path.as_str(), RustFile::new(source))).collect();
        let reached = reach(&files, roots);
        for file in files.values_mut().filter(|file| reached.get(&file.path) == Some(&true)) {
            file.lines.iter_mut().for_each(|line| line.test = true);
        }
        let dead = files.keys().filter(|path| !reached.contains_key(**path)).map(|path| (*path).to_owned()).collect();
        Self { files: files.into_values().collect(), dead }
    }
}

impl RustFile {
    fn new(source: &Source) -> Self {
        let parts = lex::parts(&source.text);
        let tests = declared::test_lines(&parts.code);
        let lines = parts.code.lines().zip(parts.comments.lines()).zip(1..).map(|((code, comment), number)| Line {
            number,
            code: code.trim_end().to_owned(),
            comment: comment.trim().to_owned(),
            test: tests.contains(&number),
        });
        Self { path: source.path.clone(), lines: lines.collect() }
    }

    /// The file's code; with `tests` false, the lines of tests are empty.
    pub(crate) fn code(&self, tests: bool) -> String {
        self.lines
            .iter()
            .map(|line| if tests || !line.test { line.code.as_str() } else { "" }.to_owned() + "\n")
            .collect()
    }
}

/// The files that the roots lead to, and whether only tests lead there.
fn reach(files: &BTreeMap<&str, RustFile>, roots: &[Root]) -> BTreeMap<String, bool> {
    let root_paths: BTreeSet<&str> = roots.iter().map(|root| root.path.as_str()).collect();
    let mut reached: BTreeMap<String, bool> = BTreeMap::new();
    let mut waiting: Vec<(String, bool)> = roots.iter().map(|root| (root.path.clone(), root.test)).collect();
    while let Some((path, test)) = waiting.pop() {
        let Some(file) = files.get(path.as_str()) else { continue };
        // A file that production code leads to as well is production code, and so is what hangs on it.
        if reached.get(&path).is_some_and(|known| *known <= test) {
            continue;
        }
        let folder = folder(&path, root_paths.contains(path.as_str()));
        for Declaration { path: module, line } in declared::modules(&file.code(true)) {
            let test = test || file.lines.get(line - 1).is_some_and(|line| line.test);
            let module = format!("{folder}/{}", module.join("/"));
            waiting.extend([format!("{module}.rs"), format!("{module}/mod.rs")].map(|path| (path, test)));
        }
        reached.insert(path, test);
    }
    reached
}

/// The folder in which the modules of a file are.
fn folder(path: &str, root: bool) -> &str {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    if root || path.ends_with("/mod.rs") { parent } else { path.strip_suffix(".rs").unwrap_or(path) }
}

/// A tree of these files, for tests; `src/lib.rs` and `tests/*.rs` of every crate are roots.
#[cfg(test)]
pub(crate) fn tree(files: &[(&str, &str)]) -> Tree {
    let source = |(path, text): &(&str, &str)| Source { path: (*path).to_owned(), text: (*text).to_owned() };
    let sources: Vec<Source> = files.iter().map(source).collect();
    let root = |path: &str| {
        let test = path.rsplit_once('/').is_some_and(|(folder, _)| folder.ends_with("/tests"));
        (test || path.ends_with("/src/lib.rs")).then(|| Root { path: path.to_owned(), test })
    };
    let roots: Vec<Root> = sources.iter().filter_map(|source| root(&source.path)).collect();
    Tree::new(&sources, &roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests_of(tree: &Tree) -> Vec<String> {
        let lines = |file: &RustFile| {
            let lines = file.lines.iter().filter(|line| line.test).map(|line| format!("{}:{}", file.path, line.number));
            lines.collect::<Vec<_>>()
        };
        tree.files.iter().flat_map(lines).collect()
    }

    #[test]
    fn a_file_that_no_module_declares_is_dead() {
        let tree = tree(&[
            ("crates/x/src/lib.rs", "mod one;\npub mod two;\n// mod four;\nmod five { mod six; }\nmod seven;\n"),
            ("crates/x/src/one.rs", ""),
            ("crates/x/src/two.rs", "pub(crate) mod three;\n"),
            ("crates/x/src/two/three.rs", ""),
            ("crates/x/src/four.rs", "mod below;\n"),
            ("crates/x/src/four/below.rs", ""),
            ("crates/x/src/five/six.rs", ""),
            ("crates/x/src/seven/mod.rs", "mod eight;\n"),
            ("crates/x/src/seven/eight.rs", ""),
        ]);
        assert_eq!(tree.dead, ["crates/x/src/four.rs", "crates/x/src/four/below.rs"]);
    }

    #[test]
    fn tests_and_what_hangs_on_them_are_test_code() {
        let tree = tree(&[
            (
                "crates/x/src/lib.rs",
                "mod both;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod both_too {\n}\nfn f() {}\n",
            ),
            ("crates/x/src/both.rs", "fn f() {}\n"),
            ("crates/x/src/tests.rs", "mod more;\n"),
            ("crates/x/src/tests/more.rs", "fn g() {}\n"),
            ("crates/x/tests/door.rs", "mod common;\n"),
            ("crates/x/tests/common/mod.rs", "fn h() {}\n"),
        ]);
        assert_eq!(tree.dead, [""; 0]);
        assert_eq!(
            tests_of(&tree),
            [
                "crates/x/src/lib.rs:2",
                "crates/x/src/lib.rs:3",
                "crates/x/src/lib.rs:4",
                "crates/x/src/lib.rs:5",
                "crates/x/src/lib.rs:6",
                "crates/x/src/tests.rs:1",
                "crates/x/src/tests/more.rs:1",
                "crates/x/tests/common/mod.rs:1",
                "crates/x/tests/door.rs:1",
            ]
        );
    }
}
