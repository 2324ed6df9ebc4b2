//! The store: queues commands for the writer and questions for the readers.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use moorline_store::{
    AppendError, Change, Collection, CommittedBatch, CommittedRecord, DocKey, Document, Expect, Page, PutError,
    ReadError, ReadLimit, Revision, Store, StreamBounds, Tail, TailLimits, WriteError, admit, document,
};
use moorline_types::{Batch, Epoch, Offset, StreamId, StreamSeq, Timestamp};
use rusqlite::Connection;

use crate::open::{self, OpenError};
use crate::options::SqliteOptions;
use crate::reader::Readers;
use crate::sql;
use crate::writer::{Append, Delete, Probe, Put, Trim, Writer};

/// A store in one SQLite file. The rules are in the crate's documentation.
#[derive(Debug)]
pub struct SqliteStore {
    epoch: Epoch,
    tail: Arc<Tail>,
    writer: Writer,
    readers: Readers,
}

impl SqliteStore {
    /// Opens the store, and makes it if it does not exist.
    ///
    /// # Errors
    /// See [`OpenError`]. A file that is not ours is left as it was.
    pub async fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        open::check_path(&options.path)?;
        let (path, limits) = (options.path.clone(), options.tail);
        let (writer, opened) = Writer::start(options).await?;
        let (tail, head) = (Arc::clone(&opened.tail), opened.tail.head());
        let readers = Readers::start(&path, move |conn| warm(conn, &tail, head, limits))?;
        Ok(Self { epoch: opened.epoch, tail: opened.tail, writer, readers })
    }

    /// Changes how large the data file may become, in bytes; `None` leaves that to the disk. A limit below its size
    /// stops its growth.
    ///
    /// # Errors
    /// See [`WriteError`]; the limit is as it was.
    pub async fn limit_size(&self, max_bytes: Option<u64>) -> Result<(), WriteError> {
        self.writer.limit_size(max_bytes).await
    }
}

/// Reads the last records into the tail, which held nothing when the journal ended at `head`.
fn warm(conn: &mut Connection, tail: &Tail, head: Offset, limits: TailLimits) {
    match sql::snapshot(conn, |tx| sql::last_records(tx, head, limits)) {
        Ok((after, records)) => tail.warm(after, records),
        Err(error) => {
            // Whoever asks for them is told.
            tracing::warn!(error = &error as &dyn std::error::Error, "the last records are not read ahead");
            tail.warm(head, Vec::new());
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn tail(&self) -> &Tail {
        &self.tail
    }

    async fn append_with(&self, batch: Batch, changes: Vec<Change>) -> Result<CommittedBatch, AppendError> {
        admit::check_size(&batch)?;
        admit::check_changes(&changes)?;
        self.writer.write(|reply| Append::new(batch, changes, reply)).await.unwrap_or(Err(AppendError::Closed))
    }

    async fn read_streams(&self, streams: &[StreamId], after: Offset, limit: ReadLimit) -> Result<Page, ReadError> {
        let mut streams = streams.to_vec();
        streams.sort_unstable();
        streams.dedup();
        self.readers.ask(move |tx| sql::read_streams(tx, &streams, after, limit)).await
    }

    async fn read_stream(
        &self,
        stream: StreamId,
        from: StreamSeq,
        limit: ReadLimit,
    ) -> Result<Vec<CommittedRecord>, ReadError> {
        self.readers.ask(move |tx| sql::read_stream(tx, stream, from, limit)).await
    }

    async fn stream_bounds(&self, stream: StreamId) -> Result<StreamBounds, ReadError> {
        self.readers.ask(move |tx| sql::stream_bounds(tx, stream)).await
    }

    async fn last_moment(&self) -> Result<Option<Timestamp>, ReadError> {
        self.readers.ask(sql::last_moment).await
    }

    /// In steps of bounded length, so that a long stream does not hold up the appenders.
    async fn trim_stream(&self, stream: StreamId, before: StreamSeq) -> Result<StreamSeq, WriteError> {
        loop {
            let step = self.writer.write(|reply| Trim::new(stream, before, reply)).await;
            let step = step.unwrap_or(Err(WriteError::Closed))?;
            if step.is_last {
                return Ok(step.oldest);
            }
        }
    }

    async fn get(&self, key: &DocKey) -> Result<Option<Document>, ReadError> {
        let key = key.clone();
        self.readers.ask(move |tx| sql::document(tx, &key)).await
    }

    async fn put(&self, key: &DocKey, value: Bytes, expect: Expect) -> Result<Revision, PutError> {
        document::check_value(&value)?;
        let key = key.clone();
        self.writer.write(|reply| Put::new(key, value, expect, reply)).await.unwrap_or(Err(PutError::Closed))
    }

    async fn delete(&self, key: &DocKey, expect: Expect) -> Result<(), PutError> {
        let key = key.clone();
        self.writer.write(|reply| Delete::new(key, expect, reply)).await.unwrap_or(Err(PutError::Closed))
    }

    async fn list(
        &self,
        collection: Collection,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(DocKey, Document)>, ReadError> {
        let after = after.unwrap_or_default().to_owned();
        self.readers.ask(move |tx| sql::list(tx, collection, &after, limit)).await
    }

    async fn used_bytes(&self) -> Result<u64, ReadError> {
        self.readers.ask(|tx| sql::used_bytes(tx)).await
    }

    async fn stream_bytes(&self, stream: StreamId) -> Result<u64, ReadError> {
        self.readers.ask(move |tx| sql::stream_bytes(tx, stream)).await
    }

    async fn probe(&self) -> Result<(), WriteError> {
        self.writer.write(Probe::new).await.unwrap_or(Err(WriteError::Closed))
    }

    /// The readers end first, so that the writer's is the last connection: closing it empties the log into the file.
    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
