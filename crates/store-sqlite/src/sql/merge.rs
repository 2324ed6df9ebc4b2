//! Reading a few streams together, in the order of the journal.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use moorline_store::{CommittedRecord, Page, ReadBudget, StreamBounds};
use moorline_types::{Offset, StreamId, StreamSeq};
use rusqlite::params;

use super::read::{COLUMNS, End, end_of_row_with, stream_bounds, to_run};
use super::{Transaction, to_sql};
use crate::fault::SqlError;

/// Where a stream goes on. Ordered by the journal: rows do not overlap, so the one that ends first also begins first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    /// The end of the stream's next row.
    offset: Offset,
    stream: StreamId,
    /// The position of the same record.
    seq: StreamSeq,
    /// The stream's head.
    head: StreamSeq,
    /// The position at which the row has to begin; `None` for the first row, in which the reading may begin anywhere.
    begins: Option<StreamSeq>,
}

/// Looks up each stream's first row after `after`, then always takes the one that is next in the journal.
pub(super) fn merge(
    tx: &Transaction<'_>,
    streams: &[StreamId],
    after: Offset,
    mut budget: ReadBudget,
    page: &mut Page,
) -> Result<(), SqlError> {
    let mut next = BinaryHeap::new();
    for stream in streams {
        if let Some((End { seq, offset }, head)) = first_after(tx, *stream, after)? {
            next.push(Reverse(Next { offset, stream: *stream, seq, head, begins: None }));
        }
    }
    let mut statement = tx.prepare_cached(&format!("SELECT {COLUMNS} FROM journal WHERE offset = ?1"))?;
    while let Some(Reverse(Next { offset, stream, seq, head, begins })) = next.pop() {
        let mut rows = statement.query(params![to_sql(offset.get())])?;
        let run = to_run(rows.next()?.ok_or(SqlError::Damaged { offset, field: "offset" })?)?;
        run.check_follows(begins, seq)?;
        if !run.take_from(after.next(), &mut budget, &mut page.records)? {
            page.through = page.records.last().map_or(after, CommittedRecord::offset);
            return Ok(());
        }
        if seq < head {
            let end = end_of_row_with(tx, stream, seq.next())?;
            let End { seq: end, offset } = end.ok_or(SqlError::DamagedTable { table: "journal" })?;
            next.push(Reverse(Next { offset, stream, seq: end, head, begins: Some(seq.next()) }));
        }
    }
    Ok(())
}

/// The end of the row that has the stream's first record after `after`, and the stream's head.
///
/// A stream has at most as many records between two offsets as there are offsets, which bounds the search from both
/// sides: where a stream is most of the journal, the bound is the answer and the first look confirms it.
fn first_after(tx: &Transaction<'_>, stream: StreamId, after: Offset) -> Result<Option<(End, StreamSeq)>, SqlError> {
    let StreamBounds { oldest, head } = stream_bounds(tx, stream)?;
    if oldest > head {
        return Ok(None);
    }
    let look = |seq| end_of_row_with(tx, stream, seq)?.ok_or(SqlError::DamagedTable { table: "journal" });
    let mut found = look(head)?;
    if found.offset <= after {
        return Ok(None);
    }
    // The record is at `low` or later. The row that has `high` in it is `found`, which ends after `after`.
    let (mut low, mut high) = (oldest, head);
    let mut at_the_bound = true;
    loop {
        let beyond = found.offset.since(after) - 1;
        low = low.max(StreamSeq::new(found.seq.get().saturating_sub(beyond)));
        if low >= high {
            return Ok(Some((found, head)));
        }
        let middle = if at_the_bound { low } else { StreamSeq::new(low.get().midpoint(high.get())) };
        at_the_bound = !at_the_bound;
        let row = look(middle)?;
        if row.offset > after {
            (found, high) = (row, middle);
        } else {
            low = row.seq.next();
        }
    }
}
