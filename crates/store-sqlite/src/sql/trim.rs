//! Removing the oldest records of a stream.

use std::sync::Arc;

use moorline_store::ReadLimit;
use moorline_types::{Committed, Offset, Record, StreamId, StreamSeq};
use rusqlite::params;

use super::read::{COLUMNS, ROW_WITH, end_of_row_with, to_run};
use super::{Transaction, from_sql, to_sql};
use crate::fault::SqlError;
use crate::row::Encoder;

/// Rows that one step removes. Removing this many takes some tens of milliseconds, for which appenders wait.
const STEP_ROWS: i64 = 4_096;

/// Bytes of bodies in the rows that one step removes, beyond the first row: SQLite reads what it removes.
const STEP_BYTES: u64 = 16 * 1024 * 1024;

/// How far one step towards `goal` goes: the oldest record that it leaves.
pub(crate) fn trim_step(tx: &Transaction<'_>, stream: StreamId, goal: StreamSeq) -> Result<StreamSeq, SqlError> {
    let mut statement = tx
        .prepare_cached("SELECT seq, length(body) FROM journal WHERE stream = ?1 AND seq < ?2 ORDER BY seq LIMIT ?3")?;
    let mut rows = statement.query(params![stream.to_bytes(), to_sql(goal.get()), STEP_ROWS])?;
    let (mut count, mut bytes, mut oldest) = (0, 0, goal);
    while let Some(row) = rows.next()? {
        let damaged = || SqlError::DamagedTable { table: "journal" };
        let (seq, length) = (from_sql(row.get(0)?).ok_or_else(damaged)?, from_sql(row.get(1)?).ok_or_else(damaged)?);
        (count, bytes) = (count + 1, bytes + length);
        oldest = StreamSeq::new(seq).next();
        if bytes > STEP_BYTES {
            return Ok(oldest);
        }
    }
    Ok(if count == STEP_ROWS { oldest } else { goal })
}

/// Removes the records of the stream before `oldest`, of which there is at least one. A row in which both are is written
/// anew with what is left of it.
pub(crate) fn trim(
    tx: &Transaction<'_>,
    encoder: &mut Encoder,
    stream: StreamId,
    oldest: StreamSeq,
) -> Result<(), SqlError> {
    let through = oldest.previous();
    let last = end_of_row_with(tx, stream, through)?.ok_or(SqlError::DamagedTable { table: "journal" })?;
    // The records of a row are neighbours in both numberings.
    let trimmed_through = Offset::new(last.offset.get().saturating_sub(last.seq.since(through)));
    tx.prepare_cached("DELETE FROM journal WHERE stream = ?1 AND seq <= ?2")?
        .execute(params![stream.to_bytes(), to_sql(through.get())])?;
    if last.seq > through {
        shorten(tx, encoder, stream, trimmed_through.next(), last.seq)?;
    }
    tx.prepare_cached("INSERT OR REPLACE INTO trims (stream, through) VALUES (?1, ?2)")?
        .execute(params![stream.to_bytes(), to_sql(through.get())])?;
    tx.prepare_cached("UPDATE store SET trimmed_through = max(trimmed_through, ?1)")?
        .execute(params![to_sql(trimmed_through.get())])?;
    Ok(())
}

/// Writes the row that ends at `seq` anew, from the record at `from` on.
fn shorten(
    tx: &Transaction<'_>,
    encoder: &mut Encoder,
    stream: StreamId,
    from: Offset,
    seq: StreamSeq,
) -> Result<(), SqlError> {
    let mut left = Vec::new();
    {
        let mut statement = tx.prepare_cached(&format!("SELECT {COLUMNS} FROM journal {ROW_WITH}"))?;
        let mut rows = statement.query(params![stream.to_bytes(), to_sql(seq.get())])?;
        let row = rows.next()?.ok_or(SqlError::DamagedTable { table: "journal" })?;
        let everything = ReadLimit::new(usize::MAX, usize::MAX);
        to_run(row)?.take_from(from, &mut everything.budget(), &mut left)?;
    }
    let Some(offset) = left.last().map(Committed::offset) else { return Ok(()) };
    let left: Vec<Arc<Record>> = left.into_iter().map(Committed::into_inner).collect();
    if let Some(row) = encoder.encode(&left, offset) {
        tx.prepare_cached("UPDATE journal SET body = ?2, toc = ?3, sum = ?4 WHERE offset = ?1")?.execute(params![
            to_sql(offset.get()),
            row.body,
            row.toc,
            row.sum()
        ])?;
    }
    Ok(())
}
