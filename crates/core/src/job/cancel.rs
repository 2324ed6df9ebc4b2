//! Ending a job because somebody asked for it (spec 7.4).

use moorline_types::{Fence, Millis, PrincipalId, StreamSeq, Timestamp};

use super::{Effect, Job, Status};
use crate::Refusal;
use crate::record::{CancelRequested, Cause, Fact, Failure};

/// What is left to the gateway after the agent's grace is over, for a worker's last report to arrive. A worker that
/// ends its program at the end of the grace reports within milliseconds; a second covers a busy machine.
const REPORT_MARGIN: Millis = Millis::from_secs(1);

/// A cancellation that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cancellation {
    reason: Option<String>,
    grace: Millis,
    /// When the job is ended by force.
    pub(super) forced_at: Timestamp,
    /// Whether the request is durable.
    confirmed: bool,
}

impl Cancellation {
    pub(super) const fn new(reason: Option<String>, at: Timestamp, grace: Millis, confirmed: bool) -> Self {
        let forced_at = Timestamp::from_unix_millis(at.as_unix_millis() + grace.get() + REPORT_MARGIN.get());
        Self { reason, grace, forced_at, confirmed }
    }

    /// Whatever the job would have ended with, it ends as cancelled.
    pub(super) fn override_ending(&self, failure: Failure) -> Failure {
        let message = match &self.reason {
            Some(reason) => format!("cancelled: {reason}"),
            None => "cancelled by the client".to_owned(),
        };
        Failure { cause: Cause::Cancelled, message, retryable: false, details: None, ..failure }
    }

    fn effect(&self, fence: Fence) -> Effect {
        let reason = self.reason.clone().unwrap_or_else(|| "cancelled by the client".to_owned());
        Effect::Cancel { fence, reason, grace: self.grace }
    }
}

impl Job {
    /// Asks for the job's end. The answer is the number that [`Job::head`] must have reached before the request may
    /// be confirmed; a second request waits for the same as the first.
    pub fn handle_cancel(
        &mut self,
        now: Timestamp,
        by: Option<PrincipalId>,
        reason: Option<String>,
    ) -> Result<StreamSeq, Refusal> {
        if self.status.is_terminal() {
            return Err(Refusal::JobEnded { status: self.status });
        }
        if self.cancel.is_none() {
            self.cancel = Some(Cancellation::new(reason.clone(), now, self.limits.cancel_grace, false));
            self.waiting.push(now, &Fact::CancelRequested(CancelRequested { by, reason }));
        }
        Ok(self.last_decided())
    }

    /// The request is durable: act on it. A job that no worker has is over at once.
    pub(super) fn handle_cancel_committed(&mut self, now: Timestamp) {
        if let Some(cancel) = &mut self.cancel {
            cancel.confirmed = true;
        }
        self.refuse_held(now);
        self.cancel_children();
        if self.status == Status::Pending {
            self.end_cancelled(now);
        } else {
            self.cancel_on_worker();
        }
    }

    /// Tells the worker, if there is one and the request is durable.
    pub(super) fn cancel_on_worker(&mut self) {
        if let (Status::Running, Some(fence), Some(cancel)) = (self.status, self.fence, &self.cancel)
            && cancel.confirmed
        {
            let effect = cancel.effect(fence);
            self.effects.push_back(effect);
        }
    }

    /// Ends the job as cancelled.
    pub(super) fn end_cancelled(&mut self, now: Timestamp) {
        let (cause, message) = (Cause::Cancelled, String::new());
        self.end(now, Failure { worker_seq: None, cause, message, retryable: false, details: None });
    }

    /// The number that the last of all facts decided so far has or will have.
    pub fn last_decided(&self) -> StreamSeq {
        let under_way = self.under_way.as_ref().map_or(0, |under_way| under_way.own);
        StreamSeq::new(self.head.get() + (under_way + self.waiting.own()) as u64)
    }
}
