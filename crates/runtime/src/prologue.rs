//! What stands in the place of a job's records that have left the journal while it runs.
//!
//! A job that says something for days would fill the disk with what nobody can ask for any more, so of a gateway
//! session's job what is beyond the replay window goes ([`crate::gateway`], `shorten`). What the job is made of again is kept
//! as a document: the records that are no events, and up to which number the worker has reported.
//!
//! - The document is written before the records go. A start that finds them still there does not need it, one that finds
//!   some of them gone begins behind all of them and lets the rest go.
//! - It is written in pieces, all of them in one step, because one document is small and a job's input need not be.
//! - The stream's last record stays, so how a job stands can be told by it as ever.

use bytes::Bytes;
use moorline_store::{AppendError, Change, Collection, DocKey, Expect, ReadError, Store};
use moorline_types::{Batch, JobId, Json, Record, RecordKind, StreamId, StreamSeq, Timestamp, WorkerSeq};
use serde::{Deserialize, Serialize};

/// The largest piece, in bytes: what one document may have.
const PIECE: usize = moorline_store::limits::MAX_DOCUMENT_BYTES;

/// The most pieces: 16 MiB, which no job's input and no number of a session's items comes near. With more, nothing goes.
const MAX_PIECES: usize = 256;

/// See the module's documentation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Prologue {
    kept: Vec<Kept>,
    through: StreamSeq,
    reported: WorkerSeq,
    last_event: WorkerSeq,
    /// What else whoever had them removed needs to know.
    pub(crate) carried: Json,
    /// In how many pieces it was found.
    #[serde(skip)]
    pieces: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    seq: StreamSeq,
    at: Timestamp,
    kind: u8,
    body: Json,
}

impl Prologue {
    /// Of a stream of which nothing has gone.
    pub(crate) fn new() -> Self {
        Self {
            kept: Vec::new(),
            through: StreamSeq::ZERO,
            reported: WorkerSeq::ZERO,
            last_event: WorkerSeq::ZERO,
            carried: Json::null(),
            pieces: 0,
        }
    }

    /// What stands before the job's stream, if some of it has gone.
    pub(crate) async fn load(store: &dyn Store, job: JobId) -> Result<Option<Self>, ReadError> {
        let bounds = store.stream_bounds(StreamId::Job(job)).await?;
        if bounds.oldest == StreamSeq::FIRST { Ok(None) } else { Self::read(store, job).await }
    }

    /// What was written down last, whether or not anything has gone.
    pub(crate) async fn read(store: &dyn Store, job: JobId) -> Result<Option<Self>, ReadError> {
        let Some(first) = store.get(&key(job, 0)).await? else { return Ok(None) };
        let Some((pieces, mut text)) = begin(&first.value) else {
            tracing::error!(%job, "what stands in the place of a job's records is not readable");
            return Ok(None);
        };
        for piece in 1..pieces {
            let Some(next) = store.get(&key(job, piece)).await? else { return Ok(None) };
            text.extend_from_slice(&next.value);
        }
        match serde_json::from_slice::<Self>(&text) {
            Ok(found) => Ok(Some(Self { pieces, ..found })),
            Err(error) => {
                tracing::error!(%job, %error, "what stands in the place of a job's records is not readable");
                Ok(None)
            }
        }
    }

    /// The record is to go. Its place follows the one before.
    pub(crate) fn take(&mut self, record: &Record, reported: Option<WorkerSeq>, is_counted: bool) {
        self.through = record.seq;
        self.reported = reported.map_or(self.reported, |reported| self.reported.max(reported));
        if record.kind == RecordKind::JobEvent {
            if let (true, Some(reported)) = (is_counted, reported) {
                self.last_event = self.last_event.max(reported);
            }
            return;
        }
        // What a record says is JSON, by the machine that writes it.
        if let Some(body) = std::str::from_utf8(&record.body).ok().and_then(|text| Json::parse(text).ok()) {
            self.kept.push(Kept { seq: record.seq, at: record.at, kind: record.kind.number(), body });
        }
    }

    /// Writes it down in the place of what was read before.
    pub(crate) async fn write(&mut self, store: &dyn Store, job: JobId) -> Result<(), AppendError> {
        // Serialising to memory fails only for maps with keys that are no strings; this has no map.
        let text = serde_json::to_vec(self).unwrap_or_default();
        let pieces = pieces(&text);
        let mut changes: Vec<_> =
            pieces.iter().enumerate().map(|(n, piece)| Change::put(key(job, n), piece.clone(), Expect::Any)).collect();
        changes.extend((pieces.len()..self.pieces).map(|n| Change::delete(key(job, n), Expect::Any)));
        store.append_with(Batch::default(), changes).await?;
        self.pieces = pieces.len();
        Ok(())
    }

    /// Removes it: nothing of the stream is left.
    pub(crate) async fn remove(store: &dyn Store, job: JobId) -> Result<(), AppendError> {
        let found = store.get(&key(job, 0)).await.ok().flatten();
        let pieces = found.and_then(|first| begin(&first.value)).map_or(0, |(pieces, _)| pieces);
        let changes = (0..pieces).map(|n| Change::delete(key(job, n), Expect::Any)).collect();
        store.append_with(Batch::default(), changes).await.map(drop)
    }

    /// The kept records, in order.
    pub(crate) fn records(&self, job: JobId) -> impl Iterator<Item = Record> {
        self.kept.iter().filter_map(move |kept| {
            let kind = RecordKind::try_from(kept.kind).ok()?;
            let body = Bytes::copy_from_slice(kept.body.get().as_bytes());
            Some(Record { stream: StreamId::Job(job), seq: kept.seq, at: kept.at, kind, body })
        })
    }

    /// The last place that has gone.
    pub(crate) const fn through(&self) -> StreamSeq {
        self.through
    }

    /// The last of the worker's reports that has gone.
    pub(crate) const fn reported(&self) -> WorkerSeq {
        self.reported
    }

    /// The last number of a counted event that has gone; zero if none has.
    pub(crate) const fn last_event(&self) -> WorkerSeq {
        self.last_event
    }

    /// Whether it is too large to be written.
    pub(crate) fn is_too_large(&self) -> bool {
        let kept: usize = self.kept.iter().map(|kept| kept.body.get().len() + PIECE / MAX_PIECES).sum();
        kept + self.carried.get().len() > (MAX_PIECES - 1) * PIECE
    }
}

/// The documents; the first begins with how many there are.
fn pieces(text: &[u8]) -> Vec<Bytes> {
    // The line takes up room itself, at most so much.
    const LINE: usize = 8;
    let mut first = text.len().min(PIECE - LINE);
    let rest: Vec<_> = text[first..].chunks(PIECE).map(Bytes::copy_from_slice).collect();
    let line = format!("{}\n", rest.len() + 1);
    let mut begin = line.into_bytes();
    begin.extend_from_slice(&text[..std::mem::take(&mut first)]);
    std::iter::once(Bytes::from(begin)).chain(rest).collect()
}

/// How many documents there are, and the text of the first.
fn begin(first: &[u8]) -> Option<(usize, Vec<u8>)> {
    let end = first.iter().position(|byte| *byte == b'\n')?;
    let pieces = std::str::from_utf8(&first[..end]).ok()?.parse().ok()?;
    Some((pieces, first[end + 1..].to_vec()))
}

fn key(job: JobId, piece: usize) -> DocKey {
    DocKey::new(Collection::Prologues, format!("{job}/{piece:03}")).expect("an id and a number are a valid key")
}
