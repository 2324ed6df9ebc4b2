//! The envelope (spec 5): an object whose fields are read one by one, so that an error in one leaves the others
//! readable.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use moorline_types::{EventSeq, MessageId, TraceRef};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{DecodeErrorKind, FieldError, Problem, shortened};
use crate::encode::PROTOCOL_VERSION;
use crate::vendor::RawExtensions;
use crate::{JobRef, SessionRef};

/// The fields of an envelope as text. Null counts as absent; unknown fields are ignored.
#[derive(Debug, Default)]
pub(super) struct Envelope<'a> {
    arcp: Option<&'a str>,
    id: Option<&'a str>,
    r#type: Option<&'a str>,
    session_id: Option<&'a str>,
    job_id: Option<&'a str>,
    trace_id: Option<&'a str>,
    event_seq: Option<&'a str>,
    payload: Option<&'a str>,
    extensions: Option<&'a str>,
    /// A known field that stands there more than once: its meaning would depend on the reader.
    duplicate: Option<&'static str>,
}

impl<'a> Envelope<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, DecodeErrorKind> {
        let envelope: Self = serde_json::from_str(text).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => DecodeErrorKind::NotObject,
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => {
                DecodeErrorKind::NotJson { line: error.line(), column: error.column() }
            }
        })?;
        match envelope.duplicate {
            Some(field) => Err(FieldError::new(field, Problem::Duplicate).into()),
            None => Ok(envelope),
        }
    }

    pub(super) fn id(&self) -> Result<MessageId, FieldError> {
        required("id", self.id)
    }

    pub(super) fn check_version(&self) -> Result<(), DecodeErrorKind> {
        let found: String = required("arcp", self.arcp)?;
        if found == PROTOCOL_VERSION { Ok(()) } else { Err(DecodeErrorKind::WrongVersion { found: shortened(&found) }) }
    }

    pub(super) fn type_name(&self) -> Result<Cow<'a, str>, FieldError> {
        match self.r#type {
            None => Err(FieldError::new("type", Problem::Missing)),
            Some(raw) => text("type", raw),
        }
    }

    pub(super) fn session_id(&self) -> Result<Option<SessionRef>, FieldError> {
        optional("session_id", self.session_id)
    }

    pub(super) fn job_id(&self) -> Result<Option<JobRef>, FieldError> {
        optional("job_id", self.job_id)
    }

    pub(super) fn trace(&self) -> Result<Option<TraceRef>, FieldError> {
        optional("trace_id", self.trace_id)
    }

    /// Zero is what one official SDK sends for none.
    pub(super) fn event_seq(&self) -> Result<Option<EventSeq>, FieldError> {
        let Some(raw) = self.event_seq else { return Ok(None) };
        let number: u64 =
            raw.parse().map_err(|_| FieldError::new("event_seq", wrong_type("a whole number, 0 or more", raw)))?;
        Ok((number > 0).then(|| EventSeq::new(number)))
    }

    /// The payload's text; the empty object if there is none.
    pub(super) fn payload(&self) -> Result<&'a str, FieldError> {
        Ok(self.payload.unwrap_or("{}"))
    }

    pub(super) fn extensions(&self) -> Result<RawExtensions, FieldError> {
        self.extensions.map_or_else(|| Ok(RawExtensions::default()), |raw| super::object("extensions", raw))
    }
}

fn required<T: FromStr<Err: fmt::Display>>(field: &str, raw: Option<&str>) -> Result<T, FieldError> {
    optional(field, raw)?.ok_or_else(|| FieldError::new(field, Problem::Missing))
}

fn optional<T: FromStr<Err: fmt::Display>>(field: &str, raw: Option<&str>) -> Result<Option<T>, FieldError> {
    let Some(raw) = raw else { return Ok(None) };
    let rule = |error: T::Err| FieldError::new(field, Problem::Rule(error.to_string().into()));
    text(field, raw)?.parse().map(Some).map_err(rule)
}

fn text<'a>(field: &str, raw: &'a str) -> Result<Cow<'a, str>, FieldError> {
    if !raw.starts_with('"') {
        return Err(FieldError::new(field, wrong_type("a string", raw)));
    }
    let plain = &raw[1..raw.len() - 1];
    if !plain.contains('\\') {
        return Ok(Cow::Borrowed(plain));
    }
    // Escapes were skipped, not decoded, when the envelope was parsed; half of a surrogate pair is found here.
    serde_json::from_str::<String>(raw)
        .map(Cow::Owned)
        .map_err(|_| FieldError::new(field, Problem::Rule("must be valid Unicode".into())))
}

fn wrong_type(expected: &str, raw: &str) -> Problem {
    let found = match raw.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        _ => "another number",
    };
    Problem::WrongType { expected: expected.into(), found: found.into() }
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Envelope<'de>, A::Error> {
        let mut envelope = Envelope::default();
        let mut seen = Vec::with_capacity(9);
        while let Some(key) = fields.next_key::<Cow<'de, str>>()? {
            let Some((name, slot)) = envelope.slot(&key) else {
                fields.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = fields.next_value::<&'de RawValue>()?.get();
            *slot = (value != "null").then_some(value);
            if seen.contains(&name) {
                envelope.duplicate.get_or_insert(name);
            }
            seen.push(name);
        }
        Ok(envelope)
    }
}

impl<'a> Envelope<'a> {
    fn slot(&mut self, key: &str) -> Option<(&'static str, &mut Option<&'a str>)> {
        Some(match key {
            "arcp" => ("arcp", &mut self.arcp),
            "id" => ("id", &mut self.id),
            "type" => ("type", &mut self.r#type),
            "session_id" => ("session_id", &mut self.session_id),
            "job_id" => ("job_id", &mut self.job_id),
            "trace_id" => ("trace_id", &mut self.trace_id),
            "event_seq" => ("event_seq", &mut self.event_seq),
            "payload" => ("payload", &mut self.payload),
            "extensions" => ("extensions", &mut self.extensions),
            _ => return None,
        })
    }
}
