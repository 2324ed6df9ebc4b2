//! What a file's code says about modules and tests. The code comes without comments and literals.

use std::collections::BTreeSet;

/// Attributes that keep an item out of the program.
const TEST_ATTRIBUTES: [&str; 3] = ["#[cfg(test)", "#[cfg(any(test", "#[cfg(all(test"];

/// `mod name;`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Declaration {
    /// The inline modules around it, and its name.
    pub(super) path: Vec<String>,
    /// Counted from 1.
    pub(super) line: usize,
}

/// The modules that have files of their own.
pub(super) fn modules(code: &str) -> Vec<Declaration> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut depth = 0_usize;
    // The inline modules that are open, each with the depth of its brace.
    let mut open: Vec<(String, usize)> = Vec::new();
    for (at, (token, line)) in tokens.iter().enumerate() {
        match *token {
            "{" => depth += 1,
            "}" => {
                open.pop_if(|(_, inside)| *inside == depth);
                depth = depth.saturating_sub(1);
            }
            "mod" => match (tokens.get(at + 1), tokens.get(at + 2)) {
                (Some((name, _)), Some((";", _))) => {
                    let path = open.iter().map(|(name, _)| name.clone()).chain([(*name).to_owned()]).collect();
                    found.push(Declaration { path, line: *line });
                }
                (Some((name, _)), Some(("{", _))) => open.push(((*name).to_owned(), depth + 1)),
                _ => {}
            },
            _ => {}
        }
    }
    found
}

/// The numbers of the lines of items behind an attribute for tests, from the attribute to the end of the item.
pub(super) fn test_lines(code: &str) -> BTreeSet<usize> {
    let mut lines = BTreeSet::new();
    for attribute in TEST_ATTRIBUTES {
        for (at, _) in code.match_indices(attribute) {
            let first = code.get(..at).unwrap_or_default().matches('\n').count() + 1;
            let length = item_length(code.get(at..).unwrap_or_default());
            let item = code.get(at..at + length).unwrap_or_default();
            lines.extend(first..=first + item.matches('\n').count());
        }
    }
    lines
}

/// The length of the item that the text begins with, attributes included: up to its last brace, or to what separates
/// it from the next.
fn item_length(text: &str) -> usize {
    let mut brackets = 0_usize;
    let mut braces = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            '{' => braces += 1,
            '}' if braces <= 1 => return at + usize::from(braces == 1),
            '}' => braces -= 1,
            ';' | ',' if brackets == 0 && braces == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Words and single characters, each with its line.
fn tokens(code: &str) -> Vec<(&str, usize)> {
    let mut tokens = Vec::new();
    for (line, number) in code.lines().zip(1..) {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (token, after) = rest.split_at(if word == 0 { first.len_utf8() } else { word });
            tokens.push((token, number));
            rest = after.trim_start();
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_found_at_any_depth() {
        let code = "mod a;\npub(crate) mod b;\nmod c {\n  fn f() { if x {} }\n  mod d;\n}\nmod e;\nstruct model;\n";
        let found = modules(code).into_iter().map(|found| (found.path.join("::"), found.line)).collect::<Vec<_>>();
        assert_eq!(found, [("a", 1), ("b", 2), ("c::d", 5), ("e", 7)].map(|(path, line)| (path.to_owned(), line)));
    }

    #[test]
    fn an_item_behind_a_test_attribute_ends_where_it_ends() {
        for (code, lines) in [
            ("fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { {} }\n}\nfn c() {}\n", vec![2, 3, 4, 5]),
            ("#[cfg(test)]\nmod tests;\nfn a() {}\n", vec![1, 2]),
            ("#[cfg(test)]\n#[derive(A, B)]\nfn a(x: [u8; 2], y: u8) -> u8 {\n}\nfn b() {}\n", vec![1, 2, 3, 4]),
            ("enum A {\n  #[cfg(test)]\n  B,\n  C,\n}\n", vec![2, 3]),
            ("enum A {\n  #[cfg(test)]\n  B\n}\nfn c() {}\n", vec![2, 3, 4]),
            ("#[cfg(not(test))]\nfn a() {}\n", vec![]),
        ] {
            assert_eq!(test_lines(code).into_iter().collect::<Vec<_>>(), lines, "{code:?}");
        }
    }
}
