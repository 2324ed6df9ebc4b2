//! Opening, crashing, closing.

use std::sync::Arc;

use moorline_types::{Offset, StreamSeq};
use tokio::task::JoinSet;

use super::{EVERYTHING, Factory, append_each, assert_dense, job, offsets, read_all, record};
use crate::document::{Collection, DocKey, Expect};
use crate::error::{AppendError, PutError, ReadError, WriteError};

/// Crash after crash, each in the middle of a stream.
pub async fn everything_acknowledged_survives_a_crash(factory: &dyn Factory) {
    let mut store = factory.open().await;
    let epoch = store.epoch();
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let mut appenders = JoinSet::new();
        for number in 0..4 {
            let store = Arc::clone(&store);
            appenders.spawn(async move { append_each(&*store, job(number), round * 10 + 1, round * 10 + 10).await });
        }
        acknowledged.extend(appenders.join_all().await.into_iter().flatten());
        store = factory.crash(store).await;
        assert_eq!(store.epoch(), epoch, "the lineage is the same");
        acknowledged.sort_by_key(|record| record.offset());
        let found = read_all(&*store, &[job(0), job(1), job(2), job(3)]).await;
        assert_eq!(found, acknowledged, "after crash {round}");
        assert_dense(&found);
    }
}

/// The same after a close.
pub async fn everything_survives_an_orderly_close(factory: &dyn Factory) {
    let store = factory.open().await;
    let epoch = store.epoch();
    let written = append_each(&*store, job(1), 1, 20).await;
    let name = DocKey::new(Collection::Meta, "a").expect("the key is valid");
    store.put(&name, "x".into(), Expect::Absent).await.expect("it is absent");
    let store = factory.reopen(store).await;
    assert_eq!(store.epoch(), epoch);
    assert_eq!(read_all(&*store, &[job(1)]).await, written);
    assert!(store.get(&name).await.expect("it can be read").is_some());
}

/// Both the journal's and each stream's.
pub async fn numbers_continue_after_a_crash(factory: &dyn Factory) {
    let store = factory.open().await;
    append_each(&*store, job(1), 1, 3).await;
    let store = factory.crash(store).await;
    assert_eq!(store.tail().head(), Offset::new(3));
    assert_eq!(store.stream_head(job(1)).await.expect("it can be read"), StreamSeq::new(3));
    assert!(store.append(vec![record(job(1), 3)].into()).await.is_err());
    assert_eq!(offsets(&append_each(&*store, job(1), 4, 4).await), [4]);
}

/// Numbers of one store are never taken for another's.
pub async fn a_fresh_store_has_another_epoch(factory: &dyn Factory) {
    let (one, other) = (factory.open().await, factory.open().await);
    assert_ne!(one.epoch(), other.epoch());
}

/// Refused, not empty. The tail is memory and goes on answering.
pub async fn a_closed_store_refuses_everything(factory: &dyn Factory) {
    let store = factory.open().await;
    append_each(&*store, job(1), 1, 1).await;
    let key = DocKey::new(Collection::Meta, "a").expect("the key is valid");
    store.close().await;
    store.close().await;
    assert!(matches!(store.append(vec![record(job(1), 2)].into()).await, Err(AppendError::Closed)));
    assert!(matches!(store.read_streams(&[job(1)], Offset::ZERO, EVERYTHING).await, Err(ReadError::Closed)));
    assert!(matches!(store.read_stream(job(1), StreamSeq::FIRST, EVERYTHING).await, Err(ReadError::Closed)));
    assert!(matches!(store.stream_head(job(1)).await, Err(ReadError::Closed)));
    assert!(matches!(store.trim_stream(job(1), StreamSeq::new(2)).await, Err(WriteError::Closed)));
    assert!(matches!(store.get(&key).await, Err(ReadError::Closed)));
    assert!(matches!(store.put(&key, "x".into(), Expect::Any).await, Err(PutError::Closed)));
    assert!(matches!(store.delete(&key, Expect::Any).await, Err(PutError::Closed)));
    assert!(matches!(store.list(Collection::Meta, None, 1).await, Err(ReadError::Closed)));
    assert!(matches!(store.probe().await, Err(WriteError::Closed)));
    assert!(store.tail().read(&[job(1)], Offset::ZERO, EVERYTHING).is_some());
}

/// Each append that is under way at the close is either acknowledged and found again, or refused with `Closed`.
pub async fn what_is_queued_before_a_close_is_finished(factory: &dyn Factory) {
    let store = factory.open().await;
    let mut appenders = JoinSet::new();
    for number in 0..32_u8 {
        let store = Arc::clone(&store);
        appenders.spawn(async move { store.append(vec![record(job(number), 1)].into()).await });
    }
    tokio::task::yield_now().await;
    store.close().await;
    let mut acknowledged = Vec::new();
    for outcome in appenders.join_all().await {
        match outcome {
            Ok(committed) => acknowledged.extend(committed.into_records()),
            Err(AppendError::Closed) => {}
            Err(other) => panic!("{other}"),
        }
    }
    let store = factory.reopen(store).await;
    acknowledged.sort_by_key(|record| record.offset());
    let streams: Vec<_> = (0..32).map(job).collect();
    assert_eq!(read_all(&*store, &streams).await, acknowledged);
}

/// It proves that a commit is possible and changes no number.
pub async fn a_probe_leaves_no_trace(factory: &dyn Factory) {
    let store = factory.open().await;
    for _ in 0..3 {
        store.probe().await.expect("a healthy store can commit");
    }
    assert_eq!(store.tail().head(), Offset::ZERO);
    assert_eq!(offsets(&append_each(&*store, job(1), 1, 1).await), [1]);
    assert_eq!(store.list(Collection::Meta, None, 10).await.expect("it can be read"), vec![]);
}
