//! A store that is opened reads its last records into its tail.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use common::{Place, options};
use moorline_store::conformance::{EVERYTHING, job, record, session, sized};
use moorline_store::{Store, TailLimits};
use moorline_store_sqlite::{SqliteOptions, SqliteStore};
use moorline_types::{Offset, StreamId, StreamSeq};

mod common;

/// How long the reading may take. Only waited for in a failing run.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the tail holds everything after this offset.
async fn holds_after(store: &SqliteStore, after: u64) {
    let held = async {
        while store.tail().evicted_through() != Offset::new(after) {
            tokio::task::yield_now().await;
        }
    };
    let held = tokio::time::timeout(PATIENCE, held).await;
    assert!(held.is_ok(), "the tail holds what is after {}, not after {after}", store.tail().evicted_through());
}

/// Rows of one, of three and of two records, of three streams: eight records of a hundred bytes.
async fn filled() -> Place {
    let place = Place::new();
    let store = place.open().await;
    for batch in [
        vec![sized(job(1), 1, 100)],
        vec![sized(job(2), 1, 100), sized(job(2), 2, 100), sized(job(2), 3, 100)],
        vec![sized(session(3), 1, 100), sized(session(3), 2, 100)],
        vec![sized(job(1), 2, 100), sized(job(2), 4, 100)],
    ] {
        store.append(batch.into()).await.unwrap();
    }
    store.close().await;
    place
}

async fn open(place: &Place, tail: TailLimits) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(SqliteOptions { tail, ..options(place.path(), 1) }).await.unwrap())
}

#[tokio::test]
async fn what_is_read_ahead_is_what_the_store_has() {
    let place = filled().await;
    let store = place.open().await;
    holds_after(&store, 0).await;
    for streams in [vec![job(1)], vec![job(1), job(2), session(3)], vec![job(9)]] {
        for after in (0..=8).map(Offset::new) {
            let stored = store.read_streams(&streams, after, EVERYTHING).await.unwrap();
            assert_eq!(store.tail().read(&streams, after, EVERYTHING), Some(stored), "{streams:?} after {after}");
        }
    }
    store.append(vec![record(job(1), 3)].into()).await.unwrap();
    let stored = store.read_stream(job(1), StreamSeq::FIRST, EVERYTHING).await.unwrap();
    assert_eq!(store.tail().read_stream(job(1), StreamSeq::FIRST, Offset::ZERO, EVERYTHING), Some(stored));
    store.close().await;
}

#[tokio::test]
async fn no_more_is_read_ahead_than_the_tail_holds_and_no_row_in_part() {
    let place = filled().await;
    for (records, bytes, after) in
        [(8, 800, 0), (7, 800, 1), (6, 800, 4), (8, 400, 4), (8, 399, 6), (1, 800, 7), (0, 0, 8)]
    {
        let store = open(&place, TailLimits { records, bytes }).await;
        holds_after(&store, after).await;
        let all = [job(1), job(2), session(3)];
        let stored = store.read_streams(&all, Offset::new(after), EVERYTHING).await.unwrap();
        assert_eq!(store.tail().read(&all, Offset::new(after), EVERYTHING), Some(stored), "{records} of {bytes} bytes");
        store.close().await;
    }
}

#[tokio::test]
async fn what_was_trimmed_is_not_read_ahead_and_what_follows_is() {
    let place = filled().await;
    let store = place.open().await;
    store.trim_stream(job(2), StreamSeq::new(3)).await.unwrap();
    store.close().await;
    let store = place.open().await;
    holds_after(&store, 0).await;
    assert_eq!(store.tail().read_stream(job(2), StreamSeq::FIRST, Offset::ZERO, EVERYTHING), None);
    let held = store.tail().read_stream(job(2), StreamSeq::new(3), Offset::ZERO, EVERYTHING).unwrap();
    assert_eq!(held.iter().map(|record| record.seq.get()).collect::<Vec<_>>(), [3, 4]);
    store.close().await;
}

/// Nothing that is damaged is answered from memory: whoever asks for it is told.
#[tokio::test]
async fn a_journal_with_a_row_that_is_damaged_or_missing_is_not_read_ahead() {
    for sql in [
        "UPDATE journal SET body = zeroblob(length(body)) WHERE offset = 6",
        "DELETE FROM journal WHERE offset = 7",
        "UPDATE journal SET kind = 200, sum = NULL WHERE offset = 1",
    ] {
        let place = filled().await;
        let store = place.open().await;
        store.append(vec![sized(job(1), 3, 100)].into()).await.unwrap();
        store.close().await;
        assert_eq!(place.sql().execute(sql, []).unwrap(), 1);
        let store = place.open().await;
        let all: Vec<StreamId> = vec![job(1), job(2), session(3)];
        for _ in 0..100 {
            assert_eq!(store.tail().read(&all, Offset::ZERO, EVERYTHING), None, "{sql}");
            tokio::task::yield_now().await;
        }
        let read = store.read_streams(&all, Offset::ZERO, EVERYTHING).await;
        assert!(read.is_err(), "{sql}");
        store.append(vec![record(job(5), 1)].into()).await.unwrap();
        assert_eq!(store.tail().stream_head(job(5)), Some(StreamSeq::FIRST), "{sql}: the store goes on");
        store.close().await;
    }
}
