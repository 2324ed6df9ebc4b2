//! What is known of a session's items: the live table, as a function of what has come and when.
//!
//! A gap is kept in sight: the rows whose values are older than it say so until they have a new one, and the line above
//! the table counts the gaps for as long as it is shown.

use std::collections::BTreeMap;
use std::time::Duration;

use console::truncate_str;
use moorline_gateway_client::{Item, Sample, Value};

use super::show;
use crate::output::{Output, Style, printable};
use crate::table;

/// The longest value and the longest name that are shown, in characters: a row should fit into a line.
const MAX_VALUE_CHARS: usize = 40;
const MAX_NAME_CHARS: usize = 40;

/// Over how many seconds changes are counted: long enough for a steady number, short enough to see it change.
const RATE_SECONDS: usize = 5;

/// See the module's documentation. Time is what has passed since it was made.
#[derive(Debug, Default)]
pub(super) struct Tags {
    rows: BTreeMap<Item, Row>,
    events: u64,
    gaps: u64,
}

#[derive(Debug, Default)]
struct Row {
    name: Option<String>,
    sample: Option<Sample>,
    /// Since a gap, its value may be another one.
    is_stale: bool,
    rate: Rate,
}

impl Tags {
    /// What an item is called.
    pub(super) fn name(&mut self, item: Item, name: &str) {
        self.rows.entry(item).or_default().name = Some(name.to_owned());
    }

    /// Something has happened, whatever it is about.
    pub(super) const fn count(&mut self) {
        self.events = self.events.saturating_add(1);
    }

    /// An item has changed.
    pub(super) fn change(&mut self, now: Duration, item: Item, sample: &Sample) {
        let row = self.rows.entry(item).or_default();
        row.rate.note(now);
        row.sample = Some(sample.clone());
        row.is_stale = false;
    }

    /// Something was lost: no value can be relied on.
    pub(super) fn gap(&mut self) {
        self.gaps = self.gaps.saturating_add(1);
        for row in self.rows.values_mut() {
            row.is_stale = true;
        }
    }

    /// An item was read anew.
    pub(super) fn read(&mut self, name: &str, sample: &Sample) {
        for row in self.rows.values_mut().filter(|row| row.name.as_deref() == Some(name)) {
            row.sample = Some(sample.clone());
            row.is_stale = false;
        }
    }

    /// What the items are called whose values cannot be relied on.
    pub(super) fn stale(&self) -> Vec<String> {
        self.rows.values().filter(|row| row.is_stale).filter_map(|row| row.name.clone()).collect()
    }

    /// As it is shown, in lines of at most so many columns: one that is wider would take two, and the terminal decides
    /// where.
    pub(super) fn render(&self, now: Duration, columns: usize, output: &Output) -> String {
        let mut table = table::table(&["item", "value", "quality", "time (UTC)", "changes/s"], &[1, 4]);
        for (item, row) in &self.rows {
            table.add_row(row.cells(*item, now));
        }
        let mut laid_out = String::new();
        table::add(&mut laid_out, &table, output);
        let mut lines = laid_out.lines();
        let header = lines.next().unwrap_or_default().to_owned();
        let rows = lines.zip(self.rows.values()).map(|(line, row)| match row.style() {
            Some(style) => output.styled(style, line),
            None => line.to_owned(),
        });
        let lines = [self.summary(output), header].into_iter().chain(rows);
        lines.map(|line| truncate_str(&line, columns, "…").into_owned()).collect::<Vec<_>>().join("\n")
    }

    fn summary(&self, output: &Output) -> String {
        let (items, events) = (self.rows.len(), self.events);
        let counted = output.styled(Style::Dim, format_args!("{items} items, {events} events"));
        match self.gaps {
            0 => counted,
            gaps => format!("{counted} {}", output.styled(Style::Red, format_args!("GAPS: {gaps} (see above)"))),
        }
    }
}

impl Row {
    fn cells(&self, item: Item, now: Duration) -> [String; 5] {
        let name = match &self.name {
            Some(name) => name_of(name),
            None => format!("{}/{}", item.server.0, item.handle),
        };
        let sample = self.sample.as_ref();
        let quality = match (sample, self.is_stale) {
            (_, true) => "before the gap".to_owned(),
            (Some(sample), false) => quality(sample.quality),
            (None, false) => String::new(),
        };
        let at = sample.and_then(Sample::time).map(show::time_of_day).unwrap_or_default();
        let value = sample.map(|sample| value(&sample.value)).unwrap_or_default();
        [name, value, quality, at, format!("{:.1}", self.rate.per_second(now))]
    }

    fn style(&self) -> Option<Style> {
        match &self.sample {
            _ if self.is_stale => Some(Style::Red),
            Some(sample) if !sample.is_good() => Some(Style::Yellow),
            Some(_) => None,
            None => Some(Style::Dim),
        }
    }
}

/// Names of one plant begin alike, so the end is what is shown of a long one.
fn name_of(name: &str) -> String {
    let shown = printable(name);
    match shown.char_indices().rev().nth(MAX_NAME_CHARS) {
        Some((before, first)) => format!("…{}", &shown[before + first.len_utf8()..]),
        None => shown.into_owned(),
    }
}

fn value(value: &Value) -> String {
    let text = show::value(value).to_string();
    let shown = printable(&text);
    match shown.char_indices().nth(MAX_VALUE_CHARS) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown.into_owned(),
    }
}

/// A quality in a word, with its number if it says more than that.
pub(super) fn quality(quality: u32) -> String {
    let word = match quality & 0xc0 {
        0xc0 => "good",
        0x40 => "uncertain",
        0 => "bad",
        _ => "unknown",
    };
    match quality & 0x3f {
        0 => word.to_owned(),
        _ => format!("{word} ({quality})"),
    }
}

/// Changes in each of the last seconds, the one that is under way included.
#[derive(Debug, Default)]
struct Rate {
    seconds: [u32; RATE_SECONDS + 1],
    /// Which second the last change was in.
    last: u64,
}

impl Rate {
    fn note(&mut self, now: Duration) {
        let second = now.as_secs();
        for passed in self.last + 1..=second.min(self.last + self.seconds.len() as u64) {
            self.seconds[place(passed)] = 0;
        }
        self.last = second;
        self.seconds[place(second)] += 1;
    }

    /// Over the seconds that have passed; what has come so far, before the first has.
    fn per_second(&self, now: Duration) -> f64 {
        let second = now.as_secs();
        let counted = |at: u64| match at <= self.last && at + self.seconds.len() as u64 > self.last {
            true => f64::from(self.seconds[place(at)]),
            false => 0.0,
        };
        if second == 0 {
            return counted(0);
        }
        let from = second.saturating_sub(RATE_SECONDS as u64);
        let seconds = u32::try_from(second - from).unwrap_or(1);
        (from..second).map(counted).sum::<f64>() / f64::from(seconds)
    }
}

const fn place(second: u64) -> usize {
    // The remainder is less than the length, which fits.
    #[expect(clippy::cast_possible_truncation, reason = "a remainder of six")]
    let place = (second % (RATE_SECONDS as u64 + 1)) as usize;
    place
}

#[cfg(test)]
mod tests {
    use moorline_gateway_client::Server;
    use moorline_gateway_proto::v1;

    use super::*;
    use crate::output::Color;

    fn item(handle: i32) -> Item {
        Item { server: Server(1), handle }
    }

    fn sample(value: impl Into<Value>, quality: u32) -> Sample {
        Sample::from(v1::Sample { value: Some(value.into().into()), quality, ..v1::Sample::default() })
    }

    fn shown(tags: &Tags, at: u64) -> String {
        tags.render(Duration::from_secs(at), 200, &Output::new(Color::Never))
    }

    #[test]
    fn a_row_is_what_an_item_was_last() {
        let mut tags = Tags::default();
        tags.name(item(1), "Plant.Ramp");
        for (second, value) in [(0, 1.5), (1, 2.5), (1, 3.5), (2, 4.5)] {
            tags.change(Duration::from_secs(second), item(1), &sample(value, 192));
        }
        tags.change(Duration::from_secs(2), item(2), &sample("x\u{1b}[2J".repeat(30), 64));
        let text = shown(&tags, 2);
        let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[1], "item value quality time (UTC) changes/s");
        assert_eq!(lines[2], "Plant.Ramp 4.5 good 1.5");
        assert!(lines[3].starts_with("1/2 \"x\\u") && lines[3].contains("… uncertain"), "{text}");
        assert!(!text.contains('\u{1b}'), "what an item holds cannot paint over the table");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut tags = Tags::default();
        tags.name(item(1), &format!("{}Speed", "Hall.".repeat(40)));
        tags.change(Duration::ZERO, item(1), &sample("漢字".repeat(100), 192));
        tags.gap();
        for (columns, color) in [(30, Color::Never), (60, Color::Always), (200, Color::Always)] {
            let text = tags.render(Duration::ZERO, columns, &Output::new(color));
            let widths: Vec<_> = text.lines().map(console::measure_text_width).collect();
            assert!(widths.iter().all(|width| *width <= columns) && widths.len() == 3, "{columns}: {text}");
            assert!(columns < 60 || text.contains("Hall.Speed"), "{text}");
        }
    }

    #[test]
    fn a_gap_is_seen_at_every_item_until_it_has_another_value_and_above_the_table_for_good() {
        let mut tags = Tags::default();
        for handle in [1, 2, 3] {
            tags.name(item(handle), &format!("Item{handle}"));
            tags.change(Duration::ZERO, item(handle), &sample(1, 192));
        }
        assert!(!shown(&tags, 0).contains("gap") && tags.stale().is_empty());
        tags.gap();
        assert_eq!(tags.stale(), ["Item1", "Item2", "Item3"]);
        tags.change(Duration::ZERO, item(1), &sample(2, 192));
        tags.read("Item2", &sample(3, 192));
        let text = shown(&tags, 0);
        let rows: Vec<_> = text.lines().skip(2).map(|row| row.contains("before the gap")).collect();
        assert_eq!(rows, [false, false, true], "{text}");
        assert!(text.contains("GAPS: 1"), "{text}");
    }

    #[test]
    fn changes_are_counted_over_the_last_seconds() {
        let mut rate = Rate::default();
        let at = |millis| Duration::from_millis(millis);
        assert_eq!(rate.per_second(at(0)), 0.0);
        (0..100).for_each(|n| rate.note(at(n * 100)));
        assert_eq!(rate.per_second(at(9_900)), 10.0);
        assert_eq!(rate.per_second(at(10_500)), 10.0);
        assert_eq!(rate.per_second(at(12_000)), 6.0, "nothing came in two of the last five");
        assert_eq!(rate.per_second(at(15_000)), 0.0);
        rate.note(at(60_000));
        assert_eq!(rate.per_second(at(60_999)), 0.0, "the second that is under way is not counted yet");
        assert_eq!(rate.per_second(at(61_000)), 0.2);
    }

    #[test]
    fn a_quality_is_a_word() {
        for (number, word) in [(192, "good"), (216, "good (216)"), (64, "uncertain"), (0, "bad"), (24, "bad (24)")] {
            assert_eq!(quality(number), word);
        }
    }
}
