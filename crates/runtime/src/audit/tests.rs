use bytes::Bytes;
use moorline_core::audit::AuditDecision;
use moorline_store::{DocKey, MemoryStore, StoreFault, TailLimits};
use moorline_types::{Epoch, Millis};

use super::*;

fn entry(number: usize) -> AuditEntry {
    let at = Timestamp::from_unix_millis(1_778_701_333_020);
    AuditEntry { object: Some(format!("job {number}")), ..AuditEntry::allowed(at, AuditAction::Submit) }
}

fn trail() -> (Audit, Arc<MemoryStore>, Tasks) {
    let now = entry(0).at;
    let (tasks, clock) = (Tasks::default(), Clock::tokio(now));
    let store = Arc::new(MemoryStore::new(Epoch::mint(now, [0; 10]), TailLimits::default()));
    let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
    (Audit::start(shared, clock, &tasks), store, tasks)
}

/// Every entry, page by page.
async fn all(audit: &Audit, filter: &AuditFilter, limit: usize) -> Vec<AuditEntry> {
    let (mut entries, mut cursor) = (Vec::new(), None);
    loop {
        let page = audit.page(filter, cursor.as_deref(), limit).await.unwrap();
        entries.extend(page.entries);
        cursor = page.next.or(cursor);
        if !page.more {
            return entries;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_entry_is_found_once_in_order_on_pages_of_any_size() {
    let (audit, store, tasks) = trail();
    for number in 0..1_000 {
        audit.note(entry(number));
    }
    tasks.stop().await;
    audit.finish().await;
    let documents = store.list(Collection::Audit, None, 1_000).await.unwrap().len();
    assert!(documents < 50, "many entries share a document: {documents}");
    for limit in [1, 7, 200, 100_000] {
        let found = all(&audit, &AuditFilter::default(), limit).await;
        assert_eq!(found, (0..1_000).map(entry).collect::<Vec<_>>(), "pages of {limit}");
    }
    let one = AuditFilter { job: Some("job 777".into()), ..AuditFilter::default() };
    assert_eq!(all(&audit, &one, 10).await, [entry(777)]);
    let later = AuditFilter { since: Some(entry(0).at + Millis::from_secs(3_600)), ..AuditFilter::default() };
    assert!(all(&audit, &later, 10).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_written_in_time_is_counted_and_said() {
    let (audit, _store, tasks) = trail();
    for number in 0..WAITING + 100 {
        audit.note(entry(number));
    }
    tasks.stop().await;
    audit.finish().await;
    let found = all(&audit, &AuditFilter::default(), 200).await;
    let lost: Vec<_> = found.iter().filter(|entry| entry.action == AuditAction::Lost).collect();
    assert_eq!((found.len(), lost.len()), (WAITING + 1, 1));
    assert_eq!(lost[0].count, Some(100));
}

#[tokio::test(start_paused = true)]
async fn refusals_beyond_a_rate_are_counted() {
    let (audit, _store, tasks) = trail();
    for _ in 0..1_000 {
        audit.note(AuditEntry::refused(entry(0).at, AuditAction::Authenticate, "no key"));
    }
    tasks.stop().await;
    audit.finish().await;
    let refused = AuditFilter { decision: Some(AuditDecision::Refused), ..AuditFilter::default() };
    let found = all(&audit, &refused, 200).await;
    assert!(found.len() < 20, "{}", found.len());
    let counted: u32 = found.iter().map(|entry| entry.count.unwrap_or(1)).sum();
    assert_eq!(counted, 1_000);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_version_wrote_is_read_and_goes_by_age() {
    let (audit, store, tasks) = trail();
    let old = serde_json::to_vec(&entry(1)).unwrap();
    store.put(&document::key(entry(1).at).unwrap(), Bytes::from(old), Expect::Absent).await.unwrap();
    assert_eq!(all(&audit, &AuditFilter::default(), 10).await, [entry(1)]);
    let minute = AuditRetention { max_age: Some(Millis::from_secs(60)), ..AuditRetention::default() };
    audit.keep(entry(1).at + Millis::from_secs(3_600), minute).await.unwrap();
    tasks.stop().await;
    audit.finish().await;
    let left = all(&audit, &AuditFilter::default(), 10).await;
    assert_eq!(
        left.iter().map(|entry| (entry.action, entry.count)).collect::<Vec<_>>(),
        [(AuditAction::Trim, Some(1))]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_recorded_is_there_when_that_is_answered_and_no_time_has_passed() {
    let (audit, store, _tasks) = trail();
    audit.note(entry(0));
    let change = Change::put(DocKey::new(Collection::Meta, "m").unwrap(), Bytes::from_static(b"1"), Expect::Any);
    audit.record(entry(1)).await.unwrap();
    audit.commit(entry(2), change.clone()).await.unwrap();
    assert_eq!(audit.0.clock.now(), entry(0).at, "nothing lingers");
    assert_eq!(all(&audit, &AuditFilter::default(), 10).await, [entry(0), entry(1), entry(2)]);
    assert_eq!(store.get(&change.key).await.unwrap().unwrap().value, "1");
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_refused_while_the_store_is_full_and_only_what_has_happened_is_written_later() {
    let (audit, store, tasks) = trail();
    let key = DocKey::new(Collection::Meta, "m").unwrap();
    let change = Change::put(key.clone(), Bytes::from_static(b"1"), Expect::Any);
    store.faults().refuse_writes(StoreFault::Full);
    for _ in 0..2 {
        let refused = Refusal::StoreUnavailable { reason: "the audit trail cannot be written" };
        assert_eq!(audit.record(entry(1)).await, Err(refused.clone()));
        assert_eq!(audit.commit(entry(2), change.clone()).await, Err(refused));
    }
    store.faults().allow();
    audit.record(entry(3)).await.ok();
    tasks.stop().await;
    audit.finish().await;
    assert_eq!(all(&audit, &AuditFilter::default(), 10).await, [entry(1), entry(1), entry(3)]);
    assert!(store.get(&key).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_oldest_make_room_also_those_of_earlier_runs_and_that_is_told() {
    let (audit, store, tasks) = trail();
    let each = 400;
    for number in 0..each {
        audit.record(entry(number)).await.unwrap();
    }
    tasks.stop().await;
    let written = audit.0.bytes.load(Ordering::Relaxed);

    let (tasks, clock) = (Tasks::default(), Clock::tokio(entry(0).at + Millis::from_secs(60)));
    let audit = Audit::start(store, clock, &tasks);
    for number in each..2 * each {
        audit.record(entry(number)).await.unwrap();
    }
    let room = AuditRetention { max_bytes: Some(written), ..AuditRetention::default() };
    for round in 0..3 {
        audit.keep(entry(0).at, room).await.unwrap();
        audit.record(entry(2 * each + round)).await.unwrap();
    }
    assert!(audit.0.bytes.load(Ordering::Relaxed) <= written);
    let left = all(&audit, &AuditFilter::default(), 200).await;
    let (trims, left): (Vec<_>, Vec<_>) = left.into_iter().partition(|entry| entry.action == AuditAction::Trim);
    assert_eq!(trims.len(), 1, "some room is made beyond what is needed: {trims:?}");
    let gone = trims[0].count.unwrap() as usize;
    assert!(gone > each && gone < each + each / 8, "{gone}");
    assert_eq!(left, (gone..2 * each + 3).map(entry).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_puts_nothing_before_what_was_written() {
    let (audit, store, tasks) = trail();
    for number in 0..100 {
        audit.record(entry(number)).await.unwrap();
    }
    tasks.stop().await;
    let mut written = 100;
    for back in [Millis::new(1), Millis::from_secs(1), Millis::from_secs(86_400), Millis::from_secs(365 * 86_400)] {
        let (tasks, shared) = (Tasks::default(), Arc::<MemoryStore>::clone(&store));
        let clock = Clock::tokio(Timestamp::from_unix_millis(entry(0).at.as_unix_millis() - back.get()));
        let audit = Audit::start(shared, clock, &tasks);
        for number in written..written + 10 {
            audit.record(entry(number)).await.unwrap();
        }
        written += 10;
        tasks.stop().await;
        let found = all(&audit, &AuditFilter::default(), 7).await;
        assert_eq!(found, (0..written).map(entry).collect::<Vec<_>>(), "a clock {back:?} back");
    }
}
