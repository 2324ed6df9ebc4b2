//! When a client is asked to come back.
//!
//! A gateway that goes away tells every client another moment, spread over a time that grows with their number, so that
//! the next gateway does not meet all of them at once.

use moorline_runtime::mint;
use moorline_wire::vendor::Retry;

/// The time from the first to the last to come back, for each client there is: five hundred a second. At most 64 are
/// resumed at once, so each of them may take an eighth of a second.
const PER_CLIENT_MS: u64 = 2;

/// The least and the most of it. A restart takes some hundred milliseconds; nobody should wait for a minute.
const LEAST_MS: u64 = 500;
const MOST_MS: u64 = 30_000;

/// When one of this many clients should come back.
pub(super) fn after(clients: usize) -> Retry {
    let draw = mint::random().map_or(0, u32::from_le_bytes);
    at(clients, draw)
}

fn at(clients: usize, draw: u32) -> Retry {
    let spread = (clients as u64).saturating_mul(PER_CLIENT_MS).clamp(LEAST_MS, MOST_MS);
    Retry { after_ms: LEAST_MS + ((spread * u64::from(draw)) >> u32::BITS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_spread_over_a_time_that_grows_with_their_number() {
        for (clients, first, last) in [(0, 500, 999), (1, 500, 999), (1_000, 500, 2_499), (1_000_000, 500, 30_499)] {
            assert_eq!((at(clients, 0).after_ms, at(clients, u32::MAX).after_ms), (first, last), "{clients}");
        }
    }
}
