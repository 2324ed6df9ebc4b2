//! Counting what was lost and what came twice.

use std::collections::BTreeMap;

use serde::Serialize;

/// What a client was told of a tag that counts, one at a time, from a first value to a last one.
#[derive(Debug, Default)]
pub struct Tally {
    /// How often each value came.
    seen: BTreeMap<i64, u64>,
    /// The highest so far.
    highest: Option<i64>,
    late: u64,
    gaps: u64,
}

/// What came of counting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Values that there were.
    pub values: u64,
    /// Values that never came.
    pub lost: u64,
    /// The first few of them, as stretches.
    pub lost_stretches: Vec<(i64, i64)>,
    /// How often a value came again.
    pub doubled: u64,
    /// Values that came after a higher one.
    pub out_of_order: u64,
    /// How often the client was told of a gap.
    pub gaps_told: u64,
}

/// Stretches of lost values that are told. Enough to see whether they lie at cuts; a run that loses more is broken anyhow.
const MAX_STRETCHES: usize = 16;

impl Tally {
    /// A value came.
    pub fn saw(&mut self, value: i64) {
        if self.highest.is_some_and(|highest| value < highest) {
            self.late += 1;
        }
        self.highest = self.highest.max(Some(value));
        *self.seen.entry(value).or_default() += 1;
    }

    /// The client was told that values are missing.
    pub const fn saw_gap(&mut self) {
        self.gaps += 1;
    }

    /// The highest value so far.
    pub const fn highest(&self) -> Option<i64> {
        self.highest
    }

    /// What came of the values from `first` to `last`, both included.
    pub fn counts(&self, first: i64, last: i64) -> Counts {
        let mut counts = Counts { gaps_told: self.gaps, out_of_order: self.late, ..Counts::default() };
        counts.values = last.saturating_sub(first).saturating_add(1).try_into().unwrap_or(0);
        counts.doubled = self.seen.values().map(|times| times - 1).sum();
        let mut next = first;
        for &value in self.seen.range(first..=last).map(|(value, _)| value) {
            counts.miss(next, value);
            next = value + 1;
        }
        counts.miss(next, last + 1);
        counts
    }
}

impl Counts {
    /// Nothing came from `next` on before `value`.
    fn miss(&mut self, next: i64, value: i64) {
        if next < value {
            self.lost += u64::try_from(value - next).unwrap_or(0);
            if self.lost_stretches.len() < MAX_STRETCHES {
                self.lost_stretches.push((next, value - 1));
            }
        }
    }

    /// Whether every value came once, in order, and no gap was told.
    pub const fn is_exact(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.out_of_order == 0 && self.gaps_told == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seen: &[i64], lost: &[(i64, i64)], doubled: u64, out_of_order: u64) {
        let mut tally = Tally::default();
        seen.iter().for_each(|value| tally.saw(*value));
        let counts = tally.counts(0, 5);
        let missing = lost.iter().map(|(from, to)| u64::try_from(to - from + 1).unwrap()).sum::<u64>();
        assert_eq!((counts.values, counts.lost), (6, missing), "{seen:?}");
        assert_eq!(counts.lost_stretches, lost, "{seen:?}");
        assert_eq!((counts.doubled, counts.out_of_order), (doubled, out_of_order), "{seen:?}");
        assert_eq!(counts.is_exact(), lost.is_empty() && doubled == 0 && out_of_order == 0);
    }

    #[test]
    fn what_is_lost_doubled_or_out_of_order_is_counted() {
        check(&[0, 1, 2, 3, 4, 5], &[], 0, 0);
        check(&[], &[(0, 5)], 0, 0);
        check(&[1, 2, 4], &[(0, 0), (3, 3), (5, 5)], 0, 0);
        check(&[0, 1, 1, 2, 3, 4, 5, 5, 5], &[], 3, 0);
        check(&[0, 2, 1, 3, 4, 5], &[], 0, 1);
        check(&[0, 1, 2, 3, 0, 1, 2, 3, 4, 5], &[], 4, 3);
    }

    #[test]
    fn a_gap_that_was_told_is_not_exact() {
        let mut tally = Tally::default();
        tally.saw(0);
        tally.saw_gap();
        let counts = tally.counts(0, 0);
        assert_eq!((counts.lost, counts.gaps_told, counts.is_exact()), (0, 1, false));
    }

    #[test]
    fn of_many_stretches_the_first_are_told_and_all_are_counted() {
        let mut tally = Tally::default();
        (0..200).step_by(2).for_each(|value| tally.saw(value));
        let counts = tally.counts(0, 199);
        assert_eq!((counts.lost, counts.lost_stretches.len()), (100, MAX_STRETCHES));
    }
}
