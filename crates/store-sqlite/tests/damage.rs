//! Records that this version does not understand, or that are not what they were, are errors and never holes.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use common::Place;
use moorline_store::conformance::{EVERYTHING, job, record};
use moorline_store::{ReadError, Store, StoreFault, WriteError};
use moorline_types::{Offset, StreamId, StreamSeq, UnknownRecordKind};

mod common;

/// A store of three records, the second of which was changed.
async fn changed(sql: &str) -> (Place, ReadError, ReadError, ReadError) {
    let place = Place::new();
    let store = place.open().await;
    for seq in 1..=3 {
        store.append(vec![record(job(1), seq)].into()).await.unwrap();
    }
    store.close().await;
    place.sql().execute_batch(sql).unwrap();
    let store = place.open().await;
    let many: Vec<StreamId> = (0..=255).flat_map(|n| [job(n), moorline_store::conformance::session(n)]).collect();
    let stream = store.read_stream(job(1), StreamSeq::FIRST, EVERYTHING).await.unwrap_err();
    let merged = store.read_streams(&[job(1)], Offset::ZERO, EVERYTHING).await.unwrap_err();
    let walked = store.read_streams(&many, Offset::ZERO, EVERYTHING).await.unwrap_err();
    store.close().await;
    (place, stream, merged, walked)
}

#[tokio::test]
async fn a_record_of_an_unknown_kind_is_not_skipped() {
    let (_place, stream, merged, walked) = changed("UPDATE journal SET kind = 200, sum = NULL WHERE offset = 2").await;
    for error in [stream, merged, walked] {
        let ReadError::UnknownKind { offset, source } = error else { panic!("{error:?}") };
        assert_eq!((offset, source), (Offset::new(2), UnknownRecordKind(200)));
    }
}

#[tokio::test]
async fn a_column_that_makes_no_sense_is_damage() {
    for (sql, field) in [
        ("UPDATE journal SET kind = 3000 WHERE offset = 2", "kind"),
        ("UPDATE journal SET at = -1 WHERE offset = 2", "at"),
    ] {
        let (_place, stream, merged, walked) = changed(sql).await;
        for error in [stream, merged, walked] {
            assert_eq!(error.fault(), Some(StoreFault::Corrupt), "{sql}");
            assert!(matches!(error, ReadError::Damaged { field: found, .. } if found == field), "{sql}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_hole_in_a_stream_is_damage() {
    let place = Place::new();
    let store = place.open().await;
    for seq in 1..=3 {
        store.append(vec![record(job(1), seq)].into()).await.unwrap();
    }
    store.close().await;
    place.sql().execute_batch("DELETE FROM journal WHERE offset = 2").unwrap();
    let store = place.open().await;
    let stream = store.read_stream(job(1), StreamSeq::FIRST, EVERYTHING).await;
    let merged = store.read_streams(&[job(1)], Offset::ZERO, EVERYTHING).await;
    assert_eq!(stream.err().and_then(|error| error.fault()), Some(StoreFault::Corrupt));
    assert_eq!(merged.err().and_then(|error| error.fault()), Some(StoreFault::Corrupt));
    store.close().await;
}

/// A store of one row with three records, changed.
#[tokio::test]
async fn a_row_of_several_records_that_was_changed_is_damage() {
    for sql in [
        "UPDATE journal SET body = CAST(replace(CAST(body AS TEXT), ' 2', ' 7') AS BLOB)",
        "UPDATE journal SET toc = NULL",
        "UPDATE journal SET sum = sum + 1",
        "UPDATE journal SET sum = -1",
        "UPDATE journal SET toc = x'00', sum = NULL",
        "UPDATE journal SET seq = 4",
        "UPDATE journal SET offset = 4",
    ] {
        let place = Place::new();
        let store = place.open().await;
        store.append((1..=3).map(|seq| record(job(1), seq)).collect::<Vec<_>>().into()).await.unwrap();
        store.close().await;
        assert_eq!(place.sql().execute(sql, []).unwrap(), 1, "one row");
        let store = place.open().await;
        let stream = store.read_stream(job(1), StreamSeq::FIRST, EVERYTHING).await;
        assert_eq!(stream.err().and_then(|error| error.fault()), Some(StoreFault::Corrupt), "{sql}");
        let merged = store.read_streams(&[job(1)], Offset::ZERO, EVERYTHING).await;
        assert_eq!(merged.err().and_then(|error| error.fault()), Some(StoreFault::Corrupt), "{sql}");
        let trimmed = store.trim_stream(job(1), StreamSeq::new(2)).await;
        assert!(matches!(trimmed, Err(WriteError::Store { kind: StoreFault::Corrupt, .. })), "{sql}: {trimmed:?}");
        store.close().await;
    }
}
