//! `docs/CONFORMANCE.md` is true as far as a machine can tell: it has a row for every requirement that its own table
//! counts, and every row that claims something names tests that are there.
//!
//! The specification is not in the repository. The counts of its requirements by section stand at the top of the page,
//! so that a row that is lost is found.

mod page;
mod tests_of;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use crate::metadata::Metadata;
use crate::rust::Tree;
use crate::sources::{self, Source};

use page::{Level, Page, Row, Status};

/// The page about the protocol.
const PAGE: &str = "docs/CONFORMANCE.md";

/// The page about the session gateway, in the same form.
const GATEWAY_PAGE: &str = "docs/GATEWAY-CONFORMANCE.md";

pub(crate) fn run() -> Result<()> {
    let sources = sources::all()?;
    let tree = Tree::of_repository(&sources, &Metadata::read()?.roots());
    let problems = problems(&sources, &tree);
    if !problems.is_empty() {
        bail!("{} places:\n{}", problems.len(), problems.join("\n"));
    }
    for path in [PAGE, GATEWAY_PAGE] {
        print!("{path}: {}", summary(&page::read(text(&sources, path))));
    }
    Ok(())
}

/// Everything that is wrong with the pages.
pub(crate) fn problems(sources: &[Source], tree: &Tree) -> Vec<String> {
    let known = tests_of::all(sources, tree);
    [PAGE, GATEWAY_PAGE].iter().flat_map(|path| problems_of(path, text(sources, path), &known)).collect()
}

fn problems_of(path: &str, text: &str, known: &BTreeSet<String>) -> Vec<String> {
    let page = page::read(text);
    let mut problems = page.problems.clone();
    problems.extend(wrong_counts(&page));
    problems.extend(repeated_ids(&page.rows));
    problems.extend(page.rows.iter().flat_map(|row| wrong_row(row, known)));
    problems.into_iter().map(|problem| format!("{path}: {problem}")).collect()
}

fn text<'a>(sources: &'a [Source], path: &str) -> &'a str {
    sources.iter().find(|source| source.path == path).map_or("", |source| source.text.as_str())
}

/// Sections that do not have the rows that the table of counts promises.
fn wrong_counts(page: &Page) -> Vec<String> {
    let mut found: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for row in &page.rows {
        *found.entry((row.section(), row.level == Level::Statement)).or_default() += 1;
    }
    let mut problems = Vec::new();
    if page.counts.is_empty() {
        problems.push("no table of counts".to_owned());
    }
    for count in &page.counts {
        for (statement, expected, what) in
            [(false, count.requirements, "requirements"), (true, count.statements, "statements")]
        {
            let rows = found.remove(&(count.section.as_str(), statement)).unwrap_or_default();
            if rows != expected {
                problems.push(format!("section {} has {expected} {what} and {rows} rows", count.section));
            }
        }
    }
    problems.extend(found.keys().map(|(section, _)| format!("section {section} is not in the table of counts")));
    problems
}

fn repeated_ids(rows: &[Row]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let repeated = rows.iter().filter(|row| !seen.insert(row.id.as_str()));
    repeated.map(|row| format!("{} is there twice", row.id)).collect()
}

fn wrong_row(row: &Row, known: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let claims = matches!(row.status, Status::Done | Status::Partly);
    if claims && row.tests.is_empty() {
        problems.push(format!("{} is {} and names no test", row.id, row.status));
    }
    if !claims && !row.tests.is_empty() {
        problems.push(format!("{} is {} and names tests", row.id, row.status));
    }
    if row.status != Status::Done && row.why.is_empty() {
        problems.push(format!("{} is {} and does not say why", row.id, row.status));
    }
    let gone = row.tests.iter().filter(|test| !known.contains(*test));
    problems.extend(gone.map(|test| format!("{} names the test {test}, which is not there", row.id)));
    problems
}

fn summary(page: &Page) -> String {
    let count = |status| page.rows.iter().filter(|row| row.status == status).count();
    let counts = Status::ALL.map(|status| format!("{} {status}", count(status)));
    let tests: BTreeSet<&String> = page.rows.iter().flat_map(|row| &row.tests).collect();
    format!("{} rows: {}; shown by {} tests\n", page.rows.len(), counts.join(", "), tests.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rust::tree;

    const HEAD: &str = "\
        | section | about | requirements | statements |\n\
        | --- | --- | --- | --- |\n\
        | 5 | wire | 2 | 1 |\n\n\
        | id | level | requirement | status | shown by |\n\
        | --- | --- | --- | --- | --- |\n";

    const TESTS: &str = "#[test]\nfn it_holds() {}\n#[test]\n#[ignore]\nfn it_sleeps() {}\nfn helper() {}\n";

    fn problems_with(rows: &str) -> Vec<String> {
        let page = Source { path: PAGE.to_owned(), text: format!("{HEAD}{rows}") };
        let scenario = "async def it_interoperates(gateway):\n    def inner():\n        pass\n";
        let scenario = Source { path: "interop/python/scenario.py".to_owned(), text: scenario.to_owned() };
        let tree = tree(&[("crates/x/src/lib.rs", ""), ("crates/x/tests/a.rs", TESTS)]);
        problems_of(PAGE, &page.text, &tests_of::all(&[scenario], &tree))
    }

    #[test]
    fn a_page_that_counts_right_and_names_what_is_there_is_fine() {
        let rows = "\
            | 5-1 | MUST | ignore | done | `x/tests/a.rs::it_holds` |\n\
            | 5-2 | MAY | send | not yet | nobody asked |\n\
            | 5-s1 | statement | is JSON | partly | `interop/python/scenario.py::it_interoperates`; not the rest |\n";
        assert_eq!(problems_with(rows), [""; 0]);
    }

    #[test]
    fn every_way_to_be_wrong_is_told() {
        for (rows, expected) in [
            ("| 5-1 | MUST | x | done | - |\n", "5-1 is done and names no test"),
            ("| 5-1 | MUST | x | done | `x/tests/a.rs::it_fails` |\n", "x/tests/a.rs::it_fails, which is not there"),
            ("| 5-1 | MUST | x | done | `x/tests/a.rs::it_sleeps` |\n", "x/tests/a.rs::it_sleeps, which is not there"),
            ("| 5-1 | MUST | x | done | `x/tests/a.rs::helper` |\n", "x/tests/a.rs::helper, which is not there"),
            ("| 5-1 | MUST | x | done | `interop/python/scenario.py::inner` |\n", "::inner, which is not there"),
            ("| 5-1 | MUST | x | partly | `x/tests/a.rs::it_holds` |\n", "5-1 is partly and does not say why"),
            ("| 5-1 | MUST | x | not yet | |\n", "5-1 is not yet and does not say why"),
            ("| 5-1 | MUST | x | not applicable | |\n", "5-1 is not applicable and does not say why"),
            ("| 5-1 | MUST | x | not yet | `x/tests/a.rs::it_holds` why |\n", "5-1 is not yet and names tests"),
            ("| 5-1 | MUST | x | almost | why |\n", "5-1 has the unknown status \"almost\""),
            ("| 5-1 | WILL | x | done | why |\n", "5-1 has the unknown level \"WILL\""),
            ("| 5-1 | MUST | x | done |\n", "5-1 has 4 cells instead of 5"),
            ("| 5-1 | MUST | x | not yet | y |\n| 5-1 | MAY | x | not yet | y |\n", "5-1 is there twice"),
            ("| 5-1 | MUST | x | not yet | y |\n", "section 5 has 2 requirements and 1 rows"),
            ("", "section 5 has 1 statements and 0 rows"),
            ("| 6-1 | MUST | x | not yet | y |\n", "section 6 is not in the table of counts"),
        ] {
            let found = problems_with(rows);
            assert!(found.iter().any(|problem| problem.contains(expected)), "{rows:?}: {found:?}");
        }
    }

    #[test]
    fn a_page_that_is_gone_is_a_problem() {
        let tree = tree(&[]);
        assert_eq!(problems(&[], &tree), [PAGE, GATEWAY_PAGE].map(|path| format!("{path}: no table of counts")));
    }
}
