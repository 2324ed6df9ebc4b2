//! Spawning tasks, in one place. A task ends with its handle: nothing here outlives who started it.
#![expect(clippy::disallowed_methods, reason = "this module is where the crate spawns")]

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::Instrument as _;

/// A running task. Dropping it stops the task at its next await.
#[derive(Debug)]
pub(crate) struct Task<T>(JoinHandle<T>);

/// Runs `future` beside its caller.
pub(crate) fn spawn<T: Send + 'static>(
    name: &'static str,
    future: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    Task(tokio::spawn(future.instrument(tracing::debug_span!("task", name))))
}

impl<T> Task<T> {
    /// Waits for its end. `None` if it panicked or was stopped.
    pub(crate) async fn join(&mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }

    /// Whether it has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
