//! The threads of a store: named, and with an end that can be waited for.

use std::io;
use std::thread::Builder;

use tokio::sync::watch;

/// Waits for the end of a thread.
#[derive(Clone, Debug)]
pub(crate) struct Ended(watch::Receiver<()>);

impl Ended {
    /// Returns when the thread has ended and dropped everything it had.
    pub(crate) async fn wait(mut self) {
        // Nothing is ever sent: the thread's end is the sender's.
        while self.0.changed().await.is_ok() {}
    }
}

/// Starts a thread. Everything that `work` owns is dropped before the end is reported.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Ended> {
    let (running, ended) = watch::channel(());
    let body = move || {
        let _running = running;
        work();
    };
    Builder::new().name(name.to_owned()).spawn(body)?;
    Ok(Ended(ended))
}
