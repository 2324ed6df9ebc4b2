//! A store of the first format, which had one record in each row, goes on as it is.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use common::Place;
use moorline_store::conformance::{EVERYTHING, job, read_all, record, session};
use moorline_store::{Collection, DocKey, Store, StreamBounds};
use moorline_types::{Offset, Record, StreamSeq};
use rusqlite::params;

mod common;

/// The tables as the first format had them.
const FORMAT_1: &str = "
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
    PRAGMA application_id = 0x4d6f6f72;
    PRAGMA user_version = 1;
    INSERT INTO store (id, epoch, revision) VALUES (1, x'00112233445566778899aabbccddeeff', 7);
    INSERT INTO documents VALUES ('meta', 'a', 7, CAST('kept' AS BLOB));
";

/// What the old store holds: two streams in turn.
fn old() -> Vec<Record> {
    (1..=20).flat_map(|seq| [record(job(1), seq), record(session(1), seq)]).collect()
}

fn written() -> Place {
    let place = Place::new();
    let sql = place.sql();
    sql.execute_batch(FORMAT_1).unwrap();
    for (record, offset) in old().iter().zip(1_i64..) {
        let (seq, at) = (record.seq.get().cast_signed(), record.at.as_unix_millis().cast_signed());
        sql.execute(
            "INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![offset, record.stream.to_bytes(), seq, at, record.kind.number(), &record.body[..]],
        )
        .unwrap();
    }
    place
}

#[tokio::test]
async fn what_is_in_it_reads_as_it_was_and_is_added_to() {
    let place = written();
    let mut store = place.open().await;
    let key = DocKey::new(Collection::Meta, "a").unwrap();
    assert_eq!(store.get(&key).await.unwrap().unwrap().value, "kept");
    let mut everything = old();
    let more: Vec<_> = (21..=40).map(|seq| record(job(1), seq)).collect();
    store.append(more.clone().into()).await.unwrap();
    everything.extend(more);
    for is_reopened in [false, true] {
        let read = read_all(&*store, &[job(1), session(1)]).await;
        assert_eq!(read.iter().map(|record| Record::clone(record)).collect::<Vec<_>>(), everything, "{is_reopened}");
        let stream = store.read_stream(job(1), StreamSeq::new(15), EVERYTHING).await.unwrap();
        assert_eq!(stream.len(), 26);
        let bytes: usize = everything.iter().filter(|record| record.stream == job(1)).map(|r| r.body.len()).sum();
        assert_eq!(store.stream_bytes(job(1)).await.unwrap(), bytes as u64);
        if !is_reopened {
            store.close().await;
            store = place.open().await;
        }
    }
}

#[tokio::test]
async fn it_is_trimmed_over_its_end() {
    let place = written();
    let store = place.open().await;
    store.append((21..=40).map(|seq| record(job(1), seq)).collect::<Vec<_>>().into()).await.unwrap();
    for oldest in [5, 20, 21, 30, 40] {
        let oldest = StreamSeq::new(oldest);
        assert_eq!(store.trim_stream(job(1), oldest).await.unwrap(), oldest);
        assert_eq!(store.stream_bounds(job(1)).await.unwrap(), StreamBounds { oldest, head: StreamSeq::new(40) });
        let read = store.read_stream(job(1), StreamSeq::FIRST, EVERYTHING).await.unwrap();
        assert_eq!(read.iter().map(|r| r.seq.get()).collect::<Vec<_>>(), (oldest.get()..=40).collect::<Vec<_>>());
    }
    assert_eq!(store.tail().head(), Offset::new(60));
}
