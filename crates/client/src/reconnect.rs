//! Whether a connection that was lost is sought again.

use std::time::Duration;

/// For how long a connection is sought by default: as long as runtimes keep a session for a client that went away.
pub const DEFAULT_RECONNECT: Duration = Duration::from_secs(600);

/// What is done when the connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconnectPolicy {
    /// Every call and every stream ends with the connection.
    Never,
    /// Another connection is sought for this long, and the session resumed on it.
    For(Duration),
    /// The same without an end.
    Always,
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        Self::For(DEFAULT_RECONNECT)
    }
}

impl ReconnectPolicy {
    /// Whether there may be another attempt, this long after the loss.
    pub(crate) fn allows(self, after: Duration) -> bool {
        match self {
            Self::Never => false,
            Self::For(bound) => after <= bound,
            Self::Always => true,
        }
    }
}
