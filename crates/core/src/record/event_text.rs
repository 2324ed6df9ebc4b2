//! An event as it stands in its record, for those who pass it on without a look at it, or with a short one.

use moorline_types::{Record, RecordKind, WorkerSeq};

use super::Event;

/// The fields of a recorded event as they stand in its record: what a client is shown of it is the very same text, so a
/// delivery copies it instead of reading the record and writing it again.
///
/// It is found by how [`Event`] is written, and nothing else: a record that was written in another way,
/// by an earlier version for instance, is none, and is read as a [`Fact`](super::Fact).
///
/// That it is UTF-8 is not looked at, as every delivery would do so anew: a record is made of JSON text, and a store gives
/// back the bytes that it was given, or says that they are damaged. Who reads them has an [`EventText`] made of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventBytes<'a> {
    /// What the event is about.
    pub kind: &'a [u8],
    /// `kind`, `ts` and `body` as the fields of an object, up to its closing brace.
    pub fields: &'a [u8],
    /// The digits of what the worker numbered it.
    number: Option<&'a [u8]>,
}

impl<'a> EventBytes<'a> {
    /// What is copied of the event that `record` is, if it is one and has this form.
    pub fn of(record: &'a Record) -> Option<Self> {
        if record.kind != RecordKind::JobEvent {
            return None;
        }
        let (number, fields) = match record.body.strip_prefix(b"{\"worker_seq\":") {
            Some(numbered) => {
                let (number, fields) = split_before(numbered, b',')?;
                (Some(number), fields.strip_prefix(b",")?)
            }
            None => (None, record.body.strip_prefix(b"{")?),
        };
        let (kind, rest) = split_before(fields.strip_prefix(b"\"kind\":\"")?, b'"')?;
        let known = rest.starts_with(b"\",\"ts\":\"") && rest.ends_with(b"}}");
        known.then_some(Self { kind, fields, number })
    }
}

/// What comes before the first of these bytes, and the rest with it.
fn split_before(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    text.split_at_checked(text.iter().position(|other| *other == byte)?)
}

/// The same for who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventText<'a> {
    /// What the worker numbered it; absent for events that the gateway itself added.
    pub worker_seq: Option<WorkerSeq>,
    /// What the event is about.
    pub kind: &'a str,
    /// `kind`, `ts` and `body` as the fields of an object, up to its closing brace.
    pub fields: &'a str,
}

impl<'a> EventText<'a> {
    /// The text of the event that `record` is, if it is one and has the form of [`EventBytes`].
    pub fn of(record: &'a Record) -> Option<Self> {
        let EventBytes { kind, fields, number } = EventBytes::of(record)?;
        let worker_seq = match number {
            Some(number) => Some(WorkerSeq::new(std::str::from_utf8(number).ok()?.parse().ok()?)),
            None => None,
        };
        let kind = std::str::from_utf8(kind).ok()?;
        Some(Self { worker_seq, kind, fields: simdutf8::basic::from_utf8(fields).ok()? })
    }

    /// The kind's own fields, as the worker sent them.
    pub fn body(&self) -> &'a str {
        // Neither a kind nor a moment has a quotation mark in it, so the first is that of the key.
        let body = self.fields.split_once(",\"body\":").map_or("", |(_, body)| body);
        body.strip_suffix('}').unwrap_or(body)
    }
}

impl Event {
    /// Appends the record's body, as it is serialised, without going through that: every event is written once, and
    /// neither a kind nor a moment has a character that is written in another way.
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        let Self { worker_seq, kind, ts, body } = self;
        into.push(b'{');
        if let Some(worker_seq) = worker_seq {
            into.extend_from_slice(b"\"worker_seq\":");
            into.extend_from_slice(itoa::Buffer::new().format(worker_seq.get()).as_bytes());
            into.push(b',');
        }
        for part in
            ["\"kind\":\"", kind.as_str(), "\",\"ts\":\"", ts.to_text().as_str(), "\",\"body\":", body.get(), "}"]
        {
            into.extend_from_slice(part.as_bytes());
        }
    }
}

/// When an event was reported: RFC 3339 as on the wire. Earlier versions wrote milliseconds.
pub(super) mod ts {
    use std::fmt;

    use moorline_types::Timestamp;
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(ts: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(ts.to_text().as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a timestamp, or milliseconds since 1970")
            }

            fn visit_u64<E: Error>(self, millis: u64) -> Result<Timestamp, E> {
                Ok(Timestamp::from_unix_millis(millis))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Timestamp, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use moorline_types::{EventKind, JobId, Json, StreamId, StreamSeq, Timestamp, WorkerSeq};

    use super::*;
    use crate::record::{Event, Fact};

    fn record(kind: RecordKind, body: Bytes) -> Record {
        let stream = StreamId::Job(JobId::from_bytes([0; 16]));
        Record { stream, seq: StreamSeq::FIRST, at: Timestamp::from_unix_millis(0), kind, body }
    }

    fn event(worker_seq: Option<WorkerSeq>, kind: &str, body: &str) -> Fact {
        let (ts, body) = (Timestamp::from_unix_millis(1_778_701_333_020), Json::parse(body).unwrap());
        Fact::Event(Event { worker_seq, kind: kind.parse().unwrap(), ts, body })
    }

    #[test]
    fn the_fields_are_those_of_the_wire() {
        let body = r#"{"kind":"\"","message":"}{,\"ts\":"}"#;
        for worker_seq in [None, Some(WorkerSeq::new(1_234))] {
            for kind in EventKind::SPEC.iter().map(EventKind::as_str).chain(["x-vendor.acme.thing"]) {
                let fact = event(worker_seq, kind, body);
                let record = record(RecordKind::JobEvent, fact.encode());
                let text = EventText::of(&record).unwrap();
                assert_eq!(text.kind, kind);
                assert_eq!(EventBytes::of(&record).map(|copied| copied.kind), Some(kind.as_bytes()));
                let fields = format!(r#""kind":"{kind}","ts":"2026-05-13T19:42:13.020Z","body":{body}}}"#);
                assert_eq!(text.fields, fields);
                assert_eq!(EventBytes::of(&record).map(|copied| copied.fields), Some(fields.as_bytes()));
                assert_eq!(text.body(), body);
                assert_eq!(Fact::decode(&record).unwrap(), fact);
                let Fact::Event(event) = fact else { panic!("an event is none") };
                assert_eq!(*record.body, serde_json::to_vec(&event).unwrap());
            }
        }
    }

    #[test]
    fn what_was_written_in_another_way_is_read_but_not_copied() {
        let old = r#"{"kind":"log","ts":1778701333020,"worker_seq":3,"body":{}}"#;
        let old = record(RecordKind::JobEvent, Bytes::from_static(old.as_bytes()));
        assert_eq!((EventBytes::of(&old), EventText::of(&old)), (None, None));
        assert_eq!(Fact::decode(&old).unwrap(), event(Some(WorkerSeq::new(3)), "log", "{}"));
        let event = event(None, "log", "{}").encode();
        assert_eq!(EventBytes::of(&record(RecordKind::JobResult, event.clone())), None);
        for cut in 0..event.len() {
            assert_eq!(EventBytes::of(&record(RecordKind::JobEvent, event.slice(..cut))), None, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_copied_is_not_looked_at_and_what_is_read_is_text() {
        let written = event(Some(WorkerSeq::new(7)), "log", r#"{"message":"?"}"#).encode();
        let mut damaged = written.to_vec();
        let mark = damaged.iter().position(|byte| *byte == b'?').unwrap();
        damaged[mark] = 0xff;
        let damaged = record(RecordKind::JobEvent, damaged.into());
        let copied = EventBytes::of(&damaged).unwrap();
        assert_eq!((copied.kind, copied.fields), (&b"log"[..], &damaged.body[r#"{"worker_seq":7,"#.len()..]));
        assert_eq!(EventText::of(&damaged), None, "it is not UTF-8");
        let numbered = String::from_utf8(written.to_vec()).unwrap().replace(":7,", ":seven,");
        assert_eq!(EventText::of(&record(RecordKind::JobEvent, numbered.into())), None, "it is no number");
    }
}
