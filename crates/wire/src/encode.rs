//! Messages to bytes: one JSON object, in the key order of the spec.
//!
//! What is written is what every official peer accepts: the payload is always there, absent fields are
//! left out, the protocol version is `1.1`.

use std::io::Write as _;

use bytes::Bytes;
use moorline_types::Json;

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
    // Writing to memory does not fail, and no payload has a map with keys that are no strings.
    write_frame(frame, &mut out).expect("a frame serialises");
    Bytes::from(out)
}

fn write_frame<M: Encodable>(frame: &Frame<M>, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let Frame { id, session_id, job_id, trace_id, event_seq, optional, extensions, message } = frame;
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
        write!(out, ",\"event_seq\":{seq}").map_err(serde_json::Error::io)?;
    }
    out.extend_from_slice(b",\"payload\":");
    message.write(out)?;
    if *optional || *extensions != Extensions::NONE {
        out.extend_from_slice(b",\"extensions\":");
        serde_json::to_writer(&mut *out, &extensions.written(*optional))?;
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
