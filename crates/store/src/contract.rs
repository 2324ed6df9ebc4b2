//! What a store promises.
//!
//! ```text
//!   stream A    1     2           3   4                 (StreamSeq: dense per stream, minted by the owner)
//!   stream B       1        2   3                 4
//!               |  |  |     |   | |   |           :
//!   journal     1  2  3     4   5 6   7           :      (Offset: dense in the journal, minted by the store)
//!               |__|  |_____|___| |___|           :
//!               batch   batch     batch       under way: nobody sees any of it
//!                                     ^
//!   ......gone from memory | the tail |
//!                          ^          head
//!                          evicted through
//! ```
//!
//! **Append.** A batch is durable, in order, and whole before anything in it is visible to anyone, and nothing of a
//! refused batch ever becomes visible. Offsets are dense from 1 in the order of commitment; the records of one batch
//! are neighbours. The records of each stream in a batch follow its head without a hole, or the whole batch is a
//! [`Conflict`](AppendError::Conflict). `append` waits for its place in a bounded queue; a caller that stops waiting
//! (drops the future) after that leaves a batch that is appended or refused without anyone hearing of it, and finds
//! out by the stream's head. An acknowledged batch survives what the store's durability names. One that was refused
//! with a fault of the kind [`Io`](crate::StoreFault::Io) may, if the process then dies, be found whole at the next
//! opening: an owner that recovers reads its stream and does not trust its memory.
//!
//! **Visibility.** Commit, then [`Tail`], then the appender's reply. Whoever was acknowledged finds the records in the
//! tail or in the store, and so does everyone else. A read from the store may be ahead of the tail by what is between
//! those steps; a [`Page`] says through which offset it is complete, so no reader has to care.
//!
//! **Read.** Whatever is returned is committed. An error is an error: a store that cannot read never answers "empty".
//! A record of an unknown kind is an error, not a hole.
//!
//! **Trim.** The oldest records of one stream go away; its numbers, and the journal's, are never given again. Nothing
//! is ever removed from the middle of a stream.
//!
//! **Epoch.** Names the lineage of the numbers. It is the same for the life of the data, and another for other data.
//!
//! **Documents.** Changed by compare-and-set, under the same durability: one at a time, or together with a batch. Then the
//! batch is appended and every document is changed, or nothing is; what is said of a batch holds for all of it.
//!
//! **Close.** What is queued is finished, then everything is refused with `Closed`. Not closing is a crash, which loses
//! nothing that was acknowledged.
//!
//! Deliberately absent: reading the whole journal (nobody is owed every job), deleting a stream (its head must outlive
//! its records), and a watch per reader in the store (that is the [`Tail`]'s).

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use moorline_types::{Batch, Committed, Epoch, Offset, Record, StreamId, StreamSeq, Timestamp};

use crate::document::{Change, Collection, DocKey, Document, Expect, Revision};
use crate::error::{AppendError, PutError, ReadError, WriteError};
use crate::tail::Tail;

/// A record of the journal. Shared by everyone who reads it; the body is never copied.
pub type CommittedRecord = Committed<Arc<Record>>;

/// The journal and the documents of one gateway. The rules are in the [module's documentation](self).
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Names the lineage of the store's numbers.
    fn epoch(&self) -> Epoch;

    /// Recent records and the wake-up of those who wait for more.
    fn tail(&self) -> &Tail;

    /// Appends a batch, whole or not at all. An empty batch is appended by doing nothing, in its turn.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing of the batch was appended.
    async fn append(&self, batch: Batch) -> Result<CommittedBatch, AppendError> {
        self.append_with(batch, Vec::new()).await
    }

    /// Appends a batch and changes documents, all of it or nothing. Names no document twice. The batch may be empty.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing of the batch was appended, and every document is as it was.
    async fn append_with(&self, batch: Batch, changes: Vec<Change>) -> Result<CommittedBatch, AppendError>;

    /// The records of these streams after `after`, merged in offset order. The streams are a set: their order and
    /// repetitions mean nothing.
    ///
    /// The page is complete through [`Page::through`], which is where the next read continues. A page may be empty
    /// although more follows, when the store stopped to bound its work; it is the end only if `through` is the head.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn read_streams(&self, streams: &[StreamId], after: Offset, limit: ReadLimit) -> Result<Page, ReadError>;

    /// The records of one stream from `from` on, in order. If they begin later than `from`, the records between were
    /// trimmed; if there are none, the stream ends before `from`.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn read_stream(
        &self,
        stream: StreamId,
        from: StreamSeq,
        limit: ReadLimit,
    ) -> Result<Vec<CommittedRecord>, ReadError>;

    /// Where the stream begins and ends.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn stream_bounds(&self, stream: StreamId) -> Result<StreamBounds, ReadError>;

    /// The position of the stream's last record; [`StreamSeq::ZERO`] if it never had one.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn stream_head(&self, stream: StreamId) -> Result<StreamSeq, ReadError> {
        Ok(self.stream_bounds(stream).await?.head)
    }

    /// When the last record that is still there was made; `None` if there is none.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn last_moment(&self) -> Result<Option<Timestamp>, ReadError>;

    /// Removes the records of the stream before `before`, as far as there are any, from the disk and from the tail.
    /// Returns the oldest position that is left, which is one past the head if nothing is.
    ///
    /// # Errors
    /// See [`WriteError`]; what was removed until then, oldest first, is gone. Trimming again goes on from there.
    async fn trim_stream(&self, stream: StreamId, before: StreamSeq) -> Result<StreamSeq, WriteError>;

    /// The document, if there is one.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn get(&self, key: &DocKey) -> Result<Option<Document>, ReadError>;

    /// Makes or replaces the document, if it is as expected.
    ///
    /// # Errors
    /// See [`PutError`]; the document is as it was.
    async fn put(&self, key: &DocKey, value: Bytes, expect: Expect) -> Result<Revision, PutError>;

    /// Removes the document, if it is as expected. With [`Expect::Any`] or [`Expect::Absent`], one that is not there
    /// is no error.
    ///
    /// # Errors
    /// See [`PutError`]; the document is as it was.
    async fn delete(&self, key: &DocKey, expect: Expect) -> Result<(), PutError>;

    /// Documents whose keys come after `after`, in the order of their keys' bytes. At most `limit`, and fewer if a
    /// bound of [`limits`](crate::limits) says so; at least one if there is one. An empty answer is the end.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn list(
        &self,
        collection: Collection,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(DocKey, Document)>, ReadError>;

    /// How much room the data takes up, in bytes. Room that trimmed records have left is not counted, so trimming makes
    /// it smaller, if in steps.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn used_bytes(&self) -> Result<u64, ReadError>;

    /// The bodies of the stream's records, in bytes, as far as they are still there. At least so much room is free once
    /// they are trimmed; how much more is the store's business.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn stream_bytes(&self, stream: StreamId) -> Result<u64, ReadError>;

    /// One cheap write that proves that the store can still commit, for the readiness probe.
    ///
    /// # Errors
    /// See [`WriteError`].
    async fn probe(&self) -> Result<(), WriteError>;

    /// Finishes what is queued, then refuses everything. Returns when the data is at rest. Closing twice is closing.
    async fn close(&self);
}

/// How much to read at once. At least one record is read if there is one, whatever its size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadLimit {
    /// Records; zero is read as one.
    pub records: usize,
    /// Bytes of bodies.
    pub bytes: usize,
}

impl ReadLimit {
    /// At most this many records and bytes.
    pub const fn new(records: usize, bytes: usize) -> Self {
        Self { records, bytes }
    }

    /// The limit, to be used up.
    pub const fn budget(self) -> ReadBudget {
        ReadBudget { left: self, taken: 0 }
    }
}

/// A [`ReadLimit`] that is being used up, for stores.
#[derive(Debug)]
pub struct ReadBudget {
    left: ReadLimit,
    taken: usize,
}

impl ReadBudget {
    /// Takes room for a record with a body of this size. `false` means that it must wait for the next read.
    pub fn take(&mut self, bytes: usize) -> bool {
        if self.taken > 0 && (self.left.records == 0 || bytes > self.left.bytes) {
            return false;
        }
        self.taken += 1;
        self.left.records = self.left.records.saturating_sub(1);
        self.left.bytes = self.left.bytes.saturating_sub(bytes);
        true
    }
}

/// What a read of several streams returned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// The records, in offset order.
    pub records: Vec<CommittedRecord>,
    /// No record of these streams up to and including this offset is missing (but for what was trimmed). Never before
    /// the offset from which was read; continue from here.
    pub through: Offset,
}

/// Where a stream begins and ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamBounds {
    /// The oldest record that is left, or one past `head` if there is none.
    pub oldest: StreamSeq,
    /// The last record that there ever was; [`StreamSeq::ZERO`] for a stream that never had one.
    pub head: StreamSeq,
}

impl StreamBounds {
    /// Of a stream that never had a record.
    pub const EMPTY: Self = Self { oldest: StreamSeq::FIRST, head: StreamSeq::ZERO };
}

/// A batch that is in the journal: its records with their offsets, which are neighbours.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommittedBatch {
    records: Vec<CommittedRecord>,
}

impl CommittedBatch {
    /// The batch with these records.
    pub const fn new(records: Vec<CommittedRecord>) -> Self {
        Self { records }
    }

    /// The records, in offset order.
    pub fn records(&self) -> &[CommittedRecord] {
        &self.records
    }

    /// The records, in offset order.
    pub fn into_records(self) -> Vec<CommittedRecord> {
        self.records
    }

    /// The size of all bodies, in bytes.
    pub fn body_bytes(&self) -> usize {
        self.records.iter().map(|record| record.body.len()).sum()
    }

    /// The offset of the last record; `None` if the batch was empty.
    pub fn last_offset(&self) -> Option<Offset> {
        self.records.last().map(Committed::offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_admits_one_record_always_and_then_what_fits() {
        for (limit, sizes, admitted) in [
            (ReadLimit::new(0, 0), vec![10, 0], 1),
            (ReadLimit::new(3, 0), vec![10, 0, 1], 2),
            (ReadLimit::new(2, 100), vec![1, 1, 1], 2),
            (ReadLimit::new(9, 10), vec![4, 6, 0, 1], 3),
            (ReadLimit::new(9, 10), vec![11, 0, 1], 2),
        ] {
            let mut budget = limit.budget();
            assert_eq!(sizes.iter().take_while(|size| budget.take(**size)).count(), admitted, "{limit:?} {sizes:?}");
        }
    }
}
