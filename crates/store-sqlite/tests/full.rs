//! A store without room refuses, stays readable, and goes on once there is room.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;

use common::{Place, options};
use moorline_store::conformance::{EVERYTHING, job, read_all, record, sized};
use moorline_store::{AppendError, Collection, DocKey, Expect, PutError, Store, StoreFault, WriteError};
use moorline_store_sqlite::{SqliteOptions, SqliteStore};
use moorline_types::{Offset, StreamSeq};
use tokio::task::JoinSet;

mod common;

const LIMIT: u64 = 512 * 1024;
const BODY: usize = 20_000;

async fn open(place: &Place, max_bytes: Option<u64>) -> Arc<SqliteStore> {
    let options = SqliteOptions { max_bytes, ..options(place.path(), 1) };
    Arc::new(SqliteStore::open(options).await.expect("the store opens"))
}

/// Appends until there is no room, and returns how many records there are.
async fn fill(store: &SqliteStore) -> u64 {
    for seq in 1.. {
        match store.append(vec![sized(job(1), seq, BODY)].into()).await {
            Ok(committed) => assert_eq!(committed.last_offset(), Some(Offset::new(seq))),
            Err(AppendError::Store { kind: StoreFault::Full, .. }) => return seq - 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    unreachable!("the store has a limit")
}

async fn assert_dense_through(store: &SqliteStore, head: u64) {
    let read = read_all(store, &[job(1)]).await;
    let offsets: Vec<_> = read.iter().map(|record| record.offset().get()).collect();
    assert_eq!(offsets, (1..=head).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_store_refuses_and_goes_on_when_the_limit_is_raised() {
    let place = Place::new();
    let store = open(&place, Some(LIMIT)).await;
    let count = fill(&store).await;
    assert!(count > 10, "{count}");
    let key = DocKey::new(Collection::Meta, "a").unwrap();
    let value = vec![0; BODY].into();
    assert!(matches!(store.put(&key, value, Expect::Any).await, Err(PutError::Store { kind: StoreFault::Full, .. })));
    // The probe needs less room than the record did; fill the rest.
    let mut seq = count + 1;
    while store.append(vec![record(job(1), seq)].into()).await.is_ok() {
        seq += 1;
    }
    assert!(matches!(store.probe().await, Err(WriteError::Store { kind: StoreFault::Full, .. })));
    assert_eq!(store.tail().head(), Offset::new(seq - 1), "nobody has seen a refused record");
    assert_dense_through(&store, seq - 1).await;

    store.limit_size(None).await.unwrap();
    store.probe().await.unwrap();
    for next in seq..seq + 20 {
        store.append(vec![sized(job(1), next, BODY)].into()).await.unwrap();
    }
    assert_dense_through(&store, seq + 19).await;
}

#[tokio::test]
async fn a_full_store_survives_a_crash_and_opens_with_a_higher_limit() {
    let place = Place::new();
    let store = open(&place, Some(LIMIT)).await;
    let count = fill(&store).await;
    let copy = place.copy();
    let store = open(&copy, Some(2 * LIMIT)).await;
    assert_dense_through(&store, count).await;
    store.append(vec![sized(job(1), count + 1, BODY)].into()).await.unwrap();
    assert_dense_through(&store, count + 1).await;
}

#[tokio::test]
async fn a_trim_makes_room_in_a_full_store() {
    let place = Place::new();
    let store = open(&place, Some(LIMIT)).await;
    let count = fill(&store).await;
    store.trim_stream(job(1), StreamSeq::new(count)).await.unwrap();
    for seq in count + 1..count + 10 {
        store.append(vec![sized(job(1), seq, BODY)].into()).await.unwrap();
    }
    let read = store.read_stream(job(1), StreamSeq::FIRST, EVERYTHING).await.unwrap();
    assert_eq!(read.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_the_room_that_is_left_does_not_keep_out_what_fits() {
    let place = Place::new();
    let store = open(&place, Some(LIMIT)).await;
    store.append(vec![record(job(1), 1)].into()).await.unwrap();
    let mut appenders = JoinSet::new();
    for number in 0..40_u8 {
        let store = Arc::clone(&store);
        let large = number % 2 == 0;
        let bytes = if large { 2 * 1024 * 1024 } else { 10 };
        appenders
            .spawn(async move { (large, store.append(vec![sized(job(100 + number), 1, bytes)].into()).await.is_ok()) });
    }
    for (large, appended) in appenders.join_all().await {
        assert_eq!(appended, !large);
    }
    assert_eq!(store.tail().head(), Offset::new(21));
}
