//! An administrator looks after API keys: a request of our own, and its answer.

use moorline_types::{Grants, KeyId, MessageId, PrincipalId, Timestamp};

use crate::payload::MAX_CURSOR_BYTES;
use crate::{Name, Secret, Text, de};

/// What is to be done. A field that is not known is refused: it may be a restriction.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Keys {
    /// A key is made.
    Create {
        /// What to call it.
        name: Name,
        /// Whom it authenticates.
        principal: PrincipalId,
        /// What may be done with it.
        grants: Box<Grants>,
        /// After how many milliseconds it ends by itself; never, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_in_ms: Option<u64>,
    },
    /// Keys are listed, in the order in which they were made.
    List {
        /// Where the page before ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<Text<MAX_CURSOR_BYTES>>,
    },
    /// A key lets nobody in any more, and whoever it has let in is disconnected.
    Revoke {
        /// Which.
        key: KeyId,
    },
    /// A key gets another secret.
    Rotate {
        /// Which.
        key: KeyId,
        /// For how many milliseconds the secret before is good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overlap_ms: Option<u64>,
    },
}

/// What is known of a key. Never its secret.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KeyEntry {
    /// Names it.
    pub id: KeyId,
    /// How its secret begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What it is called.
    pub name: String,
    /// Whom it authenticates.
    pub principal: PrincipalId,
    /// What may be done with it.
    pub grants: Grants,
    /// When it was made.
    #[serde(with = "de::text")]
    pub created_at: Timestamp,
    /// When its secret was replaced last.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Timestamp>,
    /// Until when the secret before is good.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<Timestamp>,
    /// When it ends by itself.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it let somebody in last.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// Whether it was revoked.
    #[serde(default, deserialize_with = "de::or_default")]
    pub revoked: bool,
    /// When it was revoked.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// The keys that were asked for, or the one that was changed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KeysReport {
    /// The envelope that asked.
    #[serde(default, with = "de::maybe_text", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// The keys.
    #[serde(default, deserialize_with = "de::or_default")]
    pub keys: Vec<KeyEntry>,
    /// The secret of the key that was made or rotated: the only moment at which it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Where the next page begins; absent behind the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<Text<MAX_CURSOR_BYTES>>,
}
