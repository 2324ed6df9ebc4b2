//! How often somebody may do something: a bucket that fills with time, and from which each time takes a token.
//!
//! The bucket knows no clock. It holds thousandths of tokens, so that a rate of so many in a second is as many
//! thousandths in a millisecond and nothing is rounded.

use moorline_types::{Millis, Timestamp};

/// What one time takes, in the bucket's own units.
const TOKEN: u64 = 1_000;

/// How many seconds' worth a bucket holds. One: whoever keeps to the rate on the whole may do a second's share at once,
/// and nobody does more than twice the rate in any second.
pub const BURST_SECS: u64 = 1;

/// See the module's documentation. `now` never decreases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBucket {
    level: u64,
    at: Timestamp,
}

impl TokenBucket {
    /// A full bucket for so many times in a second, which are one at least.
    pub fn full(now: Timestamp, per_sec: u64) -> Self {
        Self { level: capacity(per_sec), at: now }
    }

    /// Does it once more, at this rate. The rate may be another than the last time.
    ///
    /// # Errors
    /// After how long it may be done if it may not be now; then nothing is taken.
    pub fn take(&mut self, now: Timestamp, per_sec: u64) -> Result<(), Millis> {
        let rate = per_sec.max(1);
        let filled = now.since(self.at).get().saturating_mul(rate);
        self.level = self.level.saturating_add(filled).min(capacity(per_sec));
        self.at = now;
        match self.level.checked_sub(TOKEN) {
            Some(level) => {
                self.level = level;
                Ok(())
            }
            None => Err(Millis::new((TOKEN - self.level).div_ceil(rate))),
        }
    }

    /// Whether it is full whatever its rate, and so is no different from a new one.
    pub fn is_full(&self, now: Timestamp) -> bool {
        now.since(self.at) >= Millis::from_secs(BURST_SECS)
    }
}

fn capacity(per_sec: u64) -> u64 {
    per_sec.max(1).saturating_mul(BURST_SECS).saturating_mul(TOKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    #[test]
    fn a_seconds_share_may_be_had_at_once_and_then_one_by_one() {
        let mut bucket = TokenBucket::full(at(0), 4);
        for _ in 0..4 {
            assert_eq!(bucket.take(at(0), 4), Ok(()));
        }
        for (now, expected) in
            [(0, Err(250)), (100, Err(150)), (249, Err(1)), (250, Ok(())), (251, Err(249)), (500, Ok(()))]
        {
            assert_eq!(bucket.take(at(now), 4), expected.map_err(Millis::new), "at {now}");
        }
    }

    #[test]
    fn what_waits_as_long_as_it_is_told_is_let_through_at_any_rate() {
        for rate in [0, 1, 3, 7, 999, 1_000, 1_001, u64::MAX] {
            let mut bucket = TokenBucket::full(at(0), rate);
            let mut now = 0;
            for _ in 0..3_000 {
                if let Err(wait) = bucket.take(at(now), rate) {
                    assert!(wait.get() >= 1, "{rate}");
                    now += wait.get();
                    assert_eq!(bucket.take(at(now), rate), Ok(()), "{rate} at {now}");
                }
            }
        }
    }

    #[test]
    fn a_long_silence_earns_no_more_than_a_full_bucket() {
        let mut bucket = TokenBucket::full(at(0), 2);
        assert_eq!(bucket.take(at(0), 2), Ok(()));
        assert!(!bucket.is_full(at(999)) && bucket.is_full(at(1_000)));
        let taken = (0..10).filter(|_| bucket.take(at(1_000_000), 2).is_ok()).count();
        assert_eq!(taken, 2);
    }

    #[test]
    fn a_lower_rate_does_not_keep_what_a_higher_one_has_earned() {
        let mut bucket = TokenBucket::full(at(0), 100);
        let taken = (0..10).filter(|_| bucket.take(at(0), 1).is_ok()).count();
        assert_eq!(taken, 1);
    }
}
