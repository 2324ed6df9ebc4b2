//! The one place where this crate starts tasks.

use tokio_util::task::AbortOnDropHandle;

/// A task of the kit, which ends with whoever started it.
pub(crate) type Task = AbortOnDropHandle<()>;

/// Starts a task that ends when what is returned is dropped.
#[expect(clippy::disallowed_methods, reason = "this is where the crate starts tasks")]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Task {
    AbortOnDropHandle::new(tokio::spawn(task))
}
