//! What a process finds when it opens the store: plain maps, no locks, no faults.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use bytes::Bytes;
use moorline_types::{Offset, StreamId, StreamSeq, Timestamp};

use crate::contract::{CommittedRecord, Page, ReadLimit, StreamBounds};
use crate::document::{Collection, DocKey, Document, Revision};
use crate::limits::{MAX_LIST_BYTES, MAX_LIST_DOCUMENTS};

#[derive(Debug)]
pub(super) struct Disk {
    opening: u64,
    head: Offset,
    journal: BTreeMap<Offset, CommittedRecord>,
    bounds: HashMap<StreamId, StreamBounds>,
    revision: Revision,
    documents: BTreeMap<(Collection, Box<str>), Document>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            opening: 0,
            head: Offset::ZERO,
            journal: BTreeMap::new(),
            bounds: HashMap::new(),
            revision: Revision::new(0),
            documents: BTreeMap::new(),
        }
    }
}

impl Disk {
    pub(super) fn opening(&self) -> u64 {
        self.opening
    }

    pub(super) fn next_opening(&mut self) -> u64 {
        self.opening += 1;
        self.opening
    }

    pub(super) fn head(&self) -> Offset {
        self.head
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let records = self.journal.values().map(|record| record.body.len());
        let documents = self.documents.values().map(|document| document.value.len());
        records.chain(documents).sum::<usize>() as u64
    }

    pub(super) fn stream_bytes(&self, stream: StreamId) -> u64 {
        let records = self.journal.values().filter(|record| record.stream == stream);
        records.map(|record| record.body.len()).sum::<usize>() as u64
    }

    pub(super) fn bounds(&self, stream: StreamId) -> StreamBounds {
        self.bounds.get(&stream).copied().unwrap_or(StreamBounds::EMPTY)
    }

    pub(super) fn last_moment(&self) -> Option<Timestamp> {
        self.journal.last_key_value().map(|(_, record)| record.at)
    }

    pub(super) fn append(&mut self, records: &[CommittedRecord], heads: HashMap<StreamId, StreamSeq>) {
        for record in records {
            self.head = record.offset();
            self.journal.insert(record.offset(), record.clone());
        }
        for (stream, head) in heads {
            self.bounds.entry(stream).or_insert(StreamBounds::EMPTY).head = head;
        }
    }

    pub(super) fn read_streams(&self, streams: &[StreamId], after: Offset, limit: ReadLimit) -> Page {
        let streams: BTreeSet<_> = streams.iter().copied().collect();
        let mut budget = limit.budget();
        let mut page = Page { records: Vec::new(), through: self.head.max(after) };
        for record in self.after(after).filter(|record| streams.contains(&record.stream)) {
            if !budget.take(record.body.len()) {
                page.through = page.records.last().map_or(after, CommittedRecord::offset);
                break;
            }
            page.records.push(record.clone());
        }
        page
    }

    pub(super) fn read_stream(&self, stream: StreamId, from: StreamSeq, limit: ReadLimit) -> Vec<CommittedRecord> {
        let mut budget = limit.budget();
        self.after(Offset::ZERO)
            .filter(|record| record.stream == stream && record.seq >= from)
            .take_while(|record| budget.take(record.body.len()))
            .cloned()
            .collect()
    }

    fn after(&self, offset: Offset) -> impl Iterator<Item = &CommittedRecord> {
        self.journal.range((Bound::Excluded(offset), Bound::Unbounded)).map(|(_, record)| record)
    }

    pub(super) fn trim(&mut self, stream: StreamId, before: StreamSeq) -> StreamSeq {
        let Some(bounds) = self.bounds.get_mut(&stream) else { return StreamSeq::FIRST };
        let oldest = before.min(bounds.head.next()).max(bounds.oldest);
        bounds.oldest = oldest;
        self.journal.retain(|_, record| record.stream != stream || record.seq >= oldest);
        oldest
    }

    pub(super) fn document(&self, key: &DocKey) -> Option<&Document> {
        self.documents.get(&(key.collection(), key.key().into()))
    }

    pub(super) fn put(&mut self, key: DocKey, value: Bytes) -> Revision {
        self.revision = self.revision.next();
        let document = Document { revision: self.revision, value };
        self.documents.insert((key.collection(), key.key().into()), document);
        self.revision
    }

    pub(super) fn delete(&mut self, key: &DocKey) {
        self.documents.remove(&(key.collection(), key.key().into()));
    }

    pub(super) fn list(&self, collection: Collection, after: Option<&str>, limit: usize) -> Vec<(DocKey, Document)> {
        let mut budget = ReadLimit::new(limit.min(MAX_LIST_DOCUMENTS), MAX_LIST_BYTES).budget();
        let from = match after {
            Some(key) => Bound::Excluded((collection, key.into())),
            None => Bound::Included((collection, Box::from(""))),
        };
        self.documents
            .range((from, Bound::Unbounded))
            .take_while(|((found, _), document)| *found == collection && budget.take(document.value.len()))
            .filter_map(|((found, key), document)| Some((DocKey::new(*found, key.clone()).ok()?, document.clone())))
            .collect()
    }
}
