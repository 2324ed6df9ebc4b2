//! Documents are true as far as a machine can tell: their links lead somewhere, and every error code has its page.

use std::collections::BTreeSet;

use crate::sources::Source;

/// Where the table of error codes is.
const CODES: &str = "crates/wire/src/code.rs";

/// Where their pages are.
const PAGES: &str = "docs/errors/";

/// Links to files that are not there.
pub(super) fn broken_links(sources: &[Source]) -> Vec<String> {
    let paths: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let documents = sources.iter().filter(|source| source.path.ends_with(".md"));
    documents
        .flat_map(|document| {
            let broken = links(&document.text).into_iter().filter(|link| {
                let target = resolve(&document.path, link);
                !paths.contains(target.as_str()) && !paths.iter().any(|path| path.starts_with(&format!("{target}/")))
            });
            broken.map(|link| format!("{}: the link {link} leads nowhere", document.path)).collect::<Vec<_>>()
        })
        .collect()
}

/// The targets of a document's links to other files.
fn links(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let inline = line.split("](").skip(1).map(|part| part.split([')', ' ']).next().unwrap_or_default());
        // `[name]: target`
        let defined = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target.trim());
        for target in inline.chain(defined) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") && !file.starts_with("mailto:") {
                found.push(file);
            }
        }
    }
    found
}

fn resolve(document: &str, link: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Error codes without a page, and pages without an error code.
pub(super) fn error_pages(sources: &[Source]) -> Vec<String> {
    let table = sources.iter().find(|source| source.path == CODES).map(|source| source.text.as_str());
    let codes: BTreeSet<&str> = table.unwrap_or_default().lines().filter_map(code).collect();
    if codes.is_empty() {
        return vec![format!("{CODES}: no table of error codes")];
    }
    let pages = sources.iter().filter_map(|source| source.path.strip_prefix(PAGES)?.strip_suffix(".md"));
    let pages: BTreeSet<&str> = pages.filter(|page| *page != "README").collect();
    let missing = codes.difference(&pages).map(|code| format!("{PAGES}{code}.md is missing"));
    let idle = pages.difference(&codes).map(|page| format!("{PAGES}{page}.md: there is no such error code"));
    missing.chain(idle).collect()
}

/// The code in a row of the table: `Name = "CODE", …`.
fn code(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(" = \"")?;
    let (code, _) = rest.split_once('"')?;
    let named = !code.is_empty() && code.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    named.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let text = "[a](b.md) [c](../README.md#part) [d](https://example.org) [e](gone.md) [f](errors) [g](#h)\n```\n[x](y)\n```\n\
             ![i](b.md \"title\")\n[j]: b.md\n[k]: lost.md#part\n";
        let sources =
            [file("docs/a.md", text), file("docs/b.md", ""), file("README.md", ""), file("docs/errors/X.md", "")];
        assert_eq!(
            broken_links(&sources),
            ["docs/a.md: the link gone.md leads nowhere", "docs/a.md: the link lost.md leads nowhere"]
        );
    }

    #[test]
    fn every_error_code_has_a_page_and_every_page_a_code() {
        let table = file(CODES, "    TooBad = \"TOO_BAD\", false;\n    Other = \"OTHER\", true;\n");
        let sources = [
            table,
            file("docs/errors/TOO_BAD.md", ""),
            file("docs/errors/README.md", ""),
            file("docs/errors/OLD.md", ""),
        ];
        assert_eq!(
            error_pages(&sources),
            ["docs/errors/OTHER.md is missing", "docs/errors/OLD.md: there is no such error code"]
        );
    }
}
