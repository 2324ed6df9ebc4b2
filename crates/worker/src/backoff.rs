//! How long to wait before dialling again.

use std::time::Duration;

use crate::limits::{RECONNECT_CAP, RECONNECT_FIRST, RECONNECT_JITTER_PERCENT};

/// Doubles from [`RECONNECT_FIRST`] to [`RECONNECT_CAP`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self(RECONNECT_FIRST)
    }

    /// The next wait. `random` spreads it evenly between -20 and +20 per cent.
    pub(crate) fn next(&mut self, random: u32) -> Duration {
        let base = self.0;
        self.0 = base.saturating_mul(2).min(RECONNECT_CAP);
        let percent = 100 - RECONNECT_JITTER_PERCENT + random % (2 * RECONNECT_JITTER_PERCENT + 1);
        base * percent / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let mut backoff = Backoff::new();
        let middle = RECONNECT_JITTER_PERCENT;
        let waits: Vec<_> = (0..8).map(|_| backoff.next(middle).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000, 1000, 1000]);
    }

    #[test]
    fn chance_moves_a_wait_by_a_fifth_at_most() {
        let waits: Vec<_> = (0..1000).map(|random| Backoff::new().next(random).as_millis()).collect();
        assert_eq!((waits.iter().min(), waits.iter().max()), (Some(&80), Some(&120)));
    }
}
