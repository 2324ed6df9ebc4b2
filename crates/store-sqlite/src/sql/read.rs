//! Reading records.

use std::collections::{HashMap, HashSet};

use moorline_store::{CommittedRecord, Page, ReadBudget, ReadLimit, StreamBounds, TailLimits};
use moorline_types::{Offset, StreamId, StreamSeq, Timestamp};
use rusqlite::{OptionalExtension, named_params, params};

use super::merge::merge;
use super::{Transaction, from_sql, state, to_sql};
use crate::fault::SqlError;
use crate::row::{Row, Run};

/// Streams up to which each is looked up by itself. A lookup costs about what passing ten rows costs, so for many
/// streams it is cheaper to walk the journal and pick.
const LOOKED_UP_STREAMS: usize = 256;

/// Rows that one such walk passes. Bounds how long a reader is held up when nothing fits.
const WALKED_ROWS: u64 = 16_384;

/// What [`to_run`] reads.
pub(super) const COLUMNS: &str = "offset, stream, seq, at, kind, body, toc, sum";

/// The row of a stream that has a position in it, or is the first one after it.
pub(super) const ROW_WITH: &str = "WHERE stream = ?1 AND seq >= ?2 ORDER BY seq LIMIT 1";

/// The last record of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) seq: StreamSeq,
    pub(super) offset: Offset,
}

/// The end of the row that has the position in it, or of the first one after it. Needs the index only.
pub(super) fn end_of_row_with(tx: &Transaction<'_>, stream: StreamId, seq: StreamSeq) -> Result<Option<End>, SqlError> {
    let found: Option<(i64, i64)> = tx
        .prepare_cached(&format!("SELECT seq, offset FROM journal {ROW_WITH}"))?
        .query_row(params![stream.to_bytes(), to_sql(seq.get())], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((seq, offset)) = found else { return Ok(None) };
    let end = from_sql(seq).zip(from_sql(offset));
    let (seq, offset) = end.ok_or(SqlError::DamagedTable { table: "journal" })?;
    Ok(Some(End { seq: StreamSeq::new(seq), offset: Offset::new(offset) }))
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

/// When the last record was made.
pub(crate) fn last_moment(tx: &Transaction<'_>) -> Result<Option<Timestamp>, SqlError> {
    let at: Option<i64> = tx
        .prepare_cached("SELECT at FROM journal ORDER BY offset DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(at) = at else { return Ok(None) };
    let at = from_sql(at).ok_or(SqlError::DamagedTable { table: "journal" })?;
    Ok(Some(Timestamp::from_unix_millis(at)))
}

/// The bodies of a stream's records, in bytes. Lengths are read without the bodies. What is between the bodies of a row
/// is one byte less than it has records, so over all rows it is the number of records less that of rows.
pub(crate) fn stream_bytes(tx: &Transaction<'_>, stream: StreamId) -> Result<u64, SqlError> {
    let StreamBounds { oldest, head } = stream_bounds(tx, stream)?;
    let (bytes, rows): (i64, i64) = tx
        .prepare_cached("SELECT coalesce(sum(length(body)), 0), count(*) FROM journal WHERE stream = ?1")?
        .query_row(params![stream.to_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let bytes_and_rows = u64::try_from(bytes.saturating_add(rows)).unwrap_or(0);
    Ok(bytes_and_rows.saturating_sub(head.next().since(oldest)))
}

pub(crate) fn read_stream(
    tx: &Transaction<'_>,
    stream: StreamId,
    from: StreamSeq,
    limit: ReadLimit,
) -> Result<Vec<CommittedRecord>, SqlError> {
    let from = from.max(stream_bounds(tx, stream)?.oldest);
    let mut statement =
        tx.prepare_cached(&format!("SELECT {COLUMNS} FROM journal WHERE stream = ?1 AND seq >= ?2 ORDER BY seq"))?;
    let mut rows = statement.query(params![stream.to_bytes(), to_sql(from.get())])?;
    let (mut budget, mut records, mut expected) = (limit.budget(), Vec::new(), None);
    while let Some(row) = rows.next()? {
        let run = to_run(row)?;
        run.check_follows(expected, from)?;
        expected = Some(run.last_seq().next());
        let skipped = from.get().saturating_sub(run.first_seq().get());
        let from = Offset::new(run.first_offset().get() + skipped);
        if !run.take_from(from, &mut budget, &mut records)? {
            break;
        }
    }
    Ok(records)
}

/// The last records through `head`, as many whole rows as the limits admit, and the offset after which they are all.
pub(crate) fn last_records(
    tx: &Transaction<'_>,
    head: Offset,
    limits: TailLimits,
) -> Result<(Offset, Vec<CommittedRecord>), SqlError> {
    let mut statement =
        tx.prepare_cached(&format!("SELECT {COLUMNS} FROM journal WHERE offset <= ?1 ORDER BY offset DESC"))?;
    let mut rows = statement.query([to_sql(head.get())])?;
    let (mut runs, mut left, mut after) = (Vec::new(), limits, Offset::ZERO);
    // Where each stream goes on.
    let mut next: HashMap<StreamId, StreamSeq> = HashMap::new();
    while let Some(row) = rows.next()? {
        let run = to_run(row)?;
        if next.insert(run.stream(), run.first_seq()).is_some_and(|next| next != run.last_seq().next()) {
            return Err(SqlError::Damaged { offset: run.last_offset(), field: "seq" });
        }
        let mut records = Vec::new();
        run.take_from(Offset::ZERO, &mut ReadLimit::new(usize::MAX, usize::MAX).budget(), &mut records)?;
        let bytes: usize = records.iter().map(|record| record.body.len()).sum();
        let (fewer, smaller) = (left.records.checked_sub(records.len()), left.bytes.checked_sub(bytes));
        let (Some(records_left), Some(bytes_left)) = (fewer, smaller) else {
            after = run.last_offset();
            break;
        };
        left = TailLimits { records: records_left, bytes: bytes_left };
        runs.push(records);
    }
    Ok((after, runs.into_iter().rev().flatten().collect()))
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

/// Walks the journal and picks what belongs to the streams.
fn walk(
    tx: &Transaction<'_>,
    streams: &[StreamId],
    after: Offset,
    mut budget: ReadBudget,
    page: &mut Page,
) -> Result<(), SqlError> {
    let wanted: HashSet<[u8; 17]> = streams.iter().map(|stream| stream.to_bytes()).collect();
    let mut statement = tx
        .prepare_cached(&format!("SELECT {COLUMNS} FROM journal WHERE offset > :after ORDER BY offset LIMIT :limit"))?;
    let mut rows = statement.query(named_params! { ":after": to_sql(after.get()), ":limit": to_sql(WALKED_ROWS) })?;
    let (mut walked, mut reached) = (0, after);
    while let Some(row) = rows.next()? {
        let offset = offset_in(row)?;
        let stream = row.get_ref(1)?.as_blob().map_err(|_| SqlError::Damaged { offset, field: "stream" })?;
        if wanted.contains(stream) && !to_run(row)?.take_from(after.next(), &mut budget, &mut page.records)? {
            // Whatever of the row was taken is after all that was passed before it.
            page.through = page.records.last().map_or(reached, |last| last.offset().max(reached));
            return Ok(());
        }
        (walked, reached) = (walked + 1, offset);
    }
    if walked == WALKED_ROWS {
        page.through = reached;
    }
    Ok(())
}

fn offset_in(row: &rusqlite::Row<'_>) -> Result<Offset, SqlError> {
    from_sql(row.get(0)?).map(Offset::new).ok_or(SqlError::DamagedTable { table: "journal" })
}

/// Reads a row of [`COLUMNS`].
pub(super) fn to_run<'a>(row: &'a rusqlite::Row<'_>) -> Result<Run<'a>, SqlError> {
    let offset = offset_in(row)?;
    let damaged = |field| SqlError::Damaged { offset, field };
    let stream = row.get_ref(1)?.as_blob().ok().and_then(StreamId::from_bytes).ok_or(damaged("stream"))?;
    let seq = from_sql(row.get(2)?).map(StreamSeq::new).ok_or(damaged("seq"))?;
    let at = from_sql(row.get(3)?).map(Timestamp::from_unix_millis).ok_or(damaged("at"))?;
    let kind = u8::try_from(row.get::<_, i64>(4)?).map_err(|_| damaged("kind"))?;
    let body = row.get_ref(5)?.as_blob().map_err(|_| damaged("body"))?;
    let toc = row.get_ref(6)?.as_blob_or_null().map_err(|_| damaged("toc"))?;
    let sum: Option<i64> = row.get_ref(7)?.as_i64_or_null().map_err(|_| damaged("sum"))?;
    let sum = sum.map(u32::try_from).transpose().map_err(|_| damaged("sum"))?;
    Run::of(Row { offset, stream, seq, at, kind, toc, body }, sum)
}
