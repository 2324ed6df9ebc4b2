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

    /// That record is about to be committed. Whoever reads it is told the value, also before it is known here that it is.
    pub(crate) fn announce(&self) {
        let live = self.custody.clone().live(self.sealed.clone());
        lock(&self.credentials.0.state).announced.insert(self.custody.issue, live);
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
        let now = self.credentials.0.clock.now();
        let mut state = lock(&self.credentials.0.state);
        state.announced.remove(&self.custody.issue);
        if !self.is_kept {
            state.handle_wanted(now, self.custody.clone());
            self.credentials.0.wake.notify_one();
        }
        drop(state);
        if self.custody.issue != self.custody.credential {
            self.credentials.handle_replaced(self.custody.job);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use moorline_core::credential::Stage;
    use moorline_store::{MemoryStore, TailLimits};
    use moorline_types::{CredentialId, Epoch, JobId, PrincipalId, Timestamp};

    use super::*;
    use crate::clock::Clock;
    use crate::credentials::{SealKey, Value};

    #[tokio::test]
    async fn a_value_is_told_as_soon_as_its_record_can_be_read_and_to_its_submitter_only() {
        let now = Timestamp::from_unix_millis(1);
        let (issue, job) = (CredentialId::mint(now, [1; 10]), JobId::mint(now, [2; 10]));
        let [ada, eve]: [PrincipalId; 2] = ["ada", "eve"].map(|name| name.parse().unwrap());
        let store = Arc::new(MemoryStore::new(Epoch::mint(now, [7; 10]), TailLimits::default()));
        let key = SealKey::new(&[7; 32]);
        let sealed = key.seal(issue, &Value::new("sk-1")).unwrap();
        let credentials = Credentials::new(store, Clock::system(), Some(key), None);
        let (upstream, principal, stage) = ("test".to_owned(), ada.clone(), Stage::Intended);
        let (above, share) = Default::default();
        let custody = Custody { issue, credential: issue, job, principal, upstream, since: now, stage, above, share };
        let mut pending = Pending::intended(credentials.clone(), custody);
        pending.sealed = sealed;
        let told = |principal| credentials.value_of(principal, job, issue).map(|value| value.expose().to_owned());
        assert_eq!(told(&ada), None, "no record tells of it");
        pending.announce();
        assert_eq!((told(&ada).as_deref(), told(&eve)), (Some("sk-1"), None), "its record can be read");
        pending.keep();
        assert_eq!((told(&ada).as_deref(), told(&eve)), (Some("sk-1"), None), "its record is known to be committed");
        assert!(lock(&credentials.0.state).announced.is_empty());
    }
}
