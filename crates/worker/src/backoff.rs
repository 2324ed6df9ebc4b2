//! How long to wait before dialling again.

use std::time::Duration;

use crate::limits::{RECONNECT_FIRST, RECONNECT_JITTER_PERCENT};

/// Doubles from [`RECONNECT_FIRST`] to the longest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) const fn new(longest: Duration) -> Self {
        Self { next: RECONNECT_FIRST, longest }
    }

    /// The next wait. `random` spreads it evenly between -20 and +20 per cent.
    pub(crate) fn next(&mut self, random: u32) -> Duration {
        let base = self.next;
        self.next = base.saturating_mul(2).min(self.longest);
        let percent = 100 - RECONNECT_JITTER_PERCENT + random % (2 * RECONNECT_JITTER_PERCENT + 1);
        base * percent / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{LOCAL_RECONNECT_CAP, RECONNECT_CAP};

    #[test]
    fn waits_double_up_to_the_longest() {
        let cases: [(_, &[u128]); 2] =
            [(RECONNECT_CAP, &[100, 200, 400, 800, 1000, 1000]), (LOCAL_RECONNECT_CAP, &[100, 200, 200])];
        for (longest, expected) in cases {
            let mut backoff = Backoff::new(longest);
            let waits: Vec<_> = expected.iter().map(|_| backoff.next(RECONNECT_JITTER_PERCENT).as_millis()).collect();
            assert_eq!(waits, expected);
        }
    }

    #[test]
    fn chance_moves_a_wait_by_a_fifth_at_most() {
        let waits: Vec<_> = (0..1000).map(|random| Backoff::new(RECONNECT_CAP).next(random).as_millis()).collect();
        assert_eq!((waits.iter().min(), waits.iter().max()), (Some(&80), Some(&120)));
    }
}
