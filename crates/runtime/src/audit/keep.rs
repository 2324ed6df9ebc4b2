//! What of the trail is kept: nothing that is too old, and no more than a size. The oldest goes first.
//!
//! What went is an entry of its own, so that a trail that begins late says why. Such entries go without another one:
//! else a trail in which nothing happens would never be still.

use std::sync::atomic::Ordering;

use moorline_core::audit::{AuditAction, AuditEntry};
use moorline_store::{Collection, Expect, ReadError};
use moorline_types::{Millis, Timestamp};

use super::{Audit, PAGE, document};

/// What is removed beyond the largest size, as a part of it: removing is then seldom, and an entry for each time costs
/// nothing beside what it tells of.
const SLACK: u64 = 16;

/// For how long the audit trail is kept, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct AuditRetention {
    /// After which time an entry goes; without it, none does.
    pub(crate) max_age: Option<Millis>,
    /// How large the trail may become, in bytes; without it, as large as the disk.
    pub(crate) max_bytes: Option<u64>,
}

/// What went.
#[derive(Debug, Default)]
struct Gone {
    entries: u32,
    newest: Option<Timestamp>,
    for_room: bool,
}

impl Audit {
    /// Removes what is not kept.
    ///
    /// # Errors
    /// If the store cannot be read. What went until then is gone, and told.
    pub(crate) async fn keep(&self, now: Timestamp, retention: AuditRetention) -> Result<(), ReadError> {
        if retention == AuditRetention::default() {
            return Ok(());
        }
        self.measure().await?;
        let mut gone = Gone::default();
        let removed = self.remove(now, retention, &mut gone).await;
        self.tell(now, &gone);
        removed
    }

    /// Counts what earlier runs have written, once: a page at a time, while nobody waits for it.
    async fn measure(&self) -> Result<(), ReadError> {
        if self.0.measured.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.begin().await?;
        let Some(begins_after) = self.0.begins_after.get() else { return Ok(()) };
        let (mut after, mut bytes): (Option<String>, u64) = (None, 0);
        loop {
            let page = self.0.store.list(Collection::Audit, after.as_deref(), PAGE).await?;
            let earlier = page.iter().take_while(|(key, _)| key.key() <= begins_after.as_str());
            let mut last = None;
            for (key, found) in earlier {
                bytes += found.value.len() as u64;
                last = Some(key.key().to_owned());
            }
            if last.is_none() {
                break;
            }
            after = last;
        }
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.measured.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn remove(&self, now: Timestamp, retention: AuditRetention, gone: &mut Gone) -> Result<(), ReadError> {
        let bytes = || self.0.bytes.load(Ordering::Relaxed);
        let most = retention.max_bytes.filter(|max| bytes() > *max).map(|max| max - max / SLACK);
        loop {
            let page = self.0.store.list(Collection::Audit, None, PAGE).await?;
            for (key, found) in &page {
                let entries = document::read(&found.value);
                let last = entries.last().map(|entry| entry.at);
                let is_old = retention.max_age.is_some_and(|age| last.is_none_or(|at| at + age <= now));
                let is_too_much = most.is_some_and(|most| bytes() > most);
                if !is_old && !is_too_much {
                    return Ok(());
                }
                if let Err(error) = self.0.store.delete(key, Expect::Any).await {
                    tracing::warn!(%error, "the oldest of the audit trail stays for now");
                    return Ok(());
                }
                let size = found.value.len() as u64;
                // Only more is written meanwhile.
                self.0.bytes.fetch_sub(size.min(bytes()), Ordering::Relaxed);
                let told = entries.iter().filter(|entry| entry.action != AuditAction::Trim).count();
                gone.entries = gone.entries.saturating_add(u32::try_from(told).unwrap_or(u32::MAX));
                gone.newest = last.or(gone.newest);
                gone.for_room |= !is_old;
            }
            if page.is_empty() {
                return Ok(());
            }
        }
    }

    fn tell(&self, now: Timestamp, gone: &Gone) {
        let Gone { entries: count @ 1.., newest, for_room } = *gone else { return };
        let why = if for_room { "to make room" } else { "as they were too old" };
        let through = newest.map(|at| format!(", the last of {at}")).unwrap_or_default();
        tracing::info!(entries = count, for_room, "the oldest of the audit trail is removed");
        let reason = Some(format!("{count} entries were removed {why}{through}"));
        self.note(AuditEntry { count: Some(count), reason, ..AuditEntry::allowed(now, AuditAction::Trim) });
    }
}
