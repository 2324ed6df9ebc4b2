//! Group commit: what waits together is committed together, or refused together when the database fails.
//!
//! The writer is held up by a lock that another connection takes, as a backup would. The commands of a test wait behind
//! it, after one that ends the group of whatever came before, and so make exactly one group.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::fs;
use std::sync::Arc;

use common::Place;
use moorline_store::conformance::{AT, job, read_all, record, sized};
use moorline_store::{
    AppendError, Collection, CommittedBatch, DocKey, Expect, PutError, Store, StoreFault, WriteError,
};
use moorline_store_sqlite::SqliteStore;
use moorline_types::{Offset, Record, RecordKind, StreamSeq};
use tokio::task::JoinSet;

mod common;

type Appended = (u8, Result<CommittedBatch, AppendError>);

/// Queues these records, one append each, behind a writer that is held up, and then lets it go.
async fn append_together(place: &Place, store: &Arc<SqliteStore>, records: Vec<Record>) -> Vec<Appended> {
    let holder = place.sql();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut before = JoinSet::new();
    let probed = Arc::clone(store);
    before.spawn(async move { probed.probe().await });
    tokio::task::yield_now().await;
    let limited = Arc::clone(store);
    before.spawn(async move { limited.limit_size(None).await });
    tokio::task::yield_now().await;
    let mut appenders = JoinSet::new();
    for (index, record) in records.into_iter().enumerate() {
        let store = Arc::clone(store);
        let index = u8::try_from(index).unwrap();
        appenders.spawn(async move { (index, store.append(vec![record].into()).await) });
        // On a runtime of one thread this runs the appender until it waits for its reply.
        tokio::task::yield_now().await;
    }
    holder.execute_batch("ROLLBACK").unwrap();
    for outcome in before.join_all().await {
        outcome.expect("what came before the group is done");
    }
    let mut outcomes = appenders.join_all().await;
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes
}

fn ending(number: u8) -> Record {
    Record { kind: RecordKind::JobResult, ..record(job(number), 1) }
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let place = Place::new();
    let store = place.open().await;
    let before = fs::metadata(place.log()).map(|log| log.len()).unwrap_or(0);
    let outcomes = append_together(&place, &store, (0..200).map(|n| record(job(n), 1)).collect()).await;
    for (index, outcome) in outcomes {
        assert_eq!(outcome.unwrap().last_offset(), Some(Offset::new(u64::from(index) + 1)), "in the order of arrival");
    }
    let grown = fs::metadata(place.log()).unwrap().len() - before;
    // Alone, each of the 200 would write a page of the table and one of its index.
    assert!(grown < 100 * 4096, "the log grew by {grown} bytes");
}

#[tokio::test]
async fn a_database_that_fails_refuses_the_whole_group_and_nobody_sees_any_of_it() {
    for action in ["ABORT", "FAIL", "ROLLBACK"] {
        let place = Place::new();
        place.open().await.close().await;
        let trigger = format!(
            "CREATE TRIGGER fault AFTER INSERT ON journal WHEN new.kind = {} BEGIN SELECT RAISE({action}, 'broken'); END",
            RecordKind::JobResult.number()
        );
        place.sql().execute_batch(&trigger).unwrap();
        let store = place.open().await;
        store.append(vec![record(job(0), 1)].into()).await.unwrap();

        let records = vec![record(job(1), 1), record(job(2), 1), ending(3), record(job(4), 1), record(job(5), 9)];
        let outcomes = append_together(&place, &store, records).await;
        for (index, outcome) in outcomes {
            let refused = matches!(outcome, Err(AppendError::Store { kind: StoreFault::Io, .. }));
            assert!(refused, "{action}, {index}: {outcome:?}");
        }
        assert_eq!(store.tail().head(), Offset::new(1), "{action}");
        let streams: Vec<_> = (0..6).map(job).collect();
        assert_eq!(read_all(&*store, &streams).await.len(), 1, "{action}");

        for number in [2, 4] {
            assert_eq!(store.stream_head(job(number)).await.unwrap(), StreamSeq::ZERO, "{action}");
            store.append(vec![record(job(number), 1)].into()).await.unwrap();
        }
        assert_eq!(store.tail().head(), Offset::new(3), "no offset was used up: {action}");
        store.close().await;
    }
}

#[tokio::test]
async fn a_store_that_somebody_else_has_locked_refuses_in_time_and_then_goes_on() {
    let place = Place::new();
    let store = place.open().await;
    store.append(vec![record(job(1), 1)].into()).await.unwrap();
    let key = DocKey::new(Collection::Meta, "a").unwrap();
    let holder = place.sql();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (append, put, probe) = tokio::join!(
        store.append(vec![record(job(1), 2)].into()),
        store.put(&key, "x".into(), Expect::Any),
        store.probe()
    );
    assert!(matches!(append, Err(AppendError::Store { kind: StoreFault::Io, .. })), "{append:?}");
    assert!(matches!(put, Err(PutError::Store { kind: StoreFault::Io, .. })), "{put:?}");
    assert!(matches!(probe, Err(WriteError::Store { kind: StoreFault::Io, .. })), "{probe:?}");
    assert_eq!(read_all(&*store, &[job(1)]).await.len(), 1, "reading goes on");
    drop(holder);
    assert_eq!(store.append(vec![record(job(1), 2)].into()).await.unwrap().last_offset(), Some(Offset::new(2)));
}

#[tokio::test]
async fn a_reader_that_takes_its_time_does_not_hold_up_the_writer() {
    let place = Place::new();
    let store = place.open().await;
    store.append(vec![record(job(1), 1)].into()).await.unwrap();
    let reader = place.sql();
    reader.execute_batch("BEGIN").unwrap();
    let count = || reader.query_row("SELECT count(*) FROM journal", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count(), 1);
    for seq in 2..=50 {
        store.append(vec![sized(job(1), seq, 50_000)].into()).await.unwrap();
    }
    assert_eq!(count(), 1, "it reads its own snapshot");
    assert_eq!(read_all(&*store, &[job(1)]).await.len(), 50);
    assert_eq!(
        store.read_stream(job(1), StreamSeq::FIRST, moorline_store::conformance::EVERYTHING).await.unwrap()[0].at,
        AT
    );
}
