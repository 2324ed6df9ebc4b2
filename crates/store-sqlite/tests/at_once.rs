//! A small append that nobody is before is committed by whoever asks for it; everything else waits for its turn.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use common::Place;
use moorline_store::Store;
use moorline_store::conformance::{job, record};
use moorline_types::Offset;

mod common;

/// What the future gives without being waited for. What it has asked for is done all the same.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_small_append_is_committed_where_it_is_asked_for() {
    let place = Place::new();
    let store = place.open().await;
    for seq in 1..=50 {
        let committed = at_once(store.append(vec![record(job(1), seq)].into())).expect("nobody is before it").unwrap();
        assert_eq!(committed.last_offset(), Some(Offset::new(seq)));
    }
    at_once(store.probe()).expect("nobody is before it").unwrap();
    store.close().await;
    let opened = place.open().await;
    assert_eq!(opened.tail().head(), Offset::new(50), "it is in the file");
}

#[tokio::test]
async fn nobody_waits_for_a_lock_in_place_of_the_thread_and_nobody_overtakes_who_waits() {
    let place = Place::new();
    let store = place.open().await;
    let holder = place.sql();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    for number in 1..=3 {
        assert!(at_once(store.append(vec![record(job(number), 1)].into())).is_none(), "{number}");
    }
    holder.execute_batch("ROLLBACK").unwrap();
    store.probe().await.unwrap();
    for number in 1..=3_u8 {
        let read = store.read_stream(job(number), record(job(number), 1).seq, moorline_store::conformance::EVERYTHING);
        let offsets: Vec<_> = read.await.unwrap().iter().map(|record| record.offset()).collect();
        assert_eq!(offsets, [Offset::new(number.into())]);
    }
}
