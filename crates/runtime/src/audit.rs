//! The audit trail, in the store: [`moorline_core::audit`].
//!
//! One task writes it. Entries go there through a bounded queue, and those of a moment become one document. A document's
//! key begins with the time of its writing, so the trail is read in order, trimmed from its beginning, and followed from
//! any place: nothing is ever written before what was read.
//!
//! | what | how | after a crash |
//! | --- | --- | --- |
//! | somebody is let in, or ends a job, or administers | [`Audit::record`], before it is answered | is there |
//! | a change of a document that only the trail tells of | [`Audit::commit`], with the change | is there if the change is |
//! | everything else: refusals, and what is a record of the journal too | [`Audit::note`], nobody waits | what was noted in the last [`LINGER`] is lost |
//!
//! Whoever waits does not linger: the entry is written at once, with whatever is noted already, and those that come
//! meanwhile are the next document. So many that wait cost few commits.
//!
//! A clock that was set back, also while no gateway ran, does not put an entry before older ones: the first key of a run is
//! behind the last one that there is, and each is behind the one before it. The entry itself says what the clock says.
//!
//! What the store refuses is told to whoever waits, and is offered again until the store takes it. What does not fit the
//! queue meanwhile is lost, and how many were is an entry of its own.

mod document;
mod keep;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use moorline_core::Refusal;
use moorline_core::audit::{AuditAction, AuditEntry, AuditFilter, Throttle};
use moorline_store::{AppendError, Change, Collection, Expect, ReadError, Store};
use moorline_types::{Batch, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::sync::lock;
use crate::tasks::{TaskKind, Tasks};

pub(crate) use keep::AuditRetention;

/// Entries that wait to be written: a few seconds of a busy gateway whose disk is slow, in about ten megabytes. While the
/// store refuses, as many again.
const WAITING: usize = 16 * 1024;

/// Entries that are taken from the queue at once.
const TAKEN: usize = 256;

/// How long further entries are waited for, so that one document holds many: short for somebody who follows the trail,
/// long against a commit.
const LINGER: Duration = Duration::from_millis(20);

/// How long the store has before what it refused is offered again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How long somebody waits for an entry: as for everything else that is to become durable before it is answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// Documents that are looked at in one step.
const PAGE: usize = 64;

/// Entries of one page: with the longest of everything, half of what fits a frame.
const MAX_PAGE_ENTRIES: usize = 200;

/// See the module's documentation. Clones are the same.
#[derive(Debug, Clone)]
pub struct Audit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    clock: Clock,
    queue: mpsc::Sender<Noted>,
    /// Given back by the task that writes, for what is noted while everything ends.
    queued: Mutex<Option<mpsc::Receiver<Noted>>>,
    throttle: Mutex<Throttle>,
    lost: AtomicU32,
    /// The moment after the one of the last key: two documents of one moment would have no order.
    next_moment: AtomicU64,
    /// The key behind which everything is that this run writes; known before the first entry is written.
    begins_after: OnceLock<String>,
    /// How large the trail is: what this run has written and, once it is measured, what was there before.
    bytes: AtomicU64,
    measured: AtomicBool,
}

/// An entry on its way.
#[derive(Debug)]
struct Noted {
    entry: AuditEntry,
    /// What becomes durable together with it, or not at all.
    change: Option<Change>,
    /// Told when it is durable; dropped if it is not.
    written: Option<oneshot::Sender<()>>,
}

impl Noted {
    const fn of(entry: AuditEntry) -> Self {
        Self { entry, change: None, written: None }
    }

    /// Tells whoever waits that it cannot be written now. `None` if it is not to be written later either: its change was
    /// refused.
    fn put_off(self) -> Option<Self> {
        self.change.is_none().then_some(Self { written: None, ..self })
    }
}

/// Why entries are not written yet.
#[derive(Debug, thiserror::Error)]
enum NotWritten {
    #[error("the end of the audit trail cannot be read")]
    Read(#[from] ReadError),
    #[error(transparent)]
    Append(#[from] AppendError),
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
        let stopping = tasks.stopping().clone();
        let audit = Self(Arc::new(Shared {
            store,
            clock,
            queue,
            queued: Mutex::default(),
            throttle: Mutex::default(),
            lost: AtomicU32::new(0),
            next_moment: AtomicU64::new(0),
            begins_after: OnceLock::new(),
            bytes: AtomicU64::new(0),
            measured: AtomicBool::new(false),
        }));
        let writing = audit.clone();
        tasks.spawn(TaskKind::Audit, async move { writing.write_all(queued, &stopping).await });
        audit
    }

    /// Notes an entry, to be written soon. Refusals beyond a rate are counted instead ([`Throttle`]).
    pub fn note(&self, entry: AuditEntry) {
        use moorline_core::audit::AuditDecision::Allowed;
        let admitted = if entry.decision == Allowed { Some(entry) } else { lock(&self.0.throttle).admit(entry) };
        if let Some(entry) = admitted {
            self.enqueue(Noted::of(entry));
        }
    }

    /// Writes an entry, and returns when it is durable.
    ///
    /// # Errors
    /// If it cannot be written now; it is written when it can be.
    pub async fn record(&self, entry: AuditEntry) -> Result<(), Refusal> {
        self.wait_for(entry, None).await
    }

    /// Changes a document and writes the entry that tells of it: both, or nothing. No two such changes of one document
    /// may be under way, and none may be refused for what the document is.
    ///
    /// # Errors
    /// If it cannot be written; then nothing has changed, but after `PATIENCE` it still may.
    pub async fn commit(&self, entry: AuditEntry, change: Change) -> Result<(), Refusal> {
        self.wait_for(entry, Some(change)).await
    }

    async fn wait_for(&self, entry: AuditEntry, change: Option<Change>) -> Result<(), Refusal> {
        let (written, durable) = oneshot::channel();
        self.enqueue(Noted { entry, change, written: Some(written) });
        match tokio::time::timeout(PATIENCE, durable).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Refusal::StoreUnavailable { reason: "the audit trail cannot be written" }),
        }
    }

    fn enqueue(&self, noted: Noted) {
        if self.0.queue.try_send(noted).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn write_all(&self, mut queued: mpsc::Receiver<Noted>, stopping: &CancellationToken) {
        let mut taken = Vec::new();
        while !stopping.is_cancelled() {
            let counted = lock(&self.0.throttle).poll_timeout();
            tokio::select! {
                () = gather(&mut queued, &mut taken) => {}
                () = self.0.clock.sleep_until(counted) => {}
                () = stopping.cancelled() => {}
            }
            let now = self.0.clock.now();
            let counted = lock(&self.0.throttle).poll_counted(now);
            taken.extend(counted.into_iter().chain(self.count_lost(now)).map(Noted::of));
            while let Err(error) = self.write(&mut taken).await {
                tracing::error!(%error, entries = taken.len(), "the audit trail cannot be written and waits");
                taken = taken.into_iter().filter_map(Noted::put_off).collect();
                tokio::select! {
                    () = put_off(&mut queued, &mut taken) => {}
                    () = stopping.cancelled() => break,
                }
            }
        }
        // What could not be written goes back to where the rest is.
        taken.into_iter().for_each(|noted| self.enqueue(noted));
        *lock(&self.0.queued) = Some(queued);
    }

    /// Writes what is still there. The last thing that is done with a trail.
    pub(crate) async fn finish(&self) {
        let queued = lock(&self.0.queued).take();
        let now = self.0.clock.now();
        let counted = lock(&self.0.throttle).take_counted(now);
        let mut rest: Vec<_> = counted.into_iter().chain(self.count_lost(now)).map(Noted::of).collect();
        if let Some(mut queued) = queued {
            while let Ok(noted) = queued.try_recv() {
                rest.push(noted);
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

    /// Finds the end of the trail, once.
    async fn begin(&self) -> Result<(), ReadError> {
        if self.0.begins_after.get().is_some() {
            return Ok(());
        }
        let begin = document::first_free(self.0.store.as_ref(), self.0.clock.now()).await?;
        self.0.next_moment.fetch_max(begin.as_unix_millis(), Ordering::Relaxed);
        self.0.begins_after.get_or_init(|| document::key_before(begin));
        Ok(())
    }

    /// Writes these, and takes away those that are written.
    async fn write(&self, taken: &mut Vec<Noted>) -> Result<(), NotWritten> {
        self.begin().await?;
        while !taken.is_empty() {
            let (value, written) = document::write(taken.iter().map(|noted| &noted.entry));
            let Some(key) = document::key(self.next_moment()) else {
                tracing::error!("an entry of the audit trail cannot be named");
                return Ok(());
            };
            let bytes = value.len() as u64;
            let changes = taken.iter().take(written).filter_map(|noted| noted.change.clone());
            let changes = std::iter::once(Change::put(key, value, Expect::Absent)).chain(changes).collect();
            self.0.store.append_with(Batch::from(Vec::new()), changes).await?;
            self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
            for noted in taken.drain(..written) {
                if noted.written.is_some_and(|written| written.send(()).is_err()) {
                    tracing::debug!("an entry of the audit trail took longer than was waited for it");
                }
            }
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
            Some(cursor) => document::place(cursor),
            None => (filter.since.map(document::first_key), 0),
        };
        let limit = limit.clamp(1, MAX_PAGE_ENTRIES);
        let documents = self.0.store.list(Collection::Audit, last.as_deref(), PAGE).await?;
        let mut page = AuditPage { entries: Vec::new(), next: None, more: documents.len() == PAGE };
        // A page that ends within a document names the one before it and how many of the next are known.
        for (key, found) in &documents {
            for (index, entry) in document::read(&found.value).into_iter().enumerate().skip(skipped) {
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
}

/// Waits for entries, and takes them: at once if somebody waits for one, else those of a moment.
async fn gather(queued: &mut mpsc::Receiver<Noted>, taken: &mut Vec<Noted>) {
    queued.recv_many(taken, TAKEN).await;
    let linger = tokio::time::sleep(LINGER);
    tokio::pin!(linger);
    while taken.len() < TAKEN && taken.iter().all(|noted| noted.written.is_none()) {
        let room = TAKEN - taken.len();
        tokio::select! {
            _ = queued.recv_many(taken, room) => {}
            () = &mut linger => return,
        }
    }
}

/// Lets the store recover. Whoever begins to wait meanwhile is refused at once.
async fn put_off(queued: &mut mpsc::Receiver<Noted>, taken: &mut Vec<Noted>) {
    let pause = tokio::time::sleep(RETRY_PAUSE);
    tokio::pin!(pause);
    loop {
        tokio::select! {
            () = &mut pause => return,
            Some(noted) = queued.recv(), if taken.len() < WAITING => taken.extend(noted.put_off()),
        }
    }
}

#[cfg(test)]
mod tests;
