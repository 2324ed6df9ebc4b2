//! One transport's life: handshake, heartbeats, and what an arriving message is allowed to be.
//!
//! ```text
//!  awaiting hello ──hello──▶ authenticating ──▶ open ──close, loss──▶ closed
//!        └── anything else, or the deadline: refused and closed
//! ```
//!
//! Before the welcome nothing that arrives has any effect but the hello itself. Afterwards a message that cannot be
//! served is refused and the connection goes on. A client may resume in its hello, or by a message of its own as the
//! first thing that it asks for. The machine sees what kind of message arrived, never what is in it,
//! and owns nothing that another connection, a session or a job would miss: when it ends, they do not notice.
//!
//! Heartbeats (spec 6.4), when negotiated: a ping after an interval in which either side was silent, and the
//! connection is lost after [`limits::HEARTBEAT_LOST_INTERVALS`] intervals without anything from the peer. A ping of
//! the peer is answered whether negotiated or not.

use moorline_types::{Millis, Timestamp, limits};

use crate::Refusal;

/// A feature that a request depends on (spec 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// `session.ack`.
    Ack,
    /// `session.list_jobs`.
    ListJobs,
    /// `job.subscribe` and `job.unsubscribe`.
    Subscribe,
}

impl Gate {
    const fn name(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::ListJobs => "list_jobs",
            Self::Subscribe => "subscribe",
        }
    }
}

/// What both sides agreed on, as far as the connection depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Negotiated {
    /// Heartbeats.
    pub heartbeat: bool,
    /// Acknowledgements.
    pub ack: bool,
    /// Listing jobs.
    pub list_jobs: bool,
    /// Subscriptions.
    pub subscribe: bool,
}

impl Negotiated {
    const fn allows(self, gate: Gate) -> bool {
        match gate {
            Gate::Ack => self.ack,
            Gate::ListJobs => self.list_jobs,
            Gate::Subscribe => self.subscribe,
        }
    }
}

/// What kind of message arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// `session.hello`.
    Hello,
    /// `session.resume`.
    Resume,
    /// `session.ping`.
    Ping,
    /// `session.pong`.
    Pong,
    /// `session.close` or `session.bye`.
    Close {
        /// Whether the envelope names another session than this connection's.
        foreign: bool,
    },
    /// Something to carry out.
    Request {
        /// The feature that it depends on.
        needs: Option<Gate>,
        /// Whether the envelope names another session than this connection's.
        foreign: bool,
    },
    /// A message that we do not know, which its sender marked as optional.
    UnknownOptional,
    /// Something that could not be read as a message.
    Malformed,
}

/// What to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Check who it is, then call [`Connection::handle_welcomed`] or send the refusal and close.
    Authenticate,
    /// Answer with a pong.
    Pong,
    /// Carry it out.
    Perform,
    /// Go on with another session in the place of this connection's, which has done nothing yet.
    Resume,
    /// Nothing.
    Ignore,
    /// Tell the peer what was wrong with the message, and go on.
    ReportMalformed,
    /// Tell the peer what was wrong with the message, and close.
    ReportMalformedAndClose,
    /// Refuse it, and go on.
    Refuse(Refusal),
    /// Refuse it, and close.
    RefuseAndClose(Refusal),
    /// Confirm the close, and close.
    Close,
}

/// What time has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Send a ping.
    Ping,
    /// Refuse the connection: no hello came.
    HelloTooLate(Refusal),
    /// The peer is gone: say so, and close.
    HeartbeatLost,
}

/// See the module's documentation.
///
/// [`Connection::handle_arrival`] for every frame, [`Connection::handle_sent`] for every frame sent, and one timer:
/// arm it for [`Connection::poll_timeout`], call [`Connection::handle_timeout`] until it answers `None`. `now` never
/// decreases.
#[derive(Debug, Clone)]
pub struct Connection {
    state: State,
    interval: Millis,
    hello_deadline: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    AwaitingHello {
        since: Timestamp,
    },
    Authenticating,
    Open {
        negotiated: Negotiated,
        received: Timestamp,
        sent: Timestamp,
        pinged: Timestamp,
        /// Nothing was asked for yet.
        fresh: bool,
    },
    Closed,
}

impl Connection {
    /// A connection that begins.
    pub const fn new(now: Timestamp, hello_deadline: Millis, heartbeat_interval: Millis) -> Self {
        Self { state: State::AwaitingHello { since: now }, interval: heartbeat_interval, hello_deadline }
    }

    /// Whether the session has been opened.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// A frame has arrived.
    pub fn handle_arrival(&mut self, now: Timestamp, arrival: Arrival) -> Verdict {
        match &mut self.state {
            State::AwaitingHello { .. } => self.before_hello(arrival),
            // The transport is not read while the hello is being decided.
            State::Authenticating | State::Closed => Verdict::Ignore,
            State::Open { negotiated, received, fresh, .. } => {
                *received = now;
                let (negotiated, was_fresh) = (*negotiated, *fresh);
                *fresh &= !matches!(arrival, Arrival::Request { .. } | Arrival::Resume);
                self.when_open(negotiated, was_fresh, arrival)
            }
        }
    }

    fn before_hello(&mut self, arrival: Arrival) -> Verdict {
        match arrival {
            Arrival::Hello => {
                self.state = State::Authenticating;
                Verdict::Authenticate
            }
            Arrival::Malformed => {
                self.state = State::Closed;
                Verdict::ReportMalformedAndClose
            }
            Arrival::Resume => {
                self.state = State::Closed;
                Verdict::RefuseAndClose(Refusal::ResumeWithoutHello)
            }
            Arrival::Ping
            | Arrival::Pong
            | Arrival::Close { .. }
            | Arrival::Request { .. }
            | Arrival::UnknownOptional => {
                self.state = State::Closed;
                Verdict::RefuseAndClose(Refusal::HelloExpected)
            }
        }
    }

    fn when_open(&mut self, negotiated: Negotiated, fresh: bool, arrival: Arrival) -> Verdict {
        match arrival {
            Arrival::Resume if fresh => Verdict::Resume,
            Arrival::Hello | Arrival::Resume => Verdict::Refuse(Refusal::SecondHello),
            Arrival::Ping => Verdict::Pong,
            Arrival::Pong | Arrival::UnknownOptional => Verdict::Ignore,
            Arrival::Malformed => Verdict::ReportMalformed,
            Arrival::Request { foreign: true, .. } | Arrival::Close { foreign: true } => {
                Verdict::Refuse(Refusal::ForeignSession)
            }
            Arrival::Request { needs: Some(gate), .. } if !negotiated.allows(gate) => {
                Verdict::Refuse(Refusal::FeatureNotNegotiated { feature: gate.name() })
            }
            Arrival::Request { .. } => Verdict::Perform,
            Arrival::Close { foreign: false } => {
                self.state = State::Closed;
                Verdict::Close
            }
        }
    }

    /// The session is open; the welcome is being sent.
    pub fn handle_welcomed(&mut self, now: Timestamp, negotiated: Negotiated) {
        self.state = State::Open { negotiated, received: now, sent: now, pinged: now, fresh: true };
    }

    /// A frame has been handed to the transport.
    pub fn handle_sent(&mut self, now: Timestamp) {
        if let State::Open { sent, .. } = &mut self.state {
            *sent = now;
        }
    }

    /// The transport or the gateway ends the connection.
    pub fn handle_closed(&mut self) {
        self.state = State::Closed;
    }

    /// When to call [`Connection::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match self.state {
            State::AwaitingHello { since } => Some(since + self.hello_deadline),
            State::Open { negotiated: Negotiated { heartbeat: true, .. }, received, .. } => {
                Some(self.ping_at()?.min(self.lost_at(received)))
            }
            State::Open { .. } | State::Authenticating | State::Closed => None,
        }
    }

    /// Whether nothing was heard of the client for so long that it is given up by `now`. What has arrived meanwhile is to be
    /// handled before [`Connection::handle_timeout`] is called: a process that has stood still finds it when it wakes.
    pub fn is_unheard(&self, now: Timestamp) -> bool {
        match self.state {
            State::Open { negotiated: Negotiated { heartbeat: true, .. }, received, .. } => {
                self.lost_at(received) <= now
            }
            State::Open { .. } | State::AwaitingHello { .. } | State::Authenticating | State::Closed => false,
        }
    }

    /// What is due by `now`, one thing at a time.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Option<Due> {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return None;
        }
        let ping_at = self.ping_at();
        let lost = self.is_unheard(now);
        match &mut self.state {
            State::AwaitingHello { .. } => {
                self.state = State::Closed;
                Some(Due::HelloTooLate(Refusal::HelloTooLate { seconds: self.hello_deadline.get().div_ceil(1_000) }))
            }
            State::Open { .. } if lost => {
                self.state = State::Closed;
                Some(Due::HeartbeatLost)
            }
            State::Open { pinged, .. } if ping_at.is_some_and(|at| at <= now) => {
                *pinged = now;
                Some(Due::Ping)
            }
            State::Open { .. } | State::Authenticating | State::Closed => None,
        }
    }

    fn ping_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Open { received, sent, pinged, .. } => {
                // One ping per interval at the most, as soon as either direction has been silent for one.
                let silent_since = if received < sent { received } else { sent };
                let since = if silent_since < pinged { pinged } else { silent_since };
                Some(since + self.interval)
            }
            State::AwaitingHello { .. } | State::Authenticating | State::Closed => None,
        }
    }

    fn lost_at(&self, received: Timestamp) -> Timestamp {
        received + Millis::new(self.interval.get() * limits::HEARTBEAT_LOST_INTERVALS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Millis = Millis::from_secs(30);
    const ALL: Negotiated = Negotiated { heartbeat: true, ack: true, list_jobs: true, subscribe: true };
    const CLOSE: Arrival = Arrival::Close { foreign: false };
    const REQUEST: Arrival = Arrival::Request { needs: None, foreign: false };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000)
    }

    fn awaiting() -> Connection {
        Connection::new(at(0), limits::HELLO_DEADLINE, INTERVAL)
    }

    fn open(negotiated: Negotiated) -> Connection {
        let mut connection = awaiting();
        assert_eq!(connection.handle_arrival(at(0), Arrival::Hello), Verdict::Authenticate);
        connection.handle_welcomed(at(0), negotiated);
        connection
    }

    #[test]
    fn before_the_hello_everything_else_is_refused_and_closes() {
        for arrival in [Arrival::Ping, Arrival::Pong, CLOSE, REQUEST, Arrival::UnknownOptional] {
            let mut connection = awaiting();
            let verdict = connection.handle_arrival(at(1), arrival);
            assert_eq!(verdict, Verdict::RefuseAndClose(Refusal::HelloExpected), "{arrival:?}");
            assert_eq!(connection.handle_arrival(at(1), Arrival::Hello), Verdict::Ignore, "it is closed");
        }
        assert_eq!(awaiting().handle_arrival(at(1), Arrival::Malformed), Verdict::ReportMalformedAndClose);
        let resumed = awaiting().handle_arrival(at(1), Arrival::Resume);
        assert_eq!(resumed, Verdict::RefuseAndClose(Refusal::ResumeWithoutHello));
    }

    #[test]
    fn without_a_hello_the_connection_ends_at_the_deadline() {
        let mut connection = awaiting();
        assert_eq!(connection.poll_timeout(), Some(at(10)));
        assert_eq!(connection.handle_timeout(at(9)), None);
        let refusal = Refusal::HelloTooLate { seconds: 10 };
        assert_eq!(connection.handle_timeout(at(10)), Some(Due::HelloTooLate(refusal)));
        assert_eq!(connection.poll_timeout(), None);
    }

    #[test]
    fn when_open_what_cannot_be_served_is_refused_and_the_connection_goes_on() {
        let gated = |needs| Arrival::Request { needs: Some(needs), foreign: false };
        for (arrival, negotiated, verdict) in [
            (REQUEST, Negotiated::default(), Verdict::Perform),
            (gated(Gate::Subscribe), ALL, Verdict::Perform),
            (
                gated(Gate::Subscribe),
                Negotiated { subscribe: false, ..ALL },
                Verdict::Refuse(Refusal::FeatureNotNegotiated { feature: "subscribe" }),
            ),
            (
                gated(Gate::Ack),
                Negotiated { ack: false, ..ALL },
                Verdict::Refuse(Refusal::FeatureNotNegotiated { feature: "ack" }),
            ),
            (Arrival::Request { needs: None, foreign: true }, ALL, Verdict::Refuse(Refusal::ForeignSession)),
            (Arrival::Close { foreign: true }, ALL, Verdict::Refuse(Refusal::ForeignSession)),
            (Arrival::Hello, ALL, Verdict::Refuse(Refusal::SecondHello)),
            (Arrival::Resume, ALL, Verdict::Resume),
            (Arrival::Ping, Negotiated::default(), Verdict::Pong),
            (Arrival::Pong, ALL, Verdict::Ignore),
            (Arrival::UnknownOptional, ALL, Verdict::Ignore),
            (Arrival::Malformed, ALL, Verdict::ReportMalformed),
        ] {
            let mut connection = open(negotiated);
            assert_eq!(connection.handle_arrival(at(1), arrival), verdict, "{arrival:?}");
            assert!(connection.is_open(), "{arrival:?}");
        }
        assert_eq!(open(ALL).handle_arrival(at(1), CLOSE), Verdict::Close);
    }

    #[test]
    fn another_session_is_resumed_before_anything_else_is_asked_for_or_not_at_all() {
        for before in [REQUEST, Arrival::Resume] {
            let mut connection = open(ALL);
            connection.handle_arrival(at(1), Arrival::Ping);
            connection.handle_arrival(at(2), before);
            assert_eq!(connection.handle_arrival(at(3), Arrival::Resume), Verdict::Refuse(Refusal::SecondHello));
        }
    }

    #[test]
    fn silence_in_either_direction_brings_one_ping_an_interval() {
        let mut connection = open(ALL);
        for second in (5..=25).step_by(5) {
            connection.handle_sent(at(second));
        }
        assert_eq!(connection.poll_timeout(), Some(at(30)), "the peer was silent although we were not");
        assert_eq!(connection.handle_timeout(at(30)), Some(Due::Ping));
        assert_eq!(connection.handle_timeout(at(30)), None);
        connection.handle_arrival(at(31), Arrival::Pong);
        connection.handle_sent(at(40));
        assert_eq!(connection.poll_timeout(), Some(at(61)));
    }

    #[test]
    fn two_intervals_without_anything_from_the_peer_lose_the_connection() {
        let mut connection = open(ALL);
        assert_eq!(connection.handle_timeout(at(30)), Some(Due::Ping));
        connection.handle_sent(at(30));
        assert_eq!(connection.handle_timeout(at(59)), None);
        connection.handle_sent(at(59));
        assert_eq!([59, 60].map(|second| connection.is_unheard(at(second))), [false, true]);
        assert_eq!(connection.handle_timeout(at(60)), Some(Due::HeartbeatLost));
        assert!(!connection.is_open());
    }

    #[test]
    fn any_frame_from_the_peer_keeps_the_connection() {
        let mut connection = open(ALL);
        for second in [29, 58, 87] {
            connection.handle_arrival(at(second), Arrival::Malformed);
            connection.handle_sent(at(second));
            assert_eq!(connection.handle_timeout(at(second)), None, "at {second}");
        }
        assert!(connection.is_open());
    }

    #[test]
    fn without_the_feature_there_is_neither_ping_nor_loss() {
        let connection = open(Negotiated { heartbeat: false, ..ALL });
        assert_eq!(connection.poll_timeout(), None);
    }
}
