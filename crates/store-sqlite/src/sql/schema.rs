//! The file: its tables, its formats, its settings.

use std::time::Duration;

use moorline_types::Epoch;
use rusqlite::{Connection, params};

use super::{Transaction, to_sql};
use crate::checkpoint::MOST_BYTES;
use crate::fault::SqlError;
use crate::options::Durability;

/// Names this program in the file's header: "Moor".
pub(crate) const APPLICATION_ID: i32 = 0x4d6f_6f72;

/// What each format adds to the one before. The first makes format 1 of an empty file: one record in each row. The second
/// has rows of several; the rows of the first stay as they are, and are read as they are.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE store (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        epoch BLOB NOT NULL,
        revision INTEGER NOT NULL DEFAULT 0,
        trimmed_through INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE journal (
        offset INTEGER PRIMARY KEY,
        stream BLOB NOT NULL,
        seq INTEGER NOT NULL,
        at INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX journal_by_stream ON journal (stream, seq);
    CREATE TABLE trims (
        stream BLOB PRIMARY KEY,
        through INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE documents (
        collection TEXT NOT NULL,
        key TEXT NOT NULL,
        revision INTEGER NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (collection, key)
    ) STRICT;
    CREATE TABLE probe (id INTEGER PRIMARY KEY, filler BLOB NOT NULL) STRICT;
",
    "
    ALTER TABLE journal ADD COLUMN toc BLOB;
    ALTER TABLE journal ADD COLUMN sum INTEGER;
",
];

/// The newest format that this version knows.
pub(crate) const KNOWN_VERSION: i64 = MIGRATIONS.len() as i64;

/// The journal mode that a store needs.
pub(crate) const LOG_MODE: &str = "wal";

/// How long to wait for a tool that has the file locked for a moment, such as a backup. Meanwhile nothing is committed, so not
/// longer than the usual patience of whoever waits for a reply.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether a connection waits for a tool that has the file locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// For [`BUSY_TIMEOUT`].
    Usual,
    /// Not at all.
    None,
}

/// Prepared statements that a connection keeps: every statement below.
const STATEMENTS: usize = 32;

/// Bytes in a page of a new file. Twice SQLite's default: a row of several records writes half as many pages, which makes
/// it a fifth cheaper, and a record that comes alone costs 2 µs more. Twice as many again would gain half as much and
/// cost more.
const PAGE_BYTES: i64 = 8 * 1024;

/// What a file says of itself.
pub(crate) struct Identity {
    pub(crate) application_id: i32,
    pub(crate) version: i64,
    /// Nothing was ever written to it.
    pub(crate) is_fresh: bool,
}

pub(crate) fn identity(conn: &Connection) -> Result<Identity, SqlError> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    let number = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application_id = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let version = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    Ok(Identity { application_id, version, is_fresh: application_id == 0 && version == 0 && tables == 0 })
}

/// From here on the connection waits so long for somebody who has the file locked.
pub(crate) fn wait_for_lock(conn: &Connection, patience: Patience) -> Result<(), SqlError> {
    let length = match patience {
        Patience::Usual => BUSY_TIMEOUT,
        Patience::None => Duration::ZERO,
    };
    Ok(conn.busy_timeout(length)?)
}

pub(crate) fn is_readonly(conn: &Connection) -> Result<bool, SqlError> {
    Ok(conn.is_readonly(rusqlite::MAIN_DB)?)
}

/// Prepares the connection that writes, and returns the journal mode that it got.
pub(crate) fn configure_writer(conn: &Connection, durability: Durability) -> Result<String, SqlError> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Of a file that exists already, this says nothing.
    conn.pragma_update(None, "page_size", PAGE_BYTES)?;
    let mode = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    let synchronous = match durability {
        Durability::Process => "NORMAL",
        Durability::Power => "FULL",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    // Where a plain fsync stops at the disk's own cache, ask for more.
    conn.pragma_update(None, "fullfsync", durability == Durability::Power)?;
    conn.pragma_update(None, "checkpoint_fullfsync", true)?;
    // As long as a burst makes it at the most, so that it is written in place when it begins anew: the system would have to
    // find room for it again, with every sync.
    conn.pragma_update_and_check(None, "journal_size_limit", to_sql(MOST_BYTES), |_| Ok(()))?;
    Ok(mode)
}

pub(crate) fn configure_reader(conn: &Connection) -> Result<(), SqlError> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// Brings the file to the newest format, in one transaction, and out of the log into the file: the epoch must not be
/// lost with the last moments before a power cut.
pub(crate) fn migrate(conn: &mut Connection, from: i64, epoch: Epoch) -> Result<(), SqlError> {
    let tx = Transaction::begin_write(conn)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or(0)) {
        tx.execute_batch(migration)?;
    }
    tx.execute("INSERT OR IGNORE INTO store (id, epoch) VALUES (1, ?1)", params![epoch.to_bytes()])?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", KNOWN_VERSION)?;
    tx.commit()?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

/// Names the lineage anew, out of the log into the file as well.
pub(crate) fn renew_epoch(conn: &Connection, epoch: Epoch) -> Result<(), SqlError> {
    conn.execute("UPDATE store SET epoch = ?1", params![epoch.to_bytes()])?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

/// The pages that hold something, in bytes.
pub(crate) fn used_bytes(conn: &Connection) -> Result<u64, SqlError> {
    let number = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let (pages, free) = (number("PRAGMA page_count")?, number("PRAGMA freelist_count")?);
    let bytes = pages.saturating_sub(free).saturating_mul(number("PRAGMA page_size")?);
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Limits the size of the data file.
pub(crate) fn limit_size(conn: &Connection, max_bytes: Option<u64>) -> Result<(), SqlError> {
    let page_bytes: i64 = conn.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    // The largest number of pages that a database can have.
    let most = 4_294_967_294;
    let pages = max_bytes.map_or(most, |bytes| (to_sql(bytes) / page_bytes.max(1)).clamp(1, most));
    conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
    Ok(())
}
