//! What may stand in a file.

use crate::sources::Source;

/// Words in comments that speak of the change instead of the code, or of work that was left undone.
const BANNED_WORDS: [&str; 6] = ["FIXME", "XXX", "TODO", "previously", "no longer needed", "for now"];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: [&str; 2] = ["/root/", "/work/"];

/// What a rule's own source spells out.
const EXEMPT: &str = "xtask/src/tidy/";

pub(super) fn untidy(source: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    if !source.text.is_empty() && !source.text.ends_with('\n') {
        problems.push(format!("{}: the last line has no end", source.path));
    }
    for (line, n) in source.text.lines().zip(1..) {
        if line.ends_with([' ', '\t']) && !source.path.ends_with(".lock") {
            problems.push(format!("{}:{n}: white space at the end of the line", source.path));
        }
        if source.is_rust() && line.contains('\t') {
            problems.push(format!("{}:{n}: a tab", source.path));
        }
    }
    problems
}

pub(super) fn banned(source: &Source) -> Vec<String> {
    if source.path.starts_with(EXEMPT) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for (line, n) in source.text.lines().zip(1..) {
        let place = format!("{}:{n}", source.path);
        problems.extend(
            MACHINE_PATHS
                .iter()
                .filter(|path| names_machine(line, path))
                .map(|path| format!("{place}: {path} exists on one machine only")),
        );
        if !source.is_rust() {
            continue;
        }
        if let Some((_, comment)) = line.split_once("//") {
            let words = BANNED_WORDS.iter().filter(|word| comment.contains(**word));
            problems.extend(words.map(|word| format!("{place}: {word:?} in a comment")));
        }
        let trimmed = line.trim_start();
        let in_test = source.path.contains("/tests/") || source.path.ends_with("/tests.rs");
        if is_wildcard(trimmed) && !in_test {
            problems.push(format!("{place}: a wildcard import"));
        }
        if ["#[ignore", "#[should_panic"].iter().any(|attribute| trimmed.starts_with(attribute)) {
            problems.push(format!("{place}: a test that does not tell"));
        }
        let sleeps = ["thread::sleep(", "time::sleep("].iter().any(|call| trimmed.contains(call));
        if sleeps && in_test && !explains_sleep(&source.text, n) {
            problems.push(format!("{place}: a sleep in a test without a comment `not a wait: …` above it"));
        }
    }
    problems
}

/// Whether a line takes in names that it does not name; a prelude is made for that, and a test sees its module whole.
fn is_wildcard(line: &str) -> bool {
    line.starts_with("use ")
        && line.contains("::*")
        && !line.starts_with("use super::*")
        && !line.contains("::prelude::*")
}

/// Paths that many machines have, as examples in documents do, are no machine's own.
fn names_machine(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '/' && c != '}')
    })
}

fn explains_sleep(text: &str, n: usize) -> bool {
    text.lines().take(n).skip(n.saturating_sub(3)).any(|line| line.contains("not a wait:"))
}

/// Rust files of a crate that nothing declares as a module.
pub(super) fn dead_files(sources: &[Source]) -> Vec<String> {
    let modules = sources.iter().filter(|source| source.is_rust() && source.path.contains("/src/"));
    modules
        .filter(|source| {
            let Some((parent, file)) = source.path.rsplit_once('/') else { return false };
            let stem = file.trim_end_matches(".rs");
            if matches!(stem, "lib" | "main") {
                return false;
            }
            let (folder, name) = match stem {
                "mod" => parent.rsplit_once('/').unwrap_or((parent, "")),
                stem => (parent, stem),
            };
            let declares = |text: &str| {
                let text = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
                text.into_iter().any(|line| {
                    line.strip_suffix(';')
                        .and_then(|line| line.rsplit_once("mod "))
                        .is_some_and(|(_, named)| named == name)
                })
            };
            let candidates = [
                format!("{folder}/lib.rs"),
                format!("{folder}/main.rs"),
                format!("{folder}/mod.rs"),
                format!("{folder}.rs"),
            ];
            !sources.iter().any(|other| candidates.contains(&other.path) && declares(&other.text))
        })
        .map(|source| format!("{}: no module declares this file", source.path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn white_space_that_nobody_sees_is_found() {
        for (text, places) in [("fine\n", 0), ("no end", 1), ("space \n", 1), ("\ttab\n", 1), ("", 0)] {
            assert_eq!(untidy(&rust("x.rs", text)).len(), places, "{text:?}");
        }
    }

    #[test]
    fn what_is_banned_is_found() {
        for (text, places) in [
            ("// a comment about the code\n", 0),
            ("// TODO finish\n", 1),
            ("let x = 1; // was previously 2\n", 1),
            ("#[ignore]\n", 1),
            ("let path = \"/root/x\";\n", 1),
            ("let path = \"/srv/root/x\";\n", 0),
            ("    tokio::time::sleep(x).await;\n", 1),
            ("    // not a wait: the point is the time that passes\n    tokio::time::sleep(x).await;\n", 0),
        ] {
            assert_eq!(banned(&rust("crates/x/tests/y.rs", text)).len(), places, "{text:?}");
        }
        for (text, places) in [
            ("tokio::time::sleep(x).await;\n", 0),
            ("use std::io::*;\n", 1),
            ("    use super::*;\n", 0),
            ("    use proptest::prelude::*;\n", 0),
        ] {
            assert_eq!(banned(&rust("crates/x/src/y.rs", text)).len(), places, "{text:?}");
        }
    }

    #[test]
    fn a_file_that_no_module_declares_is_found() {
        let lib = rust("crates/x/src/lib.rs", "mod one;\npub mod two;\n// mod four;\n");
        let files = ["one.rs", "two.rs", "two/three.rs", "four.rs"];
        let mut sources: Vec<_> =
            files.iter().map(|file| rust(&format!("crates/x/src/{file}"), "mod three;\n")).collect();
        sources.push(lib);
        assert_eq!(dead_files(&sources), ["crates/x/src/four.rs: no module declares this file"]);
    }
}
