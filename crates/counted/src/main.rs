//! The delivery path in a loop: from committed records in the tail to frames in a buffer.
//!
//! `moorline-counted SCENARIO ROUNDS` delivers a thousand records so many times, and does nothing else. `cargo xtask
//! instructions` runs it twice under callgrind with different numbers of rounds; the difference is what a delivery costs,
//! without what it takes to begin. It has what a view reader and a connection do with a page, without their waiting.

#![expect(clippy::print_stderr, reason = "a program says how it is used")]

use std::hint::black_box;
use std::pin::pin;
use std::process::ExitCode;
use std::task::{Context, Poll, Waker};

use moorline_core::record::{Attached, Event, EventBytes, Fact, Overflow};
use moorline_core::view::{Pull, Shown, View};
use moorline_store::{MemoryStore, ReadLimit, Store as _, Tail, TailLimits};
use moorline_types::{
    Batch, Epoch, EventKind, JobId, Json, MessageId, Offset, Record, SessionId, StreamId, StreamSeq, Timestamp,
    WorkerSeq, limits,
};
use moorline_wire::{EventFrame, EventFrames};

/// Records that are delivered in a round.
const RECORDS: u64 = 1_000;

const NOW: Timestamp = Timestamp::from_unix_millis(1_778_701_333_020);

const PAGE: ReadLimit = ReadLimit::new(limits::VIEW_READ_RECORDS, limits::VIEW_READ_BYTES);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let asked = match args.as_slice() {
        [scenario, rounds] => jobs(scenario).zip(rounds.parse().ok()),
        _ => None,
    };
    let Some((jobs, rounds)) = asked else {
        eprintln!("moorline-counted one_job|many_jobs ROUNDS");
        return ExitCode::FAILURE;
    };
    if deliver(jobs, rounds) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How many jobs take turns in the journal.
fn jobs(scenario: &str) -> Option<u8> {
    match scenario {
        "one_job" => Some(1),
        "many_jobs" => Some(50),
        _ => None,
    }
}

/// Delivers everything, `rounds` times. Answers whether each round delivered all there is.
fn deliver(jobs: u8, rounds: u64) -> bool {
    let Some(store) = journal(jobs) else { return false };
    let tail = store.tail();
    let mut attached = View::new(session(), Offset::ZERO);
    let mut buffer = Vec::new();
    if attach(tail, &mut attached).is_none() {
        return false;
    }
    (0..rounds).all(|_| {
        buffer.clear();
        round(tail, attached.clone(), &mut buffer) == Some(RECORDS)
    })
}

/// Reads on until the session sees every job.
fn attach(tail: &Tail, view: &mut View) -> Option<()> {
    let own = tail.read(&[StreamId::Session(session())], Offset::ZERO, PAGE)?;
    for record in own.records {
        view.handle(&record).ok()?;
    }
    Some(())
}

/// Delivers all there is, and answers how much that was.
fn round(tail: &Tail, mut view: View, buffer: &mut Vec<u8>) -> Option<u64> {
    let session = session();
    let mut frames: Option<EventFrames> = None;
    let mut streams: Vec<StreamId> = view.streams().collect();
    streams.sort_unstable();
    loop {
        let Pull::Live { after } = view.pull() else { return None };
        let page = tail.read(&streams, after, PAGE)?;
        if page.records.is_empty() {
            return Some(view.event_seq().get());
        }
        for record in page.records {
            let seen = view.handle(&record).ok()?;
            if let Some(Shown { event_seq, job }) = seen.shown {
                let event = EventBytes::of(record.get())?;
                let frames = match &mut frames {
                    Some(frames) if frames.job() == job => frames,
                    Some(frames) => {
                        frames.turn_to(job, None);
                        frames
                    }
                    none => none.insert(EventFrames::new(session, job, None)),
                };
                let id = MessageId::mint_text(record.at, [7; 10]);
                frames.write(EventFrame { id, event_seq, fields: event.fields, replayed: false }, buffer);
            }
        }
        black_box(&buffer);
        view.handle_end_of_page(page.through);
    }
}

fn session() -> SessionId {
    SessionId::mint(NOW, [1; 10])
}

fn job(number: u8) -> JobId {
    JobId::mint(NOW, [number; 10])
}

/// A session that watches these jobs, and what they report then.
fn journal(jobs: u8) -> Option<MemoryStore> {
    let attach = |number| Fact::Attached(Attached { job: job(number), from: None, overflow: Overflow::CatchUp });
    let attached = (0..jobs).map(|number| (StreamId::Session(session()), u64::from(number) + 1, attach(number)));
    let text = format!(r#"{{"level":"info","message":"{}"}}"#, "x".repeat(150));
    let body = Json::parse(&text).unwrap_or_else(|_| Json::null());
    let reported = (0..RECORDS).map(|count| {
        let number = u8::try_from(count % u64::from(jobs)).unwrap_or_default();
        let seq = count / u64::from(jobs) + 1;
        let worker_seq = Some(WorkerSeq::new(seq));
        let event = Event { worker_seq, kind: EventKind::Log, ts: NOW, body: body.clone() };
        (StreamId::Job(job(number)), seq, Fact::Event(event))
    });
    let records = attached.chain(reported).map(|(stream, seq, fact)| Record {
        stream,
        seq: StreamSeq::new(seq),
        at: NOW,
        kind: fact.kind(),
        body: fact.encode(),
    });
    let records: Vec<Record> = records.collect();
    let store = MemoryStore::new(Epoch::mint(NOW, [9; 10]), TailLimits::default());
    for batch in records.chunks(limits::MAX_BATCH_RECORDS) {
        // Nothing takes time in this store.
        let mut append = pin!(store.append(Batch::from(batch.to_vec())));
        let Poll::Ready(Ok(_)) = append.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { return None };
    }
    Some(store)
}
