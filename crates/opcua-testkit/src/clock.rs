//! Reading the clock, in one place.
#![expect(clippy::disallowed_methods, reason = "this module is where the crate reads the clock")]

use std::time::Instant;

/// Time that only runs forward.
pub(crate) fn now() -> Instant {
    Instant::now()
}
