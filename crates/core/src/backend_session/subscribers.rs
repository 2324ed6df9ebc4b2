//! Who streams a session's events, and who does not keep up.
//!
//! A subscriber is a cursor: it reads the journal at its own pace, and nobody waits for it. Being behind by more than the
//! configured number of events is an overflow, and the policy says what follows. What is decided depends on the
//! configured mode and never on how many there happen to be at the moment: somebody who leaves at the same time must not
//! turn a disconnection into a fault.

use std::str::FromStr;

use moorline_types::Timestamp;

use super::{BackendSession, Effect, Refused, State, StateNeeded};

/// Names a subscriber within the life of one gateway. Rises, and is not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriberId(u64);

impl SubscriberId {
    pub(super) const FIRST: Self = Self(1);

    const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// On whose behalf somebody streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriberKind {
    /// A client's.
    External,
    /// The gateway's own, to show somebody what happens.
    Internal,
}

/// What becomes of a subscriber that does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverflowPolicy {
    /// Nothing: it reads on from the journal.
    #[default]
    CatchUp,
    /// Its stream ends.
    DisconnectSubscriber,
    /// Its stream ends, and if the session is for one subscriber only, the session fails.
    FailFast,
}

impl OverflowPolicy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::CatchUp, Self::DisconnectSubscriber, Self::FailFast];

    /// As it is configured.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CatchUp => "catch_up",
            Self::DisconnectSubscriber => "disconnect_subscriber",
            Self::FailFast => "fail_fast",
        }
    }
}

/// A text is no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be catch_up, disconnect_subscriber or fail_fast")]
pub struct OverflowPolicyError;

impl FromStr for OverflowPolicy {
    type Err = OverflowPolicyError;

    fn from_str(text: &str) -> Result<Self, OverflowPolicyError> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or(OverflowPolicyError)
    }
}

/// Why a subscriber's stream is ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disconnect {
    /// It was behind by more than it may. What it was behind with within that bound it still gets.
    Overflow {
        /// The bound.
        capacity: usize,
    },
    /// The session is over. It gets all that there is first.
    SessionOver {
        /// How it ended.
        state: State,
    },
}

/// A subscriber's stream may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Whose it is.
    pub subscriber: SubscriberId,
}

#[derive(Debug)]
pub(super) struct Subscriber {
    kind: SubscriberKind,
    /// Events that it has not been given. Less than none while it has read what is not yet counted.
    behind: i64,
}

impl BackendSession {
    /// Somebody wants to stream the events, and begins by being behind by so many.
    ///
    /// # Errors
    /// Why not. Nothing is counted then.
    pub fn handle_subscribe(&mut self, kind: SubscriberKind, behind: usize) -> Result<Begin, Refused> {
        match &self.state {
            State::Faulted(fault) => return Err(Refused::Faulted { fault: fault.clone() }),
            State::Closing(_) | State::Closed(_) => {
                return Err(Refused::NotReady { state: self.state.clone(), needed: StateNeeded::Open });
            }
            State::StartingWorker | State::Handshaking | State::Ready | State::Reattaching => {}
        }
        if kind == SubscriberKind::External {
            self.check_room()?;
            self.detached = None;
        }
        let subscriber = self.next_subscriber;
        self.next_subscriber = subscriber.next();
        self.subscribers.insert(subscriber, Subscriber { kind, behind: signed(behind) });
        Ok(Begin { subscriber })
    }

    fn check_room(&self) -> Result<(), Refused> {
        let external = self.external_subscribers();
        let limit = self.options.max_subscribers;
        match self.options.multiple_subscribers {
            false if external > 0 => Err(Refused::SubscriberAlreadyActive),
            true if external >= limit => Err(Refused::SubscriberLimit { limit }),
            true | false => Ok(()),
        }
    }

    /// A stream has ended, for whatever reason. Saying so again changes nothing.
    pub fn handle_unsubscribe(&mut self, now: Timestamp, subscriber: SubscriberId) {
        let left = self.subscribers.remove(&subscriber);
        self.note_left(now, left.as_ref());
    }

    /// Clients that stream the events; who only looks on is not counted.
    pub fn external_subscribers(&self) -> usize {
        self.subscribers.values().filter(|one| one.kind == SubscriberKind::External).count()
    }

    /// Everybody who streams the events.
    pub fn all_subscribers(&self) -> usize {
        self.subscribers.len()
    }

    /// Events that subscribers have not been given yet, all together.
    pub fn queue_depth(&self) -> usize {
        self.subscribers.values().map(|one| usize::try_from(one.behind).unwrap_or_default()).sum()
    }

    /// There are so many more events.
    pub fn handle_events(&mut self, now: Timestamp, count: usize) {
        let capacity = self.options.queue_capacity;
        let bounded = self.options.overflow != OverflowPolicy::CatchUp;
        let mut overflowed = Vec::new();
        for (id, subscriber) in &mut self.subscribers {
            subscriber.behind = subscriber.behind.saturating_add(signed(count));
            if bounded && subscriber.behind > signed(capacity) {
                overflowed.push(*id);
            }
        }
        for id in overflowed {
            self.overflow(now, id, capacity);
        }
    }

    /// A subscriber was given so many events.
    pub fn handle_delivered(&mut self, subscriber: SubscriberId, count: usize) {
        if let Some(subscriber) = self.subscribers.get_mut(&subscriber) {
            subscriber.behind = subscriber.behind.saturating_sub(signed(count));
        }
    }

    /// Whether a subscriber is behind by no more than it may be: what it has not been given is kept for it.
    pub fn is_kept_for(&self, subscriber: SubscriberId) -> bool {
        let capacity = signed(self.options.queue_capacity);
        self.subscribers.get(&subscriber).is_some_and(|subscriber| subscriber.behind <= capacity)
    }

    /// A subscriber was moved ahead, and is behind by so many from there.
    pub fn handle_moved(&mut self, subscriber: SubscriberId, behind: usize) {
        if let Some(subscriber) = self.subscribers.get_mut(&subscriber) {
            subscriber.behind = signed(behind);
        }
    }

    fn overflow(&mut self, now: Timestamp, id: SubscriberId, capacity: usize) {
        let Some(subscriber) = self.subscribers.remove(&id) else { return };
        let reason = Disconnect::Overflow { capacity };
        self.effects.push_back(Effect::Disconnect { subscriber: id, reason });
        let fails = self.options.overflow == OverflowPolicy::FailFast
            && !self.options.multiple_subscribers
            && subscriber.kind == SubscriberKind::External;
        self.note_left(now, Some(&subscriber));
        if fails {
            self.handle_overflow_fault();
        }
    }

    fn note_left(&mut self, now: Timestamp, left: Option<&Subscriber>) {
        let was_external = left.is_some_and(|left| left.kind == SubscriberKind::External);
        if was_external && self.external_subscribers() == 0 {
            self.detached = Some(now);
            // A lease that ran out while somebody streamed must not leave less than the grace.
            self.handle_activity(now);
        }
    }

    pub(super) fn disconnect_all(&mut self) {
        let state = self.state.clone();
        for (subscriber, _) in std::mem::take(&mut self.subscribers) {
            let reason = Disconnect::SessionOver { state: state.clone() };
            self.effects.push_back(Effect::Disconnect { subscriber, reason });
        }
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
