//! Faults on demand, for tests of whatever stands on a store.

use std::sync::Arc;

use tokio::sync::watch;

use crate::error::StoreFault;

/// Makes a [`MemoryStore`](super::MemoryStore) fail or wait. All clones steer the same store.
#[derive(Clone, Debug)]
pub struct Faults {
    mode: Arc<watch::Sender<Mode>>,
}

/// What a refusal that was asked for has as its source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a fault was injected")]
pub struct InjectedFault(pub StoreFault);

#[derive(Clone, Copy, Default, Debug)]
struct Mode {
    appends: Option<StoreFault>,
    writes: Option<StoreFault>,
    reads: Option<StoreFault>,
    trims: Option<StoreFault>,
    held: bool,
}

impl Faults {
    /// Refuses every append from here on.
    pub fn refuse_appends(&self, fault: StoreFault) {
        self.mode.send_modify(|mode| mode.appends = Some(fault));
    }

    /// Refuses everything that writes from here on: appends, documents, trims and the probe.
    pub fn refuse_writes(&self, fault: StoreFault) {
        self.mode.send_modify(|mode| mode.writes = Some(fault));
    }

    /// Refuses every trim from here on, and nothing else: what was written down before it is there.
    pub fn refuse_trims(&self, fault: StoreFault) {
        self.mode.send_modify(|mode| mode.trims = Some(fault));
    }

    /// Refuses every read from the store from here on. The tail goes on answering: it is memory.
    pub fn refuse_reads(&self, fault: StoreFault) {
        self.mode.send_modify(|mode| mode.reads = Some(fault));
    }

    /// Makes appends wait from here on, as behind a disk that has stalled. They are not appended before [`allow`].
    ///
    /// [`allow`]: Self::allow
    pub fn hold_appends(&self) {
        self.mode.send_modify(|mode| mode.held = true);
    }

    /// Ends all faults, and lets waiting appends go on.
    pub fn allow(&self) {
        self.mode.send_replace(Mode::default());
    }

    pub(super) fn on_append(&self) -> Option<InjectedFault> {
        let mode = *self.mode.borrow();
        mode.appends.or(mode.writes).map(InjectedFault)
    }

    pub(super) fn on_write(&self) -> Option<InjectedFault> {
        self.mode.borrow().writes.map(InjectedFault)
    }

    pub(super) fn on_trim(&self) -> Option<InjectedFault> {
        self.mode.borrow().trims.map(InjectedFault)
    }

    pub(super) fn on_read(&self) -> Option<InjectedFault> {
        self.mode.borrow().reads.map(InjectedFault)
    }

    pub(super) async fn wait_while_held(&self) {
        let mut mode = self.mode.subscribe();
        // Fails only if the sender is gone, which this handle keeps alive; then nothing holds appends either.
        drop(mode.wait_for(|mode| !mode.held).await);
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self { mode: Arc::new(watch::Sender::new(Mode::default())) }
    }
}
