//! When is cut, how and for how long: all of it follows from a seed.

use std::time::Duration;

use fastrand::Rng;

use crate::Cut;

/// The shortest cut, in milliseconds: shorter than any time that a client waits before it connects anew.
const SHORTEST_MS: u64 = 100;

/// The longest cut, in milliseconds: longer than several publishing intervals and keep-alives.
const LONGEST_MS: u64 = 5_000;

/// The longest pause after a client has come back, in milliseconds. There may be none, so that a cut meets a client that
/// is still asking for what it missed.
const LONGEST_PAUSE_MS: u64 = 800;

/// One cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// How long everything is well before it.
    pub pause: Duration,
    /// How it is cut.
    pub cut: Cut,
    /// For how long.
    pub lasts: Duration,
}

/// Cuts, one after the other.
#[derive(Debug, Clone)]
pub struct Schedule {
    seed: u64,
    rng: Rng,
    left: usize,
    longest_ms: u64,
}

impl Schedule {
    /// As many cuts of 0.1 to 5 seconds.
    pub fn new(seed: u64, cuts: usize) -> Self {
        Self { seed, rng: Rng::with_seed(seed), left: cuts, longest_ms: LONGEST_MS }
    }

    /// The same with no cut longer than that.
    #[must_use]
    pub fn at_most(self, longest: Duration) -> Self {
        let longest = u64::try_from(longest.as_millis()).unwrap_or(LONGEST_MS);
        Self { longest_ms: longest.clamp(SHORTEST_MS, LONGEST_MS), ..self }
    }

    /// What decides about all of it.
    pub const fn seed(&self) -> u64 {
        self.seed
    }
}

impl Iterator for Schedule {
    type Item = Outage;

    fn next(&mut self) -> Option<Outage> {
        self.left = self.left.checked_sub(1)?;
        let pause = Duration::from_millis(self.rng.u64(0..=LONGEST_PAUSE_MS));
        let cut = Cut::ALL[self.rng.usize(0..Cut::ALL.len())];
        let lasts = Duration::from_millis(self.rng.u64(SHORTEST_MS..=self.longest_ms));
        Some(Outage { pause, cut, lasts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_about_every_cut() {
        let of = |seed| Schedule::new(seed, 100).collect::<Vec<_>>();
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        assert_eq!(of(7).len(), 100);
    }

    #[test]
    fn every_kind_of_cut_comes_and_none_is_too_short_or_too_long() {
        let longest = Duration::from_millis(700);
        for outage in Schedule::new(1, 100).at_most(longest) {
            assert!(outage.lasts >= Duration::from_millis(SHORTEST_MS) && outage.lasts <= longest, "{outage:?}");
        }
        for kind in Cut::ALL {
            assert!(Schedule::new(1, 100).any(|outage| outage.cut == kind), "{kind:?}");
        }
    }
}
