//! Reading the clock, in one place.
#![expect(clippy::disallowed_methods, reason = "this module is where the crate reads the clock")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Time that only runs forward.
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1970, for whoever compares them with another process's clock on the same machine.
pub(crate) fn unix_nanos() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}
