//! What reading a session's view costs: a page from memory, of one job and of many.
//!
//! `cargo bench -p moorline-runtime`.

#![allow(missing_docs, reason = "the functions are criterion's")]
#![allow(clippy::unwrap_used, reason = "a benchmark that fails has to end")]

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use moorline_core::record::{Attached, Event, Fact, Overflow};
use moorline_core::view::View;
use moorline_runtime::view::ViewReader;
use moorline_store::{MemoryStore, Store, TailLimits};
use moorline_types::{Batch, Epoch, EventKind, JobId, Json, Offset, Record, SessionId, StreamId, StreamSeq, Timestamp};
use tokio::runtime::Builder;

const NOW: Timestamp = Timestamp::from_unix_millis(1_778_701_333_020);

/// Records of all jobs together.
const RECORDS: u64 = 10_000;

fn session() -> SessionId {
    SessionId::mint(NOW, [1; 10])
}

fn job(number: u64) -> JobId {
    let mut entropy = [0; 10];
    entropy[2..].copy_from_slice(&number.to_be_bytes());
    JobId::mint(NOW, entropy)
}

fn record(stream: StreamId, seq: u64, fact: &Fact) -> Record {
    Record { stream, seq: StreamSeq::new(seq), at: NOW, kind: fact.kind(), body: fact.encode() }
}

/// A session that watches these jobs, which take turns.
async fn journal(jobs: u64) -> Arc<dyn Store> {
    let store = MemoryStore::new(Epoch::mint(NOW, [7; 10]), TailLimits::default());
    let attach = |number| Fact::Attached(Attached { job: job(number), from: None, overflow: Overflow::CatchUp });
    let body = Json::parse(&format!(r#"{{"level":"info","message":"{}"}}"#, "x".repeat(150))).unwrap();
    let event = Fact::Event(Event { worker_seq: None, kind: EventKind::Log, ts: NOW, body });
    let attached = (0..jobs).map(|number| record(StreamId::Session(session()), number + 1, &attach(number)));
    let reported = (0..RECORDS).map(|count| record(StreamId::Job(job(count % jobs)), count / jobs + 1, &event));
    let records: Vec<Record> = attached.chain(reported).collect();
    for batch in records.chunks(200) {
        store.append(Batch::from(batch.to_vec())).await.unwrap();
    }
    Arc::new(store)
}

fn pull(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let mut group = c.benchmark_group("view");
    group.throughput(Throughput::Elements(RECORDS));
    for jobs in [1, 10, 100] {
        let store = runtime.block_on(journal(jobs));
        group.bench_with_input(BenchmarkId::new("pull", jobs), &jobs, |bencher, _| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let mut reader = ViewReader::new(Arc::clone(&store), View::new(session(), Offset::ZERO));
                    let mut seen = 0;
                    while let Some(deliveries) = reader.read_now().await.unwrap() {
                        seen += deliveries.len() as u64;
                    }
                    assert_eq!(seen, RECORDS);
                });
            });
        });
    }
    group.finish();
}

criterion_group!(view, pull);
criterion_main!(view);
