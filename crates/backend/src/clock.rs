//! Reading the clock, in one place.
#![expect(clippy::disallowed_methods, reason = "this module is where the crate reads the clock")]

use std::time::{SystemTime, UNIX_EPOCH};

use moorline_types::Timestamp;

/// The machine's time.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
