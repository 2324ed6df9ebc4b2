//! The other dialect, as far as it is answered: with a refusal.

use bytes::Bytes;
use moorline_types::{MessageId, Timestamp};

/// What it calls a request that is not served.
const CODE: &str = "UNIMPLEMENTED";

/// What it is told, with the remedy.
const MESSAGE: &str = "this runtime speaks ARCP v1.1 as the specification has it and not the dialect of session.open; \
                       connect with a client that sends session.hello";

/// The answer to a `session.open`: the only frame that its sender can read at this point, with every field that its
/// reader demands.
pub fn refuse_session_open(request: Option<&MessageId>, id: &MessageId, now: Timestamp) -> Bytes {
    #[derive(serde::Serialize)]
    struct Rejected<'a> {
        arcp: &'static str,
        id: &'a str,
        #[serde(with = "crate::de::text")]
        timestamp: Timestamp,
        r#type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        correlation_id: Option<&'a str>,
        payload: Reason,
    }

    #[derive(serde::Serialize)]
    struct Reason {
        code: &'static str,
        message: &'static str,
    }

    let frame = Rejected {
        arcp: crate::PROTOCOL_VERSION,
        id: id.as_str(),
        timestamp: now,
        r#type: "session.rejected",
        correlation_id: request.map(MessageId::as_str).filter(|id| id.starts_with(MessageId::PREFIX)),
        payload: Reason { code: CODE, message: MESSAGE },
    };
    // Text and a time serialise.
    Bytes::from(serde_json::to_vec(&frame).unwrap_or_default())
}
