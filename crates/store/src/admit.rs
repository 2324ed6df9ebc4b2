//! The decision whether a batch may be appended, shared by all stores so that all decide alike.

use std::collections::HashMap;
use std::sync::Arc;

use moorline_types::{Batch, Committed, Offset, Record, StreamId, StreamSeq};

use crate::contract::CommittedRecord;
use crate::document::{self, Change};
use crate::error::AppendError;
use crate::limits::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS};

/// Decides about the size of a batch.
///
/// # Errors
/// [`AppendError::TooLarge`].
pub fn check_size(batch: &Batch) -> Result<(), AppendError> {
    let (records, bytes) = (batch.records.len(), batch.body_bytes());
    if records > MAX_BATCH_RECORDS || bytes > MAX_BATCH_BYTES {
        return Err(AppendError::TooLarge {
            records,
            max_records: MAX_BATCH_RECORDS,
            bytes,
            max_bytes: MAX_BATCH_BYTES,
        });
    }
    Ok(())
}

/// Decides about the sizes of documents.
///
/// # Errors
/// [`AppendError::Document`] for the first that is too large.
pub fn check_changes(changes: &[Change]) -> Result<(), AppendError> {
    for Change { key, value, .. } in changes {
        let fits = value.as_ref().map_or(Ok(()), document::check_value);
        fits.map_err(|source| AppendError::Document { key: key.clone(), source })?;
    }
    Ok(())
}

/// Decides whether every record follows its stream's head, and returns the heads that the batch leaves.
///
/// # Errors
/// [`AppendError::Conflict`] for the first record that does not.
pub fn next_heads(
    batch: &Batch,
    head_of: impl Fn(StreamId) -> StreamSeq,
) -> Result<HashMap<StreamId, StreamSeq>, AppendError> {
    let mut heads = HashMap::new();
    // The records of a stream mostly stand together; their head is looked up once.
    for run in batch.records.chunk_by(|one, next| one.stream == next.stream) {
        let Some(Record { stream, .. }) = run.first() else { continue };
        let head = heads.entry(*stream).or_insert_with(|| head_of(*stream));
        for Record { seq, .. } in run {
            let expected = head.next();
            if *seq != expected {
                return Err(AppendError::Conflict { stream: *stream, expected, got: *seq });
            }
            *head = expected;
        }
    }
    Ok(heads)
}

/// Gives the batch's records the offsets after `head`. For stores, once the batch is durable.
#[expect(clippy::disallowed_methods, reason = "this is where a store claims that records are committed")]
pub fn attest(batch: Batch, head: Offset) -> Vec<CommittedRecord> {
    let mut offset = head;
    let number = |record| {
        offset = offset.next();
        Committed::attest(offset, Arc::new(record))
    };
    batch.records.into_iter().map(number).collect()
}
