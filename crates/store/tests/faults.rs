//! Faults on demand: what the reference refuses, and that it is whole again afterwards.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use moorline_store::conformance::{AT, EVERYTHING, job, record};
use moorline_store::{
    AppendError, Collection, DocKey, Expect, MemoryStore, PutError, ReadError, Store, StoreFault, TailLimits,
    WriteError,
};
use moorline_types::{Epoch, Offset, StreamSeq};

fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Epoch::mint(AT, [1; 10]), TailLimits::default()))
}

#[tokio::test]
async fn refused_appends_leave_nothing_behind_and_reads_go_on() {
    let store = store();
    store.append(vec![record(job(1), 1)].into()).await.unwrap();
    for fault in [StoreFault::Full, StoreFault::ReadOnly, StoreFault::Corrupt, StoreFault::Io, StoreFault::Newer] {
        store.faults().refuse_appends(fault);
        match store.append(vec![record(job(1), 2)].into()).await {
            Err(AppendError::Store { kind, .. }) => assert_eq!(kind, fault),
            other => panic!("{fault:?}: {other:?}"),
        }
        assert_eq!(store.stream_head(job(1)).await.unwrap(), StreamSeq::FIRST);
        store.probe().await.expect("only appends are refused");
    }
    store.faults().allow();
    let committed = store.append(vec![record(job(1), 2)].into()).await.unwrap();
    assert_eq!(committed.last_offset(), Some(Offset::new(2)));
}

#[tokio::test]
async fn a_store_that_refuses_writes_refuses_all_of_them() {
    let store = store();
    let key = DocKey::new(Collection::Meta, "a").unwrap();
    store.faults().refuse_writes(StoreFault::Full);
    assert!(matches!(store.append(vec![record(job(1), 1)].into()).await, Err(AppendError::Store { .. })));
    assert!(matches!(store.put(&key, "x".into(), Expect::Any).await, Err(PutError::Store { .. })));
    assert!(matches!(store.delete(&key, Expect::Any).await, Err(PutError::Store { .. })));
    assert!(matches!(store.trim_stream(job(1), StreamSeq::FIRST).await, Err(WriteError::Store { .. })));
    assert!(matches!(store.probe().await, Err(WriteError::Store { .. })));
    assert_eq!(store.get(&key).await.unwrap(), None);
}

#[tokio::test]
async fn a_store_that_cannot_read_never_answers_empty() {
    let store = store();
    let key = DocKey::new(Collection::Meta, "a").unwrap();
    store.faults().refuse_reads(StoreFault::Io);
    let faults = [
        store.read_streams(&[job(1)], Offset::ZERO, EVERYTHING).await.err(),
        store.read_stream(job(1), StreamSeq::FIRST, EVERYTHING).await.err(),
        store.stream_head(job(1)).await.err(),
        store.get(&key).await.err(),
        store.list(Collection::Meta, None, 1).await.err(),
    ];
    for fault in faults {
        assert_eq!(fault.as_ref().and_then(ReadError::fault), Some(StoreFault::Io), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn held_appends_wait_and_then_go_on_in_a_reopened_store_too() {
    let store = store();
    store.faults().hold_appends();
    let append = store.append(vec![record(job(1), 1)].into());
    tokio::pin!(append);
    assert!(tokio::time::timeout(Duration::from_secs(60), &mut append).await.is_err());
    assert_eq!(store.tail().head(), Offset::ZERO);
    store.faults().allow();
    append.await.unwrap();
    assert_eq!(store.reopen(TailLimits::default()).tail().head(), Offset::FIRST);
}
