//! Appending: dense, in order, whole or not at all.

use std::sync::Arc;

use moorline_types::{Batch, Offset, Record, StreamSeq};
use tokio::task::JoinSet;

use super::{
    EVERYTHING, Factory, append, append_each, assert_dense, job, offsets, plain, read_all, record, session, sized,
};
use crate::error::AppendError;
use crate::limits::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS};

/// Eight appenders at once: every offset from 1 is given exactly once.
pub async fn offsets_are_dense_over_concurrent_appenders(factory: &dyn Factory) {
    const APPENDERS: u8 = 8;
    const EACH: u64 = 25;
    let store = factory.open().await;
    let mut appenders = JoinSet::new();
    for number in 0..APPENDERS {
        let store = Arc::clone(&store);
        appenders.spawn(async move { append_each(&*store, job(number), 1, EACH).await });
    }
    let mut committed: Vec<_> = appenders.join_all().await.into_iter().flatten().collect();
    committed.sort_by_key(|record| record.offset());
    assert_dense(&committed);
    assert_eq!(committed.len(), usize::from(APPENDERS) * 25);
    assert_eq!(store.tail().head(), Offset::new(u64::from(APPENDERS) * EACH));
    let streams: Vec<_> = (0..APPENDERS).map(job).collect();
    assert_eq!(read_all(&*store, &streams).await, committed, "the store holds what the appenders were told");
}

/// Offsets and positions grow together, and the bodies are those that were appended.
pub async fn a_stream_keeps_its_order(factory: &dyn Factory) {
    let store = factory.open().await;
    let first = append(&*store, (1..=3).map(|seq| record(job(1), seq)).collect()).await;
    let second = append_each(&*store, job(1), 4, 6).await;
    assert_eq!(offsets(&first), [1, 2, 3]);
    assert_eq!(offsets(&second), [4, 5, 6]);
    let read = store.read_stream(job(1), StreamSeq::FIRST, EVERYTHING).await.expect("it can be read");
    assert_eq!(plain(&read), (1..=6).map(|seq| record(job(1), seq)).collect::<Vec<_>>());
    assert_eq!(offsets(&read), [1, 2, 3, 4, 5, 6]);
}

/// A hole, a repetition, and a stream that does not begin with 1.
pub async fn a_record_that_does_not_follow_its_streams_head_is_refused_and_nothing_written(factory: &dyn Factory) {
    let store = factory.open().await;
    append_each(&*store, job(1), 1, 2).await;
    for (stream, got, expected) in
        [(job(1), 0, 3), (job(1), 2, 3), (job(1), 4, 3), (job(1), u64::MAX, 3), (job(2), 0, 1), (job(2), 2, 1)]
    {
        let refused = store.append(vec![record(stream, got)].into()).await;
        assert_conflict(refused.err(), &record(stream, got), expected);
    }
    assert_eq!(offsets(&read_all(&*store, &[job(1), job(2)]).await), [1, 2]);
    assert_eq!(offsets(&append_each(&*store, job(1), 3, 3).await), [3], "no offset was used up by the refused");
}

/// What comes before the conflict in the batch is refused with it.
pub async fn a_conflict_in_the_middle_of_a_batch_refuses_all_of_it(factory: &dyn Factory) {
    let store = factory.open().await;
    append_each(&*store, job(1), 1, 1).await;
    let batch = vec![record(job(1), 2), record(session(1), 1), record(job(1), 4), record(job(2), 1)];
    assert_conflict(store.append(batch.into()).await.err(), &record(job(1), 4), 3);
    assert_eq!(offsets(&read_all(&*store, &[job(1), job(2), session(1)]).await), [1]);
    assert_eq!(store.tail().head(), Offset::new(1));
    for (stream, head) in [(job(1), 1), (job(2), 0), (session(1), 0)] {
        assert_eq!(store.stream_head(stream).await.expect("it can be read"), StreamSeq::new(head), "{stream}");
    }
}

/// The stream's head decides between writers that do not know of each other.
pub async fn of_two_appenders_at_one_position_one_wins(factory: &dyn Factory) {
    const RIVALS: usize = 8;
    let store = factory.open().await;
    for seq in 1..=10 {
        let mut rivals = JoinSet::new();
        for rival in 0..RIVALS {
            let store = Arc::clone(&store);
            rivals.spawn(async move { store.append(vec![sized(job(1), seq, 100 + rival)].into()).await });
        }
        let outcomes = rivals.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "one of {RIVALS} wins");
        for refused in outcomes.into_iter().filter_map(Result::err) {
            assert_conflict(Some(refused), &record(job(1), seq), seq + 1);
        }
    }
    assert_dense(&read_all(&*store, &[job(1)]).await);
}

/// The bounds are exact on both sides.
pub async fn a_batch_beyond_its_bounds_is_refused_and_the_largest_is_not(factory: &dyn Factory) {
    let store = factory.open().await;
    let many =
        |count: usize| -> Batch { (1_u64..).take(count).map(|seq| record(job(1), seq)).collect::<Vec<_>>().into() };
    let large = |bytes: usize| -> Batch { vec![sized(job(2), 1, bytes - 100), sized(job(2), 2, 100)].into() };
    for refused in [many(MAX_BATCH_RECORDS + 1), large(MAX_BATCH_BYTES + 1)] {
        let (records, bytes) = (refused.records.len(), refused.body_bytes());
        match store.append(refused).await {
            Err(AppendError::TooLarge { records: r, bytes: b, .. }) => assert_eq!((r, b), (records, bytes)),
            other => panic!("{records} records of {bytes} bytes: {other:?}"),
        }
    }
    assert_eq!(store.tail().head(), Offset::ZERO, "nothing of a refused batch is there");
    for admitted in [many(MAX_BATCH_RECORDS), large(MAX_BATCH_BYTES)] {
        store.append(admitted).await.expect("a batch of exactly the bound is appended");
    }
    let read = store.read_stream(job(2), StreamSeq::FIRST, EVERYTHING).await.expect("it can be read");
    assert_eq!(plain(&read), large(MAX_BATCH_BYTES).records);
}

/// Stores may commit the batches of several appenders together; each is decided for itself.
pub async fn a_refused_batch_does_not_spoil_its_neighbours(factory: &dyn Factory) {
    let store = factory.open().await;
    for round in 1..=20 {
        let mut appenders = JoinSet::new();
        for number in 0..8_u8 {
            let store = Arc::clone(&store);
            // Odd ones leave a hole.
            let odd = number % 2 == 1;
            let seq = if odd { round + 1 } else { round };
            appenders.spawn(async move { (odd, store.append(vec![record(job(number), seq)].into()).await.is_err()) });
        }
        for (odd, refused) in appenders.join_all().await {
            assert_eq!(odd, refused, "round {round}");
        }
    }
    let streams: Vec<_> = (0..8).map(job).collect();
    let read = read_all(&*store, &streams).await;
    assert_eq!(read.len(), 80);
    assert_dense(&read);
}

/// Readers that look all the time never see a part of a batch, in the store or in the tail.
pub async fn a_batch_over_several_streams_is_seen_whole_or_not_at_all(factory: &dyn Factory) {
    const BATCHES: u64 = 60;
    let store = factory.open().await;
    let streams = [job(1), session(1), job(2)];
    let mut tasks = JoinSet::new();
    let writer = Arc::clone(&store);
    tasks.spawn(async move {
        for seq in 1..=BATCHES {
            append(&*writer, streams.iter().map(|stream| record(*stream, seq)).collect()).await;
        }
    });
    for from_tail in [true, false] {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut seen = 0;
            while seen < BATCHES * 3 {
                let page = match store.tail().read(&streams, Offset::ZERO, EVERYTHING) {
                    Some(page) if from_tail => page,
                    _ => store.read_streams(&streams, Offset::ZERO, EVERYTHING).await.expect("it can be read"),
                };
                assert_eq!(page.records.len() % 3, 0, "from the tail: {from_tail}");
                seen = page.through.get();
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
}

/// It uses no offset and conflicts with nothing.
pub async fn an_empty_batch_is_appended_by_doing_nothing(factory: &dyn Factory) {
    let store = factory.open().await;
    let committed = store.append(Batch::default()).await.expect("an empty batch is in order");
    assert_eq!(committed.last_offset(), None);
    assert_eq!(offsets(&append_each(&*store, job(1), 1, 1).await), [1]);
}

fn assert_conflict(refused: Option<AppendError>, record: &Record, next: u64) {
    match refused {
        Some(AppendError::Conflict { stream, expected, got }) => {
            assert_eq!((stream, expected, got), (record.stream, StreamSeq::new(next), record.seq));
        }
        other => panic!("{record:?} should conflict: {other:?}"),
    }
}
