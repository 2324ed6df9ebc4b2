//! An event as it stands in its record, for those who pass it on without a look at it.

use moorline_types::{Record, RecordKind, WorkerSeq};

/// The fields of a recorded event as text: what a client is shown of it is the very same text, so a delivery copies it
/// instead of reading the record and writing it again.
///
/// It is found by how [`Event`](super::Event) is written, and nothing else: a record that was written in another way,
/// by an earlier version for instance, is none, and is read as a [`Fact`](super::Fact).
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
    /// The text of the event that `record` is, if it is one and has this form.
    pub fn of(record: &'a Record) -> Option<Self> {
        if record.kind != RecordKind::JobEvent {
            return None;
        }
        let text = simdutf8::basic::from_utf8(&record.body).ok()?;
        let (worker_seq, fields) = match text.strip_prefix("{\"worker_seq\":") {
            Some(numbered) => {
                let (number, fields) = numbered.split_once(',')?;
                (Some(WorkerSeq::new(number.parse().ok()?)), fields)
            }
            None => (None, text.strip_prefix('{')?),
        };
        let (kind, rest) = fields.strip_prefix("\"kind\":\"")?.split_once('"')?;
        let known = rest.starts_with(",\"ts\":\"") && rest.ends_with("}}");
        known.then_some(Self { worker_seq, kind, fields })
    }

    /// The kind's own fields, as the worker sent them.
    pub fn body(&self) -> &'a str {
        // Neither a kind nor a moment has a quotation mark in it, so the first is that of the key.
        let body = self.fields.split_once(",\"body\":").map_or("", |(_, body)| body);
        body.strip_suffix('}').unwrap_or(body)
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
                let fields = format!(r#""kind":"{kind}","ts":"2026-05-13T19:42:13.020Z","body":{body}}}"#);
                assert_eq!(text.fields, fields);
                assert_eq!(text.body(), body);
                assert_eq!(Fact::decode(&record).unwrap(), fact);
            }
        }
    }

    #[test]
    fn what_was_written_in_another_way_is_read_but_not_copied() {
        let old = r#"{"kind":"log","ts":1778701333020,"worker_seq":3,"body":{}}"#;
        let old = record(RecordKind::JobEvent, Bytes::from_static(old.as_bytes()));
        assert_eq!(EventText::of(&old), None);
        assert_eq!(Fact::decode(&old).unwrap(), event(Some(WorkerSeq::new(3)), "log", "{}"));
        let event = event(None, "log", "{}").encode();
        assert_eq!(EventText::of(&record(RecordKind::JobResult, event.clone())), None);
        for cut in 0..event.len() {
            assert_eq!(EventText::of(&record(RecordKind::JobEvent, event.slice(..cut))), None, "cut at {cut}");
        }
        let mut damaged = event.to_vec();
        let end = damaged.len() - 3;
        damaged[end] = 0xff;
        assert_eq!(EventText::of(&record(RecordKind::JobEvent, damaged.into())), None, "it is not UTF-8");
    }
}
