//! The log cut at every boundary of its frames, and inside them: whatever is left opens, holds everything that was
//! acknowledged by then, and nothing of a write that was not finished.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use common::Place;
use moorline_store::conformance::{Random, job, read_all, record, session, sized};
use moorline_store::{Collection, DocKey, Document, Expect, Revision, Store};
use moorline_store_sqlite::SqliteStore;
use moorline_types::{Record, StreamId, StreamSeq};

mod common;

/// The header of the log, and of each frame in it, in bytes (the file format of SQLite, section 4.1).
const LOG_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

/// What a store holds.
#[derive(Clone, PartialEq, Debug, Default)]
struct Contents {
    records: Vec<Record>,
    documents: Vec<(String, Revision, Vec<u8>)>,
    oldest: Vec<StreamSeq>,
}

/// A recorded run: after each write, what the store held and how long the log was.
struct Run {
    place: Place,
    _store: Arc<SqliteStore>,
    moments: Vec<(u64, Contents)>,
}

fn streams() -> Vec<StreamId> {
    vec![job(1), job(2), session(1)]
}

async fn contents(store: &SqliteStore) -> Contents {
    let read = read_all(store, &streams()).await;
    let documents = store.list(Collection::Meta, None, 1_000).await.unwrap();
    let mut oldest = Vec::new();
    for stream in streams() {
        oldest.push(store.stream_bounds(stream).await.unwrap().oldest);
    }
    let plain =
        |(key, document): (DocKey, Document)| (key.key().to_owned(), document.revision, document.value.to_vec());
    Contents {
        records: read.iter().map(|record| Record::clone(record)).collect(),
        documents: documents.into_iter().map(plain).collect(),
        oldest,
    }
}

async fn recorded() -> Run {
    let place = Place::new();
    let store = place.open().await;
    let length = || fs::metadata(place.log()).map(|log| log.len()).unwrap_or(0);
    let mut moments = vec![(length(), contents(&store).await)];
    let document = DocKey::new(Collection::Meta, "checkpoint").unwrap();
    for step in 1..=24 {
        match step % 4 {
            0 => {
                store.put(&document, vec![7; 3_000 + step].into(), Expect::Any).await.unwrap();
            }
            3 if step > 12 => {
                store.trim_stream(job(1), StreamSeq::new(step as u64 / 2)).await.unwrap();
            }
            _ => {
                let seq =
                    moments.last().unwrap().1.records.iter().filter(|r| r.stream == session(1)).count() as u64 + 1;
                let batch = vec![
                    sized(job(1), 2 * seq - 1, 5_000),
                    record(session(1), seq),
                    sized(job(2), seq, 100),
                    record(job(1), 2 * seq),
                ];
                store.append(batch.into()).await.unwrap();
            }
        }
        moments.push((length(), contents(&store).await));
    }
    Run { place, _store: store, moments }
}

impl Run {
    fn log_bytes(&self) -> u64 {
        self.moments.last().unwrap().0
    }

    fn frame_bytes(&self) -> u64 {
        let page: u64 = self.place.sql().query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
        FRAME_HEADER + page
    }

    /// Opens a copy of the files after `harm` to the log, and checks that it holds what some moment held, no earlier
    /// than the last one that was acknowledged while the log had at most `intact` bytes.
    async fn check(&self, intact: u64, what: &str, harm: impl FnOnce(&Place)) {
        let copy = self.place.copy();
        harm(&copy);
        let store = copy.open().await;
        let found = contents(&store).await;
        let acknowledged = self.moments.iter().rposition(|(length, _)| *length <= intact).unwrap_or(0);
        let held = self.moments.iter().position(|(_, contents)| *contents == found);
        let held = held.unwrap_or_else(|| panic!("{what}: the store holds what it never held: {found:?}"));
        assert!(held >= acknowledged, "{what}: moment {acknowledged} was acknowledged, but {held} was found");
        let next = store.stream_head(job(2)).await.unwrap().next().get();
        let head = store.tail().head();
        let committed = store.append(vec![record(job(2), next)].into()).await.unwrap();
        assert_eq!(committed.last_offset(), Some(head.next()), "{what}");
        store.close().await;
    }
}

#[tokio::test]
async fn a_log_that_was_cut_holds_a_prefix_of_whole_writes() {
    let run = recorded().await;
    let frame = run.frame_bytes();
    let mut cuts = vec![0, 1, LOG_HEADER - 1, LOG_HEADER];
    for boundary in (LOG_HEADER..run.log_bytes()).step_by(usize::try_from(frame).unwrap()) {
        cuts.extend([boundary, boundary + 1, boundary + FRAME_HEADER, boundary + frame / 2, boundary + frame - 1]);
    }
    cuts.push(run.log_bytes());
    assert!(cuts.len() > 300, "{} cuts", cuts.len());
    for cut in cuts {
        let harm = |copy: &Place| OpenOptions::new().write(true).open(copy.log()).unwrap().set_len(cut).unwrap();
        run.check(cut, &format!("cut at {cut}"), harm).await;
    }
}

#[tokio::test]
async fn a_log_with_a_changed_byte_holds_a_prefix_of_whole_writes() {
    let run = recorded().await;
    for seed in Random::seeds() {
        let mut random = Random::new(seed);
        for _ in 0..8 {
            let at = LOG_HEADER + random.number() % (run.log_bytes() - LOG_HEADER);
            let harm = |copy: &Place| {
                let log = OpenOptions::new().read(true).write(true).open(copy.log()).unwrap();
                let mut byte = [0];
                log.read_exact_at(&mut byte, at).unwrap();
                log.write_all_at(&[!byte[0]], at).unwrap();
            };
            run.check(at, &format!("byte {at} changed, seed {seed}"), harm).await;
        }
    }
}

#[tokio::test]
async fn a_log_that_ends_in_garbage_holds_every_write() {
    let run = recorded().await;
    let harm = |copy: &Place| {
        let log = OpenOptions::new().write(true).open(copy.log()).unwrap();
        log.write_all_at(&[0xa5; 9_000], run.log_bytes()).unwrap();
    };
    run.check(run.log_bytes(), "garbage at the end", harm).await;
}
