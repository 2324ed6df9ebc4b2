//! Comparing what each client of a session was told with what happened in it.
//!
//! What happened is what all clients together were told: an event has one number, whoever is told it. That none is
//! missing from all of them is shown by the plant itself, whose counter leaves no number out.

use std::collections::{BTreeMap, BTreeSet};

/// What one client was told.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The numbers of events, in the order in which they came.
    pub(super) numbers: Vec<u64>,
    /// What the plant's counter was, by the number of the event.
    pub(super) counts: BTreeMap<u64, i64>,
    /// Gaps: between which numbers it was told that something is missing.
    pub(super) gaps: Vec<(u64, u64)>,
}

/// What the comparison comes to, for one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Events that it was told, each counted once.
    pub(super) events: usize,
    /// Gaps that it was told of, and events in them.
    pub(super) gaps: usize,
    pub(super) in_gaps: usize,
    /// Events that it was neither told nor told to be missing.
    pub(super) lost: usize,
    /// Events that it was told again.
    pub(super) twice: usize,
}

/// All clients, in their order; and how many numbers the counter has left out, which are lost to everybody.
pub(super) fn tally(logs: &[Log]) -> (Vec<Tally>, usize) {
    let happened: BTreeSet<u64> = logs.iter().flat_map(|log| &log.numbers).copied().collect();
    let counts: BTreeSet<i64> = logs.iter().flat_map(|log| log.counts.values()).copied().collect();
    let left_out = match (counts.first(), counts.last()) {
        (Some(first), Some(last)) => usize::try_from(last - first + 1).unwrap_or_default() - counts.len(),
        _ => 0,
    };
    (logs.iter().map(|log| of_one(log, &happened)).collect(), left_out)
}

fn of_one(log: &Log, happened: &BTreeSet<u64>) -> Tally {
    let told: BTreeSet<u64> = log.numbers.iter().copied().collect();
    let missing: Vec<u64> = happened.difference(&told).copied().collect();
    let is_in_gap = |number: &&u64| log.gaps.iter().any(|(after, before)| after < *number && *number < before);
    let in_gaps = missing.iter().filter(is_in_gap).count();
    Tally {
        events: told.len(),
        gaps: log.gaps.len(),
        in_gaps,
        lost: missing.len() - in_gaps,
        twice: log.numbers.len() - told.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(numbers: &[u64], gaps: &[(u64, u64)]) -> Log {
        // The counter is at ten times the number.
        let counts = numbers.iter().map(|number| (*number, i64::try_from(number - 1).unwrap())).collect();
        Log { numbers: numbers.to_vec(), counts, gaps: gaps.to_vec() }
    }

    #[test]
    fn what_is_missing_is_lost_unless_a_gap_says_so_and_what_comes_again_is_counted() {
        let all = [1, 2, 3, 4, 5, 6];
        for (numbers, gaps, expected) in [
            (&all[..], &[][..], Tally { events: 6, ..Tally::default() }),
            (&[1, 2, 5, 6], &[(2, 5)], Tally { events: 4, gaps: 1, in_gaps: 2, ..Tally::default() }),
            (&[1, 2, 6], &[(2, 5)], Tally { events: 3, gaps: 1, in_gaps: 2, lost: 1, ..Tally::default() }),
            (&[1, 2, 6], &[], Tally { events: 3, lost: 3, ..Tally::default() }),
            (&[1, 2, 3, 3, 4, 5, 6, 2], &[], Tally { events: 6, twice: 2, ..Tally::default() }),
            (&all[..], &[(3, 4)], Tally { events: 6, gaps: 1, ..Tally::default() }),
        ] {
            let (tallies, left_out) = tally(&[log(&all, &[]), log(numbers, gaps)]);
            assert_eq!((tallies[1], left_out), (expected, 0), "{numbers:?} {gaps:?}");
        }
    }

    #[test]
    fn what_nobody_was_told_is_seen_from_the_counter() {
        let (tallies, left_out) = tally(&[log(&[1, 2, 4], &[]), log(&[1, 2, 4], &[])]);
        assert_eq!((tallies[0].lost, left_out), (0, 1));
        assert_eq!(tally(&[]), (Vec::new(), 0));
    }
}
