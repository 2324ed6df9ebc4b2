//! Work that is done in steps of bounded length: a walk over a journal in which nothing fits, and a long trim.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use common::Place;
use moorline_store::conformance::{EVERYTHING, job, record, session};
use moorline_store::{Page, Store, StreamBounds};
use moorline_store_sqlite::SqliteStore;
use moorline_types::{Offset, StreamId, StreamSeq};

mod common;

const BATCHES: u64 = 33;

/// In each of them.
const RECORDS: usize = 512;

/// Two streams in turn, so that no two records share a row. Returns the head of each.
async fn fill(store: &SqliteStore) -> u64 {
    let mut seq = 0;
    for _ in 0..BATCHES {
        let mut next = || {
            seq += 1;
            [record(job(255), seq), record(job(254), seq)]
        };
        let batch: Vec<_> = (0..RECORDS / 2).flat_map(|_| next()).collect();
        store.append(batch.into()).await.unwrap();
    }
    seq
}

#[tokio::test]
async fn a_read_in_which_nothing_fits_stops_and_says_how_far_it_came() {
    let place = Place::new();
    let store = place.open().await;
    let head = fill(&store).await;
    store.append(vec![record(job(1), 1)].into()).await.unwrap();
    // More than are looked up one by one, and none of them the long one.
    let streams: Vec<StreamId> = (0..200).flat_map(|n| [job(n), session(n)]).collect();
    let first = store.read_streams(&streams, Offset::ZERO, EVERYTHING).await.unwrap();
    assert_eq!(first, Page { records: vec![], through: Offset::new(16_384) });
    let second = store.read_streams(&streams, first.through, EVERYTHING).await.unwrap();
    assert_eq!((second.records.len(), second.through), (1, Offset::new(2 * head + 1)));
}

#[tokio::test]
async fn a_long_trim_removes_everything_in_steps() {
    let place = Place::new();
    let store = place.open().await;
    let head = fill(&store).await;
    assert!(head > 2 * 4_096, "more than two steps");
    let oldest = store.trim_stream(job(255), StreamSeq::new(head - 9)).await.unwrap();
    assert_eq!(oldest, StreamSeq::new(head - 9));
    let bounds = store.stream_bounds(job(255)).await.unwrap();
    assert_eq!(bounds, StreamBounds { oldest, head: StreamSeq::new(head) });
    let read = store.read_stream(job(255), StreamSeq::FIRST, EVERYTHING).await.unwrap();
    assert_eq!((read.len(), read[0].offset()), (10, Offset::new(2 * (head - 9) - 1)));
    let tail = store.tail().read(&[job(255)], Offset::ZERO, EVERYTHING).unwrap();
    assert_eq!(tail.records, read);
}
