//! Appending a batch.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;
use moorline_store::{AppendError, Change, CommittedBatch, Tail, admit};
use moorline_types::{Batch, Offset, Record, StreamId, StreamSeq};

use super::write::{Reply, Staging, Write};
use crate::fault::{Failure, SqlError};
use crate::sql;

pub(crate) struct Append {
    batch: Batch,
    changes: Vec<Change>,
    bytes: usize,
    /// The head of the journal before the batch, or why it was refused.
    decision: Result<Offset, AppendError>,
    reply: Reply<CommittedBatch, AppendError>,
}

impl Append {
    pub(crate) fn new(batch: Batch, changes: Vec<Change>, reply: Reply<CommittedBatch, AppendError>) -> Self {
        let values: usize = changes.iter().filter_map(|change| change.value.as_ref()).map(Bytes::len).sum();
        Self { bytes: batch.body_bytes() + values, batch, changes, decision: Err(AppendError::Closed), reply }
    }

    fn decide(&self, staging: &mut Staging<'_>) -> Result<Result<HashMap<StreamId, StreamSeq>, AppendError>, SqlError> {
        let mut heads = HashMap::new();
        for run in self.batch.records.chunk_by(|one, next| one.stream == next.stream) {
            if let Some(Record { stream, .. }) = run.first()
                && let Entry::Vacant(head) = heads.entry(*stream)
            {
                head.insert(staging.heads.load(staging.tx, *stream)?);
            }
        }
        let heads = admit::next_heads(&self.batch, |stream| heads.get(&stream).copied().unwrap_or_default());
        // Every decision before the first change, because a refusal does not undo what its neighbours have done.
        for Change { key, expect, .. } in &self.changes {
            if let Err(source) = staging.check(key, *expect)? {
                return Ok(heads.and(Err(AppendError::Document { key: key.clone(), source })));
            }
        }
        Ok(heads)
    }

    fn change_documents(&self, staging: &mut Staging<'_>) -> Result<(), SqlError> {
        for Change { key, value, .. } in &self.changes {
            match value {
                None => sql::delete(staging.tx, key)?,
                Some(value) => {
                    staging.revision = staging.revision.next();
                    sql::put(staging.tx, key, value, staging.revision)?;
                }
            }
        }
        Ok(())
    }
}

impl Write for Append {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn stage(&mut self, staging: &mut Staging<'_>) -> Result<(), SqlError> {
        let heads = match self.decide(staging)? {
            Ok(heads) => heads,
            Err(refusal) => {
                self.decision = Err(refusal);
                return Ok(());
            }
        };
        self.decision = Ok(staging.head);
        staging.head = sql::insert_batch(staging.tx, staging.encoder, staging.head, &self.batch.records)?;
        for (stream, head) in heads {
            staging.heads.set(stream, head);
        }
        self.change_documents(staging)
    }

    fn answer(self: Box<Self>, outcome: Result<&Tail, &Failure>) {
        let answer = match (outcome, self.decision) {
            (Err(failure), _) => Err(failure.clone().into()),
            (Ok(_), Err(refusal)) => Err(refusal),
            (Ok(tail), Ok(before)) => {
                let records = admit::attest(self.batch, before);
                tail.publish(records.clone());
                Ok(CommittedBatch::new(records))
            }
        };
        drop(self.reply.send(answer));
    }
}
