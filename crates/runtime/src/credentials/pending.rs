//! A credential between the request for it and the commit that tells of it.

use moorline_core::credential::{Custody, Provisioned};
use moorline_store::{Change, Expect};

use super::{Credentials, document};
use crate::sync::lock;

/// A credential that was issued and that nobody was told of yet. Withdrawn when it is dropped.
#[derive(Debug)]
pub(crate) struct Pending {
    credentials: Credentials,
    custody: Custody,
    sealed: String,
    /// What the job's records tell of it, once the upstream has answered.
    provisioned: Option<Provisioned>,
    is_kept: bool,
}

impl Pending {
    pub(super) fn intended(credentials: Credentials, custody: Custody) -> Self {
        Self { credentials, custody, sealed: String::new(), provisioned: None, is_kept: false }
    }

    /// The upstream has issued nothing.
    pub(super) async fn forget(mut self) {
        let removed = self.credentials.0.store.delete(&document(self.custody.issue), Expect::Any).await;
        // One that stays is withdrawn, which does no harm.
        self.is_kept = removed.is_ok();
    }

    /// The upstream has issued it.
    #[must_use]
    pub(super) fn issued(mut self, provisioned: Provisioned, sealed: String) -> Self {
        self.provisioned = Some(provisioned);
        self.sealed = sealed;
        self
    }

    /// What the job's records tell of it.
    pub(crate) const fn provisioned(&self) -> Option<&Provisioned> {
        self.provisioned.as_ref()
    }

    /// What makes it live, to be committed with the record that tells of it.
    pub(crate) fn change(&self) -> Change {
        let live = self.custody.clone().live(self.sealed.clone());
        Change::put(document(self.custody.issue), live.encode().into(), Expect::Any)
    }

    /// Nobody knows whether that record is committed: the next start finds out.
    pub(crate) fn leave(mut self) {
        self.is_kept = true;
    }

    /// That record is committed.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
        self.credentials.hold(self.custody.clone().live(std::mem::take(&mut self.sealed)));
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_kept {
            let now = self.credentials.0.clock.now();
            lock(&self.credentials.0.state).revocations.handle_wanted(now, self.custody.clone());
            self.credentials.0.wake.notify_one();
        }
    }
}
