//! How many bytes of records each principal's jobs and sessions have in the journal.
//!
//! - Counted when a batch is committed, and given back when retention, or an administrator, has removed the stream. What
//!   is noted of a stream's end ([`crate::ended`]) says how much that will be, so a start counts what is over by reading
//!   the notes and not the records.
//! - A submission takes its room before it is committed, so that two at once do not both take what is left. Whatever
//!   else is appended is counted and never refused: a job that runs loses nothing.
//! - A principal that has nothing in the journal is not known here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use moorline_core::quota::{Quota, QuotaReached};
use moorline_types::PrincipalId;

use crate::sync::lock;

/// See the module's documentation. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoredBytes(Arc<Mutex<HashMap<PrincipalId, Account>>>);

/// What one principal has. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account(Arc<AtomicU64>);

/// Room that is taken for what is being committed. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    account: Account,
    bytes: u64,
}

impl StoredBytes {
    /// The account of a principal.
    pub(crate) fn of(&self, principal: &PrincipalId) -> Account {
        let mut accounts = lock(&self.0);
        if let Some(account) = accounts.get(principal) {
            return account.clone();
        }
        accounts.entry(principal.clone()).or_default().clone()
    }

    /// So much of the principal's is not in the journal any more.
    pub(crate) fn remove(&self, principal: &PrincipalId, bytes: u64) {
        let mut accounts = lock(&self.0);
        let Some(account) = accounts.get(principal) else { return };
        let left = account.remove(bytes);
        // Nobody else can add to it: accounts are handed out under the lock.
        if left == 0 && Arc::strong_count(&account.0) == 1 {
            accounts.remove(principal);
        }
    }
}

impl Account {
    /// So much more is in the journal.
    pub(crate) fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes room for so much more.
    pub(crate) fn take(&self, bytes: u64, limit: Option<u64>) -> Result<Room, QuotaReached> {
        let take = |used| Quota::StoredBytes.take(used, bytes, limit).ok();
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(Room { account: self.clone(), bytes }),
            Err(used) => {
                Err(QuotaReached { quota: Quota::StoredBytes, limit: limit.unwrap_or(used), used, retry_after: None })
            }
        }
    }

    /// Answers what is left.
    fn remove(&self, bytes: u64) -> u64 {
        let less = |used: u64| used.saturating_sub(bytes);
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| Some(less(used)));
        before.map_or(0, less)
    }

    #[cfg(test)]
    fn used(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Room {
    /// What it was taken for is committed.
    pub(crate) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.account.remove(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> PrincipalId {
        "ada".parse().unwrap()
    }

    #[test]
    fn room_that_is_not_kept_is_given_back() {
        let stored = StoredBytes::default();
        let account = stored.of(&ada());
        let room = account.take(60, Some(100)).unwrap();
        let refused = account.take(41, Some(100)).unwrap_err();
        assert_eq!((refused.limit, refused.used, refused.retry_after), (100, 60, None));
        drop(room);
        account.take(100, Some(100)).unwrap().keep();
        assert_eq!(account.used(), 100);
        account.add(1_000);
        assert_eq!(account.take(0, Some(100)).unwrap_err().used, 1_100, "what is appended anyhow may exceed it");
        account.take(1, None).expect("without a limit there is always room").keep();
    }

    #[test]
    fn a_principal_without_anything_is_forgotten_unless_somebody_adds_to_it() {
        let stored = StoredBytes::default();
        let account = stored.of(&ada());
        account.add(10);
        stored.remove(&ada(), 10);
        account.add(5);
        assert_eq!(stored.of(&ada()).used(), 5, "its job goes on");
        drop(account);
        stored.remove(&ada(), 7);
        assert!(lock(&stored.0).is_empty(), "and never less than nothing");
    }
}
