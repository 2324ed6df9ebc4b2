//! The session's numbers: dense, from 1 (spec 8.3).

use std::collections::BTreeSet;

use moorline_types::EventSeq;
use moorline_wire::Numbering;

/// Numbers that may be ahead of one that is missing, from a runtime that does not keep its order. One that is late by
/// more is not coming.
const REORDER_WINDOW: usize = 64;

/// What a number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrived {
    /// It is new.
    New,
    /// It was there before.
    Again,
    /// Those before it did not arrive. Not counted.
    Missing {
        /// The first that is missing.
        from: EventSeq,
        /// The last.
        to: EventSeq,
    },
}

/// The numbers seen.
#[derive(Debug)]
pub(super) struct Sequence {
    numbering: Numbering,
    /// All up to here were seen.
    contiguous: EventSeq,
    /// Seen beyond that.
    ahead: BTreeSet<EventSeq>,
}

impl Sequence {
    pub(super) const fn new(numbering: Numbering) -> Self {
        Self { numbering, contiguous: EventSeq::ZERO, ahead: BTreeSet::new() }
    }

    /// The last number before which none is missing: what a resume names.
    pub(super) const fn contiguous(&self) -> EventSeq {
        self.contiguous
    }

    /// Counts a frame.
    pub(super) fn count(&mut self, seq: EventSeq) -> Arrived {
        let window = match self.numbering {
            Numbering::PerSubscription => return Arrived::New,
            Numbering::Dense => 0,
            Numbering::Reordered => REORDER_WINDOW,
        };
        if seq <= self.contiguous || self.ahead.contains(&seq) {
            return Arrived::Again;
        }
        if seq != self.contiguous.next() && self.ahead.len() >= window {
            let next = self.ahead.first().map_or(seq, |first| seq.min(*first));
            return Arrived::Missing { from: self.contiguous.next(), to: EventSeq::new(next.get() - 1) };
        }
        self.ahead.insert(seq);
        self.close_up();
        Arrived::New
    }

    /// What is missing if the session has been given all numbers up to this one.
    pub(super) fn missing_up_to(&self, head: EventSeq) -> Option<(EventSeq, EventSeq)> {
        let checked = self.numbering == Numbering::Dense;
        (checked && head > self.contiguous).then(|| (self.contiguous.next(), head))
    }

    /// Gives up what is missing up to this number.
    pub(super) fn skip_to(&mut self, seq: EventSeq) {
        self.contiguous = self.contiguous.max(seq);
        self.close_up();
    }

    /// The next number is this one, whatever was before.
    pub(super) fn begin_at(&mut self, next: EventSeq) {
        self.contiguous = EventSeq::new(next.get().saturating_sub(1));
        self.ahead.clear();
    }

    fn close_up(&mut self) {
        self.ahead = self.ahead.split_off(&self.contiguous.next());
        while self.ahead.remove(&self.contiguous.next()) {
            self.contiguous = self.contiguous.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(numbering: Numbering, numbers: &[u64]) -> Vec<char> {
        let mut sequence = Sequence::new(numbering);
        let letter = |arrived| match arrived {
            Arrived::New => 'n',
            Arrived::Again => 'a',
            Arrived::Missing { .. } => 'm',
        };
        numbers.iter().map(|seq| letter(sequence.count(EventSeq::new(*seq)))).collect()
    }

    #[test]
    fn what_was_seen_is_known_again_and_what_is_missing_is_told() {
        assert_eq!(seen(Numbering::Dense, &[1, 2, 2, 1, 4, 3, 4]), ['n', 'n', 'a', 'a', 'm', 'n', 'n']);
        assert_eq!(seen(Numbering::PerSubscription, &[1, 1, 9]), ['n', 'n', 'n']);
        assert_eq!(seen(Numbering::Reordered, &[1, 3, 3, 2, 2, 4]), ['n', 'n', 'a', 'n', 'a', 'n']);
    }

    #[test]
    fn a_number_that_is_late_by_too_much_is_missing() {
        let mut sequence = Sequence::new(Numbering::Reordered);
        for seq in 2..66 {
            assert_eq!(sequence.count(EventSeq::new(seq)), Arrived::New);
        }
        let one = EventSeq::new(1);
        assert_eq!(sequence.count(EventSeq::new(66)), Arrived::Missing { from: one, to: one });
        sequence.skip_to(one);
        assert_eq!(sequence.contiguous().get(), 65);
        assert_eq!(sequence.count(EventSeq::new(66)), Arrived::New);
    }

    #[test]
    fn a_head_beyond_what_was_seen_is_a_loss_at_the_quiet_end() {
        let mut sequence = Sequence::new(Numbering::Dense);
        sequence.count(EventSeq::new(1));
        assert_eq!(sequence.missing_up_to(EventSeq::new(1)), None);
        assert_eq!(sequence.missing_up_to(EventSeq::new(3)), Some((EventSeq::new(2), EventSeq::new(3))));
        sequence.begin_at(EventSeq::new(10));
        assert_eq!(sequence.count(EventSeq::new(10)), Arrived::New);
    }
}
