//! Reading the page: a table of counts, then tables of rows.

use std::fmt;

/// What the page says.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) counts: Vec<Count>,
    pub(super) rows: Vec<Row>,
    /// Rows that cannot be read, and why.
    pub(super) problems: Vec<String>,
}

/// How much a section of the specification asks for.
#[derive(Debug)]
pub(super) struct Count {
    pub(super) section: String,
    /// Sentences with a word of RFC 2119.
    pub(super) requirements: usize,
    /// Further sentences that say what must be so.
    pub(super) statements: usize,
}

/// One requirement.
#[derive(Debug)]
pub(super) struct Row {
    /// The section, `-`, and a number, with an `s` before it for a statement.
    pub(super) id: String,
    pub(super) level: Level,
    pub(super) status: Status,
    /// `file::function`; files of crates without `crates/`.
    pub(super) tests: Vec<String>,
    /// What the last cell says beside the names of tests.
    pub(super) why: String,
}

impl Row {
    pub(super) fn section(&self) -> &str {
        self.id.split_once('-').map_or(self.id.as_str(), |(section, _)| section)
    }
}

/// How strong a requirement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// A word of RFC 2119.
    Keyword,
    /// A sentence without one.
    Statement,
}

/// The words of RFC 2119 that the specification uses.
const KEYWORDS: [&str; 7] = ["MUST", "MUST NOT", "REQUIRED", "SHOULD", "SHOULD NOT", "MAY", "OPTIONAL"];

/// Where we are with a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Done,
    Partly,
    NotYet,
    NotApplicable,
}

impl Status {
    pub(super) const ALL: [Self; 4] = [Self::Done, Self::Partly, Self::NotYet, Self::NotApplicable];

    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partly => "partly",
            Self::NotYet => "not yet",
            Self::NotApplicable => "not applicable",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads the page. A table is known by the name of its first column.
pub(super) fn read(text: &str) -> Page {
    let mut page = Page::default();
    let mut table = None;
    for line in text.lines() {
        let Some(cells) = cells(line) else {
            table = None;
            continue;
        };
        match (table, cells.as_slice()) {
            (_, [first @ ("section" | "id"), ..]) => table = Some(*first),
            (_, [first, ..]) if first.starts_with("---") => {}
            (Some("section"), cells) => match count(cells) {
                Some(count) => page.counts.push(count),
                None => page.problems.push(format!("no count: {line}")),
            },
            (Some("id"), cells) => match row(cells) {
                Ok(row) => page.rows.push(row),
                Err(problem) => page.problems.push(problem),
            },
            _ => {}
        }
    }
    page
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

fn count(cells: &[&str]) -> Option<Count> {
    let [section, _, requirements, statements] = cells else { return None };
    Some(Count {
        section: (*section).to_owned(),
        requirements: requirements.parse().ok()?,
        statements: statements.parse().ok()?,
    })
}

fn row(cells: &[&str]) -> Result<Row, String> {
    let [id, level, _, status, shown] = cells else {
        return Err(format!("{} has {} cells instead of 5", cells.first().unwrap_or(&""), cells.len()));
    };
    let level = match *level {
        "statement" => Level::Statement,
        word if KEYWORDS.contains(&word) => Level::Keyword,
        other => return Err(format!("{id} has the unknown level {other:?}")),
    };
    let known = Status::ALL.into_iter().find(|known| known.name() == *status);
    let status = known.ok_or_else(|| format!("{id} has the unknown status {status:?}"))?;
    let (tests, why) = shown_by(shown);
    Ok(Row { id: (*id).to_owned(), level, status, tests, why })
}

/// The names of tests in a cell, and the words beside them.
fn shown_by(cell: &str) -> (Vec<String>, String) {
    let mut tests = Vec::new();
    let mut why = String::new();
    for (part, quoted) in cell.split('`').zip([false, true].into_iter().cycle()) {
        if quoted && part.contains("::") {
            tests.push(part.to_owned());
        } else {
            why.push_str(part);
        }
    }
    (tests, why.trim_matches([' ', ',', ';', '-']).to_owned())
}
