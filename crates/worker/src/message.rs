//! What the protocol's messages mean, checked: identifiers are identifiers, JSON is JSON, bounds are kept.
//!
//! The gateway and the worker's host deal in these; [`crate::proto`] is only how they travel. Heartbeats and the
//! handshake are the links' own business and have no form here.

pub(crate) mod decode;
mod encode;

use std::fmt;
use std::str::FromStr;

use moorline_types::{
    Capability, EventKind, JobId, Json, Millis, ResolvedAgent, Timestamp, TraceContext, WorkerId, WorkerSeq,
};

pub use decode::{Flaw, Malformed};

use crate::credential::Credential;
use crate::version::ProtocolVersion;

/// Which life of the gateway this is: a counter that its store raises at each start. It tells a worker a gateway that
/// was paused and overtaken from the one that overtook it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GatewayEpoch(u64);

impl GatewayEpoch {
    /// The epoch with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// What a worker has said about itself and proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerInfo {
    /// Who it is.
    pub worker: WorkerId,
    /// Its process id as it sees it itself: for people and logs, never for signals.
    pub pid: u32,
    /// Which process of it: a random number that is the same over its links, zero if it does not say.
    pub instance: u64,
    /// What it is built with: `name/version`.
    pub sdk: String,
    /// The version of the protocol on this link.
    pub protocol: ProtocolVersion,
    /// What it can run.
    pub offers: Vec<AgentOffer>,
    /// What it runs already, or has run without having seen the end acknowledged. A job that was started on the worker
    /// and is not here was never taken up.
    pub held: Vec<HeldJob>,
}

/// One version of one agent that a worker hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentOffer {
    /// Which.
    pub agent: ResolvedAgent,
    /// Whether this version is meant when none is named.
    pub is_default: bool,
    /// One line for people.
    pub description: String,
    /// How many jobs of it the worker runs at once.
    pub capacity: u32,
}

/// A job that a worker holds when it attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldJob {
    /// The job.
    pub job: JobId,
    /// The oldest report that the worker still has: all before it were acknowledged to it.
    pub first: WorkerSeq,
    /// The number of the report that it will make next.
    pub next: WorkerSeq,
    /// Whether the job's last report is among them.
    pub finished: bool,
}

/// From the gateway to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToWorker {
    /// Run a job. For a job that the worker holds already it only answers [`FromWorker::Started`].
    Start(StartJob),
    /// Ask a job's agent to stop; it still reports how it ended. The worker does not enforce the grace: that is the
    /// gateway's, by [`Self::Kill`].
    Cancel {
        /// The job.
        job: JobId,
        /// Why, in the asker's words.
        reason: String,
        /// How long the agent has.
        grace: Millis,
    },
    /// Hand a command to a job's agent.
    Command {
        /// The job.
        job: JobId,
        /// The command.
        command: Command,
    },
    /// Stop a job, report nothing more about it and forget it.
    Kill {
        /// The job.
        job: JobId,
    },
    /// Every report of the job up to this one is committed.
    Ack {
        /// The job.
        job: JobId,
        /// The last report that is.
        seq: WorkerSeq,
    },
    /// What a job asked is answered. An answer to a question that was answered before says nothing new.
    Answer {
        /// The job.
        job: JobId,
        /// Which question.
        id: AskId,
        /// What.
        answer: Answer,
    },
    /// End the worker: cancel its jobs, say goodbye, leave.
    Shutdown {
        /// How long its jobs have.
        grace: Millis,
    },
}

/// What a job's agent is told to do while it runs: an object whose fields are the agent's and its sender's own affair.
/// Its `Debug` does not show it, because there may be a password in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Command(Json);

impl Command {
    /// The command with these fields.
    pub const fn new(json: Json) -> Self {
        Self(json)
    }

    /// Its fields.
    pub const fn json(&self) -> &Json {
        &self.0
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("bytes", &self.0.get().len()).finish_non_exhaustive()
    }
}

/// All that an agent needs to know of its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartJob {
    /// The job.
    pub job: JobId,
    /// What runs it.
    pub agent: ResolvedAgent,
    /// The submitter's input.
    pub input: Json,
    /// What the job may do (spec 9): an object.
    pub lease: Json,
    /// The job's place in its W3C trace (spec 11): what the agent does is below it.
    pub trace: Option<TraceContext>,
    /// When the gateway will end the job.
    pub deadline: Option<Timestamp>,
    /// When the job was accepted.
    pub accepted_at: Timestamp,
    /// Its credentials for upstreams (spec 9.8).
    pub credentials: Vec<Credential>,
}

/// From a worker to the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromWorker {
    /// The job runs. May be said more than once.
    Started {
        /// The job.
        job: JobId,
    },
    /// The job does not run and never has.
    Refused {
        /// The job.
        job: JobId,
        /// Why.
        reason: StartRefusal,
    },
    /// A job asks something. Asked again on every link until it is answered; only of a gateway that speaks
    /// [`ProtocolVersion::V2`].
    Ask {
        /// The job.
        job: JobId,
        /// Names the question among the job's.
        id: AskId,
        /// The job's last report before it, which has been said on this link or was acknowledged. The answer takes all of
        /// them into account.
        after: WorkerSeq,
        /// What.
        ask: Ask,
    },
    /// Something about a job. May come more than once: (job, seq) is what it is known by.
    Report {
        /// The job.
        job: JobId,
        /// Its number among the job's reports, from 1.
        seq: WorkerSeq,
        /// When it happened, by the worker's clock.
        at: Timestamp,
        /// What.
        report: Report,
    },
}

impl FromWorker {
    /// What it holds in memory, without the small change.
    pub fn carried_bytes(&self) -> usize {
        match self {
            Self::Started { .. } | Self::Refused { .. } => 0,
            Self::Ask { ask, .. } => ask.carried_bytes(),
            Self::Report { report, .. } => report.carried_bytes(),
        }
    }
}

/// Names a question among those of its job: the worker counts them from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AskId(u64);

impl AskId {
    /// The one with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What a job asks of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Whether its lease covers an operation (spec 9.3).
    Authorize {
        /// What is to be done.
        capability: Capability,
        /// To what; at most [`MAX_LEASE_TARGET_BYTES`](moorline_types::limits::MAX_LEASE_TARGET_BYTES).
        target: String,
    },
    /// What became of a delegation that was reported before (spec 10).
    Delegation {
        /// What the job calls it; at most [`MAX_DELEGATE_ID_BYTES`](moorline_types::limits::MAX_DELEGATE_ID_BYTES).
        delegate_id: String,
        /// Until when the answer waits.
        until: Until,
    },
}

impl Ask {
    /// What it holds in memory, without the small change.
    pub const fn carried_bytes(&self) -> usize {
        match self {
            Self::Authorize { target, .. } => target.len(),
            Self::Delegation { delegate_id, .. } => delegate_id.len(),
        }
    }
}

/// Until when the answer about a delegation waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until there is a child, or none.
    Begun,
    /// Until the child has ended.
    Ended,
}

/// What the gateway answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::Authorize`]: whether it may be done, or why not.
    Verdict(Result<(), Failure>),
    /// To [`Ask::Delegation`].
    Delegation(DelegationNews),
}

impl Answer {
    /// What it holds in memory, without the small change.
    pub fn carried_bytes(&self) -> usize {
        match self {
            Self::Delegation(DelegationNews::Ended { outcome: Ok(Output::Inline(json)), .. }) => json.get().len(),
            Self::Verdict(_) | Self::Delegation(_) => 0,
        }
    }
}

/// What became of a delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DelegationNews {
    /// There is a child.
    Begun {
        /// The child.
        child: JobId,
    },
    /// There is none.
    Refused(ChildFailure),
    /// The child has ended.
    Ended {
        /// The child.
        child: JobId,
        /// Its result, or why it has none.
        outcome: Result<Output, ChildFailure>,
    },
}

/// Why there is no child, or a child has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildFailure {
    /// What kind of failure.
    pub code: DelegationCode,
    /// The same for people.
    pub message: String,
    /// Whether the same delegation may succeed later.
    pub retryable: bool,
    /// What a program may want to know: an object.
    pub details: Option<Json>,
}

/// What a worker reports about a job. [`Self::Result`] and [`Self::Failure`] are last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The agent did something.
    Event {
        /// What it is about.
        kind: EventKind,
        /// The kind's fields: an object, not otherwise checked.
        body: Json,
    },
    /// The agent is done.
    Result {
        /// With what.
        output: Output,
        /// One line for people.
        summary: Option<String>,
    },
    /// The agent has failed.
    Failure(Failure),
}

impl Report {
    /// What it holds in memory, without the small change.
    pub fn carried_bytes(&self) -> usize {
        match self {
            Self::Event { body, .. } => body.get().len(),
            Self::Result { output: Output::Inline(json), .. } => json.get().len(),
            Self::Result { output: Output::Streamed { .. }, .. } => 0,
            Self::Failure(failure) => failure.message.len(),
        }
    }

    /// Whether it is a job's last.
    pub const fn is_terminal(&self) -> bool {
        match self {
            Self::Event { .. } => false,
            Self::Result { .. } | Self::Failure(_) => true,
        }
    }
}

/// Where a result is (spec 8.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Here.
    Inline(Json),
    /// In the `result_chunk` events with this id.
    Streamed {
        /// Names the chunks that belong together.
        result_id: String,
        /// Bytes of the assembled result.
        result_size: u64,
    },
}

/// Why an agent has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub code: FailureCode,
    /// The same for people: what happened and, where there is one, the remedy.
    pub message: String,
    /// Whether the same submission may succeed later.
    pub retryable: bool,
    /// What a program may want to know: an object.
    pub details: Option<Json>,
}

/// Declares a closed set of words that travel as text.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$word_doc])* $word,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$word,)*];

            /// As it travels.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text { $($text => Ok(Self::$word),)* _ => Err(UnknownWord) }
            }
        }
    )*};
}

/// A text is none of the words that may stand in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a word that may stand here")]
pub struct UnknownWord;

words! {
    /// The spec's error codes (section 12) that an agent may end with. That a job ran too long is the gateway's to say.
    FailureCode {
        /// It stopped because it was asked to.
        Cancelled = "CANCELLED",
        /// It cannot work with its input.
        InvalidRequest = "INVALID_REQUEST",
        /// It was not allowed something that it needs.
        PermissionDenied = "PERMISSION_DENIED",
        /// Its lease ran out.
        LeaseExpired = "LEASE_EXPIRED",
        /// Its budget is spent.
        BudgetExhausted = "BUDGET_EXHAUSTED",
        /// Anything else.
        InternalError = "INTERNAL_ERROR",
    }
    /// The spec's error codes (section 12) that a delegation is refused with, or a child has ended with.
    DelegationCode {
        /// The child was cancelled, or the job is being cancelled itself.
        Cancelled = "CANCELLED",
        /// The child ran for too long.
        Timeout = "TIMEOUT",
        /// The delegation cannot be read, or there are too many; or the child could not work with its input.
        InvalidRequest = "INVALID_REQUEST",
        /// The job may not delegate to that agent; or the child was not allowed something that it needs.
        PermissionDenied = "PERMISSION_DENIED",
        /// The delegation asks for more than the job has.
        LeaseSubsetViolation = "LEASE_SUBSET_VIOLATION",
        /// The lease, the job's or the child's, has ended.
        LeaseExpired = "LEASE_EXPIRED",
        /// The budget, the job's or the child's, is spent.
        BudgetExhausted = "BUDGET_EXHAUSTED",
        /// There is no such agent.
        AgentNotAvailable = "AGENT_NOT_AVAILABLE",
        /// The agent has no such version.
        AgentVersionNotAvailable = "AGENT_VERSION_NOT_AVAILABLE",
        /// Anything else.
        InternalError = "INTERNAL_ERROR",
    }
    /// Why a worker does not take a job up.
    StartRefusal {
        /// It does not host that agent version.
        UnknownAgent = "unknown_agent",
        /// It runs as many jobs of it as it can.
        AtCapacity = "at_capacity",
        /// It is about to end.
        ShuttingDown = "shutting_down",
    }
    /// Why a worker leaves for good.
    GoodbyeReason {
        /// The gateway asked it to.
        Shutdown = "shutdown",
        /// It was told to by a signal.
        Signal = "signal",
    }
}
