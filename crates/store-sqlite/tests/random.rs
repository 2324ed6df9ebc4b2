//! Any sequence of appends, trims, closes and crashes leaves what the store in memory has after the same sequence.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;

use common::Place;
use moorline_store::conformance::{AT, Random, job, session, sized};
use moorline_store::{MemoryStore, ReadLimit, Store, TailLimits};
use moorline_store_sqlite::SqliteStore;
use moorline_types::{Batch, Epoch, Offset, Record, RecordKind, StreamId, StreamSeq, Timestamp};

mod common;

/// Sizes of bodies: where a row is divided, and on both sides of what a page of the file holds.
const SIZES: [usize; 8] = [0, 60, 60, 470, 470, 4_000, 33_000, 70_000];

fn streams() -> [StreamId; 4] {
    [job(1), job(2), session(1), session(2)]
}

/// More than are looked up one by one.
fn many_streams() -> Vec<StreamId> {
    (0..=255).flat_map(|n| [job(n), session(n)]).collect()
}

/// Both stores, doing the same.
struct Pair {
    random: Random,
    place: Place,
    sqlite: Arc<SqliteStore>,
    memory: MemoryStore,
}

impl Pair {
    async fn new(seed: u64) -> Self {
        let place = Place::new();
        let sqlite = place.open().await;
        let memory = MemoryStore::new(Epoch::mint(AT, [1; 10]), TailLimits::default());
        Self { random: Random::new(seed), place, sqlite, memory }
    }

    async fn step(&mut self) {
        match self.random.below(20) {
            0 => self.sqlite.close().await,
            1 => self.place = self.place.copy(),
            2..6 => return self.trim().await,
            _ => return self.append().await,
        }
        self.sqlite = self.place.open().await;
    }

    /// A few runs of a few streams.
    async fn append(&mut self) {
        let mut heads = [0; 4];
        for (head, stream) in heads.iter_mut().zip(streams()) {
            *head = self.memory.stream_head(stream).await.unwrap().get();
        }
        let mut records = Vec::new();
        for _ in 0..1 + self.random.below(4) {
            let chosen = self.random.below(heads.len());
            let size = SIZES[self.random.below(SIZES.len())];
            let length = if size > 1_000 { 1 + self.random.below(5) } else { 1 + self.random.below(120) };
            for _ in 0..length {
                heads[chosen] += 1;
                records.push(self.record(streams()[chosen], heads[chosen], size));
            }
        }
        let batch = Batch { records };
        let committed = self.sqlite.append(batch.clone()).await.unwrap();
        assert_eq!(committed, self.memory.append(batch).await.unwrap());
    }

    fn record(&mut self, stream: StreamId, seq: u64, size: usize) -> Record {
        let kind = RecordKind::ALL[self.random.below(RecordKind::ALL.len())];
        let at = Timestamp::from_unix_millis(AT.as_unix_millis() + self.random.number() % 1_000_000);
        Record { kind, at, ..sized(stream, seq, size) }
    }

    async fn trim(&mut self) {
        let stream = streams()[self.random.below(4)];
        let bounds = self.memory.stream_bounds(stream).await.unwrap();
        let span = usize::try_from(bounds.head.next().since(bounds.oldest)).unwrap();
        let before = StreamSeq::new(bounds.oldest.get() + self.random.below(span + 2) as u64);
        let oldest = self.sqlite.trim_stream(stream, before).await.unwrap();
        assert_eq!(oldest, self.memory.trim_stream(stream, before).await.unwrap());
    }

    async fn assert_same(&mut self) {
        let seed = self.random.seed();
        assert_eq!(self.sqlite.tail().head(), self.memory.tail().head(), "seed {seed}");
        for stream in streams() {
            let (sqlite, memory) = (self.sqlite.stream_bounds(stream).await, self.memory.stream_bounds(stream).await);
            assert_eq!(sqlite.unwrap(), memory.unwrap(), "seed {seed}");
            let (sqlite, memory) = (self.sqlite.stream_bytes(stream).await, self.memory.stream_bytes(stream).await);
            assert_eq!(sqlite.unwrap(), memory.unwrap(), "seed {seed}");
            let from = StreamSeq::new(self.position());
            let limit = self.limit();
            let (sqlite, memory) = (
                self.sqlite.read_stream(stream, from, limit).await,
                self.memory.read_stream(stream, from, limit).await,
            );
            assert_eq!(sqlite.unwrap(), memory.unwrap(), "{stream} from {from} {limit:?}, seed {seed}");
        }
        for wanted in [self.random.some(&streams()), many_streams()] {
            let (after, limit) = (Offset::new(self.position()), self.limit());
            let sqlite = self.sqlite.read_streams(&wanted, after, limit).await.unwrap();
            let memory = self.memory.read_streams(&wanted, after, limit).await.unwrap();
            assert_eq!(sqlite.records, memory.records, "{wanted:?} after {after} {limit:?}, seed {seed}");
            let last = sqlite.records.last().map_or(after, |record| record.offset());
            assert!((last..=memory.through).contains(&sqlite.through), "seed {seed}");
        }
    }

    fn position(&mut self) -> u64 {
        self.random.number() % (self.memory.tail().head().get() + 2)
    }

    fn limit(&mut self) -> ReadLimit {
        ReadLimit::new(self.random.below(300), self.random.below(100_000))
    }
}

#[tokio::test]
async fn any_sequence_of_changes_leaves_what_the_store_in_memory_has() {
    for seed in Random::seeds() {
        let mut pair = Pair::new(seed).await;
        for _ in 0..60 {
            pair.step().await;
            pair.assert_same().await;
        }
        pair.sqlite.close().await;
    }
}
