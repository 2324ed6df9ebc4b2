//! The heads of the streams that are written to, so that deciding about an append needs no query.

use std::collections::HashMap;

use moorline_types::{StreamId, StreamSeq};

use crate::fault::SqlError;
use crate::sql::{self, Transaction};

/// Heads that are remembered: as many streams as may be written to at once, at 40 bytes each. A full map is emptied
/// rather than aged, which costs one query for each stream that is still written to.
const REMEMBERED: usize = 65_536;

/// Heads by stream, as the transaction under way leaves them.
#[derive(Debug, Default)]
pub(super) struct Heads {
    known: HashMap<StreamId, StreamSeq>,
}

impl Heads {
    /// The head of the stream, from memory or from the database.
    pub(super) fn load(&mut self, tx: &Transaction<'_>, stream: StreamId) -> Result<StreamSeq, SqlError> {
        if let Some(head) = self.known.get(&stream) {
            return Ok(*head);
        }
        let head = sql::stream_bounds(tx, stream)?.head;
        self.set(stream, head);
        Ok(head)
    }

    /// The stream has got records.
    pub(super) fn set(&mut self, stream: StreamId, head: StreamSeq) {
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(stream, head);
    }

    /// The transaction failed: what it left is not so.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }
}
