//! A job: the durable machine that decides everything about one unit of work.
//!
//! ```text
//!            started            report: result
//!  pending ──────────▶ running ────────────────▶ success
//!     │                   │    report: failure ─▶ error
//!     │   cancel, grace   │
//!     ├───────────────────┴─────────────────────▶ cancelled
//!     │   max_runtime_sec (running)
//!     └─────────────────────────────────────────▶ timed_out
//! ```
//!
//! Rules that hold whatever races:
//!
//! - The first ending that is decided is the only one. What arrives later is acknowledged and dropped.
//! - Once a cancellation is acknowledged the job ends as cancelled, whatever its agent still returns (spec 7.4).
//! - A number is given to a record when it is handed to the store ([`Job::poll_append`]) and nowhere else.
//! - Effects come only after the records that justify them are committed: a worker's report is acknowledged, a
//!   cancellation confirmed, a job released, when it cannot be lost any more.
//! - A refused append is offered again, the same records with the same numbers, until the store takes it.
//! - A job that was given credentials ends when they are withdrawn, or after a bounded wait for that (spec 9.8.2).
//! - A job ends after the jobs that it has delegated, unless they are detached.
//! - A job is run by one worker and never moves to another. That worker may lose its link and attach again, to this
//!   gateway or to the next: the job goes on where its records end.
//!
//! Deliberately absent: the worker's address, the clients that watch, the wire.

mod authority;
mod cancel;
mod children;
mod commit;
mod credentials;
mod decided;
mod held;
mod lost;
mod recover;
mod report;
mod timeout;

use std::collections::VecDeque;
use std::fmt;

use moorline_types::{
    Batch, CredentialId, Fence, JobId, Millis, PrincipalId, Record, ResolvedAgent, StreamSeq, Timestamp, TraceId,
    WorkerId, WorkerSeq,
};
use serde::{Deserialize, Serialize};

use crate::delegation::{DelegationError, DelegationLimits};
use crate::record::{Accepted, Cause, Fact, Failure};
use crate::span::{JobSpans, Span};
use crate::trace::{JobSpan, Participation};
use cancel::Cancellation;
use children::Children;
use credentials::Credentials;
use decided::Decided;

pub use authority::{Authority, Denied, ReserveError};
pub use children::{ChildEnding, DelegationAsked, News, Until};
pub use lost::Lost;
pub use recover::{RecoverError, Recovery};
pub use report::{Report, ReportError};

/// Where a job stands (spec 7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted, not yet taken up by a worker.
    Pending,
    /// A worker runs it.
    Running,
    /// Ended with a result.
    Success,
    /// Ended with an error.
    Error,
    /// Ended because it was cancelled.
    Cancelled,
    /// Ended because it ran for too long.
    TimedOut,
}

impl Status {
    /// Whether the job is over.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// How a job has ended that failed because of `cause`.
    pub const fn of(cause: Cause) -> Self {
        match cause {
            Cause::Cancelled => Self::Cancelled,
            Cause::TimedOut => Self::TimedOut,
            Cause::InvalidRequest
            | Cause::PermissionDenied
            | Cause::LeaseExpired
            | Cause::BudgetExhausted
            | Cause::LeaseSubset
            | Cause::AgentNotAvailable
            | Cause::AgentVersionNotAvailable
            | Cause::NotDispatched
            | Cause::WorkerLost
            | Cause::Agent
            | Cause::Gateway => Self::Error,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
        })
    }
}

/// How long a job may take over what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobLimits {
    /// From the request to cancel until the job is ended by force.
    pub cancel_grace: Millis,
    /// From acceptance, or from the gateway's start if that is later, until a worker has taken it up.
    pub max_pending: Millis,
    /// How far it may delegate.
    pub delegation: DelegationLimits,
    /// How the gateway takes part in the traces of its children.
    pub tracing: Participation,
}

/// What must happen outside because of what is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Find a worker for the job.
    Dispatch,
    /// Tell the worker that its reports up to this one are committed.
    Acknowledge {
        /// The worker, by its attachment.
        fence: Fence,
        /// The last report that is.
        worker_seq: WorkerSeq,
    },
    /// Tell the worker to end the job within the grace.
    Cancel {
        /// The worker, by its attachment.
        fence: Fence,
        /// Why, for the agent.
        reason: String,
        /// How long it may take.
        grace: Millis,
    },
    /// Tell the worker to stop the job at once.
    Kill {
        /// The worker, by its attachment.
        fence: Fence,
    },
    /// Have a new value issued for a credential, then call [`Job::handle_rotated`] or [`Job::handle_not_rotated`].
    Rotate {
        /// The credential.
        credential: CredentialId,
    },
    /// Tell the worker the present values of the job's credentials.
    TellCredentials {
        /// The worker, by its attachment.
        fence: Fence,
    },
    /// Withdraw whatever value the credential had before this one.
    RevokePrior {
        /// The credential.
        credential: CredentialId,
        /// Under which name the upstream has it now.
        issue: CredentialId,
    },
    /// Withdraw all credentials of the job, then call [`Job::handle_revoked`]. Its end waits for that.
    Revoke,
    /// Have a credential issued for a child that is to be, then call [`Job::handle_child_issued`].
    IssueChild {
        /// The child.
        child: JobId,
        /// As it will be accepted, but for its credential.
        accepted: Box<Accepted>,
    },
    /// There will be no child of this delegation, which was held. Nothing that is issued for it is used.
    RefuseChild {
        /// The child.
        child: JobId,
        /// What it was called in this job.
        delegate_id: Box<str>,
        /// Why, for whoever submitted it if its agent did not.
        error: DelegationError,
    },
    /// A child begins: this is its first record.
    StartChild {
        /// The child.
        child: JobId,
        /// What it is called in this job.
        delegate_id: Box<str>,
        /// Its acceptance.
        first: Record,
    },
    /// A child is to end, because its parent does.
    CancelChild {
        /// The child.
        child: JobId,
    },
    /// Answer the worker what became of a delegation.
    Answer {
        /// The worker, by its attachment.
        fence: Fence,
        /// The number of its question.
        ask: u64,
        /// What became of it.
        news: News,
    },
    /// The job is over and nothing of it is left to do.
    Release,
}

/// When to call [`Job::handle_timeout`], and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub why: DeadlineReason,
}

/// The timers of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadlineReason {
    /// A refused append is to be offered again.
    RetryAppend,
    /// A job that was cancelled has not ended within its grace.
    CancelGrace,
    /// The job has run for `max_runtime_sec`.
    MaxRuntime,
    /// Its lease has ended.
    LeaseExpiry,
    /// No worker has taken the job up.
    MaxPending,
    /// A credential is to have another value before the upstream lets the present one expire.
    RotateCredential,
    /// Its credentials are not withdrawn yet; its end is told all the same.
    RevocationPatience,
}

/// The durable half of a job.
///
/// Facts go in through `handle_*`. What must now happen comes out of `poll_*`, in this order:
/// 1. [`Job::poll_append`]: hand this batch to the store, then call [`Job::handle_committed`] or
///    [`Job::handle_refused`]. There is at most one batch under way.
/// 2. [`Job::poll_effect`]: perform it. Effects refer to committed records only.
/// 3. [`Job::poll_timeout`]: arm one timer, and call [`Job::handle_timeout`] when it fires.
///
/// `now` never decreases. Nothing here reads a clock, draws a random number, or does I/O, so a job is a function of
/// its records and its inputs.
#[derive(Debug)]
pub struct Job {
    id: JobId,
    accepted: Accepted,
    accepted_at: Timestamp,
    limits: JobLimits,
    /// Decided, perhaps not yet committed.
    status: Status,
    /// From when its waiting for a worker counts.
    pending_since: Timestamp,
    /// The worker that runs it. Set once: a job never moves to another worker.
    worker: Option<WorkerId>,
    /// That worker's present attachment, or its last one.
    fence: Option<Fence>,
    started_at: Option<Timestamp>,
    cancel: Option<Cancellation>,
    authority: Authority,
    children: Children,
    /// The ending that is decided, until the last child has ended.
    ending: Option<Fact>,
    /// Why it has no result, if its ending says so.
    failure: Option<Failure>,
    /// Whether a part of a streamed result has been reported.
    streaming: bool,
    /// Whether the worker has said itself that it is done with the job.
    worker_done: bool,
    /// The last report that was taken in.
    reported: WorkerSeq,
    /// The last report that need not be sent again: it is committed, or was dropped because the job is over.
    acknowledged: WorkerSeq,
    credentials: Credentials,
    head: StreamSeq,
    waiting: Decided,
    under_way: Option<UnderWay>,
    effects: VecDeque<Effect>,
    /// What is told of it to a collector of traces; `None` if nothing is.
    spans: Option<Box<JobSpans>>,
    /// Finished spans that nobody has taken yet.
    told: Vec<Span>,
}

/// A batch on its way into the journal.
#[derive(Debug)]
struct UnderWay {
    batch: Batch,
    /// How many of its records are the job's own.
    own: usize,
    /// The size of its bodies.
    bytes: usize,
    offer: Offer,
    /// The last report of the worker in it.
    worker_seq: WorkerSeq,
    /// Whether it holds the job's ending.
    ends: bool,
}

/// Where a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offer {
    /// The store has it and will answer.
    WithStore,
    /// The store refused it; it is offered again then.
    RetryAt(Timestamp),
    /// It is to be offered again.
    Due,
}

impl Job {
    /// A job that begins. It exists once its first batch is committed.
    pub fn accept(now: Timestamp, id: JobId, accepted: Accepted, limits: JobLimits) -> Self {
        let mut job = Self::new(now, id, accepted.clone(), limits);
        job.waiting.push(now, &Fact::Accepted(accepted));
        job
    }

    fn new(now: Timestamp, id: JobId, accepted: Accepted, limits: JobLimits) -> Self {
        Self {
            id,
            spans: JobSpans::begin(id, now, &accepted, limits.tracing).map(Box::new),
            told: Vec::new(),
            authority: Authority::of(&accepted),
            credentials: Credentials::of(now, &accepted),
            children: Children::default(),
            ending: None,
            failure: None,
            accepted,
            accepted_at: now,
            limits,
            status: Status::Pending,
            pending_since: now,
            worker: None,
            fence: None,
            started_at: None,
            cancel: None,
            streaming: false,
            worker_done: false,
            reported: WorkerSeq::ZERO,
            acknowledged: WorkerSeq::ZERO,
            head: StreamSeq::ZERO,
            waiting: Decided::default(),
            under_way: None,
            effects: VecDeque::new(),
        }
    }

    /// Spans that are finished by what is committed, each once.
    pub fn take_spans(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.told)
    }

    /// The trace that the job is recorded in, and its span there.
    pub fn recorded_span(&self) -> Option<(TraceId, &JobSpan)> {
        self.spans.as_ref().map(|spans| spans.span())
    }

    /// Its id.
    pub const fn id(&self) -> JobId {
        self.id
    }

    /// What was asked for.
    pub const fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// When it was accepted.
    pub const fn accepted_at(&self) -> Timestamp {
        self.accepted_at
    }

    /// Whose it is.
    pub const fn owner(&self) -> &PrincipalId {
        &self.accepted.principal
    }

    /// The agent version that runs it. `None` only for a record that names no valid agent.
    pub fn agent(&self) -> Option<ResolvedAgent> {
        let Accepted { agent, version, .. } = &self.accepted;
        Some(ResolvedAgent { name: agent.parse().ok()?, version: version.parse().ok()? })
    }

    /// Where it stands, by what is decided.
    pub const fn status(&self) -> Status {
        self.status
    }

    /// The last of its records that is committed.
    pub const fn head(&self) -> StreamSeq {
        self.head
    }

    /// The worker that runs it, or ran it.
    pub const fn worker(&self) -> Option<WorkerId> {
        self.worker
    }

    /// The attachment of that worker, the last that there was.
    pub const fn fence(&self) -> Option<Fence> {
        self.fence
    }

    /// The last of its worker's reports that need not be sent again.
    pub const fn acknowledged(&self) -> WorkerSeq {
        self.acknowledged
    }

    /// When its agent has to be done, if it is running and has a limit.
    pub fn runtime_deadline(&self) -> Option<Timestamp> {
        let limit = Millis::from_secs(self.accepted.max_runtime_sec?);
        Some(self.started_at? + limit)
    }

    /// What is decided and not yet committed: how many records, and the size of their bodies.
    pub fn uncommitted(&self) -> (usize, usize) {
        let under_way = self.under_way.as_ref();
        let (records, bytes) = under_way.map_or((0, 0), |under_way| (under_way.batch.records.len(), under_way.bytes));
        (records + self.waiting.len(), bytes + self.waiting.bytes())
    }

    /// Whether nothing is left to commit: what [`Job::status`] says is durable.
    pub fn is_settled(&self) -> bool {
        let is_held = self.ending.is_some() || self.credentials.is_end_held();
        self.waiting.is_empty() && self.under_way.is_none() && !is_held
    }

    /// The gateway cannot go on with the job.
    pub fn handle_abandoned(&mut self, now: Timestamp, message: String) {
        self.end(now, Failure { worker_seq: None, cause: Cause::Gateway, message, retryable: true, details: None });
    }

    /// Decides how the job ends, unless that is decided.
    fn end(&mut self, now: Timestamp, failure: Failure) {
        if self.status.is_terminal() {
            return;
        }
        let failure = match &self.cancel {
            Some(cancel) => cancel.override_ending(failure),
            None => failure,
        };
        self.failure = Some(failure.clone());
        self.end_with(now, Status::of(failure.cause), Fact::Error(failure));
    }

    /// Decides on this ending. It is recorded when no child is left that ends before its parent does.
    fn end_with(&mut self, now: Timestamp, status: Status, ending: Fact) {
        self.status = status;
        self.ending = Some(ending);
        self.refuse_held(now);
        self.cancel_children();
        self.end_after_children(now);
    }
}

#[cfg(test)]
mod tests;
