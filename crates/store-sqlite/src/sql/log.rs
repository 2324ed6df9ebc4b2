//! The write-ahead log: how long it is, and copying it into the file.

use std::cell::Cell;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::from_sql;
use super::schema::BUSY_TIMEOUT;
use crate::fault::SqlError;

/// How long emptying the log waits for readers to leave it. A question takes a few milliseconds; whoever reads longer,
/// such as a backup, is not waited for.
const PATIENCE: Duration = Duration::from_millis(20);

thread_local! {
    /// Pages in the log after the last commit of the connection that this thread writes with.
    static PAGES: Cell<i32> = const { Cell::new(0) };
}

/// Has the length of the log counted from here on. SQLite's own way of keeping it short, which is to copy a part of it
/// in the middle of a commit, ends with this.
pub(crate) fn watch_log(conn: &Connection) {
    conn.wal_hook(Some(|_: &Wal, pages| {
        PAGES.set(pages);
        Ok(())
    }));
}

/// The length of the log, in bytes of pages, after the last commit of this thread.
pub(crate) fn log_bytes(page_bytes: u64) -> u64 {
    u64::try_from(PAGES.get()).unwrap_or(0).saturating_mul(page_bytes)
}

/// Bytes of one page of the file.
pub(crate) fn page_bytes(conn: &Connection) -> Result<u64, SqlError> {
    let bytes: i64 = conn.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    Ok(from_sql(bytes).unwrap_or(0))
}

/// Copies what is in the log into the file, as far as that is possible beside those who write and read.
pub(crate) fn copy_log(conn: &Connection) -> Result<(), SqlError> {
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    Ok(())
}

/// Copies the rest of the log, and has the next commit write from its beginning again. `false` if somebody reads from it.
/// To be called by the one who writes, so that nobody else does meanwhile.
pub(crate) fn empty_log(conn: &Connection) -> Result<bool, SqlError> {
    conn.busy_timeout(PATIENCE)?;
    let emptied = conn.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get(0));
    conn.busy_timeout(BUSY_TIMEOUT)?;
    let is_busy: i64 = emptied?;
    Ok(is_busy == 0)
}
