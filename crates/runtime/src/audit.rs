//! The audit trail, in the store: [`moorline_core::audit`].
//!
//! An entry is a document of its own whose key begins with the time, so the trail is read in order and trimmed from its
//! beginning. What cannot be written down is said in the log; nothing waits for it.

use std::sync::Arc;

use bytes::Bytes;
use moorline_core::audit::AuditEntry;
use moorline_store::{Collection, DocKey, Expect, ReadError, Store};
use moorline_types::{Millis, Timestamp};

use crate::mint;

/// Entries that are looked at in one step.
const PAGE: usize = 256;

/// See the module's documentation. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    store: Arc<dyn Store>,
}

impl Audit {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Writes an entry down.
    pub(crate) async fn record(&self, entry: &AuditEntry) {
        let written = match (key(entry.at), serde_json::to_vec(entry)) {
            (Some(key), Ok(value)) => self.store.put(&key, Bytes::from(value), Expect::Absent).await,
            _ => return tracing::error!(?entry, "an entry of the audit trail cannot be named"),
        };
        if let Err(error) = written {
            tracing::error!(%error, ?entry, "an entry of the audit trail is not written");
        }
    }

    /// Some entries after this key, in order, with their keys. None at all is the end.
    pub(crate) async fn after(&self, last: Option<&str>, limit: usize) -> Result<Vec<(String, AuditEntry)>, ReadError> {
        let documents = self.store.list(Collection::Audit, last, limit.min(PAGE)).await?;
        let read = |value: &[u8]| serde_json::from_slice::<AuditEntry>(value).ok();
        Ok(documents.iter().filter_map(|(key, found)| Some((key.key().to_owned(), read(&found.value)?))).collect())
    }

    /// Removes what is older than this.
    pub(crate) async fn trim(&self, now: Timestamp, max_age: Millis) -> Result<(), ReadError> {
        loop {
            let old: Vec<_> =
                self.after(None, PAGE).await?.into_iter().take_while(|(_, entry)| entry.at + max_age <= now).collect();
            for (key, _) in &old {
                let Ok(key) = DocKey::new(Collection::Audit, key.as_str()) else { continue };
                if let Err(error) = self.store.delete(&key, Expect::Any).await {
                    tracing::debug!(%error, "an old entry of the audit trail stays for now");
                    return Ok(());
                }
            }
            if old.len() < PAGE {
                return Ok(());
            }
        }
    }
}

/// A name that sorts by time and is nobody else's.
fn key(at: Timestamp) -> Option<DocKey> {
    DocKey::new(Collection::Audit, mint::message_id(at).ok()?.to_string()).ok()
}
