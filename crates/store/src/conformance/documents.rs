//! Documents: compare-and-set, bounded, listed in order.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::Factory;
use crate::contract::Store;
use crate::document::{Collection, DocKey, Document, Expect, Revision};
use crate::error::PutError;
use crate::limits::{MAX_DOCUMENT_BYTES, MAX_KEY_BYTES, MAX_LIST_BYTES, MAX_LIST_DOCUMENTS};

/// In every collection, without one seeing another's, with the longest key and an empty value.
pub async fn a_document_reads_back_with_its_revision(factory: &dyn Factory) {
    let mut store = factory.open().await;
    let name = "é".repeat(MAX_KEY_BYTES / 2);
    let mut written = Vec::new();
    for collection in Collection::ALL {
        let key = key(*collection, &name);
        assert_eq!(store.get(&key).await.expect("it can be read"), None, "{collection}");
        let value = Bytes::from(collection.as_str());
        let revision = store.put(&key, value.clone(), Expect::Absent).await.expect("it is absent");
        written.push((key, Document { revision, value }));
    }
    let empty = key(Collection::Meta, "empty");
    let revision = store.put(&empty, Bytes::new(), Expect::Any).await.expect("anything goes");
    written.push((empty, Document { revision, value: Bytes::new() }));
    for _ in 0..2 {
        for (key, document) in &written {
            assert_eq!(store.get(key).await.expect("it can be read").as_ref(), Some(document), "{key}");
        }
        store = factory.crash(store).await;
    }
}

/// Puts and deletes alike; the document stays as it was.
pub async fn a_change_under_a_false_expectation_is_refused_with_what_was_found(factory: &dyn Factory) {
    let store = factory.open().await;
    let key = key(Collection::Sessions, "a");
    let no_such = Expect::Revision(Revision::new(77));
    assert_conflict(store.put(&key, "x".into(), no_such).await.err(), None);
    assert_conflict(store.delete(&key, no_such).await.err(), None);
    store.delete(&key, Expect::Any).await.expect("what is absent may be deleted");
    store.delete(&key, Expect::Absent).await.expect("what is absent is as expected");

    let first = store.put(&key, "first".into(), Expect::Absent).await.expect("it is absent");
    assert_conflict(store.put(&key, "x".into(), Expect::Absent).await.err(), Some(first));
    assert_conflict(store.put(&key, "x".into(), no_such).await.err(), Some(first));
    assert_conflict(store.delete(&key, Expect::Absent).await.err(), Some(first));
    assert_conflict(store.delete(&key, no_such).await.err(), Some(first));
    let found = store.get(&key).await.expect("it can be read");
    assert_eq!(found, Some(Document { revision: first, value: "first".into() }));

    let second = store.put(&key, "second".into(), Expect::Revision(first)).await.expect("it is the first");
    assert!(second > first);
    assert_conflict(store.put(&key, "x".into(), Expect::Revision(first)).await.err(), Some(second));
    store.delete(&key, Expect::Revision(second)).await.expect("it is the second");
    assert_eq!(store.get(&key).await.expect("it can be read"), None);
}

/// A counter that many increase loses no increment.
pub async fn of_many_concurrent_changes_one_wins(factory: &dyn Factory) {
    const WRITERS: usize = 8;
    const EACH: usize = 5;
    let store = factory.open().await;
    let key = key(Collection::Meta, "counter");
    store.put(&key, Bytes::new(), Expect::Absent).await.expect("it is absent");
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (store, key) = (Arc::clone(&store), key.clone());
        writers.spawn(async move {
            for _ in 0..EACH {
                while !increase(&*store, &key).await {}
            }
        });
    }
    writers.join_all().await;
    let counted = store.get(&key).await.expect("it can be read").map(|document| document.value.len());
    assert_eq!(counted, Some(WRITERS * EACH));
}

/// Not to another document, not after a deletion, not after a crash.
pub async fn a_revision_is_never_given_twice(factory: &dyn Factory) {
    let mut store = factory.open().await;
    let mut given = BTreeSet::new();
    for round in 0..3 {
        for name in ["a", "b", "a"] {
            let key = key(Collection::Workers, name);
            let revision = store.put(&key, "x".into(), Expect::Any).await.expect("anything goes");
            assert!(given.insert(revision), "{revision} was given before");
            store.delete(&key, Expect::Revision(revision)).await.expect("it is as expected");
        }
        store = if round % 2 == 0 { factory.crash(store).await } else { factory.reopen(store).await };
    }
    assert_eq!(given.first().map(|revision| given.last().map(|last| last > revision)), Some(Some(true)));
}

/// The bound is exact, and the document stays as it was.
pub async fn an_oversized_document_is_refused(factory: &dyn Factory) {
    let store = factory.open().await;
    let key = key(Collection::Audit, "a");
    let largest = Bytes::from(vec![7; MAX_DOCUMENT_BYTES]);
    store.put(&key, largest.clone(), Expect::Any).await.expect("exactly the bound is admitted");
    match store.put(&key, vec![7; MAX_DOCUMENT_BYTES + 1].into(), Expect::Any).await {
        Err(PutError::TooLarge { bytes, max }) => {
            assert_eq!((bytes, max), (MAX_DOCUMENT_BYTES + 1, MAX_DOCUMENT_BYTES))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.get(&key).await.expect("it can be read").map(|document| document.value), Some(largest));
}

/// Every document once, in the order of the keys' bytes, whatever the size of the pages.
pub async fn a_listing_is_ordered_and_paged(factory: &dyn Factory) {
    let store = factory.open().await;
    let names = ["b", "a", "aa", "B", "é", "a/1", "z", "10", "9"];
    for name in names {
        for collection in [Collection::OpenJobs, Collection::Sessions] {
            store.put(&key(collection, name), name.into(), Expect::Absent).await.expect("it is absent");
        }
    }
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    for page in [0, 1, 2, 100, usize::MAX] {
        assert_eq!(list_all(&*store, Collection::OpenJobs, page).await, sorted, "pages of {page}");
    }
    assert_eq!(list_all(&*store, Collection::Audit, 10).await, Vec::<String>::new());
    let after = store.list(Collection::OpenJobs, Some("a0"), 1).await.expect("it can be read");
    assert_eq!(after[0].0.key(), "aa", "a listing begins after a key that need not exist");

    let large = MAX_LIST_BYTES / MAX_DOCUMENT_BYTES + 2;
    for number in 0..large {
        let value = vec![0; MAX_DOCUMENT_BYTES].into();
        store.put(&key(Collection::Audit, &format!("{number:04}")), value, Expect::Absent).await.expect("it is absent");
    }
    let page = store.list(Collection::Audit, None, MAX_LIST_DOCUMENTS).await.expect("it can be read");
    assert_eq!(page.len(), large - 2, "a page is bounded in bytes");
    assert_eq!(list_all(&*store, Collection::Audit, usize::MAX).await.len(), large);
}

async fn list_all(store: &dyn Store, collection: Collection, limit: usize) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().cloned();
        let page = store.list(collection, after.as_deref(), limit).await.expect("it can be read");
        assert!(page.len() <= limit.max(1));
        if page.is_empty() {
            return names;
        }
        for (key, _) in page {
            assert_eq!(key.collection(), collection);
            names.push(key.key().to_owned());
        }
    }
}

/// One attempt to add a byte to the document.
async fn increase(store: &dyn Store, key: &DocKey) -> bool {
    let found = store.get(key).await.expect("it can be read").expect("it is never deleted");
    let value = vec![0; found.value.len() + 1].into();
    match store.put(key, value, Expect::Revision(found.revision)).await {
        Ok(_) => true,
        Err(PutError::Conflict { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

fn key(collection: Collection, name: &str) -> DocKey {
    DocKey::new(collection, name).expect("the suite's keys are valid")
}

fn assert_conflict(refused: Option<PutError>, expected: Option<Revision>) {
    match refused {
        Some(PutError::Conflict { found }) => assert_eq!(found, expected),
        other => panic!("should conflict with {expected:?}: {other:?}"),
    }
}
