//! All SQL of the store.
//!
//! - `journal`: the records. A stream's head is its largest `seq` there, the journal's head the largest `offset`, so
//!   there is no counter that could disagree with the rows.
//! - `trims`: what the journal cannot tell of a stream because it was trimmed.
//! - `documents`: the documents, each with the number of the change that it is from.
//! - `store`: one row. The epoch, the last revision, and the largest offset that was trimmed.
//! - `probe`: always empty between transactions.
//!
//! Within a stream, `offset` grows with `seq`. The index by stream and `seq` is therefore ordered by `offset` too,
//! though SQLite cannot know; the first record after an offset is found by bisection instead of a second index.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moorline_store::limits::{MAX_LIST_BYTES, MAX_LIST_DOCUMENTS};
use moorline_store::{
    Collection, CommittedRecord, DocKey, Document, Page, ReadBudget, ReadLimit, Revision, StreamBounds,
};
use moorline_types::{Committed, Epoch, Offset, Record, RecordKind, StreamId, StreamSeq, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, named_params, params};

use crate::fault::SqlError;
use crate::options::Durability;

/// Names this program in the file's header: "Moor".
pub(crate) const APPLICATION_ID: i32 = 0x4d6f_6f72;

/// What each format adds to the one before. The first makes format 1 of an empty file.
const MIGRATIONS: &[&str] = &["
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
"];

/// The newest format that this version knows.
pub(crate) const KNOWN_VERSION: i64 = MIGRATIONS.len() as i64;

/// The journal mode that a store needs.
pub(crate) const LOG_MODE: &str = "wal";

/// How long to wait for a tool that has the file locked for a moment, such as a backup. Meanwhile nothing is committed, so not
/// longer than the usual patience of whoever waits for a reply.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Prepared statements that a connection keeps: every statement below.
const STATEMENTS: usize = 32;

/// What the write-ahead log is cut back to once it has been copied into the file. A burst may make it larger.
const LOG_BYTES: i64 = 64 * 1024 * 1024;

/// Bytes that the probe takes up: more than a page, so that it needs room that is not there in a full store.
const PROBE_BYTES: i64 = 16 * 1024;

/// Streams up to which each is looked up by itself. A lookup costs about what reading ten records costs, so for many
/// streams it is cheaper to walk the journal and pick.
const LOOKED_UP_STREAMS: usize = 256;

/// Records that one such walk passes. Bounds how long a reader is held up when nothing fits.
const WALKED_RECORDS: u64 = 16_384;

const RECORD_COLUMNS: &str = "offset, stream, seq, at, kind, body";

/// What a file says of itself.
pub(crate) struct Identity {
    pub(crate) application_id: i32,
    pub(crate) version: i64,
    /// Nothing was ever written to it.
    pub(crate) is_fresh: bool,
}

/// What the writer must know to go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) epoch: Epoch,
    pub(crate) head: Offset,
    pub(crate) revision: Revision,
}

// === Opening ===

pub(crate) fn identity(conn: &Connection) -> Result<Identity, SqlError> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    let number = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application_id = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let version = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    Ok(Identity { application_id, version, is_fresh: application_id == 0 && version == 0 && tables == 0 })
}

pub(crate) fn is_readonly(conn: &Connection) -> Result<bool, SqlError> {
    Ok(conn.is_readonly(rusqlite::MAIN_DB)?)
}

/// Prepares the connection that writes, and returns the journal mode that it got.
pub(crate) fn configure_writer(conn: &Connection, durability: Durability) -> Result<String, SqlError> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    let mode = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    let synchronous = match durability {
        Durability::Process => "NORMAL",
        Durability::Power => "FULL",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    // Where a plain fsync stops at the disk's own cache, ask for more.
    conn.pragma_update(None, "fullfsync", durability == Durability::Power)?;
    conn.pragma_update(None, "checkpoint_fullfsync", true)?;
    conn.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
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
    let tx = begin_write(conn)?;
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

/// The bodies of a stream's records, in bytes. Lengths are read without the bodies.
pub(crate) fn stream_bytes(tx: &Transaction<'_>, stream: StreamId) -> Result<u64, SqlError> {
    let bytes: i64 = tx
        .prepare_cached("SELECT coalesce(sum(length(body)), 0) FROM journal WHERE stream = ?1")?
        .query_row(params![stream.to_bytes()], |row| row.get(0))?;
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

pub(crate) fn state(conn: &Connection) -> Result<State, SqlError> {
    let mut statement = conn.prepare_cached(
        "SELECT epoch, revision, max(trimmed_through, coalesce((SELECT max(offset) FROM journal), 0)) FROM store",
    )?;
    let (epoch, revision, head): ([u8; 16], i64, i64) =
        statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(State {
        epoch: Epoch::from_bytes(epoch),
        head: Offset::new(from_sql(head).ok_or(SqlError::DamagedTable { table: "journal" })?),
        revision: to_revision(revision)?,
    })
}

// === Writing ===

/// Begins a transaction that has the right to write from the start.
pub(crate) fn begin_write(conn: &mut Connection) -> Result<Transaction<'_>, SqlError> {
    Ok(conn.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

pub(crate) fn insert_record(tx: &Transaction<'_>, offset: Offset, record: &Record) -> Result<(), SqlError> {
    let mut statement =
        tx.prepare_cached("INSERT INTO journal (offset, stream, seq, at, kind, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    statement.execute(params![
        to_sql(offset.get()),
        record.stream.to_bytes(),
        to_sql(record.seq.get()),
        to_sql(record.at.as_unix_millis()),
        record.kind.number(),
        &record.body[..],
    ])?;
    Ok(())
}

/// Removes the records of the stream before `oldest`, of which there is at least one.
pub(crate) fn trim(tx: &Transaction<'_>, stream: StreamId, oldest: StreamSeq) -> Result<(), SqlError> {
    let through = to_sql(oldest.previous().get());
    let last = offset_of(tx, stream, oldest.previous())?;
    tx.prepare_cached("DELETE FROM journal WHERE stream = ?1 AND seq <= ?2")?
        .execute(params![stream.to_bytes(), through])?;
    tx.prepare_cached("INSERT OR REPLACE INTO trims (stream, through) VALUES (?1, ?2)")?
        .execute(params![stream.to_bytes(), through])?;
    tx.prepare_cached("UPDATE store SET trimmed_through = max(trimmed_through, ?1)")?
        .execute(params![to_sql(last.get())])?;
    Ok(())
}

pub(crate) fn put(tx: &Transaction<'_>, key: &DocKey, value: &[u8], revision: Revision) -> Result<(), SqlError> {
    tx.prepare_cached("INSERT OR REPLACE INTO documents (collection, key, revision, value) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![key.collection().as_str(), key.key(), to_sql(revision.get()), value])?;
    tx.prepare_cached("UPDATE store SET revision = ?1")?.execute(params![to_sql(revision.get())])?;
    Ok(())
}

pub(crate) fn delete(tx: &Transaction<'_>, key: &DocKey) -> Result<(), SqlError> {
    tx.prepare_cached("DELETE FROM documents WHERE collection = ?1 AND key = ?2")?
        .execute(params![key.collection().as_str(), key.key()])?;
    Ok(())
}

pub(crate) fn probe(tx: &Transaction<'_>) -> Result<(), SqlError> {
    tx.prepare_cached("INSERT INTO probe (id, filler) VALUES (1, zeroblob(?1))")?.execute(params![PROBE_BYTES])?;
    tx.prepare_cached("DELETE FROM probe")?.execute([])?;
    Ok(())
}

// === Reading ===

/// Answers a question from one snapshot.
pub(crate) fn snapshot<T>(
    conn: &mut Connection,
    question: impl FnOnce(&Transaction<'_>) -> Result<T, SqlError>,
) -> Result<T, SqlError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Deferred)?;
    let answer = question(&tx)?;
    tx.finish()?;
    Ok(answer)
}

pub(crate) fn stream_bounds(tx: &Transaction<'_>, stream: StreamId) -> Result<StreamBounds, SqlError> {
    let mut statement = tx.prepare_cached(
        "SELECT (SELECT max(seq) FROM journal WHERE stream = ?1), (SELECT through FROM trims WHERE stream = ?1)",
    )?;
    let (last, through): (Option<i64>, Option<i64>) =
        statement.query_row(params![stream.to_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let seq = |number: Option<i64>, table| match number.map(from_sql) {
        None => Ok(StreamSeq::ZERO),
        Some(number) => number.map(StreamSeq::new).ok_or(SqlError::DamagedTable { table }),
    };
    let (last, through) = (seq(last, "journal")?, seq(through, "trims")?);
    Ok(StreamBounds { oldest: through.next(), head: last.max(through) })
}

pub(crate) fn read_stream(
    tx: &Transaction<'_>,
    stream: StreamId,
    from: StreamSeq,
    limit: ReadLimit,
) -> Result<Vec<CommittedRecord>, SqlError> {
    let mut expected = from.max(stream_bounds(tx, stream)?.oldest);
    let mut statement = tx.prepare_cached(&format!(
        "SELECT {RECORD_COLUMNS} FROM journal WHERE stream = ?1 AND seq >= ?2 ORDER BY seq"
    ))?;
    let mut rows = statement.query(params![stream.to_bytes(), to_sql(expected.get())])?;
    let (mut budget, mut records) = (limit.budget(), Vec::new());
    while let Some(row) = rows.next()? {
        let record = to_record(row)?;
        if record.seq != expected {
            return Err(SqlError::Damaged { offset: record.offset(), field: "seq" });
        }
        if !budget.take(record.body.len()) {
            break;
        }
        expected = expected.next();
        records.push(record);
    }
    Ok(records)
}

/// `streams` is sorted and holds nothing twice.
pub(crate) fn read_streams(
    tx: &Transaction<'_>,
    streams: &[StreamId],
    after: Offset,
    limit: ReadLimit,
) -> Result<Page, SqlError> {
    let head = state(tx)?.head;
    if after >= head {
        return Ok(Page { records: Vec::new(), through: after });
    }
    let mut page = Page { records: Vec::new(), through: head };
    if streams.len() <= LOOKED_UP_STREAMS {
        merge(tx, streams, after, limit.budget(), &mut page)?;
    } else {
        walk(tx, streams, after, limit.budget(), &mut page)?;
    }
    Ok(page)
}

/// Looks up each stream's first record after `after`, then always takes the one that is next in the journal.
fn merge(
    tx: &Transaction<'_>,
    streams: &[StreamId],
    after: Offset,
    mut budget: ReadBudget,
    page: &mut Page,
) -> Result<(), SqlError> {
    let mut next = BinaryHeap::new();
    for stream in streams {
        if let Some((seq, offset, head)) = first_after(tx, *stream, after)? {
            next.push(Reverse((offset, *stream, seq, head)));
        }
    }
    let mut statement = tx.prepare_cached(&format!("SELECT {RECORD_COLUMNS} FROM journal WHERE offset = ?1"))?;
    while let Some(Reverse((offset, stream, seq, head))) = next.pop() {
        let mut rows = statement.query(params![to_sql(offset.get())])?;
        let row = rows.next()?.ok_or(SqlError::Damaged { offset, field: "offset" })?;
        let record = to_record(row)?;
        if !budget.take(record.body.len()) {
            page.through = page.records.last().map_or(after, CommittedRecord::offset);
            return Ok(());
        }
        page.records.push(record);
        if seq < head {
            next.push(Reverse((offset_of(tx, stream, seq.next())?, stream, seq.next(), head)));
        }
    }
    Ok(())
}

/// The first record of the stream after `after` (its position and offset), and the stream's head.
fn first_after(
    tx: &Transaction<'_>,
    stream: StreamId,
    after: Offset,
) -> Result<Option<(StreamSeq, Offset, StreamSeq)>, SqlError> {
    let StreamBounds { oldest, head } = stream_bounds(tx, stream)?;
    if oldest > head || offset_of(tx, stream, head)? <= after {
        return Ok(None);
    }
    // The record at `high` is after `after`; every one before `low` is not.
    let (mut low, mut high) = (oldest, head);
    while low < high {
        let middle = StreamSeq::new(low.get().midpoint(high.get()));
        if offset_of(tx, stream, middle)? > after {
            high = middle;
        } else {
            low = middle.next();
        }
    }
    Ok(Some((low, offset_of(tx, stream, low)?, head)))
}

/// The offset of a record that must be there.
fn offset_of(tx: &Transaction<'_>, stream: StreamId, seq: StreamSeq) -> Result<Offset, SqlError> {
    let offset: Option<i64> = tx
        .prepare_cached("SELECT offset FROM journal WHERE stream = ?1 AND seq = ?2")?
        .query_row(params![stream.to_bytes(), to_sql(seq.get())], |row| row.get(0))
        .optional()?;
    let offset = offset.and_then(from_sql).ok_or(SqlError::DamagedTable { table: "journal" })?;
    Ok(Offset::new(offset))
}

/// Walks the journal and picks what belongs to the streams.
fn walk(
    tx: &Transaction<'_>,
    streams: &[StreamId],
    after: Offset,
    mut budget: ReadBudget,
    page: &mut Page,
) -> Result<(), SqlError> {
    let wanted: HashSet<[u8; 17]> = streams.iter().map(|stream| stream.to_bytes()).collect();
    let mut statement = tx.prepare_cached(&format!(
        "SELECT {RECORD_COLUMNS} FROM journal WHERE offset > :after ORDER BY offset LIMIT :limit"
    ))?;
    let mut rows =
        statement.query(named_params! { ":after": to_sql(after.get()), ":limit": to_sql(WALKED_RECORDS) })?;
    let (mut walked, mut reached) = (0, after);
    while let Some(row) = rows.next()? {
        let offset = offset_in(row)?;
        let stream = row.get_ref(1)?.as_blob().map_err(|_| SqlError::Damaged { offset, field: "stream" })?;
        if wanted.contains(stream) {
            let record = to_record(row)?;
            if !budget.take(record.body.len()) {
                page.through = reached;
                return Ok(());
            }
            page.records.push(record);
        }
        (walked, reached) = (walked + 1, offset);
    }
    if walked == WALKED_RECORDS {
        page.through = reached;
    }
    Ok(())
}

pub(crate) fn revision(tx: &Transaction<'_>, key: &DocKey) -> Result<Option<Revision>, SqlError> {
    let mut statement = tx.prepare_cached("SELECT revision FROM documents WHERE collection = ?1 AND key = ?2")?;
    let found = statement.query_row(params![key.collection().as_str(), key.key()], |row| row.get(0)).optional()?;
    found.map(to_revision).transpose()
}

pub(crate) fn document(tx: &Transaction<'_>, key: &DocKey) -> Result<Option<Document>, SqlError> {
    let mut statement =
        tx.prepare_cached("SELECT revision, value FROM documents WHERE collection = ?1 AND key = ?2")?;
    let found: Option<(i64, Vec<u8>)> = statement
        .query_row(params![key.collection().as_str(), key.key()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found.map(to_document).transpose()
}

/// `after` is empty for the first page: no key is.
pub(crate) fn list(
    tx: &Transaction<'_>,
    collection: Collection,
    after: &str,
    limit: usize,
) -> Result<Vec<(DocKey, Document)>, SqlError> {
    let mut statement = tx
        .prepare_cached("SELECT key, revision, value FROM documents WHERE collection = ?1 AND key > ?2 ORDER BY key")?;
    let mut rows = statement.query(params![collection.as_str(), after])?;
    let mut budget = ReadLimit::new(limit.min(MAX_LIST_DOCUMENTS), MAX_LIST_BYTES).budget();
    let mut documents = Vec::new();
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        let document = to_document((row.get(1)?, row.get(2)?))?;
        if !budget.take(document.value.len()) {
            break;
        }
        let key = DocKey::new(collection, key).map_err(|_| SqlError::DamagedTable { table: "documents" })?;
        documents.push((key, document));
    }
    Ok(documents)
}

// === Rows ===

fn to_document((revision, value): (i64, Vec<u8>)) -> Result<Document, SqlError> {
    Ok(Document { revision: to_revision(revision)?, value: value.into() })
}

fn to_revision(number: i64) -> Result<Revision, SqlError> {
    from_sql(number).map(Revision::new).ok_or(SqlError::DamagedTable { table: "documents" })
}

fn offset_in(row: &Row<'_>) -> Result<Offset, SqlError> {
    from_sql(row.get(0)?).map(Offset::new).ok_or(SqlError::DamagedTable { table: "journal" })
}

/// Reads a row of [`RECORD_COLUMNS`].
#[expect(clippy::disallowed_methods, reason = "a row of a committed snapshot is what a committed record is")]
fn to_record(row: &Row<'_>) -> Result<CommittedRecord, SqlError> {
    let offset = offset_in(row)?;
    let damaged = |field| SqlError::Damaged { offset, field };
    let stream = row.get_ref(1)?.as_blob().ok().and_then(StreamId::from_bytes).ok_or(damaged("stream"))?;
    let seq = from_sql(row.get(2)?).map(StreamSeq::new).ok_or(damaged("seq"))?;
    let at = from_sql(row.get(3)?).map(Timestamp::from_unix_millis).ok_or(damaged("at"))?;
    let kind = u8::try_from(row.get::<_, i64>(4)?).map_err(|_| damaged("kind"))?;
    let kind = RecordKind::try_from(kind).map_err(|source| SqlError::UnknownKind { offset, source })?;
    let body = row.get_ref(5)?.as_blob().map(Bytes::copy_from_slice).map_err(|_| damaged("body"))?;
    Ok(Committed::attest(offset, Arc::new(Record { stream, seq, at, kind, body })))
}

/// Positions and times stay far below the bound of an SQL integer; one that a caller made up is read as the bound.
fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}
