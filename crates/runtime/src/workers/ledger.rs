//! What workers of other machines have offered, in the store, so that the next start lists their agents and awaits them
//! before any of them has come back.
//!
//! An entry is written before its worker is let in for the first time, and removed when the enrolment is found revoked.

use std::sync::Arc;

use bytes::Bytes;
use moorline_store::{Collection, DocKey, Expect, PutError, ReadError, Store};
use moorline_types::WorkerId;
use serde::{Deserialize, Serialize};

use crate::agents::Offered;

/// Entries that are read at once.
const PAGE: usize = 256;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    store: Arc<dyn Store>,
}

/// What one worker has offered when it was last let in.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    agents: Vec<Agent>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Agent {
    agent: String,
    is_default: bool,
}

impl Ledger {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    pub(super) async fn put(&self, worker: WorkerId, offers: &[Offered]) -> Result<(), PutError> {
        let agent = |(agent, is_default): &Offered| Agent { agent: agent.to_string(), is_default: *is_default };
        let entry = Entry { agents: offers.iter().map(agent).collect() };
        // Serialising to memory fails only for maps with keys that are no strings; an entry has no map.
        let value = Bytes::from(serde_json::to_vec(&entry).unwrap_or_default());
        self.store.put(&key(worker), value, Expect::Any).await.map(drop)
    }

    /// Removes the entry. If that fails the next start does it.
    pub(super) async fn remove(&self, worker: WorkerId) {
        if let Err(error) = self.store.delete(&key(worker), Expect::Any).await {
            tracing::warn!(%worker, %error, "the entry of a worker that was revoked stays until the next start");
        }
    }

    /// Every entry. One that cannot be read is told and passed over: its worker writes it again.
    pub(super) async fn all(&self) -> Result<Vec<(WorkerId, Vec<Offered>)>, ReadError> {
        let mut entries = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.list(Collection::ExternalWorkers, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(entries) };
            after = Some(last.key().to_owned());
            for (key, document) in &page {
                match (key.key().parse(), serde_json::from_slice::<Entry>(&document.value)) {
                    (Ok(worker), Ok(entry)) => entries.push((worker, entry.offered())),
                    (worker, entry) => {
                        let is_damaged = entry.is_err();
                        tracing::error!(entry = %key, is_named = worker.is_ok(), is_damaged, "an entry is not readable");
                    }
                }
            }
        }
    }
}

impl Entry {
    fn offered(self) -> Vec<Offered> {
        let offered = |offer: Agent| Some((offer.agent.parse().ok()?, offer.is_default));
        self.agents.into_iter().filter_map(offered).collect()
    }
}

fn key(worker: WorkerId) -> DocKey {
    DocKey::new(Collection::ExternalWorkers, worker.to_string()).expect("a worker's id is a valid key by its form")
}

#[cfg(test)]
mod tests {
    use moorline_store::{MemoryStore, TailLimits};
    use moorline_types::{Epoch, Timestamp};

    use super::*;

    #[tokio::test]
    async fn an_entry_reads_back_until_it_is_removed_and_one_that_is_damaged_is_passed_over() {
        let epoch = Epoch::mint(Timestamp::from_unix_millis(1), [0; 10]);
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(epoch, TailLimits::default()));
        let ledger = Ledger::new(Arc::clone(&store));
        let worker = |n: u8| WorkerId::from_bytes([n; 16]);
        let offers: Vec<Offered> = vec![("echo@1".parse().unwrap(), true), ("fold@2".parse().unwrap(), false)];
        ledger.put(worker(1), &offers).await.unwrap();
        ledger.put(worker(2), &[]).await.unwrap();
        store.put(&key(worker(3)), Bytes::from_static(b"{"), Expect::Any).await.unwrap();
        assert_eq!(ledger.all().await.unwrap(), [(worker(1), offers), (worker(2), vec![])]);
        ledger.remove(worker(1)).await;
        assert_eq!(ledger.all().await.unwrap(), [(worker(2), vec![])]);
    }
}
