//! Reading and trimming: exactly what is there, bounded, and errors rather than holes.

use std::sync::Arc;

use moorline_types::{Offset, Record, StreamId, StreamSeq, Timestamp};
use tokio::task::JoinSet;

use super::{
    EVERYTHING, Factory, Random, append, append_each, assert_dense, filtered, job, offsets, plain, read_all, record,
    session, sized,
};
use crate::contract::{CommittedRecord, ReadLimit, Store, StreamBounds};

/// Whatever the order in which the streams are named, and however often.
pub async fn streams_are_merged_in_offset_order(factory: &dyn Factory) {
    let store = factory.open().await;
    append(&*store, vec![record(job(1), 1), record(session(1), 1), record(job(2), 1)]).await;
    append(&*store, vec![record(job(2), 2), record(job(1), 2)]).await;
    append(&*store, vec![record(session(1), 2), record(job(1), 3)]).await;
    for (streams, after, expected) in [
        (vec![job(1)], 0, vec![1, 5, 7]),
        (vec![job(2), job(1)], 0, vec![1, 3, 4, 5, 7]),
        (vec![session(1), job(2), session(1), job(2)], 0, vec![2, 3, 4, 6]),
        (vec![session(1), job(2), job(1)], 3, vec![4, 5, 6, 7]),
        (vec![job(1)], 5, vec![7]),
        (vec![job(1)], 6, vec![7]),
        (vec![job(1), job(9)], 7, vec![]),
    ] {
        let page = store.read_streams(&streams, Offset::new(after), EVERYTHING).await.expect("it can be read");
        assert_eq!(offsets(&page.records), expected, "{streams:?} after {after}");
        assert_eq!(page.through, Offset::new(7), "{streams:?} after {after}");
    }
}

/// By records and by bytes, in both kinds of read.
pub async fn limits_are_honoured_and_one_record_is_always_read(factory: &dyn Factory) {
    let store = factory.open().await;
    append(&*store, [1000, 100, 100, 1000].iter().zip(1..).map(|(size, seq)| sized(job(1), seq, *size)).collect())
        .await;
    for (limit, from, expected) in [
        (ReadLimit::new(0, 0), 1, vec![1]),
        (ReadLimit::new(1, 0), 1, vec![1]),
        (ReadLimit::new(9, 0), 2, vec![2]),
        (ReadLimit::new(2, 1 << 20), 1, vec![1, 2]),
        (ReadLimit::new(9, 199), 2, vec![2]),
        (ReadLimit::new(9, 200), 2, vec![2, 3]),
        (ReadLimit::new(9, 1200), 1, vec![1, 2, 3]),
        (ReadLimit::new(9, 999), 4, vec![4]),
        (ReadLimit::new(4, 2200), 1, vec![1, 2, 3, 4]),
    ] {
        let stream = store.read_stream(job(1), StreamSeq::new(from), limit).await.expect("it can be read");
        assert_eq!(offsets(&stream), expected, "{limit:?} from {from}");
        let after = Offset::new(from).previous();
        let merged = store.read_streams(&[job(1)], after, limit).await.expect("it can be read");
        assert_eq!(offsets(&merged.records), expected, "{limit:?} after {after}");
    }
}

/// A cut page is complete through its last record; the next read goes on without a hole or a repetition.
pub async fn a_page_says_through_where_it_is_complete(factory: &dyn Factory) {
    let store = factory.open().await;
    append_each(&*store, job(1), 1, 5).await;
    append_each(&*store, job(2), 1, 3).await;
    let page = store.read_streams(&[job(1)], Offset::ZERO, ReadLimit::new(2, 1 << 20)).await.expect("it can be read");
    assert_eq!((offsets(&page.records), page.through), (vec![1, 2], Offset::new(2)));
    let page = store.read_streams(&[job(1)], page.through, EVERYTHING).await.expect("it can be read");
    assert_eq!((offsets(&page.records), page.through), (vec![3, 4, 5], Offset::new(8)));
    let page = store.read_streams(&[job(1)], Offset::new(99), EVERYTHING).await.expect("it can be read");
    assert_eq!((offsets(&page.records), page.through), (vec![], Offset::new(99)), "never before the cursor");
}

/// Absence is an answer; it is not an error, and an error is not absence.
pub async fn what_is_not_there_reads_as_empty(factory: &dyn Factory) {
    let store = factory.open().await;
    assert_eq!(store.stream_head(job(1)).await.expect("it can be read"), StreamSeq::ZERO);
    assert_eq!(store.stream_bounds(job(1)).await.expect("it can be read"), StreamBounds::EMPTY);
    assert!(store.read_stream(job(1), StreamSeq::FIRST, EVERYTHING).await.expect("it can be read").is_empty());
    let page = store.read_streams(&[job(1)], Offset::ZERO, EVERYTHING).await.expect("it can be read");
    assert_eq!((page.records, page.through), (vec![], Offset::ZERO));
    let page = store.read_streams(&[], Offset::ZERO, EVERYTHING).await.expect("it can be read");
    assert_eq!((page.records, page.through), (vec![], Offset::ZERO));
    append_each(&*store, job(1), 1, 2).await;
    assert!(store.read_stream(job(1), StreamSeq::new(3), EVERYTHING).await.expect("it can be read").is_empty());
    assert_eq!(store.trim_stream(job(2), StreamSeq::new(5)).await.expect("it can be trimmed"), StreamSeq::FIRST);
    assert_eq!(store.stream_bounds(job(2)).await.expect("it can be read"), StreamBounds::EMPTY);
}

/// Random journals and random reads, for few streams and for many, page by page.
pub async fn random_reads_equal_a_filter_over_everything(factory: &dyn Factory) {
    for seed in Random::seeds() {
        let mut random = Random::new(seed);
        let store = factory.open().await;
        let streams: Vec<_> = (0..=255).flat_map(|n| [job(n), session(n)]).collect();
        let everything = random_journal(&*store, &mut random, &streams).await;
        for _ in 0..30 {
            let chosen = match random.below(3) {
                0 => random.some(&streams[..4]),
                1 => random.some(&streams),
                _ => streams[2..].to_vec(),
            };
            let after = Offset::new(random.number() % (store.tail().head().get() + 1));
            let limit = ReadLimit::new(1 + random.below(50), random.below(4_000));
            let read = read_pages(&*store, &chosen, after, limit).await;
            assert_eq!(offsets(&read), offsets(&filtered(&everything, &chosen, after)), "seed {seed}");
        }
    }
}

/// Of all streams, by their order in the journal.
pub async fn the_last_moment_is_that_of_the_last_record(factory: &dyn Factory) {
    let store = factory.open().await;
    assert_eq!(store.last_moment().await.expect("it can be read"), None);
    let at = |at: u64, record: Record| Record { at: Timestamp::from_unix_millis(at), ..record };
    append(&*store, vec![at(5, record(job(1), 1)), at(9, record(job(1), 2))]).await;
    append(&*store, vec![at(7, record(job(2), 1))]).await;
    let last = async |store: &dyn Store| store.last_moment().await.expect("it can be read");
    assert_eq!(last(&*store).await, Some(Timestamp::from_unix_millis(7)));
    store.trim_stream(job(2), StreamSeq::new(2)).await.expect("it can be trimmed");
    assert_eq!(last(&*store).await, Some(Timestamp::from_unix_millis(9)), "of what is still there");
}

/// Trimming is idempotent, never goes back, and stops at the head.
pub async fn a_trimmed_stream_begins_later_and_its_numbers_are_not_given_again(factory: &dyn Factory) {
    let store = factory.open().await;
    append_each(&*store, job(1), 1, 5).await;
    append_each(&*store, job(2), 1, 1).await;
    for (before, oldest) in [(0, 1), (1, 1), (3, 3), (2, 3), (3, 3)] {
        let left = store.trim_stream(job(1), StreamSeq::new(before)).await.expect("it can be trimmed");
        assert_eq!(left, StreamSeq::new(oldest), "before {before}");
    }
    let bounds = store.stream_bounds(job(1)).await.expect("it can be read");
    assert_eq!(bounds, StreamBounds { oldest: StreamSeq::new(3), head: StreamSeq::new(5) });
    let read = store.read_stream(job(1), StreamSeq::FIRST, EVERYTHING).await.expect("it can be read");
    assert_eq!(plain(&read), (3..=5).map(|seq| record(job(1), seq)).collect::<Vec<_>>());
    assert_eq!(offsets(&read_all(&*store, &[job(1), job(2)]).await), [3, 4, 5, 6], "the neighbour is untouched");
    let tail = store.tail().read(&[job(1), job(2)], Offset::ZERO, EVERYTHING).expect("the tail holds everything");
    assert_eq!(offsets(&tail.records), [3, 4, 5, 6], "the tail forgets with the store");

    let left = store.trim_stream(job(1), StreamSeq::new(99)).await.expect("it can be trimmed");
    assert_eq!(left, StreamSeq::new(6), "one past the head");
    assert!(store.append(vec![record(job(1), 1)].into()).await.is_err(), "the numbers of what was trimmed are used");
    assert_eq!(offsets(&append_each(&*store, job(1), 6, 6).await), [7]);
}

/// The last records of the whole journal are trimmed too: neither a position nor an offset comes again.
pub async fn a_stream_trimmed_to_nothing_keeps_its_head_when_reopened(factory: &dyn Factory) {
    let mut store = factory.open().await;
    append_each(&*store, job(1), 1, 5).await;
    store.trim_stream(job(1), StreamSeq::new(6)).await.expect("it can be trimmed");
    for orderly in [false, true] {
        store = if orderly { factory.reopen(store).await } else { factory.crash(store).await };
        let bounds = store.stream_bounds(job(1)).await.expect("it can be read");
        assert_eq!(bounds, StreamBounds { oldest: StreamSeq::new(6), head: StreamSeq::new(5) });
        assert_eq!(store.tail().head(), Offset::new(5));
        assert!(store.read_stream(job(1), StreamSeq::FIRST, EVERYTHING).await.expect("it can be read").is_empty());
    }
    assert_eq!(offsets(&append_each(&*store, job(1), 6, 7).await), [6, 7]);
}

/// The room that records take up is told, and free again when they are trimmed.
pub async fn what_is_trimmed_takes_up_no_room(factory: &dyn Factory) {
    const BYTES: usize = 200_000;
    let store = factory.open().await;
    let empty = store.used_bytes().await.expect("it can be read");
    for seq in 1..=10 {
        append(&*store, vec![sized(job(1), seq, BYTES)]).await;
    }
    let full = store.used_bytes().await.expect("it can be read");
    assert!(full >= empty + 10 * BYTES as u64, "{empty} to {full}");
    let bytes = async |stream| store.stream_bytes(stream).await.expect("it can be read");
    assert_eq!((bytes(job(1)).await, bytes(job(2)).await), (10 * BYTES as u64, 0));
    store.trim_stream(job(1), StreamSeq::new(10)).await.expect("it can be trimmed");
    let trimmed = store.used_bytes().await.expect("it can be read");
    assert!(trimmed < full - 8 * BYTES as u64, "{full} to {trimmed}");
    assert_eq!(bytes(job(1)).await, BYTES as u64);
}

/// Each reader sees a prefix that only grows.
pub async fn many_readers_read_while_records_are_written(factory: &dyn Factory) {
    const RECORDS: u64 = 120;
    let store = factory.open().await;
    let mut tasks = JoinSet::new();
    for _ in 0..6 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < usize::try_from(RECORDS).unwrap_or(usize::MAX) {
                let after = Offset::new(u64::try_from(seen.len()).unwrap_or(u64::MAX));
                let page = store.read_streams(&[job(1), job(2)], after, ReadLimit::new(7, 1 << 20)).await;
                seen.extend(page.expect("it can be read").records);
                tokio::task::yield_now().await;
            }
            assert_dense(&seen);
        });
    }
    for seq in 1..=RECORDS / 2 {
        append(&*store, vec![record(job(1), seq), record(job(2), seq)]).await;
    }
    tasks.join_all().await;
}

async fn random_journal(store: &dyn Store, random: &mut Random, streams: &[StreamId]) -> Vec<CommittedRecord> {
    let mut heads = vec![0_u64; streams.len()];
    let mut everything = Vec::new();
    for _ in 0..60 {
        let mut batch = Vec::new();
        for _ in 0..=random.below(10) {
            // Half of the records belong to a few streams, so that there are long ones and short ones.
            let range = if random.below(2) == 0 { 4 } else { streams.len() };
            let index = random.below(range);
            heads[index] += 1;
            batch.push(sized(streams[index], heads[index], random.below(300)));
        }
        everything.extend(append(store, batch).await);
    }
    everything
}

async fn read_pages(
    store: &dyn Store,
    streams: &[StreamId],
    mut after: Offset,
    limit: ReadLimit,
) -> Vec<CommittedRecord> {
    let mut records = Vec::new();
    while after < store.tail().head() {
        let page = store.read_streams(streams, after, limit).await.expect("it can be read");
        assert!(page.through > after, "a page advances");
        assert!(page.records.len() <= limit.records);
        records.extend(page.records);
        after = page.through;
    }
    records
}
