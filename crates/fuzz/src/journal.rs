//! A journal in memory that takes what it is given, and finds holes.

#![expect(clippy::disallowed_methods, reason = "it stands in for a store")]

use std::collections::BTreeMap;
use std::sync::Arc;

use moorline_types::{Batch, Committed, JobId, Offset, Record, StreamId, StreamSeq};

pub(crate) type Entry = Committed<Arc<Record>>;

#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: Vec<Entry>,
    heads: BTreeMap<StreamId, StreamSeq>,
}

impl Journal {
    /// Commits a batch. Answers where its last record is.
    pub(crate) fn append(&mut self, batch: Batch) -> Offset {
        for record in batch.records {
            let head = self.heads.entry(record.stream).or_insert(StreamSeq::ZERO);
            assert_eq!(record.seq, head.next(), "a hole or a repetition in {}", record.stream);
            *head = record.seq;
            let offset = self.head().next();
            self.entries.push(Committed::attest(offset, Arc::new(record)));
        }
        self.head()
    }

    pub(crate) fn head(&self) -> Offset {
        self.entries.last().map_or(Offset::ZERO, Committed::offset)
    }

    pub(crate) fn stream_head(&self, stream: StreamId) -> StreamSeq {
        self.heads.get(&stream).copied().unwrap_or(StreamSeq::ZERO)
    }

    /// At most so many records of these streams after an offset, and through where that is all.
    pub(crate) fn page(&self, streams: &[StreamId], after: Offset, at_most: usize) -> (Vec<Entry>, Offset) {
        let wanted = |entry: &&Entry| entry.offset() > after && streams.contains(&entry.get().stream);
        let page: Vec<Entry> = self.entries.iter().filter(wanted).take(at_most).cloned().collect();
        let through = if page.len() < at_most { self.head() } else { page.last().map_or(after, Committed::offset) };
        (page, through.max(after))
    }

    /// At most so many records of a job from a position on.
    pub(crate) fn stretch(&self, job: JobId, from: StreamSeq, at_most: usize) -> Vec<Entry> {
        self.of(StreamId::Job(job)).filter(|entry| entry.get().seq >= from).take(at_most).cloned().collect()
    }

    /// Jobs that have records.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.heads.keys().filter_map(|stream| if let StreamId::Job(job) = stream { Some(*job) } else { None })
    }

    pub(crate) fn of(&self, stream: StreamId) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.get().stream == stream)
    }
}
