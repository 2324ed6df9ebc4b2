//! Updates that come before the answer that says whose they are.

use super::Arrival;

/// Updates that are kept: more than any official runtime's replay of a job that is worth watching.
const MAX_UPDATES: usize = 4_096;

/// Bytes that are kept. A streamed result is larger, and is asked for when it can be read.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Early {
    arrivals: Vec<Arrival>,
    bytes: usize,
    lost: bool,
}

impl Early {
    /// Keeps an update; answers whether there was room.
    pub(super) fn push(&mut self, arrival: Arrival) -> bool {
        if self.lost || self.arrivals.len() >= MAX_UPDATES || self.bytes + arrival.bytes > MAX_BYTES {
            self.lost = true;
            return false;
        }
        self.bytes += arrival.bytes;
        self.arrivals.push(arrival);
        true
    }

    /// Whether some were not kept.
    pub(super) const fn is_lost(&self) -> bool {
        self.lost
    }

    pub(super) fn into_arrivals(self) -> Vec<Arrival> {
        self.arrivals
    }
}
