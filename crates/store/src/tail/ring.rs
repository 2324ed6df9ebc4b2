//! The records that the tail holds: everything after one offset, by stream and in order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque, vec_deque};

use moorline_types::{Offset, StreamId, StreamSeq};

use super::TailLimits;
use crate::contract::{CommittedRecord, Page, ReadLimit};

/// Records of one stream, in order.
type Records<'a> = vec_deque::Iter<'a, CommittedRecord>;

/// Holds every record with `evicted_through < offset <= head` that has not been trimmed.
#[derive(Debug)]
pub(super) struct Ring {
    limits: TailLimits,
    evicted_through: Offset,
    head: Offset,
    bytes: usize,
    /// Whose record each offset is, oldest first. Still names a record that has been trimmed.
    order: VecDeque<(Offset, StreamId)>,
    /// The records of each stream, oldest first. No deque is empty.
    streams: HashMap<StreamId, VecDeque<CommittedRecord>>,
    /// Where each stream begins that was trimmed since the ring was made, as long as older records may be put behind
    /// what it holds: they may have been read before that. `None` also once something is evicted, for there would be a hole.
    trimmed: Option<HashMap<StreamId, StreamSeq>>,
}

/// Records that are not held any more. Freeing thousands takes a while, so it is for whoever has given the lock back.
type Evicted = Vec<CommittedRecord>;

impl Ring {
    pub(super) fn new(head: Offset, limits: TailLimits) -> Self {
        let (order, streams) = (VecDeque::new(), HashMap::new());
        Self { limits, evicted_through: head, head, bytes: 0, order, streams, trimmed: None }
    }

    /// The same; older records will be put behind what it holds.
    pub(super) fn cold(head: Offset, limits: TailLimits) -> Self {
        Self { trimmed: Some(HashMap::new()), ..Self::new(head, limits) }
    }

    pub(super) const fn limits(&self) -> TailLimits {
        self.limits
    }

    pub(super) fn head(&self) -> Offset {
        self.head
    }

    pub(super) fn evicted_through(&self) -> Offset {
        self.evicted_through
    }

    pub(super) fn push(&mut self, records: Vec<CommittedRecord>) -> Evicted {
        debug_assert!(
            records.iter().zip(self.head.get() + 1..).all(|(record, offset)| record.offset().get() == offset),
            "a store publishes in offset order without a hole"
        );
        self.extend(records)
    }

    /// The same of records between which some may have been trimmed.
    pub(super) fn extend(&mut self, records: Vec<CommittedRecord>) -> Evicted {
        let mut records = records.into_iter().peekable();
        while let Some(stream) = records.peek().map(|record| record.stream) {
            let held = self.streams.entry(stream).or_default();
            while let Some(record) = records.next_if(|record| record.stream == stream) {
                self.head = record.offset();
                self.bytes += record.body.len();
                self.order.push_back((record.offset(), stream));
                held.push_back(record);
            }
        }
        self.evict()
    }

    fn is_over(&self) -> bool {
        self.order.len() > self.limits.records || self.bytes > self.limits.bytes
    }

    fn evict(&mut self) -> Evicted {
        let mut evicted = Vec::new();
        while self.is_over()
            && let Some((_, stream)) = self.order.front().copied()
        {
            let mut held = self.streams.remove(&stream).unwrap_or_default();
            while self.is_over()
                && let Some((offset, _)) = self.order.pop_front_if(|(_, next)| *next == stream)
            {
                self.evicted_through = offset;
                self.trimmed = None;
                if let Some(record) = held.pop_front_if(|oldest| oldest.offset() == offset) {
                    self.bytes -= record.body.len();
                    evicted.push(record);
                }
            }
            if !held.is_empty() {
                self.streams.insert(stream, held);
            }
        }
        evicted
    }

    pub(super) fn forget(&mut self, stream: StreamId, before: StreamSeq) {
        if let Some(trimmed) = &mut self.trimmed {
            trimmed.insert(stream, before);
        }
        let Some(held) = self.streams.get_mut(&stream) else { return };
        while let Some(record) = held.pop_front_if(|oldest| oldest.seq < before) {
            self.bytes -= record.body.len();
        }
        if held.is_empty() {
            self.streams.remove(&stream);
        }
    }

    /// Holds the records of `older` as well, which are those before its own, if that can still be.
    pub(super) fn put_behind(&mut self, mut older: Self) -> Evicted {
        let Some(trimmed) = self.trimmed.take() else { return Evicted::new() };
        for (stream, before) in trimmed {
            older.forget(stream, before);
        }
        let newer = std::mem::replace(self, older);
        let head = newer.head;
        let evicted = self.extend(newer.into_records());
        self.head = head;
        evicted
    }

    /// Everything that is held, in offset order.
    fn into_records(mut self) -> Vec<CommittedRecord> {
        let own = |(offset, stream): (Offset, StreamId)| {
            self.streams.get_mut(&stream)?.pop_front_if(|oldest| oldest.offset() == offset)
        };
        self.order.into_iter().filter_map(own).collect()
    }

    /// `streams` is sorted and holds nothing twice.
    pub(super) fn read(&self, streams: &[StreamId], after: Offset, limit: ReadLimit) -> Option<Page> {
        if after < self.evicted_through {
            return None;
        }
        let newer = self.order.partition_point(|(offset, _)| *offset <= after);
        if self.order.len() - newer < streams.len() {
            return Some(self.page(self.newer_of(streams, newer), after, limit));
        }
        let mut parts: Vec<_> = streams.iter().filter_map(|stream| self.newer_in(*stream, after)).collect();
        // Nearly always one job writes and the session's own stream is silent.
        Some(match parts.pop() {
            Some(only) if parts.is_empty() => self.page(only, after, limit),
            last => self.page(merged(parts.into_iter().chain(last)), after, limit),
        })
    }

    pub(super) fn read_stream(
        &self,
        stream: StreamId,
        from: StreamSeq,
        seen: Offset,
        limit: ReadLimit,
    ) -> Option<Vec<CommittedRecord>> {
        let held = self.streams.get(&stream)?;
        if self.head < seen || held.front()?.seq > from {
            return None;
        }
        let mut budget = limit.budget();
        let wanted = held.range(held.partition_point(|record| record.seq < from)..);
        Some(wanted.take_while(|record| budget.take(record.body.len())).cloned().collect())
    }

    pub(super) fn stream_head(&self, stream: StreamId) -> Option<StreamSeq> {
        Some(self.streams.get(&stream)?.back()?.seq)
    }

    fn page<'a>(&self, records: impl Iterator<Item = &'a CommittedRecord>, after: Offset, limit: ReadLimit) -> Page {
        let mut budget = limit.budget();
        let mut page = Page { records: Vec::new(), through: self.head.max(after) };
        for record in records {
            if !budget.take(record.body.len()) {
                page.through = page.records.last().map_or(after, CommittedRecord::offset);
                break;
            }
            page.records.push(record.clone());
        }
        page
    }

    /// Walks what is newer and picks what belongs to `streams`: for a reader of many streams that is nearly there.
    fn newer_of(&self, streams: &[StreamId], newer: usize) -> impl Iterator<Item = &CommittedRecord> {
        self.order.range(newer..).filter(|(_, stream)| streams.binary_search(stream).is_ok()).filter_map(
            |(offset, stream)| {
                let records = self.streams.get(stream)?;
                let index = records.binary_search_by_key(offset, CommittedRecord::offset).ok()?;
                records.get(index)
            },
        )
    }

    /// What a stream has that is newer, if it has something.
    fn newer_in(&self, stream: StreamId, after: Offset) -> Option<Records<'_>> {
        let records = self.streams.get(&stream)?;
        let newer = records.range(records.partition_point(|record| record.offset() <= after)..);
        (newer.len() > 0).then_some(newer)
    }
}

/// Merges the streams' own records, so that the cost does not depend on what else is held.
fn merged<'a>(streams: impl Iterator<Item = Records<'a>>) -> impl Iterator<Item = &'a CommittedRecord> {
    let mut cursors: Vec<_> = streams.map(Iterator::peekable).collect();
    let mut next: BinaryHeap<_> = cursors
        .iter_mut()
        .enumerate()
        .filter_map(|(index, cursor)| Some(Reverse((cursor.peek()?.offset(), index))))
        .collect();
    std::iter::from_fn(move || {
        let Reverse((_, index)) = next.pop()?;
        let cursor = cursors.get_mut(index)?;
        let record = cursor.next();
        if let Some(following) = cursor.peek() {
            next.push(Reverse((following.offset(), index)));
        }
        record
    })
}
