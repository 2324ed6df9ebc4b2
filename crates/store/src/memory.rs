//! The reference: a store that keeps everything in one map under one lock, so that it is obviously right.
//!
//! It is durable in the sense that matters to a test: [`MemoryStore::reopen`] opens the same data again, as a new
//! process would after the old one was killed, and the old handle is fenced off. It has no queue, because nothing in it
//! takes time; [`Faults`] makes it refuse or wait on demand.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use moorline_types::{Batch, Epoch, Offset, StreamId, StreamSeq, Timestamp};

use crate::admit;
use crate::contract::{CommittedBatch, CommittedRecord, Page, ReadLimit, Store, StreamBounds};
use crate::document::{self, Change, Collection, DocKey, Document, Expect, Revision};
use crate::error::{AppendError, Cause, PutError, ReadError, WriteError};
use crate::sync::lock;
use crate::tail::{Tail, TailLimits};

mod disk;
mod faults;

use disk::Disk;
pub use faults::{Faults, InjectedFault};

/// A store in memory. The rules are in the [module's documentation](self).
#[derive(Debug)]
pub struct MemoryStore {
    epoch: Epoch,
    tail: Tail,
    faults: Faults,
    disk: Arc<Mutex<Disk>>,
    /// Which opening of the data this is. Another opening, or a close, makes every older one closed.
    opening: u64,
}

impl MemoryStore {
    /// An empty store of this lineage.
    pub fn new(epoch: Epoch, limits: TailLimits) -> Self {
        Self::open(epoch, limits, Faults::default(), Arc::default())
    }

    /// Opens the same data again, as a new process would. This handle is closed from here on, whether or not it was
    /// closed in an orderly way; faults are shared.
    pub fn reopen(&self, limits: TailLimits) -> Self {
        Self::open(self.epoch, limits, self.faults.clone(), Arc::clone(&self.disk))
    }

    /// Makes this store, and every reopened one, fail on demand.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    fn open(epoch: Epoch, limits: TailLimits, faults: Faults, disk: Arc<Mutex<Disk>>) -> Self {
        let (opening, head) = {
            let mut disk = lock(&disk);
            (disk.next_opening(), disk.head())
        };
        Self { epoch, tail: Tail::new(head, limits), faults, disk, opening }
    }

    fn with_disk<T, E>(&self, closed: E, act: impl FnOnce(&mut Disk) -> Result<T, E>) -> Result<T, E> {
        let mut disk = lock(&self.disk);
        if disk.opening() == self.opening { act(&mut disk) } else { Err(closed) }
    }

    fn read<T>(&self, act: impl FnOnce(&Disk) -> T) -> Result<T, ReadError> {
        self.with_disk(ReadError::Closed, |disk| match self.faults.on_read() {
            Some(fault) => Err(ReadError::Store { kind: fault.0, source: Arc::new(fault) }),
            None => Ok(act(disk)),
        })
    }

    fn write<T>(&self, act: impl FnOnce(&mut Disk) -> T) -> Result<T, WriteError> {
        self.with_disk(WriteError::Closed, |disk| match self.faults.on_write() {
            Some(fault) => Err(WriteError::Store { kind: fault.0, source: Arc::new(fault) }),
            None => Ok(act(disk)),
        })
    }

    fn change<T>(&self, act: impl FnOnce(&mut Disk) -> Result<T, PutError>) -> Result<T, PutError> {
        self.with_disk(PutError::Closed, |disk| match self.faults.on_write() {
            Some(fault) => Err(PutError::Store { kind: fault.0, source: Arc::new(fault) }),
            None => act(disk),
        })
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn tail(&self) -> &Tail {
        &self.tail
    }

    async fn append_with(&self, batch: Batch, changes: Vec<Change>) -> Result<CommittedBatch, AppendError> {
        self.faults.wait_while_held().await;
        self.with_disk(AppendError::Closed, |disk| {
            if let Some(fault) = self.faults.on_append() {
                let source: Cause = Arc::new(fault);
                return Err(AppendError::Store { kind: fault.0, source });
            }
            admit::check_size(&batch)?;
            admit::check_changes(&changes)?;
            let heads = admit::next_heads(&batch, |stream| disk.bounds(stream).head)?;
            for Change { key, expect, .. } in &changes {
                let met = expect.check(disk.document(key).map(|found| found.revision));
                met.map_err(|source| AppendError::Document { key: key.clone(), source })?;
            }
            for Change { key, value, .. } in changes {
                match value {
                    Some(value) => drop(disk.put(key, value)),
                    None => disk.delete(&key),
                }
            }
            let records = admit::attest(batch, disk.head());
            disk.append(&records, heads);
            self.tail.publish(records.clone());
            Ok(CommittedBatch::new(records))
        })
    }

    async fn read_streams(&self, streams: &[StreamId], after: Offset, limit: ReadLimit) -> Result<Page, ReadError> {
        self.read(|disk| disk.read_streams(streams, after, limit))
    }

    async fn read_stream(
        &self,
        stream: StreamId,
        from: StreamSeq,
        limit: ReadLimit,
    ) -> Result<Vec<CommittedRecord>, ReadError> {
        self.read(|disk| disk.read_stream(stream, from, limit))
    }

    async fn stream_bounds(&self, stream: StreamId) -> Result<StreamBounds, ReadError> {
        self.read(|disk| disk.bounds(stream))
    }

    async fn last_moment(&self) -> Result<Option<Timestamp>, ReadError> {
        self.read(Disk::last_moment)
    }

    async fn trim_stream(&self, stream: StreamId, before: StreamSeq) -> Result<StreamSeq, WriteError> {
        if let Some(fault) = self.faults.on_trim() {
            return Err(WriteError::Store { kind: fault.0, source: Arc::new(fault) });
        }
        self.write(|disk| {
            let oldest = disk.trim(stream, before);
            self.tail.forget(stream, oldest);
            oldest
        })
    }

    async fn get(&self, key: &DocKey) -> Result<Option<Document>, ReadError> {
        self.read(|disk| disk.document(key).cloned())
    }

    async fn put(&self, key: &DocKey, value: Bytes, expect: Expect) -> Result<Revision, PutError> {
        self.change(|disk| {
            document::check_value(&value)?;
            expect.check(disk.document(key).map(|found| found.revision))?;
            Ok(disk.put(key.clone(), value))
        })
    }

    async fn delete(&self, key: &DocKey, expect: Expect) -> Result<(), PutError> {
        self.change(|disk| {
            expect.check(disk.document(key).map(|found| found.revision))?;
            disk.delete(key);
            Ok(())
        })
    }

    async fn list(
        &self,
        collection: Collection,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(DocKey, Document)>, ReadError> {
        self.read(|disk| disk.list(collection, after, limit))
    }

    async fn used_bytes(&self) -> Result<u64, ReadError> {
        self.read(Disk::used_bytes)
    }

    async fn stream_bytes(&self, stream: StreamId) -> Result<u64, ReadError> {
        self.read(|disk| disk.stream_bytes(stream))
    }

    async fn probe(&self) -> Result<(), WriteError> {
        self.write(|_disk| ())
    }

    async fn close(&self) {
        let mut disk = lock(&self.disk);
        if disk.opening() == self.opening {
            disk.next_opening();
        }
    }
}
