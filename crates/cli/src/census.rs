//! The result of the shipped census agent, as a person likes to read it.

use serde_json::Value;

use crate::output::{Output, Style, printable};
use crate::table::{add, table};

/// Cells of the bar that shows a type's share.
const BAR: u64 = 20;

/// The whole report as text.
pub(crate) fn render(result: &Value, output: &Output) -> String {
    let count = |name: &str| result[name].as_u64().unwrap_or(0);
    let mut text = String::new();
    let root = result["root"].as_str().unwrap_or_default();
    section(&mut text, output, &printable(root));
    let mut totals = format!(
        "{} files in {} directories, {}, {} lines",
        grouped(count("files")),
        grouped(count("directories")),
        bytes(count("bytes")),
        grouped(count("lines")),
    );
    for (name, what) in [("links", "links"), ("special", "special files"), ("unreadable", "unreadable entries")] {
        if count(name) > 0 {
            totals.push_str(&format!(", {} {what}", grouped(count(name))));
        }
    }
    text.push_str(&totals);
    text.push('\n');
    if let Some(note) = result["note"].as_str() {
        text.push_str(&format!("{}\n", output.styled(Style::Yellow, printable(note))));
    }
    types(&mut text, result, output);
    files(&mut text, "Largest", &result["largest"], root, output);
    files(&mut text, "Newest", &result["newest"], root, output);
    duplicates(&mut text, &result["duplicates"], root, output);
    text.trim_end().to_owned()
}

fn section(text: &mut String, output: &Output, title: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&output.styled(Style::Bold, title));
    text.push('\n');
}

fn types(text: &mut String, result: &Value, output: &Output) {
    let whole = result["bytes"].as_u64().unwrap_or(0).max(1);
    let mut table = table(&["type", "files", "lines", "size", "share", ""], &[1, 2, 3, 4]);
    for entry in result["types"].as_array().into_iter().flatten() {
        let count = |name: &str| entry[name].as_u64().unwrap_or(0);
        let share = count("bytes").saturating_mul(1_000) / whole;
        let filled = share.saturating_mul(BAR).div_ceil(1_000);
        table.add_row([
            entry["type"].as_str().unwrap_or_default().to_owned(),
            grouped(count("files")),
            grouped(count("lines")),
            bytes(count("bytes")),
            format!("{}.{}%", share / 10, share % 10),
            (0..BAR).map(|cell| if cell < filled { '█' } else { '░' }).collect(),
        ]);
    }
    if !table.is_empty() {
        section(text, output, "By type");
        add(text, &table, output);
    }
}

fn files(text: &mut String, title: &str, entries: &Value, root: &str, output: &Output) {
    let mut table = table(&["size", "modified", "path"], &[0]);
    for entry in entries.as_array().into_iter().flatten() {
        let modified = entry["modified"].as_str().unwrap_or_default();
        table.add_row([
            bytes(entry["bytes"].as_u64().unwrap_or(0)),
            modified.get(..16).unwrap_or(modified).replace('T', " "),
            below(root, entry["path"].as_str().unwrap_or_default()),
        ]);
    }
    if !table.is_empty() {
        section(text, output, title);
        add(text, &table, output);
    }
}

fn duplicates(text: &mut String, duplicates: &Value, root: &str, output: &Output) {
    let (groups, wasted) =
        (duplicates["groups"].as_u64().unwrap_or(0), duplicates["wasted_bytes"].as_u64().unwrap_or(0));
    if groups == 0 {
        return;
    }
    section(text, output, "Duplicates");
    text.push_str(&format!("{} groups, {} could be saved\n", grouped(groups), bytes(wasted)));
    let mut table = table(&["copies", "each", "paths"], &[0, 1]);
    for entry in duplicates["largest"].as_array().into_iter().flatten() {
        let paths = entry["paths"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut paths: Vec<String> = paths.map(|path| below(root, path)).collect();
        let (copies, shown) = (entry["copies"].as_u64().unwrap_or(0), paths.len().min(3));
        paths.truncate(shown);
        if copies > shown as u64 {
            paths.push(format!("and {} more", copies - shown as u64));
        }
        table.add_row([grouped(copies), bytes(entry["bytes"].as_u64().unwrap_or(0)), paths.join("\n")]);
    }
    add(text, &table, output);
}

fn below(root: &str, path: &str) -> String {
    let path = path.strip_prefix(root).map_or(path, |rest| rest.trim_start_matches('/'));
    // A name with a line end in it is one name all the same.
    printable(path).replace('\n', "\\n").replace('\t', "\\t")
}

/// `12,345,678`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.5 MiB`.
pub(crate) fn bytes(number: u64) -> String {
    let mut unit = "B";
    let (mut whole, mut tenths) = (number, 0);
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if whole < 1_024 {
            break;
        }
        tenths = whole % 1_024 * 10 / 1_024;
        whole /= 1_024;
        unit = next;
    }
    if unit == "B" { format!("{whole} B") } else { format!("{whole}.{tenths} {unit}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::Color;

    #[test]
    fn numbers_are_written_for_people() {
        for (number, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), expected);
        }
        for (number, expected) in [(0, "0 B"), (1_023, "1023 B"), (1_024, "1.0 KiB"), (1_572_864, "1.5 MiB")] {
            assert_eq!(bytes(number), expected);
        }
    }

    #[test]
    fn a_report_shows_what_was_found_and_no_empty_section() {
        let result = json!({
            "root": "/d", "files": 3, "directories": 1, "bytes": 2_048, "lines": 7, "links": 0, "unreadable": 2,
            "types": [{ "type": "Rust", "files": 3, "lines": 7, "bytes": 2_048 }],
            "largest": [{ "path": "/d/a.rs", "bytes": 1_024, "modified": "2026-05-13T19:42:13.000Z" }],
            "newest": [],
            "duplicates": { "groups": 1, "wasted_bytes": 512, "largest":
                [{ "copies": 5, "bytes": 512, "paths": ["/d/a", "/d/b", "/d/c", "/d/e"] }] },
        });
        let text = render(&result, &Output::new(Color::Never));
        for fragment in [
            "3 files in 1 directories, 2.0 KiB, 7 lines, 2 unreadable entries",
            "Rust",
            "100.0%",
            "a.rs",
            "2026-05-13 19:42",
            "1 groups, 512 B could be saved",
            "and 2 more",
        ] {
            assert!(text.contains(fragment), "{fragment:?} in:\n{text}");
        }
        assert!(!text.contains("Newest"), "{text}");
        assert!(!text.contains('\u{1b}'), "no colours");
        assert_eq!(without_colours(&render(&result, &Output::new(Color::Always))), text, "colours move nothing");
    }

    #[test]
    fn a_file_name_cannot_speak_to_the_terminal_or_make_a_line_of_its_own() {
        let result = json!({
            "root": "/d",
            "largest": [{ "path": "/d/\u{1b}[2Jx\ny", "bytes": 1, "modified": "2026-05-13T19:42:13.000Z" }],
        });
        let text = render(&result, &Output::new(Color::Never));
        assert!(text.contains(r"\u{1b}[2Jx\ny"), "{text}");
    }

    fn without_colours(text: &str) -> String {
        let mut parts = text.split("\u{1b}[");
        let first = parts.next().unwrap_or_default().to_owned();
        first + &parts.map(|part| part.split_once('m').unwrap().1).collect::<String>()
    }
}
