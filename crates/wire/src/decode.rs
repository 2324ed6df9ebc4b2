//! Bytes to messages.
//!
//! In this order: size, UTF-8, depth, JSON, envelope, payload. Depth is measured by a scan without recursion before
//! anything is parsed, so that a frame of brackets costs one pass. An error keeps what could be read of the envelope,
//! because an answer has to name what it answers.

use moorline_types::limits::{DEFAULT_MAX_FRAME_BYTES, MAX_JSON_DEPTH};
use moorline_types::{EventSeq, Json, MessageId};

use crate::message::Message;
use crate::{ClientMessage, Frame, JobRef, MessageType, RuntimeMessage, Word, trace};

mod depth;
mod envelope;
mod problem;

pub(crate) use depth::depth_exceeds;
use envelope::Envelope;
pub use problem::Problem;
pub(crate) use problem::{FieldError, object, payload, value};

/// How much of a message type's name an error repeats, in bytes: more than any name in use.
const MAX_SHOWN_TYPE_BYTES: usize = 64;

/// Bounds on one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The largest frame, in bytes.
    pub max_bytes: usize,
    /// How deeply arrays and objects may nest; the envelope counts as one.
    pub max_depth: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_bytes: DEFAULT_MAX_FRAME_BYTES, max_depth: MAX_JSON_DEPTH }
    }
}

/// A frame could not be read as a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct DecodeError {
    /// What its sender calls it, if that could be read.
    pub id: Option<MessageId>,
    /// Its type, if that could be read and is known.
    pub message_type: Option<MessageType>,
    /// The job that it is about, if that could be read.
    pub job_id: Option<JobRef>,
    /// Its number, if that could be read: a client counts it as seen.
    pub event_seq: Option<EventSeq>,
    /// What is wrong.
    pub kind: DecodeErrorKind,
}

/// What is wrong with a frame. Made to be read by the person who wrote the sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// Too large to look at.
    #[error("the frame has {bytes} bytes; at most {max_bytes} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max_bytes: usize,
    },
    /// Not UTF-8.
    #[error("the frame is not UTF-8 text")]
    NotText,
    /// Arrays and objects nest too deeply.
    #[error("the frame nests arrays and objects more than {max_depth} deep")]
    TooDeep {
        /// The bound.
        max_depth: usize,
    },
    /// Not JSON.
    #[error("the frame is not JSON: error at line {line}, column {column}")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// JSON, but not an object.
    #[error("the frame must be a JSON object")]
    NotObject,
    /// Another version of the protocol.
    #[error("arcp: this runtime speaks version 1.1, the frame says {found:?}")]
    WrongVersion {
        /// What the frame says, shortened.
        found: Box<str>,
    },
    /// A type that the table does not have.
    #[error("type: no message is called {name:?}")]
    UnknownType {
        /// The type, shortened.
        name: Box<str>,
        /// Whether the sender allowed it to be ignored.
        optional: bool,
    },
    /// A message that only the other side sends.
    #[error("type: {message_type} is not a message that this side receives")]
    NotExpectedHere {
        /// The type.
        message_type: MessageType,
    },
    /// A field is absent, or not what it has to be.
    #[error("{path}: {problem}")]
    Field {
        /// Where it stands, from the envelope on: `payload.client.name`.
        path: Box<str>,
        /// What is wrong with it.
        problem: Problem,
    },
}

impl DecodeErrorKind {
    /// What a program may want to know: for the `details` of an error. `None` if the message says it all.
    pub fn details(&self) -> Option<Json> {
        match self {
            Self::TooLarge { bytes, max_bytes } => Details(&[("bytes", bytes), ("max_bytes", max_bytes)]).json(),
            Self::TooDeep { max_depth } => Details(&[("max_depth", max_depth)]).json(),
            Self::NotJson { line, column } => Details(&[("line", line), ("column", column)]).json(),
            Self::WrongVersion { found } => Details(&[("field", &"arcp"), ("found", found)]).json(),
            Self::UnknownType { name, .. } => Details(&[("field", &"type"), ("type", name)]).json(),
            Self::NotExpectedHere { message_type } => {
                Details(&[("field", &"type"), ("type", &message_type.as_str())]).json()
            }
            Self::Field { path, problem: Problem::WrongType { expected, found } } => {
                Details(&[("field", path), ("expected", expected), ("found", found)]).json()
            }
            Self::Field { path, .. } => Details(&[("field", path)]).json(),
            Self::NotText | Self::NotObject => None,
        }
    }
}

/// An object of a few fields, in order.
struct Details<'a>(&'a [(&'static str, &'a dyn Detail)]);

trait Detail {
    fn to_json(&self) -> serde_json::Value;
}

impl Detail for usize {
    fn to_json(&self) -> serde_json::Value {
        (*self).into()
    }
}

impl Detail for &str {
    fn to_json(&self) -> serde_json::Value {
        (*self).into()
    }
}

impl Detail for Box<str> {
    fn to_json(&self) -> serde_json::Value {
        self.as_ref().into()
    }
}

impl Details<'_> {
    fn json(&self) -> Option<Json> {
        let fields: serde_json::Map<_, _> =
            self.0.iter().map(|(name, value)| ((*name).to_owned(), value.to_json())).collect();
        Json::of(&fields).ok()
    }
}

impl From<FieldError> for DecodeErrorKind {
    fn from(error: FieldError) -> Self {
        let FieldError { path, problem } = error;
        Self::Field { path: path.into(), problem }
    }
}

/// Reads what a client sent.
pub fn decode_client(frame: &[u8], limits: DecodeLimits) -> Result<Frame<ClientMessage>, DecodeError> {
    decode(frame, limits)
}

/// Reads what a runtime sent.
pub fn decode_runtime(frame: &[u8], limits: DecodeLimits) -> Result<Frame<RuntimeMessage>, DecodeError> {
    decode(frame, limits)
}

fn decode<M: Message>(frame: &[u8], limits: DecodeLimits) -> Result<Frame<M>, DecodeError> {
    let nothing_known = |kind| DecodeError { id: None, message_type: None, job_id: None, event_seq: None, kind };
    let envelope = open(frame, limits).map_err(nothing_known)?;
    read(&envelope).map_err(|kind| DecodeError {
        id: envelope.id().ok(),
        message_type: envelope.type_name().ok().and_then(|name| MessageType::read(&name)),
        job_id: envelope.job_id().ok().flatten(),
        event_seq: envelope.event_seq().ok().flatten(),
        kind,
    })
}

fn open(frame: &[u8], limits: DecodeLimits) -> Result<Envelope<'_>, DecodeErrorKind> {
    let DecodeLimits { max_bytes, max_depth } = limits;
    if frame.len() > max_bytes {
        return Err(DecodeErrorKind::TooLarge { bytes: frame.len(), max_bytes });
    }
    let text = simdutf8::basic::from_utf8(frame).map_err(|_| DecodeErrorKind::NotText)?;
    if depth_exceeds(text, max_depth) {
        return Err(DecodeErrorKind::TooDeep { max_depth });
    }
    Envelope::parse(text)
}

fn read<M: Message>(envelope: &Envelope<'_>) -> Result<Frame<M>, DecodeErrorKind> {
    let id = envelope.id()?;
    envelope.check_version()?;
    let name = envelope.type_name()?;
    let extensions = envelope.extensions()?;
    let optional = extensions.is_optional();
    let Some(message_type) = MessageType::read(&name) else {
        return Err(DecodeErrorKind::UnknownType { name: shortened(&name), optional });
    };
    let trace = match envelope.trace() {
        Err(_) if M::LENIENT => None,
        trace => trace?,
    };
    let (trace_id, trace_parent) = trace::of_envelope(trace, extensions.trace_context());
    let frame = Frame {
        id,
        session_id: envelope.session_id()?,
        job_id: envelope.job_id()?,
        trace_id,
        trace_parent,
        event_seq: envelope.event_seq()?,
        optional,
        extensions: extensions.read(M::LENIENT)?,
        message: (),
    };
    match M::read(message_type, envelope.payload()?)? {
        Some(message) => Ok(frame.map(|()| message)),
        None => Err(DecodeErrorKind::NotExpectedHere { message_type }),
    }
}

fn shortened(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(MAX_SHOWN_TYPE_BYTES)].into()
}
