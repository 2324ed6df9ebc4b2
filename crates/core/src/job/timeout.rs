//! The timers of a job.

use moorline_types::{Timestamp, limits};

use super::{Deadline, DeadlineReason, Job, Offer, Status};
use crate::record::{Cause, Failure};

impl Job {
    /// The next deadline, and why. A job that is over waits for the store only.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let retry = self.under_way.as_ref().and_then(|under_way| match under_way.offer {
            Offer::RetryAt(at) => Some((at, DeadlineReason::RetryAppend)),
            Offer::WithStore | Offer::Due => None,
        });
        let running = self.status == Status::Running;
        let open = !self.status.is_terminal();
        let forced =
            self.cancel.as_ref().filter(|_| open).map(|cancel| (cancel.forced_at, DeadlineReason::CancelGrace));
        let runtime = self.runtime_deadline().filter(|_| running).map(|at| (at, DeadlineReason::MaxRuntime));
        let pending = (self.status == Status::Pending)
            .then(|| (self.pending_since + self.limits.max_pending, DeadlineReason::MaxPending));
        let expiry = self
            .accepted
            .expires_at
            .filter(|_| open)
            .map(|at| (at + limits::LEASE_EXPIRY_GRACE, DeadlineReason::LeaseExpiry));
        let rotation = self.credentials.rotation().filter(|_| open).map(|at| (at, DeadlineReason::RotateCredential));
        let revocation = self.credentials.patience().map(|at| (at, DeadlineReason::RevocationPatience));
        [retry, forced, runtime, expiry, pending, rotation, revocation]
            .into_iter()
            .flatten()
            .min()
            .map(|(at, why)| Deadline { at, why })
    }

    /// Time has passed: everything that is due by `now` happens.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some(Deadline { at, why }) = self.poll_timeout() {
            if at > now {
                return;
            }
            match why {
                DeadlineReason::RetryAppend => self.offer_again(),
                DeadlineReason::CancelGrace => self.end_cancelled(now),
                DeadlineReason::MaxRuntime => self.end_timed_out(now),
                DeadlineReason::LeaseExpiry => self.end_expired(now),
                DeadlineReason::MaxPending => self.end_not_dispatched(now),
                DeadlineReason::RotateCredential => self.rotate(),
                DeadlineReason::RevocationPatience => self.handle_revoked(now),
            }
        }
    }

    fn offer_again(&mut self) {
        if let Some(under_way) = &mut self.under_way {
            under_way.offer = Offer::Due;
        }
    }

    fn end_timed_out(&mut self, now: Timestamp) {
        let seconds = self.accepted.max_runtime_sec.unwrap_or(limits::MAX_RUNTIME_SEC);
        let message = format!("the job ran for longer than its max_runtime_sec of {seconds}");
        let cause = Cause::TimedOut;
        self.end(now, Failure { worker_seq: None, cause, message, retryable: true, details: None });
    }

    fn end_expired(&mut self, now: Timestamp) {
        let expires_at = self.accepted.expires_at.map(|at| at.to_string()).unwrap_or_default();
        let message = format!("the job's lease ended at {expires_at}; submit it again with a later one");
        let cause = Cause::LeaseExpired;
        self.end(now, Failure { worker_seq: None, cause, message, retryable: false, details: None });
    }

    fn end_not_dispatched(&mut self, now: Timestamp) {
        let seconds = self.limits.max_pending.get() / 1_000;
        let message = format!("no worker took the job up within {seconds} seconds; try again later");
        let cause = Cause::NotDispatched;
        self.end(now, Failure { worker_seq: None, cause, message, retryable: true, details: None });
    }
}
