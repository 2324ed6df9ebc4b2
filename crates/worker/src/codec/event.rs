//! Reports of events, which are nearly all of what a worker says, to and from frames without the message in between.
//!
//! What is written is what prost writes. What is read is only that form; everything else, and everything that is wrong,
//! is `None` and read by prost, so that there is one reader that judges.

use std::fmt::Write as _;

use bytes::{BufMut as _, BytesMut};
use moorline_types::{EventKind, JobId, Json, Timestamp, WorkerSeq};

use crate::message::{FromWorker, Report, decode};

/// Bytes of an identifier as text.
const JOB_ID_BYTES: usize = JobId::PREFIX.len() + 26;

/// The tags of the fields: their number and the wire type.
mod tag {
    /// `WorkerMessage.report`, a message.
    pub(super) const REPORT: u8 = 4 << 3 | 2;
    /// `Report.job_id`, a string.
    pub(super) const JOB_ID: u8 = 1 << 3 | 2;
    /// `Report.worker_seq`, a number.
    pub(super) const WORKER_SEQ: u8 = 2 << 3;
    /// `Report.at_ms`, a number.
    pub(super) const AT_MS: u8 = 3 << 3;
    /// `Report.event`, a message.
    pub(super) const EVENT: u8 = 4 << 3 | 2;
    /// `Event.kind`, a string.
    pub(super) const KIND: u8 = 1 << 3 | 2;
    /// `Event.body_json`, a string.
    pub(super) const BODY_JSON: u8 = 2 << 3 | 2;
}

/// An event of a job, as it stands in a frame.
pub(super) struct EventFrame<'a> {
    job: JobId,
    seq: WorkerSeq,
    at: Timestamp,
    kind: &'a str,
    body: &'a str,
    /// How long its parts are.
    event_bytes: usize,
    report_bytes: usize,
}

impl<'a> EventFrame<'a> {
    /// The frame of a message that reports an event.
    pub(super) fn of(message: &'a FromWorker) -> Option<Self> {
        let FromWorker::Report { job, seq, at, report: Report::Event { kind, body } } = message else { return None };
        let (kind, body) = (kind.as_str(), body.get());
        let event_bytes = text_bytes(kind.len()) + text_bytes(body.len());
        let mut report_bytes = text_bytes(JOB_ID_BYTES) + text_bytes(event_bytes) + 1 + varint_bytes(seq.get());
        if at.as_unix_millis() > 0 {
            report_bytes += 1 + varint_bytes(at.as_unix_millis());
        }
        Some(Self { job: *job, seq: *seq, at: *at, kind, body, event_bytes, report_bytes })
    }

    /// How long the message is.
    pub(super) const fn bytes(&self) -> usize {
        text_bytes(self.report_bytes)
    }

    /// Writes the message.
    pub(super) fn put(&self, buffer: &mut BytesMut) {
        put_length(buffer, tag::REPORT, self.report_bytes);
        put_length(buffer, tag::JOB_ID, JOB_ID_BYTES);
        // Writing to memory does not fail.
        write!(buffer, "{}", self.job).unwrap_or_default();
        buffer.put_u8(tag::WORKER_SEQ);
        put_varint(buffer, self.seq.get());
        if self.at.as_unix_millis() > 0 {
            buffer.put_u8(tag::AT_MS);
            put_varint(buffer, self.at.as_unix_millis());
        }
        put_length(buffer, tag::EVENT, self.event_bytes);
        put_length(buffer, tag::KIND, self.kind.len());
        buffer.put_slice(self.kind.as_bytes());
        put_length(buffer, tag::BODY_JSON, self.body.len());
        buffer.put_slice(self.body.as_bytes());
    }
}

/// The report of an event that the frame holds, if it holds one in the form that [`EventFrame::put`] writes.
pub(super) fn read(mut frame: &[u8]) -> Option<FromWorker> {
    let report = &mut take(&mut frame, tag::REPORT)?;
    let job = text(take(report, tag::JOB_ID)?)?.parse().ok()?;
    let seq = number(report, tag::WORKER_SEQ)?;
    let at = if report.first() == Some(&tag::AT_MS) { number(report, tag::AT_MS)? } else { 0 };
    let event = &mut take(report, tag::EVENT)?;
    let kind: EventKind = text(take(event, tag::KIND)?)?.parse().ok()?;
    let body: Json = decode::event_body(text(take(event, tag::BODY_JSON)?)?).ok()?;
    let is_whole = frame.is_empty() && report.is_empty() && event.is_empty() && seq > 0;
    let (seq, at) = (WorkerSeq::new(seq), Timestamp::from_unix_millis(at));
    is_whole.then_some(FromWorker::Report { job, seq, at, report: Report::Event { kind, body } })
}

fn take<'a>(from: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let length = usize::try_from(number(from, tag)?).ok()?;
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

fn number(from: &mut &[u8], tag: u8) -> Option<u64> {
    *from = from.strip_prefix(&[tag])?;
    let mut number = 0;
    for place in 0..10 {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn text(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

fn put_length(buffer: &mut BytesMut, tag: u8, length: usize) {
    buffer.put_u8(tag);
    put_varint(buffer, length as u64);
}

fn put_varint(buffer: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        buffer.put_u8(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    buffer.put_u8(number.to_le_bytes()[0]);
}

/// How long a field is that has its length before it.
const fn text_bytes(length: usize) -> usize {
    1 + varint_bytes(length as u64) + length
}

const fn varint_bytes(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::proto::WorkerMessage;

    fn event(seq: u64, at: u64, kind: &str, text: &str) -> FromWorker {
        let report = Report::Event {
            kind: kind.parse().unwrap(),
            body: Json::of(&serde_json::json!({ "text": text })).unwrap(),
        };
        let (seq, at) = (WorkerSeq::new(seq), Timestamp::from_unix_millis(at));
        FromWorker::Report { job: JobId::mint(at, [7; 10]), seq, at, report }
    }

    fn written(message: &FromWorker) -> BytesMut {
        let mut buffer = BytesMut::new();
        let frame = EventFrame::of(message).unwrap();
        frame.put(&mut buffer);
        assert_eq!(buffer.len(), frame.bytes());
        buffer
    }

    proptest! {
        #[test]
        fn an_event_is_written_as_prost_writes_it_and_reads_back(
            seq in 1_u64.., at in 0_u64..253_402_300_799_999, bytes in 0_usize..40_000,
        ) {
            let message = event(seq, at, "x-vendor.acme.heat", &"x".repeat(bytes));
            let frame = written(&message);
            prop_assert_eq!(&frame[..], &WorkerMessage::from(message.clone()).encode_to_vec()[..]);
            prop_assert_eq!(read(&frame), Some(message));
        }

        /// What is not exactly that form is left to prost, which may read it otherwise or refuse it.
        #[test]
        fn what_is_changed_is_never_read_as_something_that_prost_does_not_read(at in 0_usize..120, to in any::<u8>()) {
            let mut frame = written(&event(300, 1_700_000_000_000, "log", "a word or two"));
            let place = at % frame.len();
            frame[place] = to;
            if let Some(read) = read(&frame) {
                let Some(crate::proto::worker_message::Body::Report(report)) =
                    WorkerMessage::decode(&frame[..]).unwrap().body
                else {
                    panic!("{read:?}")
                };
                prop_assert_eq!(FromWorker::try_from(report), Ok(read));
            }
        }
    }
}
