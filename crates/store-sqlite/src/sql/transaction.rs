//! Transactions whose beginning and end are prepared once, as every other statement is. The library parses them anew each
//! time, which is a microsecond for each.

use std::ops::Deref;

use rusqlite::Connection;

use crate::fault::SqlError;

/// A transaction under way. Whatever was done in it is undone if it is dropped and was not committed.
#[derive(Debug)]
pub(crate) struct Transaction<'c> {
    conn: &'c Connection,
}

impl<'c> Transaction<'c> {
    /// Begins one that has the right to write from the start.
    pub(crate) fn begin_write(conn: &'c mut Connection) -> Result<Self, SqlError> {
        Self::begin(conn, "BEGIN IMMEDIATE")
    }

    /// Begins one that sees what is committed when it reads first, and nothing later.
    pub(crate) fn begin_read(conn: &'c mut Connection) -> Result<Self, SqlError> {
        Self::begin(conn, "BEGIN DEFERRED")
    }

    /// The exclusive borrow sees to it that there is one at a time.
    fn begin(conn: &'c mut Connection, how: &str) -> Result<Self, SqlError> {
        conn.prepare_cached(how)?.execute([])?;
        Ok(Self { conn })
    }

    /// Commits.
    pub(crate) fn commit(self) -> Result<(), SqlError> {
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Ends one that has only read.
    pub(crate) fn finish(self) -> Result<(), SqlError> {
        self.roll_back()
    }

    fn roll_back(&self) -> Result<(), SqlError> {
        // A failure may have rolled it back already.
        if !self.conn.is_autocommit() {
            self.conn.prepare_cached("ROLLBACK")?.execute([])?;
        }
        Ok(())
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.roll_back() {
            tracing::warn!(%error, "a transaction is not rolled back");
        }
    }
}
