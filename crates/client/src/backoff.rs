//! How long to wait before the next attempt to connect.
//!
//! The wait doubles from attempt to attempt, up to a bound, and is drawn from its upper half, so that clients of a
//! gateway that went away do not come back all at once. Pure: the caller draws the entropy.

use std::time::Duration;

/// The first wait. A process that is restarted needs about as long.
const FIRST: Duration = Duration::from_millis(200);

/// The longest wait: nobody should watch a screen for longer than this after the gateway is back.
const LONGEST: Duration = Duration::from_secs(10);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The next wait. A runtime that said when to come back is believed: it spreads its clients itself.
    pub(crate) fn next(&mut self, entropy: u64, hint: Option<Duration>) -> Duration {
        let base = self.next;
        self.next = (base * 2).min(LONGEST);
        let half = base / 2;
        // A share of the upper half, in millionths: finer than any timer.
        let jittered = half + half * u32::try_from(entropy % 1_000_000).unwrap_or_default() / 1_000_000;
        hint.map_or(jittered, |hint| hint.max(jittered))
    }

    /// The connection was of use: the next loss begins anew.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(entropy: u64) -> Vec<u128> {
        let mut backoff = Backoff::default();
        (0..8).map(|_| backoff.next(entropy, None).as_millis()).collect()
    }

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        assert_eq!(waits(0), [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(waits(999_999), [199, 399, 799, 1_599, 3_199, 6_399, 9_999, 9_999]);
    }

    #[test]
    fn a_connection_that_was_of_use_begins_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.next(0, None);
        }
        backoff.reset();
        assert_eq!(backoff.next(0, None).as_millis(), 100);
    }

    #[test]
    fn a_runtime_that_says_when_is_believed_unless_it_says_at_once() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(0, Some(Duration::from_secs(30))), Duration::from_secs(30));
        assert_eq!(backoff.next(0, Some(Duration::ZERO)).as_millis(), 200);
    }
}
