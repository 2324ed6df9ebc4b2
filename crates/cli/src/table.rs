//! Tables, as a person likes to read them and `awk` can.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::output::{Output, Style};

/// A table with these columns; those at the places in `right` are of numbers.
pub(crate) fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    // A path that is cut into lines cannot be copied; the terminal wraps what is too long.
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Adds the table's lines to the text.
pub(crate) fn add(text: &mut String, table: &Table, output: &Output) {
    for (n, line) in table.lines().enumerate() {
        let line = line.trim_end();
        // The header is painted after it was laid out: colours have no width, and the table counts their characters.
        let line = if n == 0 { output.styled(Style::Dim, line) } else { line.to_owned() };
        // Writing to a string does not fail.
        writeln!(text, "{line}").unwrap_or_default();
    }
}
