//! How long a session may still be there: its lease, the grace after its last subscriber, and the sweep.

use moorline_types::Timestamp;

use super::{BackendSession, CloseReason, Effect, State};

impl BackendSession {
    /// A client has done something in the session: its lease begins anew.
    pub fn handle_activity(&mut self, now: Timestamp) {
        self.last_activity = now;
        self.lease_expires = now + self.options.lease;
    }

    /// When a client last did something.
    pub const fn last_activity(&self) -> Timestamp {
        self.last_activity
    }

    /// When the lease ends, unless somebody does something or streams the events.
    pub const fn lease_expires(&self) -> Timestamp {
        self.lease_expires
    }

    /// Since when no client streams the events, if one did.
    pub const fn detached(&self) -> Option<Timestamp> {
        self.detached
    }

    /// When [`Self::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let expiry = self.expiry().map(|(at, _)| self.swept(at));
        [self.startup_deadline, self.next_command_deadline(), expiry].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.time_out(now);
        if self.startup_deadline.is_some_and(|at| at <= now) {
            self.close(CloseReason::OpenFailed, Effect::Kill);
        }
        // Looked at again at the moment of closing: a client that came back has cleared it.
        if let Some((at, reason)) = self.expiry()
            && self.swept(at) <= now
        {
            if matches!(self.state, State::Faulted(_)) {
                self.state = State::Closed(reason);
            } else {
                self.close(reason, Effect::Close(reason));
            }
        }
    }

    /// When the session is over unless something happens, and why. The lease comes before the grace.
    fn expiry(&self) -> Option<(Timestamp, CloseReason)> {
        match self.state {
            State::Closing(_) | State::Closed(_) => return None,
            State::StartingWorker | State::Handshaking | State::Ready | State::Reattaching | State::Faulted(_) => {}
        }
        if self.external_subscribers() > 0 {
            return None;
        }
        let lease = (self.lease_expires, CloseReason::LeaseExpired);
        let grace = self.detached.filter(|_| self.options.detach_grace.get() > 0);
        let grace = grace.map(|at| (at + self.options.detach_grace, CloseReason::DetachGraceExpired));
        match grace {
            Some(grace) if grace.0 < lease.0 => Some(grace),
            Some(_) | None => Some(lease),
        }
    }

    /// The first sweep at or after a moment: all sessions are swept at the same multiples of the interval.
    fn swept(&self, at: Timestamp) -> Timestamp {
        let interval = self.options.sweep_interval.get().max(1);
        Timestamp::from_unix_millis(at.as_unix_millis().div_ceil(interval).saturating_mul(interval))
    }
}
