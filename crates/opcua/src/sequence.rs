//! The numbers of a subscription's notifications (OPC UA Part 4, 5.13.1.1): from 1, without a gap, and after the largest
//! comes 1 again. A keep-alive has the number of the next notification and does not use it up.

/// How far behind a number may be and still be one that was seen: what a few requests that overtake each other can do. One
/// that is further behind is of another count.
const MAX_BEHIND: u32 = 64;

/// How many numbers there are: all but zero.
const NUMBERS: u64 = u32::MAX as u64;

/// What is expected next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sequence {
    /// `None` before the first.
    next: Option<u32>,
}

/// What a number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is the next one.
    InOrder,
    /// It was seen.
    Seen,
    /// These are missing before it: the first, and how many.
    Missing(Missing),
    /// The server counts anew.
    Restarted,
}

/// Numbers that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The first.
    pub(crate) first: u32,
    /// How many.
    pub(crate) count: u32,
}

impl Sequence {
    /// The number that is asked for after a lost connection.
    pub(crate) fn next(&self) -> u32 {
        self.next.unwrap_or(1)
    }

    /// The number of the last notification; zero if there was none.
    pub(crate) fn last(&self) -> u32 {
        match self.next() {
            // Before the first, and, once in some years, between the largest and the first again.
            1 => 0,
            next => next - 1,
        }
    }

    /// This number is asked for again, because it could not be asked for.
    pub(crate) fn resume_at(&mut self, number: u32) {
        self.next = Some(number);
    }

    /// A notification with this number has come. What is missing before it counts as seen from here on, so that it is
    /// asked for once.
    pub(crate) fn notified(&mut self, number: u32) -> Arrival {
        self.observe(number, after(number))
    }

    /// A keep-alive with this number has come.
    pub(crate) fn kept_alive(&mut self, number: u32) -> Arrival {
        self.observe(number, number)
    }

    fn observe(&mut self, number: u32, then: u32) -> Arrival {
        let expected = self.next();
        let ahead = distance(expected, number);
        let arrival = if number == 0 {
            // No server should say this one; it says nothing about what is missing.
            return Arrival::InOrder;
        } else if ahead == 0 {
            Arrival::InOrder
        } else if ahead <= u32::MAX / 2 {
            Arrival::Missing(Missing { first: expected, count: ahead })
        } else if distance(number, expected) <= MAX_BEHIND {
            return Arrival::Seen;
        } else {
            Arrival::Restarted
        };
        self.next = Some(then);
        arrival
    }
}

impl Missing {
    /// Each of them.
    pub(crate) fn numbers(self) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(self.first), |number| Some(after(*number))).take(self.count as usize)
    }
}

/// The number that comes after this one.
pub(crate) const fn after(number: u32) -> u32 {
    match number.checked_add(1) {
        Some(next) => next,
        None => 1,
    }
}

/// How many steps it is from one number to another.
fn distance(from: u32, to: u32) -> u32 {
    ((u64::from(to) + NUMBERS - u64::from(from)) % NUMBERS) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn missing(first: u32, count: u32) -> Arrival {
        Arrival::Missing(Missing { first, count })
    }

    #[test]
    fn what_comes_in_order_is_in_order_and_what_is_missing_is_told_once() {
        let mut sequence = Sequence::default();
        for (number, arrival) in [
            (1, Arrival::InOrder),
            (2, Arrival::InOrder),
            (2, Arrival::Seen),
            (5, missing(3, 2)),
            (4, Arrival::Seen),
            (6, Arrival::InOrder),
        ] {
            assert_eq!(sequence.notified(number), arrival, "{number}");
        }
    }

    #[test]
    fn a_keep_alive_tells_what_is_missing_and_uses_up_no_number() {
        let mut sequence = Sequence::default();
        assert_eq!((sequence.kept_alive(1), sequence.last()), (Arrival::InOrder, 0));
        assert_eq!(sequence.notified(1), Arrival::InOrder);
        assert_eq!(sequence.kept_alive(2), Arrival::InOrder);
        assert_eq!(sequence.kept_alive(4), missing(2, 2));
        assert_eq!(sequence.notified(4), Arrival::InOrder);
        assert_eq!(sequence.kept_alive(0), Arrival::InOrder, "a number that none has says nothing");
        assert_eq!((sequence.next(), sequence.last()), (5, 4));
    }

    #[test]
    fn a_server_that_counts_anew_is_noticed() {
        let mut sequence = Sequence { next: Some(500) };
        assert_eq!(sequence.notified(1), Arrival::Restarted);
        assert_eq!(sequence.notified(2), Arrival::InOrder);
    }

    #[test]
    fn after_the_largest_number_comes_one() {
        let mut sequence = Sequence { next: Some(u32::MAX) };
        assert_eq!(sequence.notified(u32::MAX), Arrival::InOrder);
        assert_eq!(sequence.notified(1), Arrival::InOrder);
        let mut sequence = Sequence { next: Some(u32::MAX) };
        let Arrival::Missing(found) = sequence.notified(2) else { panic!() };
        assert_eq!(found.numbers().collect::<Vec<_>>(), [u32::MAX, 1]);
    }

    proptest! {
        /// Whatever is lost, every number is either told to be in order or told to be missing, once.
        #[test]
        fn nothing_is_lost_without_a_word(start in any::<u32>(), kept in proptest::collection::vec(any::<bool>(), 1..60)) {
            let start = start.max(1);
            let mut sequence = Sequence { next: Some(start) };
            let (mut number, mut told, mut sent) = (start, Vec::new(), Vec::new());
            for is_kept in kept {
                sent.push(number);
                if is_kept {
                    let arrival = sequence.notified(number);
                    prop_assert!(!matches!(arrival, Arrival::Seen | Arrival::Restarted), "{arrival:?}");
                    if let Arrival::Missing(missing) = arrival {
                        told.extend(missing.numbers());
                    }
                    told.push(number);
                }
                number = after(number);
            }
            prop_assert_eq!(&told[..], &sent[..told.len()]);
        }
    }
}
