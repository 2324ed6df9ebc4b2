//! What may stand in a Rust file.

use crate::rust::{Line, RustFile};

/// Words in comments that speak of work left undone, or of a change instead of the code. Matched as whole words; the
/// second value says whether capitals matter.
const BANNED_WORDS: [(&str, bool); 6] =
    [("FIXME", true), ("XXX", true), ("TODO", true), ("previously", false), ("no longer", false), ("for now", false)];

/// Standards that are numbered like issues.
const NUMBERED: [&str; 1] = ["PKCS "];

/// What a test that sleeps says first, with the reason.
const NOT_A_WAIT: &str = "// not a wait:";

/// Where something may be called committed: the stores, the simulation, the fuzzed machines, and the crate that
/// declares the call.
const ATTESTING: [&str; 5] = ["crates/store/", "crates/store-", "crates/sim/", "crates/fuzz/", "crates/types/"];

/// Everything that is wrong with a file.
pub(super) fn problems(file: &RustFile) -> Vec<String> {
    let mut found = wildcards(file);
    for line in &file.lines {
        found.extend(banned_words(line).into_iter().map(|problem| (line.number, problem)));
        let own = [sleep(file, line), attest(file, line), attribute(line)];
        found.extend(own.into_iter().flatten().map(|problem| (line.number, problem.to_owned())));
    }
    found.sort();
    found.into_iter().map(|(number, problem)| format!("{}:{number}: {problem}", file.path)).collect()
}

fn banned_words(line: &Line) -> Vec<String> {
    let comment = &line.comment;
    let lower = comment.to_lowercase();
    let words = BANNED_WORDS.iter().filter(|(word, exact)| has_word(if *exact { comment } else { &lower }, word));
    let words = words.map(|(word, _)| format!("{word:?} in a comment"));
    words.chain(issue(comment).map(|issue| format!("{issue:?} in a comment: say what it is about"))).collect()
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|after| after.chars().next());
        [before, after].into_iter().flatten().all(|c| !c.is_alphanumeric() && c != '_')
    })
}

/// The number of an issue: `#` and digits that stand alone.
fn issue(comment: &str) -> Option<&str> {
    comment.match_indices('#').find_map(|(at, _)| {
        let (before, rest) = comment.split_at(at);
        let digits = rest.chars().skip(1).take_while(char::is_ascii_digit).count();
        let after = rest.chars().nth(digits + 1);
        let alone = !before.ends_with(|c: char| c.is_alphanumeric()) && after.is_none_or(|c| !c.is_alphanumeric());
        let standard = NUMBERED.iter().any(|name| before.ends_with(name));
        (digits > 0 && alone && !standard).then(|| rest.get(..=digits)).flatten()
    })
}

/// `use` statements of production code that take in names without naming them.
fn wildcards(file: &RustFile) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = file.lines.iter();
    while let Some(line) = lines.next() {
        if line.test || !begins_use(&line.code) {
            continue;
        }
        let mut statement = line.code.clone();
        while !statement.contains(';') {
            let Some(next) = lines.next() else { break };
            statement.push_str(&next.code);
        }
        if statement.contains('*') {
            found.push((line.number, "a wildcard import".to_owned()));
        }
    }
    found
}

fn begins_use(code: &str) -> bool {
    let code = code.trim_start();
    let code = code.strip_prefix("pub").map_or(code, |rest| match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(')').map_or(rest, |(_, rest)| rest),
        None => rest,
    });
    code.trim_start().starts_with("use ")
}

/// A test waits for what must come, with a deadline, instead of for some time that was long enough once.
fn sleep(file: &RustFile, line: &Line) -> Option<&'static str> {
    let explained = || {
        let above = file.lines.iter().rev().skip_while(|other| other.number >= line.number);
        above
            .take_while(|line| line.code.is_empty() && !line.comment.is_empty())
            .any(|line| line.comment.contains(NOT_A_WAIT))
    };
    (line.test && calls_sleep(&line.code) && !explained())
        .then_some("a sleep in a test without a comment `// not a wait: …` above it")
}

/// Whether `sleep(…)` of a thread or of tokio is called: by its path or as it is imported, but not a method.
fn calls_sleep(code: &str) -> bool {
    code.match_indices("sleep(").any(|(at, _)| {
        let before = code.get(..at).unwrap_or_default();
        let path = before.rsplit(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').next().unwrap_or_default();
        let declared = before.ends_with("fn ");
        let method = before.ends_with('.');
        !declared && !method && (path.is_empty() || path.ends_with("thread::") || path.ends_with("time::"))
    })
}

fn attest(file: &RustFile, line: &Line) -> Option<&'static str> {
    let allowed = line.test || ATTESTING.iter().any(|folder| file.path.starts_with(folder));
    let called = line.code.split_once("Committed::").is_some_and(|(_, rest)| rest.contains("attest"));
    (called && !allowed).then_some("only a store may claim that something is committed")
}

fn attribute(line: &Line) -> Option<&'static str> {
    let begins = |attribute: &str| line.code.trim_start().starts_with(attribute);
    if begins("#[ignore") || begins("#[should_panic") {
        Some("a test that does not tell")
    } else if begins("#[path") {
        Some("a module's file has the module's name")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rust;

    const SOURCE: &str = "crates/x/src/lib.rs";
    const TEST: &str = "crates/x/tests/y.rs";

    fn check(path: &str, text: &str, expected: &[&str]) {
        let tree = rust::tree(&[(path, text)]);
        let found: Vec<String> = tree.files.iter().flat_map(problems).collect();
        let expected: Vec<String> = expected.iter().map(|expected| format!("{path}:{expected}")).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn comments_about_changes_and_undone_work_are_found() {
        check(SOURCE, "// a comment about the code\n", &[]);
        check(SOURCE, "// TODO finish\n", &["1: \"TODO\" in a comment"]);
        check(SOURCE, "let x = 1; // was Previously 2\n", &["1: \"previously\" in a comment"]);
        check(SOURCE, "/// It no longer waits.\n", &["1: \"no longer\" in a comment"]);
        check(SOURCE, "/* a\n enough for now */\n", &["2: \"for now\" in a comment"]);
        check(SOURCE, "// see #123.\n", &["1: \"#123\" in a comment: say what it is about"]);
        for fine in ["for nowhere", "PKCS #8", "x#1", "#1a", "a todo list", "colour #fff", "XXXL"] {
            check(SOURCE, &format!("// {fine}\n"), &[]);
        }
        check(SOURCE, "let x = \"// TODO\";\n", &[]);
    }

    #[test]
    fn wildcard_imports_are_found_outside_of_tests() {
        check(SOURCE, "use std::fmt;\nlet x = 2 * 3;\n", &[]);
        check(SOURCE, "use std::fmt::*;\n", &["1: a wildcard import"]);
        check(SOURCE, "pub(crate) use super::*;\n", &["1: a wildcard import"]);
        check(SOURCE, "use a::{\n    b::*,\n    c,\n};\n", &["1: a wildcard import"]);
        check(SOURCE, "#[cfg(test)]\nmod tests {\n    use super::*;\n}\n", &[]);
        check(TEST, "use proptest::prelude::*;\n", &[]);
    }

    #[test]
    fn sleeps_in_tests_are_found_unless_they_are_explained() {
        let problem = "1: a sleep in a test without a comment `// not a wait: …` above it";
        check(TEST, "tokio::time::sleep(x).await;\n", &[problem]);
        check(TEST, "std::thread::sleep(x);\n", &[problem]);
        check(TEST, "sleep(x).await;\n", &[problem]);
        check(TEST, "// not a wait: the time that passes is the point\ntime::sleep(x).await;\n", &[]);
        check(TEST, "// not a wait: the time that passes\n// is the point\nsleep(x).await;\n", &[]);
        check(TEST, "clock.sleep(x).await;\nclock::sleep(x).await;\nfn sleep(x: u8) {}\n", &[]);
        check(SOURCE, "tokio::time::sleep(x).await;\n", &[]);
        let inside = "#[cfg(test)]\nmod tests {\n    fn a() { thread::sleep(x); }\n}\n";
        check(SOURCE, inside, &["3: a sleep in a test without a comment `// not a wait: …` above it"]);
    }

    #[test]
    fn only_stores_and_tests_attest() {
        let code = "let x = moorline_types::Committed::attest(offset, value);\n";
        check(SOURCE, code, &["1: only a store may claim that something is committed"]);
        check(
            SOURCE,
            "let x = Committed::<Record>::attest(a, b);\n",
            &["1: only a store may claim that something is committed"],
        );
        check("crates/store-sqlite/src/lib.rs", code, &[]);
        check("crates/store/src/lib.rs", code, &[]);
        check(TEST, code, &[]);
    }

    #[test]
    fn attributes_that_hide_something_are_found() {
        check(TEST, "#[ignore]\nfn a() {}\n", &["1: a test that does not tell"]);
        check(TEST, "    #[should_panic(expected = \"x\")]\nfn a() {}\n", &["1: a test that does not tell"]);
        check(SOURCE, "#[path = \"other.rs\"]\nmod x;\n", &["1: a module's file has the module's name"]);
        check(SOURCE, "#[derive(Debug)]\nstruct X;\n", &[]);
    }
}
