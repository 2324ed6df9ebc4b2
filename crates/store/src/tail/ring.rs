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
}

impl Ring {
    pub(super) fn new(head: Offset, limits: TailLimits) -> Self {
        Self { limits, evicted_through: head, head, bytes: 0, order: VecDeque::new(), streams: HashMap::new() }
    }

    pub(super) fn head(&self) -> Offset {
        self.head
    }

    pub(super) fn evicted_through(&self) -> Offset {
        self.evicted_through
    }

    pub(super) fn push(&mut self, records: Vec<CommittedRecord>) {
        for record in records {
            debug_assert_eq!(record.offset(), self.head.next(), "a store publishes in offset order without a hole");
            self.head = record.offset();
            self.bytes += record.body.len();
            self.order.push_back((record.offset(), record.stream));
            self.streams.entry(record.stream).or_default().push_back(record);
        }
        while self.order.len() > self.limits.records || self.bytes > self.limits.bytes {
            self.evict_oldest();
        }
    }

    fn evict_oldest(&mut self) {
        let Some((offset, stream)) = self.order.pop_front() else { return };
        self.evicted_through = offset;
        self.drop_front(stream, |oldest| oldest.offset() == offset);
    }

    pub(super) fn forget(&mut self, stream: StreamId, before: StreamSeq) {
        while self.drop_front(stream, |oldest| oldest.seq < before) {}
    }

    /// Drops the stream's oldest record if it is `unwanted`.
    fn drop_front(&mut self, stream: StreamId, unwanted: impl Fn(&CommittedRecord) -> bool) -> bool {
        let Some(records) = self.streams.get_mut(&stream) else { return false };
        let Some(record) = records.pop_front_if(|oldest| unwanted(oldest)) else { return false };
        self.bytes -= record.body.len();
        if records.is_empty() {
            self.streams.remove(&stream);
        }
        true
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
