//! How long to wait before the next attempt.
//!
//! The wait doubles from attempt to attempt, up to a bound, and is drawn from its upper half, so that clients of a
//! gateway that went away do not come back all at once. Pure: the caller draws the entropy.

use std::time::Duration;

/// The first wait. A gateway that is restarted needs about as long.
const FIRST: Duration = Duration::from_millis(200);

/// The longest wait: nobody should wait for longer than this after the gateway is back.
const LONGEST: Duration = Duration::from_secs(5);

/// See the module's documentation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The next wait. A gateway that said when to come back is believed, but not that nobody need wait at all.
    pub(crate) fn next(&mut self, entropy: u64, hint: Option<Duration>) -> Duration {
        let base = self.next;
        self.next = (base * 2).min(LONGEST);
        let half = base / 2;
        // A share of the upper half, in millionths: finer than any timer.
        let jittered = half + half * u32::try_from(entropy % 1_000_000).unwrap_or_default() / 1_000_000;
        hint.map_or(jittered, |hint| hint.max(jittered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound_and_is_never_longer() {
        for (entropy, expected) in
            [(0, [100, 200, 400, 800, 1_600, 2_500, 2_500]), (999_999, [199, 399, 799, 1_599, 3_199, 4_999, 4_999])]
        {
            let mut backoff = Backoff::default();
            assert_eq!(expected.map(|_| backoff.next(entropy, None).as_millis()), expected, "{entropy}");
        }
    }

    #[test]
    fn a_gateway_that_says_when_is_believed_unless_it_says_at_once() {
        for (hint, expected) in [(Duration::from_secs(30), Duration::from_secs(30)), (Duration::ZERO, FIRST / 2)] {
            assert_eq!(Backoff::default().next(0, Some(hint)), expected);
        }
    }
}
