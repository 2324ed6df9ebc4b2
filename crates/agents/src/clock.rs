//! Reading the clock, in one place.
#![expect(clippy::disallowed_methods, reason = "this module is where the crate reads the clock")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Time that only runs forward.
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1970, for whoever compares them with another process's clock on the same machine. They fit until the
/// year 2554.
pub(crate) fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
