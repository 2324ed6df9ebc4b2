//! Telling the operator who was not let in, at a bounded rate: whoever can reach the socket must not be able to fill a
//! disk with log lines.

use std::sync::Mutex;

use moorline_types::{Millis, Timestamp};

use super::DoorError;
use crate::clock::Clock;
use crate::sync::lock;

/// Refusals that are logged within one [`WINDOW`]. A worker that is not wanted is refused once, and one that cannot
/// prove itself comes back every second: ten show the pattern.
const LOGGED: u32 = 10;

/// How long refusals are counted together.
const WINDOW: Millis = Millis::from_secs(60);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Refusals {
    clock: Clock,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    /// When the first of it came.
    began: Option<Timestamp>,
    count: u32,
}

impl Refusals {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, window: Mutex::default() }
    }

    /// Answers whether it was told.
    pub(super) fn tell(&self, refusal: &DoorError) -> bool {
        let (count, silent) = lock(&self.window).count(self.clock.now());
        if silent > 0 {
            tracing::warn!(refusals = silent, "further peers at the worker socket were refused");
        }
        if count <= LOGGED {
            tracing::warn!(error = refusal as &dyn std::error::Error, "a peer at the worker socket is refused");
        }
        count <= LOGGED
    }
}

impl Window {
    /// Counts one more. Answers which one it is in its window, and how many of the last window were not told if a new
    /// one begins with it.
    fn count(&mut self, now: Timestamp) -> (u32, u32) {
        let mut silent = 0;
        if self.began.is_none_or(|began| now.since(began) >= WINDOW) {
            silent = self.count.saturating_sub(LOGGED);
            *self = Self { began: Some(now), count: 0 };
        }
        self.count = self.count.saturating_add(1);
        (self.count, silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_is_counted_and_told_later() {
        let mut window = Window::default();
        let now = Timestamp::from_unix_millis(1_000_000);
        let told = (0..1_000).filter(|_| window.count(now).0 <= LOGGED).count();
        assert_eq!(told, LOGGED as usize);
        assert_eq!(window.count(now + WINDOW), (1, 1_000 - LOGGED));
    }
}
