//! The one place where this crate starts tasks.

/// Starts the task that owns a connection. It ends by itself when the connection does, or when the last client that
/// uses it is dropped; nobody waits for it.
#[expect(clippy::disallowed_methods, reason = "this is the crate's one task")]
pub(crate) fn spawn_driver(driver: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(driver));
}
