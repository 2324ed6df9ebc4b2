//! Messages to bytes: one JSON object, in the key order of the spec.
//!
//! What is written is what every official peer accepts: the payload is always there, absent fields are
//! left out, the protocol version is `1.1`.

use std::ops::Range;

use bytes::Bytes;
use moorline_types::{EventSeq, JobId, Json, MintedText, SessionId, TraceId};

use crate::message::Message;
use crate::vendor::Extensions;
use crate::{ClientMessage, Frame, MessageType, RuntimeMessage};

/// The version that every envelope names.
pub const PROTOCOL_VERSION: &str = "1.1";

/// What an envelope takes beyond its payload, roughly: enough that most frames are written without a second
/// allocation.
const ENVELOPE_BYTES: usize = 384;

/// The messages whose payload a journal keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordType {
    /// `job.event`.
    Event,
    /// `job.result`.
    Result,
    /// `job.error`.
    Error,
}

impl From<RecordType> for MessageType {
    fn from(record: RecordType) -> Self {
        match record {
            RecordType::Event => Self::Event,
            RecordType::Result => Self::JobResult,
            RecordType::Error => Self::JobError,
        }
    }
}

/// A runtime's message whose payload is JSON text already: it is copied, not parsed.
///
/// Whoever makes one answers for the payload's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Which message it is.
    pub record: RecordType,
    /// Its payload, an object.
    pub payload: Json,
}

/// What can be encoded.
#[expect(private_bounds, reason = "the set is closed: the three types below")]
pub trait Encodable: Sealed {}

pub(crate) trait Sealed {
    fn message_type(&self) -> MessageType;
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()>;
    fn size_hint(&self) -> usize {
        ENVELOPE_BYTES
    }
}

macro_rules! encodable {
    ($($name:ident)*) => {$(
        impl Encodable for $name {}

        impl Sealed for $name {
            fn message_type(&self) -> MessageType {
                self.message_type()
            }

            fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
                Message::write(self, out)
            }
        }
    )*};
}

encodable!(ClientMessage RuntimeMessage);

impl Encodable for Encoded {}

impl Sealed for Encoded {
    fn message_type(&self) -> MessageType {
        self.record.into()
    }

    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        out.extend_from_slice(self.payload.get().as_bytes());
        Ok(())
    }

    fn size_hint(&self) -> usize {
        self.payload.get().len()
    }
}

/// One frame as it goes into a WebSocket text message or onto a line.
pub fn encode<M: Encodable>(frame: &Frame<M>) -> Bytes {
    let mut out = Vec::with_capacity(ENVELOPE_BYTES + frame.message.size_hint());
    encode_into(frame, &mut out);
    Bytes::from(out)
}

/// The same, behind what is in the buffer already.
pub fn encode_into<M: Encodable>(frame: &Frame<M>, out: &mut Vec<u8>) {
    // Writing to memory does not fail, and no payload has a map with keys that are no strings.
    write_frame(frame, out).expect("a frame serialises");
}

/// The `job.event`s of one session, whose payloads are text already: what they have in common is made once, what those of
/// a job have in common when it is its turn, and a frame is put together by copying.
#[derive(Debug, Clone)]
pub struct EventFrames {
    /// A frame up to its number. The id is the last one's.
    head: Vec<u8>,
    /// Where in it is what differs between jobs.
    job_from: usize,
    /// Whose turn it is.
    job: JobId,
}

/// What one `job.event` has that others of its job have not.
#[derive(Debug, Clone, Copy)]
pub struct EventFrame<'a> {
    /// The envelope's id.
    pub id: MintedText,
    /// The session's number of it.
    pub event_seq: EventSeq,
    /// The fields of the payload up to its closing brace, as [`crate::payload::JobEvent`] has them. Whoever makes one
    /// answers for that, and for their being UTF-8.
    pub fields: &'a [u8],
    /// Whether it was sent before.
    pub replayed: bool,
}

/// What an envelope begins with.
const START: &[u8] = b"{\"arcp\":\"1.1\",\"id\":\"";

/// Where its id is, if we have minted it.
const ID: Range<usize> = START.len()..START.len() + size_of::<MintedText>();

/// Digits of the longest number.
const MAX_DIGITS: usize = 20;

impl EventFrames {
    /// The frames of this job in this session.
    pub fn new(session: SessionId, job: JobId, trace: Option<TraceId>) -> Self {
        let mut head = Vec::with_capacity(ENVELOPE_BYTES);
        head.extend_from_slice(START);
        head.resize(ID.end, b'0');
        head.extend_from_slice(b"\",\"type\":\"");
        head.extend_from_slice(MessageType::Event.as_str().as_bytes());
        head.extend_from_slice(b"\",\"session_id\":\"");
        head.extend_from_slice(session.to_text().as_ascii());
        head.extend_from_slice(b"\",\"job_id\":\"");
        let mut frames = Self { job_from: head.len(), head, job };
        frames.turn_to(job, trace);
        frames
    }

    /// Whose turn it is.
    pub const fn job(&self) -> JobId {
        self.job
    }

    /// The next frames are of this job.
    pub fn turn_to(&mut self, job: JobId, trace: Option<TraceId>) {
        self.job = job;
        self.head.truncate(self.job_from);
        self.head.extend_from_slice(job.to_text().as_ascii());
        if let Some(trace) = trace {
            self.head.extend_from_slice(b"\",\"trace_id\":\"");
            self.head.extend_from_slice(trace.as_ascii());
        }
        self.head.extend_from_slice(b"\",\"event_seq\":");
    }

    /// Writes one, behind what is in the buffer already.
    pub fn write(&mut self, frame: EventFrame<'_>, out: &mut Vec<u8>) {
        const REPLAYED: &[u8] = b",\"extensions\":{\"x-vendor.moorline.replayed\":true}";
        let EventFrame { id, event_seq, fields, replayed } = frame;
        debug_assert!(std::str::from_utf8(fields).is_ok(), "a WebSocket's text is UTF-8");
        self.head[ID].copy_from_slice(id.as_ascii());
        let mut payload = *b"00000000000000000000,\"payload\":{";
        let number = put_number(&mut payload[..MAX_DIGITS], event_seq.get());
        out.reserve(self.head.len() + fields.len() + ENVELOPE_BYTES);
        out.extend_from_slice(&self.head);
        out.extend_from_slice(&payload[number..]);
        out.extend_from_slice(fields);
        if replayed {
            out.extend_from_slice(REPLAYED);
        }
        out.push(b'}');
    }
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; MAX_DIGITS];
    let start = put_number(&mut digits, number);
    out.extend_from_slice(&digits[start..]);
}

/// Puts a number at the end of where there is room for the longest. Answers where it begins.
fn put_number(digits: &mut [u8], number: u64) -> usize {
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        // A remainder of ten is a digit.
        digits[start] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            return start;
        }
    }
}

fn write_frame<M: Encodable>(frame: &Frame<M>, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let Frame { id, session_id, job_id, trace_id, trace_parent, event_seq, optional, extensions, message } = frame;
    out.extend_from_slice(b"{\"arcp\":");
    write_text(out, PROTOCOL_VERSION)?;
    write_field(out, "id", id.as_str())?;
    write_field(out, "type", message.message_type().as_str())?;
    if let Some(session) = session_id {
        write_field(out, "session_id", session.as_str())?;
    }
    if let Some(job) = job_id {
        write_field(out, "job_id", job.as_str())?;
    }
    if let Some(trace) = trace_id {
        write_field(out, "trace_id", trace.as_str())?;
    }
    if let Some(seq) = event_seq {
        out.extend_from_slice(b",\"event_seq\":");
        write_number(out, seq.get());
    }
    out.extend_from_slice(b",\"payload\":");
    message.write(out)?;
    if *optional || *extensions != Extensions::NONE || trace_parent.is_some() {
        out.extend_from_slice(b",\"extensions\":");
        serde_json::to_writer(&mut *out, &extensions.written(*optional, trace_parent.as_ref()))?;
    }
    out.push(b'}');
    Ok(())
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &str) -> serde_json::Result<()> {
    out.push(b',');
    write_text(out, name)?;
    out.push(b':');
    write_text(out, value)
}

fn write_text(out: &mut Vec<u8>, text: &str) -> serde_json::Result<()> {
    serde_json::to_writer(out, text)
}

#[cfg(test)]
mod tests {
    use moorline_types::{EventKind, MessageId, Timestamp};

    use super::*;
    use crate::payload::JobEvent;

    #[test]
    fn an_event_that_is_put_together_is_the_one_that_is_encoded_whosever_turn_it_was() {
        let now = Timestamp::from_unix_millis(1_778_701_333_020);
        let session = SessionId::mint(now, [1; 10]);
        let body = Json::parse(r#"{"level":"info","message":"1.0 stays \u00e9 as it is, and so does é"}"#).unwrap();
        let fields = format!(r#""kind":"log","ts":"{now}","body":{}}}"#, body.get());
        let message = RuntimeMessage::Event(JobEvent::new(&EventKind::Log, now, body));
        let mut turns = EventFrames::new(session, JobId::mint(now, [9; 10]), None);
        let traces = [None, "4bf92f3577b34da6a3ce929d0e0e4736".parse().ok(), None];
        for (trace_id, count) in traces.into_iter().zip(1..) {
            let job = JobId::mint(now, [count; 10]);
            turns.turn_to(job, trace_id);
            assert_eq!(turns.job(), job);
            for mut frames in [turns.clone(), EventFrames::new(session, job, trace_id)] {
                for (replayed, number) in [false, true]
                    .into_iter()
                    .flat_map(|replayed| [0, 1, 9, 10, 12_345, u64::MAX].map(|number| (replayed, number)))
                {
                    let (event_seq, entropy) = (EventSeq::new(number), [number.to_le_bytes()[0]; 10]);
                    let frame = Frame {
                        session_id: Some(session.into()),
                        job_id: Some(job.into()),
                        trace_id,
                        event_seq: Some(event_seq),
                        extensions: Extensions { replayed, ..Extensions::NONE },
                        ..Frame::new(MessageId::mint(now, entropy), message.clone())
                    };
                    let mut written = b"before".to_vec();
                    let id = MessageId::mint_text(now, entropy);
                    frames.write(EventFrame { id, event_seq, fields: fields.as_bytes(), replayed }, &mut written);
                    assert_eq!(written, [b"before".as_slice(), &encode(&frame)].concat());
                }
            }
        }
    }
}
