//! The tail of a store, and the way between it and the store.

use std::sync::Arc;
use std::time::Duration;

use moorline_types::{Offset, StreamId, StreamSeq};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{EVERYTHING, Factory, Random, append, append_each, filtered, job, offsets, record, session, sized};
use crate::contract::{CommittedRecord, ReadLimit, Store};

/// How long a wake-up may take before the case fails. Generous: it is only waited for in a failing run.
const DEADLINE: Duration = Duration::from_secs(20);

/// From every cursor: the same as a filter over everything, or `None` and then only before what is held. That may become
/// more while a reopened store reads its last records into it.
pub async fn the_tail_answers_exactly_or_says_that_it_cannot(factory: &dyn Factory) {
    let store = factory.open().await;
    let mut everything = Vec::new();
    for seq in 1..=30 {
        everything.extend(append(&*store, vec![record(job(1), seq), sized(job(2), seq, 2_000)]).await);
    }
    let store = factory.reopen(store).await;
    for seq in 31..=40 {
        everything.extend(append(&*store, vec![record(job(1), seq), sized(job(2), seq, 2_000)]).await);
    }
    let tail = store.tail();
    assert_eq!(tail.head(), Offset::new(80));
    assert!(tail.evicted_through() <= Offset::new(60), "what was published since is held");
    for after in (0..=80).map(Offset::new) {
        for streams in [vec![job(1)], vec![job(2), job(1)], vec![job(3)]] {
            let evicted_through = tail.evicted_through();
            match tail.read(&streams, after, EVERYTHING) {
                Some(page) => {
                    assert_eq!(page.records, filtered(&everything, &streams, after), "{streams:?} after {after}");
                }
                None => assert!(after < evicted_through, "{streams:?} after {after}"),
            }
        }
    }
    for from in (1..=42).map(StreamSeq::new) {
        let has = |record: &CommittedRecord| record.stream == job(1) && record.seq >= from;
        let expected: Vec<_> = everything.iter().filter(|record| has(record)).cloned().collect();
        match tail.read_stream(job(1), from, tail.head(), EVERYTHING) {
            Some(records) => assert_eq!(records, expected, "from {from}"),
            None => assert!(from <= StreamSeq::new(30), "from {from}: what was published since is held"),
        }
        let ahead = tail.read_stream(job(1), from, tail.head().next(), EVERYTHING);
        assert_eq!(ahead, None, "whoever has read further than the tail is published");
    }
    assert_eq!(tail.stream_head(job(2)), Some(StreamSeq::new(40)));
    assert_eq!(tail.stream_head(job(3)), None);
}

/// At the moment of the reply the records are there for everyone.
pub async fn the_tail_has_what_an_appender_was_told(factory: &dyn Factory) {
    let store = factory.open().await;
    let mut appenders = JoinSet::new();
    for number in 0..6 {
        let store = Arc::clone(&store);
        appenders.spawn(async move {
            for seq in 1..=30 {
                let committed = append(&*store, vec![record(job(number), seq)]).await;
                let after = committed[0].offset().previous();
                assert!(store.tail().head() > after);
                let page = store.tail().read(&[job(number)], after, EVERYTHING).expect("it is held");
                assert_eq!(page.records, committed);
            }
        });
    }
    appenders.join_all().await;
}

/// Only for its streams, also for what came while nobody waited, and not for a stream that was removed.
pub async fn an_interest_wakes_for_its_streams(factory: &dyn Factory) {
    let store = factory.open().await;
    let mut interest = store.tail().subscribe();
    interest.add(job(1));
    wake(interest.changed()).await;
    append_each(&*store, job(1), 1, 3).await;
    wake(interest.changed()).await;
    assert_asleep(interest.changed()).await;
    append_each(&*store, job(2), 1, 1).await;
    assert_asleep(interest.changed()).await;
    interest.add(session(1));
    wake(interest.changed()).await;
    interest.remove(job(1));
    append_each(&*store, job(1), 4, 4).await;
    assert_asleep(interest.changed()).await;
    let (_, ()) = tokio::join!(append_each(&*store, session(1), 1, 1), wake(interest.changed()));
}

/// Readers that sleep, fall behind and come back, with tiny reads: each record once, in order, whichever way it came.
pub async fn readers_that_fall_back_to_the_store_see_each_record_once_in_order(factory: &dyn Factory) {
    for seed in Random::seeds() {
        let mut random = Random::new(seed);
        let mut store = factory.open().await;
        // What is written before the reopening is never in the tail.
        let streams: Vec<_> = (0..6).map(job).collect();
        append_each(&*store, streams[0], 1, 20).await;
        append_each(&*store, streams[1], 1, 20).await;
        store = factory.reopen(store).await;
        let mut readers = JoinSet::new();
        for reader in 0..4 {
            let chosen = if reader == 0 { streams.clone() } else { random.some(&streams) };
            let total = chosen.len() * 60;
            let numbers = Random::new(seed.wrapping_mul(31).wrapping_add(reader));
            let store = Arc::clone(&store);
            readers.spawn(async move {
                let read = timeout(DEADLINE, follow(&*store, &chosen, total, numbers)).await;
                (chosen, read.unwrap_or_else(|_| panic!("reader {reader} starves, seed {seed}")))
            });
        }
        let mut writers = JoinSet::new();
        for (index, stream) in streams.iter().copied().enumerate() {
            let store = Arc::clone(&store);
            let from = if index < 2 { 21 } else { 1 };
            writers.spawn(async move { append_each(&*store, stream, from, 60).await });
        }
        writers.join_all().await;
        let everything = super::read_all(&*store, &streams).await;
        for (chosen, read) in readers.join_all().await {
            assert_eq!(
                offsets(&read),
                offsets(&filtered(&everything, &chosen, Offset::ZERO)),
                "seed {seed}, {chosen:?}"
            );
        }
    }
}

/// The loop that every reader of a view runs, with random limits and pauses.
async fn follow(store: &dyn Store, streams: &[StreamId], total: usize, mut random: Random) -> Vec<CommittedRecord> {
    let mut interest = store.tail().subscribe();
    for stream in streams {
        interest.add(*stream);
    }
    let (mut read, mut cursor) = (Vec::new(), Offset::ZERO);
    while read.len() < total {
        let limit = ReadLimit::new(1 + random.below(9), 1 + random.below(500));
        let page = match store.tail().read(streams, cursor, limit) {
            Some(page) => page,
            None => store.read_streams(streams, cursor, limit).await.expect("it can be read"),
        };
        cursor = page.through;
        if page.records.is_empty() && cursor >= store.tail().head() {
            interest.changed().await;
        }
        read.extend(page.records);
        for _ in 0..random.below(4) {
            tokio::task::yield_now().await;
        }
    }
    read
}

async fn wake(changed: impl Future<Output = ()>) {
    timeout(DEADLINE, changed).await.expect("the interest wakes");
}

/// Publishing precedes the appender's reply, so one look after the reply is enough.
async fn assert_asleep(changed: impl Future<Output = ()>) {
    let woken = timeout(Duration::ZERO, changed).await;
    assert!(woken.is_err(), "nothing happened to the streams of interest");
}
