//! Heartbeats and acknowledgements (spec 6.4, 6.5).

use moorline_types::limits::MAX_MESSAGE_ID_BYTES;
use moorline_types::{EventSeq, Timestamp};

use crate::{Text, de};

/// What a pong repeats of its ping.
pub type Nonce = Text<MAX_MESSAGE_ID_BYTES>;

/// Asks whether the peer is there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ping {
    /// What the answer has to repeat.
    pub nonce: Nonce,
    /// When it was sent, for measuring only.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
}

/// Answers a ping.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pong {
    /// The ping's nonce.
    pub ping_nonce: Nonce,
    /// When the ping arrived, for measuring only.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Timestamp>,
}

/// How far the client has processed the session's events. Advisory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ack {
    /// The last number that was processed.
    pub last_processed_seq: EventSeq,
}
