//! What a frame costs: putting a delivery together, encoding a message, and decoding a client's.
//!
//! `cargo bench -p moorline-wire`.

#![allow(missing_docs, reason = "the functions are criterion's")]
#![allow(clippy::unwrap_used, reason = "a benchmark that fails has to end")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use moorline_types::{EventKind, EventSeq, JobId, Json, MessageId, SessionId, Timestamp, limits};
use moorline_wire::payload::JobEvent;
use moorline_wire::{
    DecodeLimits, EventFrame, EventFrames, Frame, RuntimeMessage, decode_client, decode_runtime, encode_into,
};

const NOW: Timestamp = Timestamp::from_unix_millis(1_778_701_333_020);

fn body() -> Json {
    Json::parse(&format!(r#"{{"level":"info","message":"{}"}}"#, "x".repeat(150))).unwrap()
}

fn deliver(c: &mut Criterion) {
    let (session, job) = (SessionId::mint(NOW, [1; 10]), JobId::mint(NOW, [2; 10]));
    let event_seq = EventSeq::new(123_456);
    let mut group = c.benchmark_group("delivery");
    group.throughput(Throughput::Elements(1));

    let fields = format!(r#""kind":"log","ts":"{NOW}","body":{}}}"#, body().get());
    let mut frames = EventFrames::new(session, job, None);
    let mut out = Vec::new();
    group.bench_function("copied", |bencher| {
        bencher.iter(|| {
            out.clear();
            let id = MessageId::mint_text(NOW, [3; 10]);
            frames.write(EventFrame { id, event_seq, fields: fields.as_bytes(), replayed: false }, black_box(&mut out));
        });
    });

    group.bench_function("encoded", |bencher| {
        bencher.iter(|| {
            out.clear();
            let frame = Frame {
                session_id: Some(session.into()),
                job_id: Some(job.into()),
                event_seq: Some(event_seq),
                ..Frame::new(
                    MessageId::mint(NOW, [3; 10]),
                    RuntimeMessage::Event(JobEvent::new(&EventKind::Log, NOW, body())),
                )
            };
            encode_into(&frame, black_box(&mut out));
        });
    });

    let limits = DecodeLimits { max_bytes: limits::DEFAULT_MAX_FRAME_BYTES, max_depth: limits::MAX_JSON_DEPTH };
    group.bench_function("decoded", |bencher| bencher.iter(|| decode_runtime(black_box(&out), limits).unwrap()));
    group.finish();
}

fn decode(c: &mut Criterion) {
    let limits = DecodeLimits { max_bytes: limits::DEFAULT_MAX_FRAME_BYTES, max_depth: limits::MAX_JSON_DEPTH };
    let session = SessionId::mint(NOW, [1; 10]);
    let mut group = c.benchmark_group("decode");
    for (name, message_type, payload) in [
        ("submit", "job.submit", format!(r#"{{"agent":"echo@1.0.0","input":{}}}"#, body().get())),
        ("ack", "session.ack", r#"{"last_processed_seq":12345}"#.to_owned()),
    ] {
        let frame = format!(
            r#"{{"arcp":"1.1","id":"msg_1","type":"{message_type}","session_id":"{session}","payload":{payload}}}"#
        );
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| decode_client(black_box(frame.as_bytes()), limits).unwrap());
        });
    }
    group.finish();
}

criterion_group!(frames, deliver, decode);
criterion_main!(frames);
