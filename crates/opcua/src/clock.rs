//! Reading the clock, in one place.
#![expect(clippy::disallowed_methods, reason = "this module is where the crate reads the clock")]

use std::time::{SystemTime, UNIX_EPOCH};

use moorline_types::{Millis, Timestamp};

/// The time of day: when something was received that has no time of its own.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(Millis::from(since_epoch).get())
}
