//! Why a store refused: one type per kind of operation.
//!
//! A refusal is either a decision about the request (`Conflict`, `TooLarge`), after which the same request is refused
//! again, or a fault of the store ([`StoreFault`]), after which the same request may succeed once the fault is gone.
//! A store that fails refuses; it never answers "empty".

use std::sync::Arc;

use moorline_types::{Offset, StreamId, StreamSeq, UnknownRecordKind};

use crate::document::{DocKey, Revision};

/// The error of the layer below. Shared, because everyone whose write was in the same transaction gets it.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// What is wrong with a store that cannot do what it was asked. The text names the remedy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum StoreFault {
    /// There is no room left.
    #[error("the store is full: free space on its disk, or raise its size limit")]
    Full,
    /// The store may be read but not written.
    #[error("the store is read-only: check the file's and the directory's permissions and how the disk is mounted")]
    ReadOnly,
    /// What was read makes no sense.
    #[error("the store is damaged: restore it from a backup")]
    Corrupt,
    /// The disk, the network or the system below failed.
    #[error("the store's input or output failed: check the disk and the system log")]
    Io,
    /// The store holds something that only a newer version understands.
    #[error("the store was written by a newer version: run that version or a later one")]
    Newer,
}

/// Why a batch was not appended. Nothing of it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// A record does not follow the one before it in its stream: another writer was first, or the caller is behind.
    #[error("{stream} continues at {expected}, but the batch has {got}")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// The position that its next record must have.
        expected: StreamSeq,
        /// The position that the record has.
        got: StreamSeq,
    },
    /// The batch exceeds [`MAX_BATCH_RECORDS`](crate::limits::MAX_BATCH_RECORDS) or
    /// [`MAX_BATCH_BYTES`](crate::limits::MAX_BATCH_BYTES).
    #[error(
        "a batch holds at most {max_records} records and {max_bytes} bytes, but this one has {records} and {bytes}"
    )]
    TooLarge {
        /// Records in the batch.
        records: usize,
        /// Records that a batch may have.
        max_records: usize,
        /// Bytes of bodies in the batch.
        bytes: usize,
        /// Bytes that a batch may have.
        max_bytes: usize,
    },
    /// A document that was to be changed with the batch is not as expected, or would be too large.
    #[error("{key} is not changed")]
    Document {
        /// The document.
        key: DocKey,
        /// Why not.
        #[source]
        source: PutError,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// The store failed.
    #[error("{kind}")]
    Store {
        /// What is wrong with it.
        kind: StoreFault,
        /// What it met.
        #[source]
        source: Cause,
    },
}

/// Why something could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// A record has a kind that this version does not know. It is not skipped: what follows it may depend on it.
    #[error("the record at {offset} was written by a newer version: run that version or a later one")]
    UnknownKind {
        /// Where the record is.
        offset: Offset,
        /// The kind's number.
        #[source]
        source: UnknownRecordKind,
    },
    /// The record at this offset is not what it was when it was written.
    #[error("the record at {offset} is damaged ({field}): restore the store from a backup")]
    Damaged {
        /// Where the record is.
        offset: Offset,
        /// Which part of it makes no sense.
        field: &'static str,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// The store failed.
    #[error("{kind}")]
    Store {
        /// What is wrong with it.
        kind: StoreFault,
        /// What it met.
        #[source]
        source: Cause,
    },
}

impl ReadError {
    /// What is wrong with the store; `None` if it has been closed.
    pub fn fault(&self) -> Option<StoreFault> {
        match self {
            Self::UnknownKind { .. } => Some(StoreFault::Newer),
            Self::Damaged { .. } => Some(StoreFault::Corrupt),
            Self::Store { kind, .. } => Some(*kind),
            Self::Closed => None,
        }
    }
}

/// Why something that has no condition of its own (a trim, a probe) could not be written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// The store failed.
    #[error("{kind}")]
    Store {
        /// What is wrong with it.
        kind: StoreFault,
        /// What it met.
        #[source]
        source: Cause,
    },
}

/// Why a document was not changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PutError {
    /// The document is not as the caller expected it.
    #[error("the document has changed: {}", describe(*found))]
    Conflict {
        /// The revision that is there; `None` if there is no document.
        found: Option<Revision>,
    },
    /// The value exceeds [`MAX_DOCUMENT_BYTES`](crate::limits::MAX_DOCUMENT_BYTES).
    #[error("a document holds at most {max} bytes, but this one has {bytes}")]
    TooLarge {
        /// Bytes in the value.
        bytes: usize,
        /// Bytes that a value may have.
        max: usize,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// The store failed.
    #[error("{kind}")]
    Store {
        /// What is wrong with it.
        kind: StoreFault,
        /// What it met.
        #[source]
        source: Cause,
    },
}

fn describe(found: Option<Revision>) -> String {
    found.map_or_else(|| "it is absent".to_owned(), |revision| format!("it has revision {revision}"))
}
