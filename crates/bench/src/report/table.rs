//! The table for people.

use std::fmt::Write as _;

use crate::metrics::{METRICS, Metric, Target};
use crate::samples::All;

/// One line of the table, as texts.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) what: &'static str,
    pub(crate) median: String,
    pub(crate) spread: String,
    pub(crate) unit: &'static str,
    /// Each target with what was reached.
    pub(crate) targets: Vec<String>,
    /// Whether all targets are met that could be looked at; none if there are none.
    pub(crate) met: Option<bool>,
}

/// A line for each metric that was measured.
pub(crate) fn lines(all: &All) -> Vec<Line> {
    METRICS.iter().filter_map(|metric| line(metric, all)).collect()
}

fn line(metric: &'static Metric, all: &All) -> Option<Line> {
    let sorted = all.sorted(metric.key)?;
    let median = all.median(metric.key)?;
    let (first, last) = (sorted.first()?, sorted.last()?);
    let verdicts = metric.targets.iter().map(|target| target.is_met(median, |key| all.median(key)));
    let known: Vec<bool> = verdicts.flatten().collect();
    Some(Line {
        what: metric.what,
        median: shown(median),
        spread: format!("{}–{}", shown(*first), shown(*last)),
        unit: metric.unit,
        targets: metric.targets.iter().map(|target| told(*target, median, all)).collect(),
        met: (!known.is_empty()).then(|| known.iter().all(|met| *met)),
    })
}

/// A target, and how far it is reached.
fn told(target: Target, median: f64, all: &All) -> String {
    match target {
        Target::AtLeast(least) => format!("≥ {} ({:.2} ×)", shown(least), median / least),
        Target::AtMost(most) => format!("≤ {} ({:.2} ×)", shown(most), median / most),
        Target::Of { key, at_least, at_most } => {
            let name = Metric::find(key).map_or(key, |metric| metric.key);
            let bound = match (at_least, at_most) {
                (Some(least), _) => format!("≥ {least} × {name}"),
                (None, Some(most)) => format!("≤ {most} × {name}"),
                (None, None) => name.to_owned(),
            };
            match all.median(key) {
                Some(other) => format!("{bound} ({:.2} ×)", median / other),
                None => format!("{bound} (not measured)"),
            }
        }
    }
}

/// A number with three digits that mean something.
pub(crate) fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 999_500.0 => format!("{:.2} M", value / 1e6),
        size if size >= 9_995.0 => format!("{:.0} k", value / 1e3),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The table for a terminal.
pub(crate) fn text(all: &All) -> String {
    let lines = lines(all);
    let width = |of: fn(&Line) -> usize| lines.iter().map(of).max().unwrap_or_default();
    let (what, median) = (width(|line| line.what.len()), width(|line| line.median.chars().count()));
    let (spread, unit) = (width(|line| line.spread.chars().count()), width(|line| line.unit.len()));
    let mut text = String::new();
    for line in &lines {
        let met = match line.met {
            Some(true) => "met",
            Some(false) => "NOT met",
            None => "",
        };
        let targets = line.targets.join(", ");
        let written = writeln!(
            text,
            "{:what$}  {:>median$} {:unit$}  {:>spread$}  {met:7} {targets}",
            line.what, line.median, line.unit, line.spread
        );
        // Writing into a text does not fail.
        written.unwrap_or_default();
    }
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_three_digits() {
        for (value, expected) in [(0.5, "0.50"), (12.34, "12.3"), (199.6, "200"), (34_567.0, "35 k"), (1.2e6, "1.20 M")]
        {
            assert_eq!(shown(value), expected);
        }
    }
}
