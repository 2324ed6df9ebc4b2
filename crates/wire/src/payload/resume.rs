//! Coming back to a session (spec 6.3).

use std::fmt;

use moorline_types::EventSeq;
use serde::de::{Deserializer, Error, Visitor};

use crate::{Secret, SessionRef};

/// What a client presents to go on with a session: `session.resume`, or a part of `session.hello`.
///
/// Peers send it in three forms; all three are read into this.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Resume {
    /// The session; the token alone names it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionRef>,
    /// The token of the last welcome.
    pub resume_token: Secret,
    /// The last number that the client has seen. Absent, null and negative all mean none.
    #[serde(default, deserialize_with = "seen")]
    pub last_event_seq: EventSeq,
}

/// Reads the last number seen. One official client sends -1 for none.
pub(super) fn seen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EventSeq, D::Error> {
    struct Seen;

    impl<'de> Visitor<'de> for Seen {
        type Value = EventSeq;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("u64")
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<EventSeq, E> {
            Ok(EventSeq::new(number))
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<EventSeq, E> {
            Ok(EventSeq::new(u64::try_from(number).unwrap_or(0)))
        }

        fn visit_unit<E: Error>(self) -> Result<EventSeq, E> {
            Ok(EventSeq::ZERO)
        }

        fn visit_none<E: Error>(self) -> Result<EventSeq, E> {
            Ok(EventSeq::ZERO)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<EventSeq, D::Error> {
            deserializer.deserialize_any(self)
        }
    }

    deserializer.deserialize_any(Seen)
}
