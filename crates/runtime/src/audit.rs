//! The audit trail, in the store: [`moorline_core::audit`].
//!
//! Whoever notes an entry does not wait for it. Entries go through a bounded queue to one task, which writes those of a
//! moment together as one document. A document's key begins with the time of its writing, so the trail is read in order,
//! trimmed from its beginning, and followed from any place: nothing is ever written before what was read.
//!
//! What the store refuses is offered again until it takes it. What does not fit the queue meanwhile is lost, and how many
//! were is an entry of its own. A crash loses what was noted in the last moment, [`LINGER`].

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use moorline_core::audit::{AuditAction, AuditEntry, AuditFilter, Throttle};
use moorline_store::{Collection, DocKey, Expect, PutError, ReadError, Store};
use moorline_types::{MessageId, Millis, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::mint;
use crate::sync::lock;
use crate::tasks::{TaskKind, Tasks};

/// Entries that wait to be written: a few seconds of a busy gateway whose disk is slow, in about ten megabytes.
const WAITING: usize = 16 * 1024;

/// Entries that are taken from the queue at once.
const TAKEN: usize = 256;

/// How long further entries are waited for, so that one document holds many: short for somebody who follows the trail,
/// long against a commit.
const LINGER: Duration = Duration::from_millis(20);

/// Bytes of one document beyond which another one is begun. One more entry fits what a store takes.
const DOCUMENT_BYTES: usize = 48 * 1024;

/// How long the store has before what it refused is offered again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Documents that are looked at in one step.
const PAGE: usize = 64;

/// Entries of one page: with the longest of everything, half of what fits a frame.
const MAX_PAGE_ENTRIES: usize = 200;

/// How much later than it was noted an entry may have been written and is still looked for: whoever looks for a time
/// reads a little more.
const WRITTEN_WITHIN: Millis = Millis::from_secs(60);

/// See the module's documentation. Clones are the same.
#[derive(Debug, Clone)]
pub struct Audit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    clock: Clock,
    queue: mpsc::Sender<AuditEntry>,
    /// Given back by the task that writes, for what is noted while everything ends.
    queued: Mutex<Option<mpsc::Receiver<AuditEntry>>>,
    throttle: Mutex<Throttle>,
    lost: AtomicU32,
    /// The moment after the one of the last key: two documents of one moment would have no order.
    next_moment: AtomicU64,
}

/// A part of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    /// Entries that were looked for, in the order in which they were written.
    pub entries: Vec<AuditEntry>,
    /// Where the next part begins.
    pub next: Option<String>,
    /// Whether there was more to look at already.
    pub more: bool,
}

impl Audit {
    /// A trail in this store, which is written from now on. Must be called in a runtime.
    pub(crate) fn start(store: Arc<dyn Store>, clock: Clock, tasks: &Tasks) -> Self {
        let (queue, queued) = mpsc::channel(WAITING);
        let (throttle, lost) = (Mutex::default(), AtomicU32::new(0));
        let next_moment = AtomicU64::new(0);
        let audit =
            Self(Arc::new(Shared { store, clock, queue, queued: Mutex::default(), throttle, lost, next_moment }));
        let (writing, stopping) = (audit.clone(), tasks.stopping().clone());
        tasks.spawn(TaskKind::Audit, async move { writing.write_all(queued, &stopping).await });
        audit
    }

    /// Notes an entry, to be written soon. Refusals beyond a rate are counted instead ([`Throttle`]).
    pub fn note(&self, entry: AuditEntry) {
        use moorline_core::audit::AuditDecision::Allowed;
        let admitted = if entry.decision == Allowed { Some(entry) } else { lock(&self.0.throttle).admit(entry) };
        if let Some(entry) = admitted
            && self.0.queue.try_send(entry).is_err()
        {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn write_all(&self, mut queued: mpsc::Receiver<AuditEntry>, stopping: &CancellationToken) {
        let mut taken = Vec::new();
        while !stopping.is_cancelled() {
            let counted = lock(&self.0.throttle).poll_timeout();
            tokio::select! {
                _ = queued.recv_many(&mut taken, TAKEN) => tokio::time::sleep(LINGER).await,
                () = self.0.clock.sleep_until(counted) => {}
                () = stopping.cancelled() => {}
            }
            while taken.len() < TAKEN
                && let Ok(entry) = queued.try_recv()
            {
                taken.push(entry);
            }
            let now = self.0.clock.now();
            taken.extend(lock(&self.0.throttle).poll_counted(now));
            taken.extend(self.count_lost(now));
            while let Err(error) = self.write(&mut taken).await {
                tracing::error!(%error, entries = taken.len(), "the audit trail cannot be written and waits");
                tokio::select! {
                    () = tokio::time::sleep(RETRY_PAUSE) => {}
                    () = stopping.cancelled() => break,
                }
            }
        }
        // What could not be written goes back to where the rest is.
        taken.into_iter().for_each(|entry| drop(self.0.queue.try_send(entry)));
        *lock(&self.0.queued) = Some(queued);
    }

    /// Writes what is still there. The last thing that is done with a trail.
    pub(crate) async fn finish(&self) {
        let queued = lock(&self.0.queued).take();
        let now = self.0.clock.now();
        let mut rest = lock(&self.0.throttle).take_counted(now);
        rest.extend(self.count_lost(now));
        if let Some(mut queued) = queued {
            while let Ok(entry) = queued.try_recv() {
                rest.push(entry);
            }
        }
        if let Err(error) = self.write(&mut rest).await {
            tracing::error!(%error, entries = rest.len(), "the end of the audit trail is lost");
        }
    }

    fn count_lost(&self, now: Timestamp) -> Option<AuditEntry> {
        let count = Some(self.0.lost.swap(0, Ordering::Relaxed)).filter(|lost| *lost > 0)?;
        tracing::error!(count, "entries of the audit trail are lost, as they could not be written in time");
        Some(AuditEntry { count: Some(count), ..AuditEntry::allowed(now, AuditAction::Lost) })
    }

    fn next_moment(&self) -> Timestamp {
        let moment = self.0.clock.now().as_unix_millis().max(self.0.next_moment.load(Ordering::Relaxed));
        self.0.next_moment.store(moment + 1, Ordering::Relaxed);
        Timestamp::from_unix_millis(moment)
    }

    /// Writes these, and takes away those that are written.
    async fn write(&self, entries: &mut Vec<AuditEntry>) -> Result<(), PutError> {
        while !entries.is_empty() {
            let (document, written) = document(entries);
            let Some(key) = key(self.next_moment()) else {
                tracing::error!("an entry of the audit trail cannot be named");
                return Ok(());
            };
            self.0.store.put(&key, document, Expect::Absent).await?;
            entries.drain(..written);
        }
        Ok(())
    }

    /// What of the trail is looked for, from behind `cursor` on, or from its beginning. A step looks at a bounded part,
    /// so a page may be empty and still not be the last.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn page(&self, filter: &AuditFilter, cursor: Option<&str>, limit: usize) -> Result<AuditPage, ReadError> {
        let (mut last, mut skipped) = match cursor {
            Some(cursor) => place(cursor),
            None => (filter.since.map(first_key), 0),
        };
        let limit = limit.clamp(1, MAX_PAGE_ENTRIES);
        let documents = self.0.store.list(Collection::Audit, last.as_deref(), PAGE).await?;
        let mut page = AuditPage { entries: Vec::new(), next: None, more: documents.len() == PAGE };
        // A page that ends within a document names the one before it and how many of the next are known.
        for (key, found) in &documents {
            for (index, entry) in read(&found.value).into_iter().enumerate().skip(skipped) {
                if page.entries.len() == limit {
                    page.next = Some(format!("{}/{index}", last.unwrap_or_default()));
                    page.more = true;
                    return Ok(page);
                }
                if filter.matches(&entry) {
                    page.entries.push(entry);
                }
            }
            (last, skipped) = (Some(key.key().to_owned()), 0);
        }
        page.next = last.map(|last| format!("{last}/{skipped}"));
        Ok(page)
    }

    /// Removes what is older than this.
    pub(crate) async fn trim(&self, now: Timestamp, max_age: Millis) -> Result<(), ReadError> {
        loop {
            let documents = self.0.store.list(Collection::Audit, None, PAGE).await?;
            let is_old = |value: &[u8]| read(value).last().is_none_or(|entry| entry.at + max_age <= now);
            let old: Vec<_> = documents.iter().take_while(|(_, found)| is_old(&found.value)).collect();
            for (key, _) in &old {
                if let Err(error) = self.0.store.delete(key, Expect::Any).await {
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

/// As many entries as fit one document, at least one, and how many they are.
fn document(entries: &[AuditEntry]) -> (Bytes, usize) {
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
fn read(document: &[u8]) -> Vec<AuditEntry> {
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
fn place(cursor: &str) -> (Option<String>, usize) {
    match cursor.rsplit_once('/') {
        Some((key, skipped)) => (Some(key.to_owned()).filter(|key| !key.is_empty()), skipped.parse().unwrap_or(0)),
        None => (None, 0),
    }
}

/// The key behind which everything is that was noted since then.
fn first_key(since: Timestamp) -> String {
    let earlier = Timestamp::from_unix_millis(since.as_unix_millis().saturating_sub(WRITTEN_WITHIN.get()));
    MessageId::mint(earlier, [0; 10]).to_string()
}

/// A name that sorts by time and is nobody else's.
fn key(at: Timestamp) -> Option<DocKey> {
    DocKey::new(Collection::Audit, mint::message_id(at).ok()?.to_string()).ok()
}

#[cfg(test)]
mod tests {
    use moorline_core::audit::AuditDecision;
    use moorline_store::{MemoryStore, TailLimits};
    use moorline_types::Epoch;

    use super::*;

    fn entry(number: usize) -> AuditEntry {
        let at = Timestamp::from_unix_millis(1_778_701_333_020);
        AuditEntry { object: Some(format!("job {number}")), ..AuditEntry::allowed(at, AuditAction::Submit) }
    }

    fn trail() -> (Audit, Arc<MemoryStore>, Tasks) {
        let now = entry(0).at;
        let (tasks, clock) = (Tasks::default(), Clock::tokio(now));
        let store = Arc::new(MemoryStore::new(Epoch::mint(now, [0; 10]), TailLimits::default()));
        let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
        (Audit::start(shared, clock, &tasks), store, tasks)
    }

    /// Every entry, page by page.
    async fn all(audit: &Audit, filter: &AuditFilter, limit: usize) -> Vec<AuditEntry> {
        let (mut entries, mut cursor) = (Vec::new(), None);
        loop {
            let page = audit.page(filter, cursor.as_deref(), limit).await.unwrap();
            entries.extend(page.entries);
            cursor = page.next.or(cursor);
            if !page.more {
                return entries;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_entry_is_found_once_in_order_on_pages_of_any_size() {
        let (audit, store, tasks) = trail();
        for number in 0..1_000 {
            audit.note(entry(number));
        }
        tasks.stop().await;
        audit.finish().await;
        let documents = store.list(Collection::Audit, None, 1_000).await.unwrap().len();
        assert!(documents < 50, "many entries share a document: {documents}");
        for limit in [1, 7, 200, 100_000] {
            let found = all(&audit, &AuditFilter::default(), limit).await;
            assert_eq!(found, (0..1_000).map(entry).collect::<Vec<_>>(), "pages of {limit}");
        }
        let one = AuditFilter { job: Some("job 777".into()), ..AuditFilter::default() };
        assert_eq!(all(&audit, &one, 10).await, [entry(777)]);
        let later = AuditFilter { since: Some(entry(0).at + Millis::from_secs(3_600)), ..AuditFilter::default() };
        assert!(all(&audit, &later, 10).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_written_in_time_is_counted_and_said() {
        let (audit, _store, tasks) = trail();
        for number in 0..WAITING + 100 {
            audit.note(entry(number));
        }
        tasks.stop().await;
        audit.finish().await;
        let found = all(&audit, &AuditFilter::default(), 200).await;
        let lost: Vec<_> = found.iter().filter(|entry| entry.action == AuditAction::Lost).collect();
        assert_eq!((found.len(), lost.len()), (WAITING + 1, 1));
        assert_eq!(lost[0].count, Some(100));
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_beyond_a_rate_are_counted() {
        let (audit, _store, tasks) = trail();
        for _ in 0..1_000 {
            audit.note(AuditEntry::refused(entry(0).at, AuditAction::Authenticate, "no key"));
        }
        tasks.stop().await;
        audit.finish().await;
        let refused = AuditFilter { decision: Some(AuditDecision::Refused), ..AuditFilter::default() };
        let found = all(&audit, &refused, 200).await;
        assert!(found.len() < 20, "{}", found.len());
        let counted: u32 = found.iter().map(|entry| entry.count.unwrap_or(1)).sum();
        assert_eq!(counted, 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_earlier_version_wrote_is_read() {
        let (audit, store, _tasks) = trail();
        let old = serde_json::to_vec(&entry(1)).unwrap();
        store.put(&key(entry(1).at).unwrap(), Bytes::from(old), Expect::Absent).await.unwrap();
        assert_eq!(all(&audit, &AuditFilter::default(), 10).await, [entry(1)]);
        audit.trim(entry(1).at + Millis::from_secs(3_600), Millis::from_secs(60)).await.unwrap();
        assert!(all(&audit, &AuditFilter::default(), 10).await.is_empty());
    }
}
