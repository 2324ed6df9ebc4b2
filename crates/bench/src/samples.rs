//! Numbers that were measured, and what they say together.

use std::collections::BTreeMap;
use std::time::Duration;

/// What one run of one scenario measured, by the names of the metrics.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<(String, f64)>);

impl Samples {
    /// Adds a number.
    pub(crate) fn put(&mut self, key: impl Into<String>, value: f64) {
        self.0.push((key.into(), value));
    }
}

/// What all runs measured.
#[derive(Debug, Default)]
pub(crate) struct All(BTreeMap<String, Vec<f64>>);

impl All {
    /// Adds a run's.
    pub(crate) fn add(&mut self, samples: Samples) {
        for (key, value) in samples.0 {
            self.0.entry(key).or_default().push(value);
        }
    }

    /// What was measured of this metric, in order of size.
    pub(crate) fn sorted(&self, key: &str) -> Option<Vec<f64>> {
        let mut values = self.0.get(key)?.clone();
        values.sort_by(f64::total_cmp);
        Some(values)
    }

    /// The median.
    pub(crate) fn median(&self, key: &str) -> Option<f64> {
        self.sorted(key).map(|values| median(&values))
    }
}

fn median(sorted: &[f64]) -> f64 {
    let at = |at: usize| sorted.get(at).copied().unwrap_or(f64::NAN);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => at(odd / 2),
        even => f64::midpoint(at(even / 2 - 1), at(even / 2)),
    }
}

/// How long many things took.
#[derive(Debug, Default)]
pub(crate) struct Lengths(Vec<u64>);

impl Lengths {
    /// Adds one, in nanoseconds.
    pub(crate) fn note(&mut self, nanos: u64) {
        self.0.push(nanos);
    }

    /// The length that `share` of them do not exceed, in microseconds.
    pub(crate) fn percentile(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is an index")]
        let at = (number(last) * share).round() as usize;
        self.0.get(at.min(last)).map_or(f64::NAN, |nanos| number(*nanos) / 1_000.0)
    }
}

/// A count as a number to calculate with. Beyond 2^53 it is rounded.
pub(crate) fn number(count: impl TryInto<u64>) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "rounding is all right")]
    let number = count.try_into().unwrap_or(u64::MAX) as f64;
    number
}

/// So many in so long, a second.
pub(crate) fn rate(count: impl TryInto<u64>, time: Duration) -> f64 {
    number(count) / time.as_secs_f64().max(1e-9)
}

/// Bytes as MiB.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    number(bytes) / 1_048_576.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        for (values, expected) in [(&[3.0][..], 3.0), (&[1.0, 9.0], 5.0), (&[1.0, 2.0, 9.0], 2.0)] {
            assert!((median(values) - expected).abs() < 1e-9, "{values:?}");
        }
    }

    #[test]
    fn percentiles_are_of_what_was_noted() {
        let mut lengths = Lengths::default();
        (0..=100).rev().for_each(|n| lengths.note(n * 1_000));
        assert!((lengths.percentile(0.5) - 50.0).abs() < 1e-9);
        assert!((lengths.percentile(0.99) - 99.0).abs() < 1e-9);
        assert!(Lengths::default().percentile(0.5).is_nan());
    }
}
