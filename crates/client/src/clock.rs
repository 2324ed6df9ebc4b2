//! The one place where this crate reads clocks.

use std::time::SystemTime;

use moorline_types::{Millis, Timestamp};
use tokio::time::Instant;

/// The time of day, for what is written into messages.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(Millis::from(since_epoch).get())
}

/// The time that timers run by.
pub(crate) fn instant() -> Instant {
    Instant::now()
}
