//! Whether the runtime is still there (spec 6.4).
//!
//! A ping goes out after an interval in which either side was silent, and the connection is lost after two intervals
//! without anything from the runtime. Pure: the caller reads the clock and arms the timer.

use std::time::Duration;

use moorline_types::limits::HEARTBEAT_LOST_INTERVALS;
use tokio::time::Instant;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Ask whether the runtime is there.
    Ping,
    /// The runtime is gone.
    Lost {
        /// For how long nothing was heard.
        after: Duration,
    },
}

#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// `None` unless negotiated.
    interval: Option<Duration>,
    received: Instant,
    sent: Instant,
    pinged: Instant,
    /// While we do not read, silence is ours.
    deaf: bool,
}

impl Heartbeat {
    pub(crate) const fn new(now: Instant, interval: Option<Duration>) -> Self {
        Self { interval, received: now, sent: now, pinged: now, deaf: false }
    }

    pub(crate) const fn handle_received(&mut self, now: Instant) {
        self.received = now;
    }

    pub(crate) const fn handle_sent(&mut self, now: Instant) {
        self.sent = now;
    }

    /// Whether the socket is being read from now on.
    pub(crate) const fn handle_reading(&mut self, now: Instant, reading: bool) {
        if self.deaf && reading {
            self.received = now;
        }
        self.deaf = !reading;
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let interval = self.interval?;
        let ping = self.ping_at(interval);
        Some(self.lost_at(interval).map_or(ping, |lost| lost.min(ping)))
    }

    /// Whether the runtime is given up by `now`, unless something of it has arrived that was not read yet.
    pub(crate) fn is_unheard(&self, now: Instant) -> bool {
        self.interval.and_then(|interval| self.lost_at(interval)).is_some_and(|at| at <= now)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        let interval = self.interval?;
        if self.is_unheard(now) {
            return Some(Due::Lost { after: now.saturating_duration_since(self.received) });
        }
        if self.ping_at(interval) > now {
            return None;
        }
        self.pinged = now;
        Some(Due::Ping)
    }

    fn ping_at(&self, interval: Duration) -> Instant {
        self.received.min(self.sent).max(self.pinged) + interval
    }

    fn lost_at(&self, interval: Duration) -> Option<Instant> {
        let intervals = u32::try_from(HEARTBEAT_LOST_INTERVALS).unwrap_or(u32::MAX);
        (!self.deaf).then(|| self.received + interval.saturating_mul(intervals))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn at(begin: Instant, seconds: u64) -> Instant {
        begin + Duration::from_secs(seconds)
    }

    fn heartbeat() -> (Instant, Heartbeat) {
        let begin = crate::clock::instant();
        (begin, Heartbeat::new(begin, Some(INTERVAL)))
    }

    #[test]
    fn silence_brings_one_ping_an_interval_and_then_the_loss() {
        let (begin, mut heartbeat) = heartbeat();
        assert_eq!(heartbeat.poll_timeout(), Some(at(begin, 30)));
        assert_eq!(heartbeat.handle_timeout(at(begin, 29)), None);
        assert_eq!(heartbeat.handle_timeout(at(begin, 30)), Some(Due::Ping));
        heartbeat.handle_sent(at(begin, 30));
        assert_eq!(heartbeat.handle_timeout(at(begin, 31)), None);
        assert_eq!(heartbeat.handle_timeout(at(begin, 60)), Some(Due::Lost { after: INTERVAL * 2 }));
    }

    #[test]
    fn whatever_the_runtime_sends_keeps_the_connection() {
        let (begin, mut heartbeat) = heartbeat();
        for second in [29, 58, 87, 116] {
            heartbeat.handle_received(at(begin, second));
            assert!(!matches!(heartbeat.handle_timeout(at(begin, second)), Some(Due::Lost { .. })), "at {second}");
        }
    }

    #[test]
    fn while_we_do_not_read_we_ping_and_lose_nobody() {
        let (begin, mut heartbeat) = heartbeat();
        heartbeat.handle_reading(begin, false);
        for second in [30, 60, 90, 120] {
            assert_eq!(heartbeat.handle_timeout(at(begin, second)), Some(Due::Ping), "at {second}");
        }
        heartbeat.handle_reading(at(begin, 121), true);
        assert_eq!(heartbeat.handle_timeout(at(begin, 122)), None);
        assert_eq!(heartbeat.handle_timeout(at(begin, 181)), Some(Due::Lost { after: INTERVAL * 2 }));
    }

    #[test]
    fn without_the_feature_nothing_is_ever_due() {
        let begin = crate::clock::instant();
        let mut heartbeat = Heartbeat::new(begin, None);
        assert_eq!((heartbeat.poll_timeout(), heartbeat.handle_timeout(at(begin, 9_999))), (None, None));
    }
}
