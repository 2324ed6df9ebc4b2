//! What the journal costs: appending and committing, reading it back, and opening it.
//!
//! `cargo bench -p moorline-store-sqlite`. Records are of the size of a usual event; every append
//! is waited for, so what is measured is durable.

#![allow(missing_docs, reason = "the functions are criterion's")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that fails has to end")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use moorline_store::conformance::{AT, job, sized};
use moorline_store::{ReadLimit, Store};
use moorline_store_sqlite::{SqliteOptions, SqliteStore};
use moorline_types::{Batch, Offset, Record, StreamId, StreamSeq, limits};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// Bytes of a record's body.
const BODY: usize = 470;

/// What a view reads at once.
const PAGE: ReadLimit = ReadLimit::new(limits::VIEW_READ_RECORDS, limits::VIEW_READ_BYTES);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn open(place: &TempDir) -> Arc<SqliteStore> {
    let options = SqliteOptions::new(place.path().join("store.db"), AT, [1; 10]);
    Arc::new(SqliteStore::open(options).await.unwrap())
}

/// `count` records of a stream, after `head`.
fn batch(template: &Record, head: u64, count: u64) -> Batch {
    let record = |seq| Record { seq: StreamSeq::new(seq), ..template.clone() };
    Batch { records: (head + 1..=head + count).map(record).collect() }
}

fn template(stream: StreamId) -> Record {
    sized(stream, 1, BODY)
}

/// Appends to each of the streams in turn until every one has `rounds` batches of `count`; the streams do not wait for
/// each other. Returns how long it took.
async fn append_to(store: &Arc<SqliteStore>, streams: u8, heads: u64, rounds: u64, count: u64) -> Duration {
    let began = now();
    let mut appenders = JoinSet::new();
    for number in 0..streams {
        let (store, template) = (Arc::clone(store), template(job(number)));
        appenders.spawn(async move {
            for round in 0..rounds {
                store.append(batch(&template, heads + round * count, count)).await.unwrap();
            }
        });
    }
    appenders.join_all().await;
    began.elapsed()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn append(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("append");
    for (name, streams, count) in
        [("one_stream_256", 1, 256), ("8_streams_256", 8, 256), ("100_streams_4", 100, 4), ("one_record", 1, 1)]
    {
        group.throughput(Throughput::Elements(u64::from(streams) * count));
        group.bench_function(name, |bencher| {
            let place = TempDir::new().unwrap();
            let store = runtime.block_on(open(&place));
            let mut heads = 0;
            bencher.iter_custom(|rounds| {
                let took = runtime.block_on(append_to(&store, streams, heads, rounds, count));
                heads += rounds * count;
                took
            });
            runtime.block_on(store.close());
        });
    }
    group.finish();
}

/// A journal in which `streams` streams have `records` records in all.
async fn filled(place: &TempDir, streams: u8, records: u64, count: u64) -> Arc<SqliteStore> {
    let store = open(place).await;
    let rounds = records / u64::from(streams) / count;
    append_to(&store, streams, 0, rounds, count).await;
    store
}

fn read(c: &mut Criterion) {
    const RECORDS: u64 = 100_000;
    let runtime = runtime();
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Elements(RECORDS));
    for streams in [1_u8, 100] {
        let place = TempDir::new().unwrap();
        let store = runtime.block_on(filled(&place, streams, RECORDS, 50));
        if streams == 1 {
            group.bench_function("one_stream", |bencher| {
                bencher.iter(|| {
                    runtime.block_on(async {
                        let mut next = StreamSeq::FIRST;
                        while next.get() <= RECORDS {
                            let page = store.read_stream(job(0), next, PAGE).await.unwrap();
                            next = page.last().unwrap().seq.next();
                            black_box(page);
                        }
                    });
                });
            });
        }
        let all: Vec<_> = (0..streams).map(job).collect();
        // More streams than are looked up one by one.
        let many: Vec<_> = (0..=255).flat_map(|n| [job(n), moorline_store::conformance::session(n)]).collect();
        for (name, wanted) in [("merged", &all), ("walked", &many)] {
            group.bench_with_input(BenchmarkId::new(name, streams), wanted, |bencher, wanted| {
                bencher.iter(|| {
                    runtime.block_on(async {
                        let mut after = Offset::ZERO;
                        while after.get() < RECORDS {
                            let page = store.read_streams(wanted, after, PAGE).await.unwrap();
                            after = page.through;
                            black_box(page);
                        }
                    });
                });
            });
        }
        runtime.block_on(store.close());
    }
    group.finish();
}

fn reopen(c: &mut Criterion) {
    const RECORDS: u64 = 1_000_000;
    let runtime = runtime();
    let place = TempDir::new().unwrap();
    runtime.block_on(async { filled(&place, 100, RECORDS, 100).await.close().await });
    let mut group = c.benchmark_group("open");
    group.bench_function("million_records", |bencher| {
        bencher.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    let began = now();
                    let store = open(&place).await;
                    took += began.elapsed();
                    store.close().await;
                }
                took
            })
        });
    });
    group.finish();
}

fn configured() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .measurement_time(Duration::from_secs(3))
        .warm_up_time(Duration::from_millis(500))
}

criterion_group! { name = journal; config = configured(); targets = append, read, reopen }
criterion_main!(journal);
