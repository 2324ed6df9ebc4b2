//! The bounds that every store enforces, with the argument for each number.

use moorline_types::limits as shared;

/// Records in one batch. One job's appends carry at most a report window's worth, and a step that touches a job and its
/// session adds a few; twice the window admits both without a calculation.
pub const MAX_BATCH_RECORDS: usize = 2 * shared::MAX_BATCH_RECORDS;

/// Bytes of bodies in one batch. The largest record holds a job's input, which arrived in one frame; twice the default
/// frame leaves room for its encoding, and the rest is what one append may carry beyond its first record.
pub const MAX_BATCH_BYTES: usize = 2 * shared::DEFAULT_MAX_FRAME_BYTES + shared::MAX_BATCH_BYTES;

/// Bytes in one document. Documents are read and replaced whole, so a large one makes every change of it dear; a
/// session's checkpoint with ten thousand watched jobs does not belong into one.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// Bytes in one document's key. Longer names (a principal together with an idempotency key) are hashed by their owner.
pub const MAX_KEY_BYTES: usize = 256;

/// Documents in one answer to a listing; a larger limit is read as this one.
pub const MAX_LIST_DOCUMENTS: usize = 1_000;

/// Bytes of values in one answer to a listing, beyond its first document: without it, a full page of the largest
/// documents would be 64 MiB.
pub const MAX_LIST_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of bodies that the tail holds unless configured otherwise. At a kilobyte a record and a thousand records a
/// second it spans half a minute: longer than a reconnect takes, so that a resumed client is served from memory.
pub const DEFAULT_TAIL_BYTES: usize = 32 * 1024 * 1024;

/// Records that the tail holds unless configured otherwise. Bounds what tiny records cost beyond their bodies: about
/// 200 bytes each, 13 MiB in all.
pub const DEFAULT_TAIL_RECORDS: usize = 65_536;
