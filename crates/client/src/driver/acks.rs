//! Acknowledgements (spec 6.5): how far the program, not the socket, has come.
//!
//! Every update that waits in a queue holds a [`Receipt`]. When the program takes the update, or drops the queue, the
//! receipt goes; the session is processed up to the oldest receipt that is left.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moorline_types::EventSeq;
use tokio::sync::Notify;
use tokio::time::Instant;

/// After how many events an acknowledgement is due. A runtime that trims by them needs no more often.
const EVERY_EVENTS: u64 = 32;

/// After what time an acknowledgement of fewer is due.
const EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
struct Shared {
    /// How many updates under each number have not been taken.
    waiting: Mutex<BTreeMap<EventSeq, u32>>,
    taken: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<EventSeq, u32>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An update that has not been taken.
#[derive(Debug)]
pub(crate) struct Receipt {
    seq: EventSeq,
    shared: Arc<Shared>,
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let mut waiting = self.shared.lock();
        let was_first = waiting.keys().next() == Some(&self.seq);
        let left = waiting.get_mut(&self.seq).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            waiting.remove(&self.seq);
            if was_first {
                self.shared.taken.notify_one();
            }
        }
    }
}

/// The acknowledgements of one session.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// Whether any are sent.
    enabled: bool,
    shared: Arc<Shared>,
    acknowledged: EventSeq,
    /// Since when there is something to acknowledge.
    since: Option<Instant>,
}

impl Acks {
    /// Those of a new session.
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled, ..Self::default() }
    }

    /// A receipt for an update under this number; none if nobody wants to know.
    pub(super) fn receipt(&self, seq: EventSeq) -> Option<Arc<Receipt>> {
        self.enabled.then(|| {
            *self.shared.lock().entry(seq).or_default() += 1;
            Arc::new(Receipt { seq, shared: Arc::clone(&self.shared) })
        })
    }

    /// Waits until the program has taken something. Cancel safe.
    pub(super) fn taken(&self) -> impl Future<Output = ()> + use<> {
        let (enabled, shared) = (self.enabled, Arc::clone(&self.shared));
        async move {
            if !enabled {
                std::future::pending::<()>().await;
            }
            shared.taken.notified().await;
        }
    }

    /// The acknowledgement that is due, given the last number before which none is missing.
    pub(super) fn poll(&mut self, now: Instant, contiguous: EventSeq) -> Option<EventSeq> {
        if !self.enabled {
            return None;
        }
        let oldest = self.shared.lock().keys().next().copied();
        let processed = oldest.map_or(contiguous, |oldest| contiguous.min(EventSeq::new(oldest.get() - 1)));
        let more = processed.get().saturating_sub(self.acknowledged.get());
        if more == 0 {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(now);
        if more < EVERY_EVENTS && now < since + EVERY {
            return None;
        }
        self.since = None;
        self.acknowledged = processed;
        Some(processed)
    }

    /// When an acknowledgement is due at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.since.map(|since| since + EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seq(number: u64) -> EventSeq {
        EventSeq::new(number)
    }

    #[test]
    fn what_was_not_taken_is_not_acknowledged() {
        let now = crate::clock::instant();
        let mut acks = Acks::new(true);
        let mut receipts: Vec<_> = (1..=40).map(|number| acks.receipt(seq(number)).unwrap()).collect();
        assert_eq!(acks.poll(now, seq(40)), None);
        drop(receipts.remove(1));
        assert_eq!(acks.poll(now + EVERY, seq(40)), None, "the first is not taken");
        drop(receipts.drain(..32));
        assert_eq!(acks.poll(now + EVERY, seq(40)), Some(seq(33)));
        drop(receipts.remove(0));
        assert_eq!(acks.poll(now + EVERY, seq(40)), None, "one more can wait");
        assert_eq!(acks.poll_timeout(), Some(now + EVERY * 2));
        assert_eq!(acks.poll(now + EVERY * 2, seq(40)), Some(seq(34)));
    }

    #[test]
    fn what_two_handles_have_is_taken_when_both_have_taken_it() {
        let now = crate::clock::instant();
        let mut acks = Acks::new(true);
        let (first, second) = (acks.receipt(seq(1)), acks.receipt(seq(1)));
        drop(first);
        acks.poll(now, seq(1));
        assert_eq!(acks.poll(now + EVERY, seq(1)), None);
        drop(second);
        acks.poll(now, seq(1));
        assert_eq!(acks.poll(now + EVERY, seq(1)), Some(seq(1)));
    }

    #[test]
    fn nothing_is_said_unless_it_was_agreed_on() {
        let mut acks = Acks::new(false);
        assert!(acks.receipt(seq(1)).is_none());
        assert_eq!(acks.poll(crate::clock::instant() + EVERY, seq(99)), None);
    }
}
