//! What is decided about a job and not yet offered to the store, already in the form in which it is stored.
//!
//! A fact is encoded when it is decided, which is while the batch before it is being committed, and not when its turn
//! has come. The bodies of what is decided in the meantime share one allocation: a record's body is a slice of it.

use std::collections::VecDeque;

use bytes::Bytes;
use moorline_types::{JobId, RecordKind, Timestamp, WorkerSeq};

use crate::record::Fact;

/// Bytes of bodies that share an allocation, beyond the last of them. What shares one is freed together, so whoever
/// keeps one small record keeps so much; large enough that its cost is spread over a hundred events.
const SHARED_BYTES: usize = 64 * 1024;

/// Which part of an allocation may be left unused. To give back the last bytes of a large one leaves a hole into which the
/// next large one does not fit.
const SPARED_PART: usize = 64;

/// Room that is made for a fact's own fields before its encoded length is known.
const FIELDS_BYTES: usize = 128;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// Those whose bodies are complete, oldest first.
    sealed: VecDeque<Next>,
    /// Those after them, whose bodies are in `bodies` one behind the other.
    open: Vec<Open>,
    bodies: Vec<u8>,
    bytes: usize,
    /// How many of them are records of children.
    foreign: usize,
}

/// A record that has no number yet.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) at: Timestamp,
    pub(super) kind: RecordKind,
    /// The worker's report that it came from, if it came from one.
    pub(super) worker_seq: Option<WorkerSeq>,
    /// Whose first record it is, if it is a child's.
    pub(super) child: Option<JobId>,
    /// Whether it is to be in one batch with the record before it.
    pub(super) joined: bool,
    pub(super) body: Bytes,
}

#[derive(Debug)]
struct Open {
    at: Timestamp,
    kind: RecordKind,
    worker_seq: Option<WorkerSeq>,
    child: Option<JobId>,
    joined: bool,
    /// Where its body ends.
    end: usize,
}

impl Decided {
    pub(super) fn push(&mut self, at: Timestamp, fact: &Fact) {
        self.encode(at, fact, None, false);
    }

    /// Facts of the job, and perhaps the first of a child, that are to be committed together.
    pub(super) fn push_together(&mut self, at: Timestamp, own: &[Fact], child: Option<(JobId, &Fact)>) {
        for (place, fact) in own.iter().enumerate() {
            self.encode(at, fact, None, place > 0);
        }
        if let Some((child, fact)) = child {
            self.encode(at, fact, Some(child), true);
            self.foreign += 1;
        }
    }

    fn encode(&mut self, at: Timestamp, fact: &Fact, child: Option<JobId>, joined: bool) {
        let start = self.bodies.len();
        self.bodies.reserve(FIELDS_BYTES + fact.carried_bytes());
        fact.encode_into(&mut self.bodies);
        let end = self.bodies.len();
        self.bytes += end - start;
        self.open.push(Open { at, kind: fact.kind(), worker_seq: fact.worker_seq(), child, joined, end });
        if end >= SHARED_BYTES {
            self.seal();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sealed.is_empty() && self.open.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.sealed.len() + self.open.len()
    }

    /// How many of them are the job's own.
    pub(super) fn own(&self) -> usize {
        self.len() - self.foreign
    }

    /// The size of all bodies.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The oldest, if `fits` says so.
    pub(super) fn pop_if(&mut self, fits: impl FnOnce(&Next) -> bool) -> Option<Next> {
        if self.sealed.is_empty() {
            self.seal();
        }
        let next = self.sealed.pop_front_if(|next| fits(next))?;
        self.bytes -= next.body.len();
        self.foreign -= usize::from(next.child.is_some());
        Some(next)
    }

    fn seal(&mut self) {
        let mut bodies = std::mem::take(&mut self.bodies);
        if bodies.capacity() - bodies.len() > bodies.len() / SPARED_PART {
            bodies.shrink_to_fit();
        }
        let bodies = Bytes::from(bodies);
        let mut start = 0;
        for Open { at, kind, worker_seq, child, joined, end } in self.open.drain(..) {
            self.sealed.push_back(Next { at, kind, worker_seq, child, joined, body: bodies.slice(start..end) });
            start = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use moorline_types::{EventKind, Json};

    use super::*;
    use crate::record::Event;

    fn event(bytes: usize) -> Fact {
        let body = Json::of(&"x".repeat(bytes)).unwrap();
        Fact::Event(Event { kind: EventKind::Log, ts: Timestamp::from_unix_millis(1), worker_seq: None, body })
    }

    #[test]
    fn what_is_decided_comes_out_in_order_and_as_the_fact_encodes() {
        let mut decided = Decided::default();
        let facts: Vec<_> = [1, SHARED_BYTES, 3, 4, 2 * SHARED_BYTES, 0].map(event).into();
        for (at, fact) in (0..).zip(&facts) {
            decided.push(Timestamp::from_unix_millis(at), fact);
        }
        assert_eq!(decided.len(), facts.len());
        for (at, fact) in (0..).zip(&facts) {
            assert!(decided.pop_if(|_| false).is_none());
            let next = decided.pop_if(|_| true).unwrap();
            assert_eq!((next.at, next.body), (Timestamp::from_unix_millis(at), fact.encode()));
        }
        assert!(decided.is_empty() && decided.bytes() == 0);
    }
}
