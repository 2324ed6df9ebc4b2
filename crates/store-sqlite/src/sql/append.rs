//! Writing records.

use moorline_types::{Offset, Record};
use rusqlite::params;

use super::{Transaction, to_sql};
use crate::fault::SqlError;
use crate::row::{self, Encoder, Row};

/// Writes a batch after `head`, in as few rows as it takes, and returns the head that it leaves.
pub(crate) fn insert_batch(
    tx: &Transaction<'_>,
    encoder: &mut Encoder,
    head: Offset,
    records: &[Record],
) -> Result<Offset, SqlError> {
    let mut offset = head;
    for run in row::runs(records) {
        offset = Offset::new(offset.get() + run.len() as u64);
        if let Some(row) = encoder.encode(run, offset) {
            insert(tx, &row)?;
        }
    }
    Ok(offset)
}

fn insert(tx: &Transaction<'_>, row: &Row<'_>) -> Result<(), SqlError> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO journal (offset, stream, seq, at, kind, body, toc, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    statement.execute(params![
        to_sql(row.offset.get()),
        row.stream.to_bytes(),
        to_sql(row.seq.get()),
        to_sql(row.at.as_unix_millis()),
        row.kind,
        row.body,
        row.toc,
        row.sum(),
    ])?;
    Ok(())
}
