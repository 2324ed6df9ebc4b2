//! Spawning tasks, in one place. A task ends with its handle: nothing here outlives who started it.
#![expect(clippy::disallowed_methods, reason = "this module is where the crate spawns")]

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::Instrument as _;

/// A running task. Dropping it stops the task at its next await.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

/// Runs `future` beside its caller.
pub(crate) fn spawn(name: &'static str, future: impl Future<Output = ()> + Send + 'static) -> Task {
    Task(tokio::spawn(future.instrument(tracing::debug_span!("task", name))))
}

impl Task {
    /// Whether it has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
