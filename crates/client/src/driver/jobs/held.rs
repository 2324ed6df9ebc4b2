//! How much waits in queues for the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Bytes that may wait for the program, over all jobs, before nothing more is read: a dozen of the largest frames, so
/// that a streamed result of any size passes through in little memory.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Held {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicUsize,
    freed: Notify,
}

/// An update that waits. Dropped when the program takes it.
#[derive(Debug)]
pub(crate) struct Hold {
    bytes: usize,
    shared: Arc<Shared>,
}

impl Held {
    /// Takes note of an update that begins to wait.
    pub(super) fn hold(&self, bytes: usize) -> Arc<Hold> {
        self.shared.bytes.fetch_add(bytes, Ordering::AcqRel);
        Arc::new(Hold { bytes, shared: Arc::clone(&self.shared) })
    }

    /// Whether so much waits that nothing more should come.
    pub(super) fn is_full(&self) -> bool {
        self.shared.bytes.load(Ordering::Acquire) >= MAX_BYTES
    }

    /// Waits until there is room. Cancel safe.
    pub(super) async fn freed(&self) {
        while self.is_full() {
            self.shared.freed.notified().await;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let before = self.shared.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        if before >= MAX_BYTES && before - self.bytes < MAX_BYTES {
            self.shared.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_told_of_once_enough_was_taken() {
        let held = Held::default();
        let small = held.hold(1);
        held.freed().await;
        let large = held.hold(MAX_BYTES);
        assert!(held.is_full());
        drop(small);
        assert!(held.is_full());
        let free = held.freed();
        tokio::pin!(free);
        assert!(futures_util::poll!(&mut free).is_pending());
        drop(large);
        free.await;
        assert!(!held.is_full());
    }
}
