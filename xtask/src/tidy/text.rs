//! What may stand in any file.

use crate::sources::Source;

/// The folders in which one machine or one person keeps things.
const MACHINE_FOLDERS: [&str; 3] = ["home", "root", "work"];

/// White space that nobody sees.
pub(super) fn untidy(source: &Source) -> Vec<String> {
    let path = &source.path;
    let mut problems = Vec::new();
    if !source.text.is_empty() && !source.text.ends_with('\n') {
        problems.push(format!("{path}: the last line has no end"));
    }
    for (line, n) in source.text.split('\n').zip(1..) {
        if line.ends_with(char::is_whitespace) {
            problems.push(format!("{path}:{n}: white space at the end of the line"));
        }
        if path.ends_with(".rs") && line.contains('\t') {
            problems.push(format!("{path}:{n}: a tab"));
        }
    }
    problems
}

/// Paths that exist on one machine only.
pub(super) fn machine_paths(source: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    for (line, n) in source.text.lines().zip(1..) {
        let named = MACHINE_FOLDERS.iter().map(|folder| format!("/{folder}/")).filter(|path| is_named(line, path));
        problems.extend(named.map(|path| format!("{}:{n}: {path} is a folder of one machine", source.path)));
    }
    problems
}

/// Whether the line has this absolute path, and not one that ends with it, such as `/srv/work/` or `$DIR/work/`.
fn is_named(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|c| !c.is_alphanumeric() && !"/.-_~*}>)]".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn white_space_that_nobody_sees_is_found() {
        for (text, places) in
            [("fine\n", 0), ("no end", 1), ("space \n", 1), ("return\r\n", 1), ("a\tb\n", 1), ("\t\n", 2), ("", 0)]
        {
            assert_eq!(untidy(&file("x.rs", text)).len(), places, "{text:?}");
        }
        assert!(untidy(&file("Makefile", "a:\n\tb\n")).is_empty());
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for (before, places) in [
            ("", 1),
            ("\"", 1),
            (" ", 1),
            ("x=", 1),
            ("/srv", 0),
            ("$DIR", 0),
            ("{dir}", 0),
            ("..", 0),
            ("https://x.org", 0),
        ] {
            for folder in MACHINE_FOLDERS {
                let text = format!("{before}/{folder}/x\n");
                assert_eq!(machine_paths(&file("x.md", &text)).len(), places, "{text:?}");
            }
        }
    }
}
