//! Idempotency keys at work: [`moorline_core::idempotency`] over the store.
//!
//! One submission with a key is under way at a time; the others with that key wait here and then find its claim. The
//! claim names the job and is committed with its first record. In a journal of an earlier version it was written before
//! that, so a claim may have a job that never began.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use moorline_core::idempotency::{Claim, ClaimKey, Fingerprint};
use moorline_store::{Change, Collection, DocKey, Expect, ReadError, Revision, Store, StoreFault};
use moorline_types::{JobId, Millis, PrincipalId, Timestamp};
use tokio::sync::watch;

use crate::sync::lock;

/// Claims that are looked at in one step of a sweep. A step is one read, and a commit for each claim that is over.
const SWEEP_PAGE: usize = 256;

/// How often claims that are over are removed. They do no harm but take room: a few hundred bytes each.
pub(crate) const SWEEP_INTERVAL: Millis = Millis::from_secs(60 * 60);

/// What a client calls a submission, and what it asked for under that name (spec 7.2).
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The key. Of any length and any characters.
    pub key: String,
    /// What was asked for.
    pub fingerprint: Fingerprint,
}

/// See the module's documentation. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    store: Arc<dyn Store>,
    /// Submissions under way; whoever waits for one holds a receiver, and wakes when the sender is dropped.
    under_way: Arc<Mutex<HashMap<ClaimKey, watch::Sender<()>>>>,
}

/// The only submission with its key that is under way. The next one's turn comes when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    claims: Claims,
    key: ClaimKey,
    document: DocKey,
}

/// A key that is free for a new job. The next submission with it has its turn when this is dropped.
#[derive(Debug)]
pub(crate) struct FreeKey {
    turn: Turn,
    fingerprint: Fingerprint,
    expect: Expect,
}

impl Claims {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, under_way: Arc::default() }
    }

    /// Waits until no other submission with the key is under way.
    pub(crate) async fn turn(&self, principal: &PrincipalId, key: &str) -> Turn {
        let key = ClaimKey::of(principal, key);
        loop {
            let mut over = {
                let mut under_way = lock(&self.under_way);
                match under_way.get(&key) {
                    Some(first) => first.subscribe(),
                    None => {
                        under_way.insert(key.clone(), watch::Sender::new(()));
                        let document = document(&key);
                        return Turn { claims: self.clone(), key, document };
                    }
                }
            };
            // Nothing is ever sent: this is an error, when the first is over.
            over.changed().await.unwrap_or_default();
        }
    }

    /// Removes the claims that are over.
    pub(crate) async fn sweep(&self, now: Timestamp) {
        let mut after: Option<String> = None;
        loop {
            let page = match self.store.list(Collection::Idempotency, after.as_deref(), SWEEP_PAGE).await {
                Ok(page) => page,
                Err(error) => return tracing::warn!(%error, "idempotency keys that are over stay for now"),
            };
            let Some((last, _)) = page.last() else { return };
            after = Some(last.key().to_owned());
            for (key, found) in &page {
                // One that does not decode stays: nobody knows whether its job exists.
                let is_over = Claim::decode(&found.value).is_ok_and(|claim| claim.is_expired(now));
                if is_over && let Err(error) = self.store.delete(key, Expect::Revision(found.revision)).await {
                    tracing::debug!(%error, "an idempotency key that is over stays for now");
                }
            }
        }
    }
}

impl Turn {
    /// The claim that the key has.
    ///
    /// # Errors
    /// If it cannot be read: then nobody knows whether there is a job.
    pub(crate) async fn read(&self) -> Result<Option<(Claim, Revision)>, ReadError> {
        let Some(found) = self.claims.store.get(&self.document).await? else { return Ok(None) };
        match Claim::decode(&found.value) {
            Ok(claim) => Ok(Some((claim, found.revision))),
            Err(error) => {
                tracing::error!(claim = %self.document, %error, "a claim does not decode");
                Err(ReadError::Store { kind: StoreFault::Corrupt, source: Arc::new(error) })
            }
        }
    }

    /// The key is to be claimed, in the place of the claim with this revision.
    pub(crate) fn free(self, fingerprint: Fingerprint, found: Option<Revision>) -> FreeKey {
        FreeKey { turn: self, fingerprint, expect: found.map_or(Expect::Absent, Expect::Revision) }
    }
}

impl FreeKey {
    /// The claim for a job, to be committed with its first record.
    pub(crate) fn claim(&self, now: Timestamp, job: JobId) -> Change {
        self.change(now, job, self.expect)
    }

    /// The claim for a child, to be committed with its first record, which is in its parent's batch. That is not refused
    /// because of the claim: while this is its turn nobody else writes one, and that a sweep removes the one before is as
    /// good.
    pub(crate) fn claim_of_child(&self, now: Timestamp, child: JobId) -> Change {
        self.change(now, child, Expect::Any)
    }

    fn change(&self, now: Timestamp, job: JobId, expect: Expect) -> Change {
        let claim = Claim::new(now, &self.fingerprint, job);
        Change::put(self.turn.document.clone(), claim.encode().into(), expect)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // The sender goes with the entry, which wakes those who wait.
        lock(&self.claims.under_way).remove(&self.key);
    }
}

fn document(key: &ClaimKey) -> DocKey {
    DocKey::new(Collection::Idempotency, key.to_string()).expect("a digest in hexadecimal is a valid key")
}
