//! Which workers there are, in the store, so that the next start of the gateway finds them.
//!
//! An entry is written before its worker is started, completed with the process as soon as there is one, and removed
//! when the process is gone. A worker is let in only when its entry is complete, so an entry without a process is that
//! of a worker that never had a job.
//!
//! An entry holds no secret: a worker's is derived from its id and the gateway's own, which is not in the store.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use moorline_store::{Collection, DocKey, Expect, PutError, ReadError, Store};
use moorline_types::{ResolvedAgent, Timestamp, WorkerId};
use moorline_worker::process::ProcessIdentity;
use serde::{Deserialize, Serialize};

/// Entries that are read at once.
const PAGE: usize = 256;

/// One worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// For people: what it is there for.
    pub(crate) name: String,
    /// What it hosts.
    pub(crate) agents: Vec<Offer>,
    /// What it was started with, as far as that decides whether it can stand for a worker that is configured now.
    pub(crate) fingerprint: String,
    /// Where it dials.
    pub(crate) socket: PathBuf,
    /// Where it logs.
    pub(crate) log: PathBuf,
    /// Where it keeps what it cannot report.
    pub(crate) outbox: PathBuf,
    /// The user that it runs as.
    pub(crate) user: u32,
    /// When it was started.
    pub(crate) started: Timestamp,
    /// Its process, once there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) process: Option<ProcessIdentity>,
}

/// An agent that a worker hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// `name@version`.
    pub(crate) agent: String,
    /// How many jobs of it the worker runs at once.
    pub(crate) capacity: u32,
}

impl Entry {
    pub(crate) fn agents(&self) -> impl Iterator<Item = ResolvedAgent> {
        self.agents.iter().filter_map(|offer| offer.agent.parse().ok())
    }
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    store: Arc<dyn Store>,
}

impl Manifest {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    pub(crate) async fn put(&self, worker: WorkerId, entry: &Entry) -> Result<(), PutError> {
        // Serialising to memory fails only for maps with keys that are no strings; an entry has no map.
        let value = Bytes::from(serde_json::to_vec(entry).unwrap_or_default());
        self.store.put(&key(worker), value, Expect::Any).await.map(drop)
    }

    /// Removes the entry. If that fails the next start does it: it finds that the process is gone.
    pub(crate) async fn remove(&self, worker: WorkerId) {
        if let Err(error) = self.store.delete(&key(worker), Expect::Any).await {
            tracing::warn!(%worker, %error, "the entry of a worker that is gone stays until the next start");
        }
    }

    /// Every entry, the oldest worker first. One that cannot be read is told and passed over.
    pub(crate) async fn all(&self) -> Result<Vec<(WorkerId, Entry)>, ReadError> {
        let mut entries = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.list(Collection::Workers, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(entries) };
            after = Some(last.key().to_owned());
            for (key, document) in &page {
                match (key.key().parse(), serde_json::from_slice(&document.value)) {
                    (Ok(worker), Ok(entry)) => entries.push((worker, entry)),
                    (_, Err(error)) => {
                        tracing::error!(entry = %key, %error, "an entry of the manifest is not readable")
                    }
                    (Err(error), _) => {
                        tracing::error!(entry = %key, %error, "an entry of the manifest names no worker")
                    }
                }
            }
        }
    }
}

fn key(worker: WorkerId) -> DocKey {
    DocKey::new(Collection::Workers, worker.to_string()).expect("a worker's id is a valid key by its form")
}

#[cfg(test)]
mod tests {
    use moorline_store::{MemoryStore, TailLimits};
    use moorline_types::Epoch;

    use super::*;

    #[tokio::test]
    async fn an_entry_reads_back_until_it_is_removed_and_one_that_is_damaged_is_passed_over() {
        let now = Timestamp::from_unix_millis(1);
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch::mint(now, [0; 10]), TailLimits::default()));
        let manifest = Manifest::new(Arc::clone(&store));
        let process = ProcessIdentity { pid: 7, boot_id: "b".to_owned(), inode: 9, start_ticks: 11 };
        let entry = Entry {
            name: "echo@1".to_owned(),
            agents: vec![Offer { agent: "echo@1".to_owned(), capacity: 2 }],
            fingerprint: "f".to_owned(),
            socket: "/s".into(),
            log: "/l".into(),
            outbox: "/o".into(),
            user: 1,
            started: now,
            process: Some(process),
        };
        let worker = |n: u8| WorkerId::mint(now, [n; 10]);
        manifest.put(worker(1), &entry).await.unwrap();
        manifest.put(worker(2), &Entry { process: None, ..entry.clone() }).await.unwrap();
        store.put(&key(worker(3)), Bytes::from_static(b"{"), Expect::Any).await.unwrap();
        let found = manifest.all().await.unwrap();
        assert_eq!(found[0], (worker(1), entry.clone()));
        assert_eq!(found.len(), 2);
        manifest.remove(worker(1)).await;
        assert_eq!(manifest.all().await.unwrap().len(), 1);
    }
}
