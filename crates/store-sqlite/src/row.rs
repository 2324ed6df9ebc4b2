//! Rows of the journal: a run of records in one row.
//!
//! A *run* is some records of one batch that are neighbours in the journal and of one stream, so their offsets and their
//! positions are dense. A row is named by its last record, so the largest numbers of the table are the heads, and what
//! comes after a number is in the rows whose own number is larger. The columns say:
//!
//! | column | of a run of one record | of a longer run |
//! | --- | --- | --- |
//! | `offset`, `stream`, `seq`, `at`, `kind` | the record's | the last record's |
//! | `body` | the record's body | all bodies, with a line feed between two |
//! | `toc` | `NULL` | for each record: its kind, its time, the length of its body |
//! | `sum` | CRC-32 over all the others | the same |
//!
//! Bodies are JSON without a line feed in practice, so a row is a few lines of text for whoever looks into the file with
//! SQLite's shell; nothing here depends on that. An entry of `toc` is the kind (one byte), the difference of the time to
//! that of the record before (of the first: to the row's), and the length; the two numbers in LEB128, the difference
//! zigzagged. Rows of the first format have neither `toc` nor `sum`.
//!
//! A reader checks the sum before it believes anything else of a row: a byte that has turned on the disk is an error and
//! never another event. SQLite's own checks cover the structure of its pages, not what is in them.

use std::borrow::Borrow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use moorline_store::{CommittedRecord, ReadBudget};
use moorline_types::{Committed, Offset, Record, RecordKind, StreamId, StreamSeq, Timestamp};

use crate::fault::SqlError;

mod varint;

/// Records in one row. Whoever reads one of them has the table of all of them decoded; as many as a batch may have,
/// so that small records are not divided.
const MAX_RECORDS: usize = 512;

/// Bytes of bodies in one row, unless a single record has more. Whoever reads one record has the row's sum computed and, as long
/// as it keeps that record, what it read with it. At eight pages of the file, what a row costs beyond its bytes is shared.
const MAX_BYTES: usize = 64 * 1024;

/// What is between two bodies.
const SEPARATOR: u8 = b'\n';

/// One row of the journal, as its columns have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) offset: Offset,
    pub(crate) stream: StreamId,
    pub(crate) seq: StreamSeq,
    pub(crate) at: Timestamp,
    pub(crate) kind: u8,
    pub(crate) toc: Option<&'a [u8]>,
    pub(crate) body: &'a [u8],
}

impl Row<'_> {
    /// The checksum of the row.
    pub(crate) fn sum(&self) -> u32 {
        let mut numbers = [0; 25];
        let (offset, rest) = numbers.split_at_mut(8);
        let (seq, rest) = rest.split_at_mut(8);
        let (at, kind) = rest.split_at_mut(8);
        offset.copy_from_slice(&self.offset.get().to_be_bytes());
        seq.copy_from_slice(&self.seq.get().to_be_bytes());
        at.copy_from_slice(&self.at.as_unix_millis().to_be_bytes());
        kind.fill(self.kind);
        let mut sum = crc32fast::Hasher::new();
        sum.update(&numbers);
        sum.update(&self.stream.to_bytes());
        sum.update(self.toc.unwrap_or_default());
        sum.update(self.body);
        sum.finalize()
    }
}

/// Divides a batch into runs, each of which becomes a row.
pub(crate) fn runs(records: &[Record]) -> impl Iterator<Item = &[Record]> {
    let mut left = records;
    std::iter::from_fn(move || {
        let first = left.first()?;
        let mut bytes = first.body.len();
        let mut fits = |record: &Record| {
            bytes += record.body.len();
            record.stream == first.stream && bytes <= MAX_BYTES
        };
        let more = left.iter().take(MAX_RECORDS).skip(1).take_while(|record| fits(record));
        let (run, rest) = left.split_at_checked(1 + more.count())?;
        left = rest;
        Some(run)
    })
}

/// Makes rows of runs, in buffers that are used again.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    toc: Vec<u8>,
    body: Vec<u8>,
}

impl Encoder {
    /// The row of a run whose last record is at `offset`; `None` of an empty run.
    pub(crate) fn encode<'a, R: Borrow<Record>>(&'a mut self, run: &'a [R], offset: Offset) -> Option<Row<'a>> {
        let last = run.last()?.borrow();
        let (toc, body) = if run.len() == 1 {
            (None, &last.body[..])
        } else {
            self.fill(run, last.at);
            (Some(&self.toc[..]), &self.body[..])
        };
        let (stream, seq, at, kind) = (last.stream, last.seq, last.at, last.kind.number());
        Some(Row { offset, stream, seq, at, kind, toc, body })
    }

    fn fill<R: Borrow<Record>>(&mut self, run: &[R], mut at: Timestamp) {
        self.toc.clear();
        self.body.clear();
        for (index, record) in run.iter().enumerate() {
            let record = record.borrow();
            if index > 0 {
                self.body.push(SEPARATOR);
            }
            self.body.extend_from_slice(&record.body);
            self.toc.push(record.kind.number());
            let difference = record.at.as_unix_millis().wrapping_sub(at.as_unix_millis());
            varint::put(&mut self.toc, varint::zigzag(difference));
            varint::put(&mut self.toc, record.body.len() as u64);
            at = record.at;
        }
    }
}

/// The records of a row.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    row: Row<'a>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    kind: u8,
    at: Timestamp,
    body: Range<usize>,
}

impl<'a> Run<'a> {
    /// Checks the row against its sum, if it has one, and finds its records in it.
    pub(crate) fn of(row: Row<'a>, sum: Option<u32>) -> Result<Self, SqlError> {
        let damaged = |field| SqlError::Damaged { offset: row.offset, field };
        if sum.is_some_and(|sum| sum != row.sum()) {
            return Err(damaged("sum"));
        }
        let entries = match row.toc {
            None => vec![Entry { kind: row.kind, at: row.at, body: 0..row.body.len() }],
            Some(toc) => entries(toc, &row).ok_or(damaged("toc"))?,
        };
        let count = entries.len() as u64;
        if count == 0 || count > row.seq.get() || count > row.offset.get() {
            return Err(damaged("toc"));
        }
        Ok(Self { row, entries })
    }

    /// The position of the first record.
    pub(crate) fn first_seq(&self) -> StreamSeq {
        StreamSeq::new(self.row.seq.get() - self.before_last())
    }

    /// The offset of the first record.
    pub(crate) fn first_offset(&self) -> Offset {
        Offset::new(self.row.offset.get() - self.before_last())
    }

    /// Whether the run is where it has to be in its stream: from `begins` on, or, if that is not known, with `has` in it.
    pub(crate) fn check_follows(&self, begins: Option<StreamSeq>, has: StreamSeq) -> Result<(), SqlError> {
        let first = self.first_seq();
        let follows = begins.map_or(first <= has && has <= self.row.seq, |begins| first == begins);
        if follows { Ok(()) } else { Err(SqlError::Damaged { offset: self.row.offset, field: "seq" }) }
    }

    /// Whose records they are.
    pub(crate) fn stream(&self) -> StreamId {
        self.row.stream
    }

    /// The offset of the last record.
    pub(crate) fn last_offset(&self) -> Offset {
        self.row.offset
    }

    /// The position of the last record.
    pub(crate) fn last_seq(&self) -> StreamSeq {
        self.row.seq
    }

    fn before_last(&self) -> u64 {
        self.entries.len().saturating_sub(1) as u64
    }

    /// Takes the records from the one at `from` on, as far as the budget goes. `false` if it did not go to the end.
    pub(crate) fn take_from(
        &self,
        from: Offset,
        budget: &mut ReadBudget,
        records: &mut Vec<CommittedRecord>,
    ) -> Result<bool, SqlError> {
        let first = self.first_offset();
        let skipped = usize::try_from(from.get().saturating_sub(first.get())).unwrap_or(usize::MAX);
        let wanted = self.entries.get(skipped..).unwrap_or_default();
        let mut kinds = Vec::with_capacity(wanted.len());
        for (entry, offset) in wanted.iter().zip(first.get() + skipped as u64..) {
            let offset = Offset::new(offset);
            let kind = RecordKind::try_from(entry.kind).map_err(|source| SqlError::UnknownKind { offset, source })?;
            if !budget.take(entry.body.len()) {
                break;
            }
            kinds.push(kind);
        }
        let taken = wanted.get(..kinds.len()).unwrap_or_default();
        self.share(taken, &kinds, skipped as u64, records);
        Ok(taken.len() == wanted.len())
    }

    /// Copies what was taken once; the bodies are slices of that copy.
    #[expect(clippy::disallowed_methods, reason = "a row of a committed snapshot is what committed records are")]
    fn share(&self, taken: &[Entry], kinds: &[RecordKind], skipped: u64, records: &mut Vec<CommittedRecord>) {
        let (Some(first), Some(last)) = (taken.first(), taken.last()) else { return };
        let copied = first.body.start..last.body.end;
        let bodies = Bytes::copy_from_slice(self.row.body.get(copied.clone()).unwrap_or_default());
        let (mut seq, mut offset) = (self.first_seq().get() + skipped, self.first_offset().get() + skipped);
        records.reserve(taken.len());
        for (entry, kind) in taken.iter().zip(kinds) {
            let body = bodies.slice(entry.body.start - copied.start..entry.body.end - copied.start);
            let record = Record { stream: self.row.stream, seq: StreamSeq::new(seq), at: entry.at, kind: *kind, body };
            records.push(Committed::attest(Offset::new(offset), Arc::new(record)));
            (seq, offset) = (seq + 1, offset + 1);
        }
    }
}

/// `None` if the table does not describe the bodies exactly.
fn entries(mut toc: &[u8], row: &Row<'_>) -> Option<Vec<Entry>> {
    // An entry has at least three bytes.
    let mut entries = Vec::with_capacity((toc.len() / 3).min(MAX_RECORDS));
    let (mut at, mut end) = (row.at.as_unix_millis(), 0_usize);
    while let Some((kind, rest)) = toc.split_first() {
        toc = rest;
        at = at.wrapping_add(varint::unzigzag(varint::take(&mut toc)?));
        let bytes = usize::try_from(varint::take(&mut toc)?).ok()?;
        let start = if entries.is_empty() { 0 } else { end + 1 };
        if start > 0 && row.body.get(end) != Some(&SEPARATOR) {
            return None;
        }
        end = start.checked_add(bytes).filter(|end| *end <= row.body.len())?;
        entries.push(Entry { kind: *kind, at: Timestamp::from_unix_millis(at), body: start..end });
    }
    (end == row.body.len()).then_some(entries)
}

#[cfg(test)]
mod tests;
