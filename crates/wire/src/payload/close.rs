//! The end of a session by agreement (spec 6.7).

use crate::{Reason, de};

/// Ends the session: `session.close`, and `session.bye`, which some peers say instead. Jobs go on.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Close {
    /// Why.
    #[serde(default, deserialize_with = "de::empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// The session has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Closed {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
