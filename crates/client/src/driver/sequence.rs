//! The session's numbers: dense, from 1 (spec 8.3).

use moorline_types::EventSeq;

use crate::job::Gap;

/// The last number seen.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    last: EventSeq,
}

impl Sequence {
    /// Counts a frame; says so if its number is not the one that was due.
    pub(super) fn count(&mut self, found: EventSeq) -> Option<Gap> {
        let expected = self.last.next();
        self.last = self.last.max(found);
        (found != expected).then_some(Gap { expected, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_break_of_the_numbering_is_told_once() {
        let mut sequence = Sequence::default();
        let gaps: Vec<_> = [1, 2, 5, 6, 4, 7]
            .into_iter()
            .filter_map(|seq| sequence.count(EventSeq::new(seq)))
            .map(|gap| (gap.expected.get(), gap.found.get()))
            .collect();
        assert_eq!(gaps, [(3, 5), (7, 4)]);
    }
}
