//! The documents of the trail: what is in one, what it is called, and where a page of the trail ends.

use bytes::Bytes;
use moorline_core::audit::AuditEntry;
use moorline_store::{Collection, DocKey, ReadError, Store};
use moorline_types::{MessageId, Millis, Timestamp};

use crate::mint;

/// Bytes of one document beyond which another one is begun. One more entry fits what a store takes.
const DOCUMENT_BYTES: usize = 48 * 1024;

/// How much later than it was noted an entry may have been written and is still looked for: whoever looks for a time
/// reads a little more.
const WRITTEN_WITHIN: Millis = Millis::from_secs(60);

/// As many entries as fit one document, at least one, and how many they are.
pub(super) fn write<'a>(entries: impl Iterator<Item = &'a AuditEntry>) -> (Bytes, usize) {
    let mut text = vec![b'['];
    let mut written = 0;
    for entry in entries {
        if written > 0 {
            if text.len() > DOCUMENT_BYTES {
                break;
            }
            text.push(b',');
        }
        if let Err(error) = serde_json::to_writer(&mut text, entry) {
            tracing::error!(%error, "an entry of the audit trail cannot be written");
        }
        written += 1;
    }
    text.push(b']');
    (Bytes::from(text), written)
}

/// The entries of a document. One that stands alone was written before several were written together.
pub(super) fn read(document: &[u8]) -> Vec<AuditEntry> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Document {
        Many(Vec<AuditEntry>),
        One(Box<AuditEntry>),
    }
    match serde_json::from_slice(document) {
        Ok(Document::Many(entries)) => entries,
        Ok(Document::One(entry)) => vec![*entry],
        Err(error) => {
            tracing::warn!(%error, "a part of the audit trail is not understood; a newer version may have written it");
            Vec::new()
        }
    }
}

/// Where a page ended: behind a document, and behind so many entries of the one that follows.
pub(super) fn place(cursor: &str) -> (Option<String>, usize) {
    match cursor.rsplit_once('/') {
        Some((key, skipped)) => (Some(key.to_owned()).filter(|key| !key.is_empty()), skipped.parse().unwrap_or(0)),
        None => (None, 0),
    }
}

/// The key behind which everything is that was noted since then.
pub(super) fn first_key(since: Timestamp) -> String {
    key_before(Timestamp::from_unix_millis(since.as_unix_millis().saturating_sub(WRITTEN_WITHIN.get())))
}

/// The key behind which everything is that is written from this moment on.
pub(super) fn key_before(moment: Timestamp) -> String {
    MessageId::mint(moment, [0; 10]).to_string()
}

/// The first moment from now on at which, and after which, nothing was written: now, unless the clock was set back. A leap
/// doubles while there is something behind it and halves while there is not, so a year back takes some hundred reads.
pub(super) async fn first_free(store: &dyn Store, now: Timestamp) -> Result<Timestamp, ReadError> {
    let (mut free, mut leap) = (now, Millis::new(0));
    loop {
        let found = store.list(Collection::Audit, Some(&key_before(free + leap)), 1).await?;
        if !found.is_empty() {
            free = free + leap + Millis::new(1);
            leap = Millis::new(leap.get().saturating_mul(2).max(1));
        } else if leap.get() == 0 {
            return Ok(free);
        } else {
            leap = Millis::new(leap.get() / 2);
        }
    }
}

/// A name that sorts by time and is nobody else's.
pub(super) fn key(at: Timestamp) -> Option<DocKey> {
    DocKey::new(Collection::Audit, mint::message_id(at).ok()?.to_string()).ok()
}
