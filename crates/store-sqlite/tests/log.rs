//! The write-ahead log is bounded while records are appended without a pause, and again after somebody has read from it.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::fs;

use common::Place;
use moorline_store::Store;
use moorline_store::conformance::{job, sized};
use moorline_store_sqlite::SqliteStore;
use moorline_types::StreamSeq;

mod common;

const BODY: usize = 1024 * 1024;
const MIB: u64 = BODY as u64;

/// At which length the writer has the log begin anew.
const LOG: u64 = 128 * MIB;

/// At which length it waits for that, and to which the file is cut back.
const MOST: u64 = 192 * MIB;

/// Appends a MiB in one record, `count` times, and returns how long the log became.
async fn append(place: &Place, store: &SqliteStore, count: u64) -> u64 {
    let head = store.stream_head(job(1)).await.unwrap().get();
    let mut longest = 0;
    for seq in head + 1..=head + count {
        store.append(vec![sized(job(1), seq, BODY)].into()).await.unwrap();
        longest = longest.max(fs::metadata(place.log()).unwrap().len());
    }
    longest
}

#[tokio::test]
async fn it_begins_anew_while_records_are_appended_without_a_pause() {
    let place = Place::new();
    let store = place.open().await;
    let longest = append(&place, &store, 320).await;
    assert!(longest <= MOST + 4 * MIB, "{longest}");
    store.close().await;
    assert!(!place.log().exists(), "everything is in the file");
    let store = place.open().await;
    assert_eq!(store.stream_head(job(1)).await.unwrap(), StreamSeq::new(320));
}

#[tokio::test]
async fn it_begins_anew_after_a_reader_that_kept_it() {
    let place = Place::new();
    let store = place.open().await;
    append(&place, &store, 1).await;
    let reader = place.sql();
    reader.execute_batch("BEGIN; SELECT count(*) FROM journal").unwrap();
    let kept = append(&place, &store, 200).await;
    assert!(kept > 200 * MIB, "nothing that the reader may read is overwritten, and nobody waits for it: {kept}");
    let count: i64 = reader.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1, "the reader's snapshot");
    reader.execute_batch("COMMIT").unwrap();
    for _ in 0..2 * LOG / MIB {
        if append(&place, &store, 1).await <= MOST {
            return store.close().await;
        }
    }
    panic!("the log was not cut back");
}
