//! How it stands with the connection, for whoever wants to show it.

use std::time::Duration;

use moorline_wire::payload::Welcome;
use moorline_wire::{FeatureSet, RuntimeProfile, SessionRef};

use crate::error::Ended;

/// How it stands with the connection.
#[derive(Debug, Clone)]
pub enum ConnectionState {
    /// There is one.
    Connected {
        /// Which one: 1 is the first.
        connection: u32,
        /// What became of the session.
        continuity: Continuity,
    },
    /// It was lost, and another one is being sought. Calls wait; nothing is dropped.
    Reconnecting {
        /// Why it was lost.
        cause: Ended,
        /// Which attempt comes next: 1 is the first.
        attempt: u32,
        /// How long it waits for that.
        after: Duration,
    },
    /// It is over for good.
    Ended(Ended),
}

/// What became of the session when a connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// It is the client's first.
    First,
    /// It goes on under its numbers, with nothing lost.
    Resumed,
    /// It could not be resumed. A new one watches the same jobs; each was told by a [`crate::Gap`].
    NewSession,
}

/// The session as its last welcome has it.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// What the runtime said of itself.
    pub welcome: Welcome,
    /// The session's id; none if the runtime did not say.
    pub session: Option<SessionRef>,
    /// The features that both sides named.
    pub features: FeatureSet,
    /// Which runtime it is, as far as that matters.
    pub profile: RuntimeProfile,
}
