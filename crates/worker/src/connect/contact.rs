//! When a gateway was last heard.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;

/// Kept in two kinds of time: the runtime's, which its timers follow, and the machine's, which runs on while the
/// machine sleeps and which a watchdog outside of the runtime can read.
#[derive(Debug)]
pub(crate) struct Contact {
    runtime: Mutex<Instant>,
    machine_ms: AtomicU64,
}

impl Default for Contact {
    fn default() -> Self {
        Self { runtime: Mutex::new(clock::instant()), machine_ms: AtomicU64::new(clock::since_boot_ms()) }
    }
}

impl Contact {
    /// A gateway was heard.
    pub(crate) fn heard(&self) {
        *self.runtime.lock().unwrap_or_else(PoisonError::into_inner) = clock::instant();
        self.machine_ms.store(clock::since_boot_ms(), Ordering::Relaxed);
    }

    /// What is left of `lifetime`; `None` if it is over.
    pub(crate) fn left(&self, lifetime: Duration) -> Option<Duration> {
        let heard = *self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        lifetime.checked_sub(clock::instant().duration_since(heard)).filter(|left| !left.is_zero())
    }

    /// How long ago, by the machine's time.
    pub(crate) fn machine_age(&self) -> Duration {
        Duration::from_millis(clock::since_boot_ms().saturating_sub(self.machine_ms.load(Ordering::Relaxed)))
    }
}
