//! Reading the clock, in one place.
#![expect(clippy::disallowed_methods, reason = "this module is where the crate reads the clock")]

use std::time::{SystemTime, UNIX_EPOCH};

use moorline_types::{Millis, Timestamp};
use tokio::time::Instant;

/// The machine's time.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A clock that goes on with the timers, from the machine's time at its start. What waits by timers for a moment reads it by
/// this one: by a clock that another goes by, it would wait again and again for what is left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steady {
    start: Timestamp,
    since: Instant,
}

impl Steady {
    pub(crate) fn start() -> Self {
        Self { start: now(), since: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.start + Millis::new(u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}
