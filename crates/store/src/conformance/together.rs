//! Batches and documents that are committed together.

use bytes::Bytes;
use moorline_types::Batch;

use super::{Factory, job, plain, read_all, record};
use crate::document::{Change, Collection, DocKey, Expect, Revision};
use crate::error::{AppendError, PutError};
use crate::limits::MAX_DOCUMENT_BYTES;

/// With a revision like any other change, and for good.
pub async fn a_batch_and_its_documents_are_committed_together(factory: &dyn Factory) {
    let mut store = factory.open().await;
    let before = store.put(&key("old"), "old".into(), Expect::Absent).await.expect("it is absent");
    let batch = Batch::from(vec![record(job(1), 1), record(job(2), 1)]);
    let changes = vec![
        Change::put(key("new"), "new".into(), Expect::Absent),
        Change::delete(key("old"), Expect::Revision(before)),
        Change::delete(key("none"), Expect::Any),
    ];
    let committed = store.append_with(batch.clone(), changes).await.expect("everything is as expected");
    assert_eq!(plain(committed.records()), batch.records);
    for _ in 0..2 {
        assert_eq!(plain(&read_all(&*store, &[job(1), job(2)]).await), batch.records);
        let found = store.get(&key("new")).await.expect("it can be read").expect("it is there");
        assert_eq!(found.value, "new");
        assert!(found.revision > before);
        assert_eq!(store.get(&key("old")).await.expect("it can be read"), None);
        store = factory.crash(store).await;
    }
    let later = store.put(&key("later"), Bytes::new(), Expect::Any).await.expect("anything goes");
    assert!(later > Revision::new(before.get() + 1), "revisions are never given twice");
}

/// Whichever part is refused, nothing of the rest is done, and the neighbours are not disturbed.
pub async fn if_a_part_is_refused_nothing_is_done(factory: &dyn Factory) {
    let store = factory.open().await;
    let there = store.put(&key("there"), "there".into(), Expect::Absent).await.expect("it is absent");
    let put = |name, expect| Change::put(key(name), "x".into(), expect);
    let follows = || vec![record(job(1), 1)];
    let large = Change::put(key("large"), vec![0; MAX_DOCUMENT_BYTES + 1].into(), Expect::Any);
    for (records, changes) in [
        (follows(), vec![put("a", Expect::Any), put("there", Expect::Absent)]),
        (follows(), vec![put("a", Expect::Any), Change::delete(key("there"), Expect::Revision(there.next()))]),
        (follows(), vec![put("a", Expect::Any), large]),
        (vec![record(job(1), 2)], vec![put("a", Expect::Any), put("there", Expect::Any)]),
        (Vec::new(), vec![put("a", Expect::Any), put("none", Expect::Revision(there))]),
    ] {
        let gap = records.first().is_some_and(|record| record.seq.get() > 1);
        match store.append_with(Batch::from(records), changes).await {
            Err(AppendError::Conflict { .. }) => assert!(gap),
            Err(AppendError::Document { source: PutError::Conflict { .. } | PutError::TooLarge { .. }, .. }) => {
                assert!(!gap);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(store.get(&key("a")).await.expect("it can be read"), None);
        let found = store.get(&key("there")).await.expect("it can be read").map(|found| found.revision);
        assert_eq!(found, Some(there));
        assert_eq!(read_all(&*store, &[job(1)]).await, []);
    }
    store.append(follows().into()).await.expect("the stream is where it was");
}

/// Documents alone are changed together too.
pub async fn documents_without_records_are_changed_together(factory: &dyn Factory) {
    let store = factory.open().await;
    let changes = ["a", "b", "c"].map(|name| Change::put(key(name), name.into(), Expect::Absent));
    let committed = store.append_with(Batch::default(), changes.to_vec()).await.expect("all of them are absent");
    assert_eq!(committed.last_offset(), None);
    let store = factory.crash(store).await;
    let listed = store.list(Collection::Meta, None, 10).await.expect("it can be read");
    let names: Vec<_> = listed.iter().map(|(key, _)| key.key()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

fn key(name: &str) -> DocKey {
    DocKey::new(Collection::Meta, name).expect("a valid key")
}
