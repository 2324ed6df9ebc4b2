//! Who may write how much into the trail.
//!
//! What was allowed is bounded by what allows it. What was refused is not: anybody may be refused as often as he likes.
//! So refusals of one originator are written one by one up to a rate, and beyond it counted; the count is an entry of its
//! own, so that nobody can fill the disk, and nobody passes unnoticed.

use std::collections::BTreeMap;

use moorline_types::{Millis, Timestamp};

use super::{AuditAction, AuditDecision, AuditEntry};

/// Refusals of one originator that are written one by one in each [`PERIOD`]: a person's mistakes, and enough of an
/// attack to see what it is.
pub(super) const MAX_REFUSALS: u32 = 10;

/// Originators that are told apart in one period; the others are counted together. With [`MAX_REFUSALS`] it bounds the
/// refusals that a day can write to some forty megabytes, whoever comes from wherever.
pub(super) const MAX_ORIGINATORS: usize = 8;

/// After which time everybody may begin anew.
pub(super) const PERIOD: Millis = Millis::from_secs(60);

/// See the module's documentation. `now` never decreases.
#[derive(Debug, Default)]
pub struct Throttle {
    began: Option<Timestamp>,
    refused: BTreeMap<String, Count>,
    others: Count,
}

#[derive(Debug, Default)]
struct Count {
    written: u32,
    counted: u32,
}

impl Count {
    /// Whether one more is written by itself.
    fn take(&mut self) -> bool {
        if self.written < MAX_REFUSALS {
            self.written += 1;
            return true;
        }
        self.counted = self.counted.saturating_add(1);
        false
    }
}

impl Throttle {
    /// Gives the entry back if it is to be written. If not, it is counted.
    pub fn admit(&mut self, entry: AuditEntry) -> Option<AuditEntry> {
        if entry.decision == AuditDecision::Allowed {
            return Some(entry);
        }
        self.began.get_or_insert(entry.at);
        let originator = entry.who.as_ref().or(entry.from.as_ref()).cloned().unwrap_or_default();
        let is_known = self.refused.contains_key(&originator) || self.refused.len() < MAX_ORIGINATORS;
        let count = if is_known { self.refused.entry(originator).or_default() } else { &mut self.others };
        count.take().then_some(entry)
    }

    /// When to call [`Throttle::poll_counted`].
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.began.map(|began| began + PERIOD)
    }

    /// What was counted in the period that is over: an entry for each originator.
    pub fn poll_counted(&mut self, now: Timestamp) -> Vec<AuditEntry> {
        if self.poll_timeout().is_none_or(|end| end > now) {
            return Vec::new();
        }
        self.take_counted(now)
    }

    /// What was counted so far, whenever the period ends.
    pub fn take_counted(&mut self, now: Timestamp) -> Vec<AuditEntry> {
        self.began = None;
        let counted = |(originator, count): (Option<String>, Count)| {
            let reason = format!("{} more refusals, counted only", count.counted);
            let entry = AuditEntry::refused(now, AuditAction::Counted, &reason);
            (count.counted > 0).then_some(AuditEntry { who: originator, count: Some(count.counted), ..entry })
        };
        let others = (None, std::mem::take(&mut self.others));
        let known = std::mem::take(&mut self.refused).into_iter().map(|(originator, count)| (Some(originator), count));
        known.chain([others]).filter_map(counted).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(at: u64, from: &str) -> AuditEntry {
        let entry = AuditEntry::refused(Timestamp::from_unix_millis(at), AuditAction::Authenticate, "no key");
        AuditEntry { from: Some(from.to_owned()), ..entry }
    }

    #[test]
    fn one_originator_fills_no_disk_and_does_not_hide_another() {
        let mut throttle = Throttle::default();
        let written = (0..10_000).filter_map(|_| throttle.admit(refused(0, "192.0.2.1"))).count();
        assert_eq!(written, MAX_REFUSALS as usize);
        assert!(throttle.admit(refused(1, "192.0.2.2")).is_some());
        assert!(throttle.poll_counted(Timestamp::from_unix_millis(59_999)).is_empty());
        let counted = throttle.poll_counted(Timestamp::from_unix_millis(60_000));
        assert_eq!(counted.len(), 1, "{counted:?}");
        assert_eq!((counted[0].who.as_deref(), counted[0].count), (Some("192.0.2.1"), Some(10_000 - MAX_REFUSALS)));
        assert!(throttle.admit(refused(60_000, "192.0.2.1")).is_some(), "a new period");
    }

    #[test]
    fn many_originators_fill_no_disk_and_no_memory() {
        let mut throttle = Throttle::default();
        let entries = (0..100_000).map(|n| refused(0, &format!("address {n}")));
        let written = entries.filter_map(|entry| throttle.admit(entry)).count();
        assert_eq!(written, MAX_ORIGINATORS + MAX_REFUSALS as usize);
        let counted = throttle.take_counted(Timestamp::from_unix_millis(1));
        assert_eq!(counted.iter().filter_map(|entry| entry.count).sum::<u32>() as usize, 100_000 - written);
    }

    #[test]
    fn what_was_allowed_is_always_written() {
        let mut throttle = Throttle::default();
        for _ in 0..10_000 {
            let entry = AuditEntry::allowed(Timestamp::from_unix_millis(0), AuditAction::Submit);
            assert!(throttle.admit(entry).is_some());
        }
        assert_eq!(throttle.poll_timeout(), None);
    }
}
