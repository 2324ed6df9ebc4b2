//! All SQL of the store, here and in the modules below.
//!
//! - `journal`: the records, in rows as [`crate::row`] describes them. A stream's head is its largest `seq` there, the
//!   journal's head the largest `offset`, so there is no counter that could disagree with the rows.
//! - `trims`: what the journal cannot tell of a stream because it was trimmed.
//! - `documents`: the documents, each with the number of the change that it is from.
//! - `store`: one row. The epoch, the last revision that may have been given, and the largest offset that was trimmed.
//! - `probe`: always empty between transactions.
//!
//! Within a stream, `offset` grows with `seq`. The index by stream and `seq` is therefore ordered by `offset` too,
//! though SQLite cannot know; the first record after an offset is found by narrowing down instead of a second index.

use moorline_store::Revision;
use moorline_types::{Epoch, Offset};
use rusqlite::Connection;

use crate::fault::SqlError;

mod append;
mod documents;
mod log;
mod merge;
mod read;
mod schema;
mod transaction;
mod trim;

pub(crate) use append::insert_batch;
pub(crate) use documents::{delete, document, list, note_revision, put, revision};
pub(crate) use log::{copy_log, empty_log, log_bytes, page_bytes, watch_log};
pub(crate) use read::{last_moment, last_records, read_stream, read_streams, stream_bounds, stream_bytes};
pub(crate) use schema::{
    APPLICATION_ID, KNOWN_VERSION, LOG_MODE, Patience, configure_reader, configure_writer, identity, is_readonly,
    limit_size, migrate, renew_epoch, used_bytes, wait_for_lock,
};
pub(crate) use transaction::Transaction;
pub(crate) use trim::{trim, trim_step};

/// Bytes that the probe takes up: more than a page, so that it needs room that is not there in a full store.
const PROBE_BYTES: i64 = 16 * 1024;

/// What the writer must know to go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) epoch: Epoch,
    pub(crate) head: Offset,
    pub(crate) revision: Revision,
}

pub(crate) fn state(conn: &Connection) -> Result<State, SqlError> {
    let mut statement = conn.prepare_cached(
        "SELECT epoch, revision, max(trimmed_through, coalesce((SELECT max(offset) FROM journal), 0)) FROM store",
    )?;
    let (epoch, revision, head): ([u8; 16], i64, i64) =
        statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(State {
        epoch: Epoch::from_bytes(epoch),
        head: Offset::new(from_sql(head).ok_or(SqlError::DamagedTable { table: "journal" })?),
        revision: documents::to_revision(revision)?,
    })
}

pub(crate) fn probe(tx: &Transaction<'_>) -> Result<(), SqlError> {
    tx.prepare_cached("INSERT INTO probe (id, filler) VALUES (1, zeroblob(?1))")?.execute([PROBE_BYTES])?;
    tx.prepare_cached("DELETE FROM probe")?.execute([])?;
    Ok(())
}

/// Answers a question from one snapshot.
pub(crate) fn snapshot<T>(
    conn: &mut Connection,
    question: impl FnOnce(&Transaction<'_>) -> Result<T, SqlError>,
) -> Result<T, SqlError> {
    let tx = Transaction::begin_read(conn)?;
    let answer = question(&tx)?;
    tx.finish()?;
    Ok(answer)
}

/// Positions and times stay far below the bound of an SQL integer; one that a caller made up is read as the bound.
fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}
