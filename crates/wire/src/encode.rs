//! Messages to bytes: one JSON object, in the key order of the spec.
//!
//! What is written is what every official peer accepts: the payload is always there, absent fields are
//! left out, the protocol version is `1.1`.

use bytes::Bytes;
use moorline_types::{EventSeq, Json, MintedText, TraceId};

use crate::message::Message;
use crate::vendor::Extensions;
use crate::{ClientMessage, Frame, JobRef, MessageType, RuntimeMessage, SessionRef};

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

/// The `job.event`s of one job in one session, whose payloads are text already: what they have in common is made once,
/// and a frame is put together by copying.
#[derive(Debug, Clone)]
pub struct EventFrames {
    /// What comes between the id and the number.
    common: Vec<u8>,
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

impl EventFrames {
    /// The frames of this job in this session.
    pub fn new(session: &SessionRef, job: &JobRef, trace: Option<TraceId>) -> Self {
        let mut common = Vec::with_capacity(ENVELOPE_BYTES);
        common.push(b'"');
        let trace = trace.as_ref().map(TraceId::as_str);
        for (name, value) in [
            ("type", Some(MessageType::Event.as_str())),
            ("session_id", Some(session.as_str())),
            ("job_id", Some(job.as_str())),
            ("trace_id", trace),
        ] {
            if let Some(value) = value {
                write_field(&mut common, name, value).expect("text serialises");
            }
        }
        common.extend_from_slice(b",\"event_seq\":");
        Self { common }
    }

    /// Writes one, behind what is in the buffer already.
    pub fn write(&self, frame: EventFrame<'_>, out: &mut Vec<u8>) {
        const START: &[u8] = b"{\"arcp\":\"1.1\",\"id\":\"";
        const PAYLOAD: &[u8] = b",\"payload\":{";
        const REPLAYED: &[u8] = b",\"extensions\":{\"x-vendor.moorline.replayed\":true}";
        let EventFrame { id, event_seq, fields, replayed } = frame;
        debug_assert!(std::str::from_utf8(fields).is_ok(), "a WebSocket's text is UTF-8");
        out.reserve(self.common.len() + fields.len() + ENVELOPE_BYTES);
        out.extend_from_slice(START);
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(&self.common);
        write_number(out, event_seq.get());
        out.extend_from_slice(PAYLOAD);
        out.extend_from_slice(fields);
        if replayed {
            out.extend_from_slice(REPLAYED);
        }
        out.push(b'}');
    }
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        // A remainder of ten is a digit.
        digits[start] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
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
    use moorline_types::{EventKind, JobId, MessageId, SessionId, Timestamp};

    use super::*;
    use crate::payload::JobEvent;

    #[test]
    fn an_event_that_is_put_together_is_the_one_that_is_encoded() {
        let now = Timestamp::from_unix_millis(1_778_701_333_020);
        let (session, job) = (SessionId::mint(now, [1; 10]), JobId::mint(now, [2; 10]));
        let body = Json::parse(r#"{"level":"info","message":"1.0 stays \u00e9 as it is"}"#).unwrap();
        let fields = format!(r#""kind":"log","ts":"{now}","body":{}}}"#, body.get());
        let message = RuntimeMessage::Event(JobEvent::new(&EventKind::Log, now, body));
        for trace_id in [None, "4bf92f3577b34da6a3ce929d0e0e4736".parse().ok()] {
            for replayed in [false, true] {
                for number in [0, 1, 9, 10, 12_345, u64::MAX] {
                    let event_seq = EventSeq::new(number);
                    let frame = Frame {
                        session_id: Some(session.into()),
                        job_id: Some(job.into()),
                        trace_id,
                        event_seq: Some(event_seq),
                        extensions: Extensions { replayed, ..Extensions::NONE },
                        ..Frame::new(MessageId::mint(now, [3; 10]), message.clone())
                    };
                    let mut written = b"before".to_vec();
                    let id = MessageId::mint_text(now, [3; 10]);
                    let event = EventFrame { id, event_seq, fields: fields.as_bytes(), replayed };
                    EventFrames::new(&session.into(), &job.into(), trace_id).write(event, &mut written);
                    assert_eq!(written, [b"before".as_slice(), &encode(&frame)].concat());
                }
            }
        }
    }
}
