//! For authors of agents: the trait to implement and the context that a job runs in.
//!
//! An agent is the same in process and out: nothing here knows where it runs. What a job has emitted is on its way to
//! the journal when the call returns. A call waits while too much is not yet committed; that is how a full disk or a slow
//! gateway slows an agent down instead of losing its events.
//!
//! Deliberately absent: reading the job's own events back, talking to other jobs but for what becomes of those that it
//! has delegated, and anything that grants authority.

mod authority;
mod body;
mod cancel;
mod commands;
mod context;
mod delegation;
mod failure;
mod outcome;
mod result_stream;

use async_trait::async_trait;
use moorline_types::ResolvedAgent;

pub use crate::message::{ChildFailure, Command, DelegationCode, Failure, FailureCode, Output};
pub use authority::AuthorizeError;
pub use body::{Artifact, Flaw, InvalidEvent, Level, Metric, Number, Progress, ToolAnswer, ToolError, check_body};
pub(crate) use cancel::Cancel;
pub use cancel::{CancelCause, CancelRequest};
pub(crate) use commands::Commands;
pub use context::{CallId, DelegateId, EmitError, InputError, JobContext};
pub(crate) use context::{Port, PushError, Pushed};
pub use delegation::{ChildEnd, Delegated, Delegation, DelegationError};
pub use outcome::{Outcome, OutcomeError};
pub use result_stream::{Encoding, ResultStream, StreamError};

/// What runs jobs of one agent version.
///
/// One value runs all of its jobs, as many at once as its description allows; what belongs to one job belongs into
/// `run`. Blocking work belongs on `tokio::task::spawn_blocking`: the worker's heartbeats run beside it.
#[async_trait]
pub trait Agent: Send + Sync + 'static {
    /// What the gateway is told about it. Asked for once.
    fn describe(&self) -> AgentDescription;

    /// Runs one job to its end.
    ///
    /// When the job is cancelled, [`JobContext::cancelled`] resolves; return soon after, with [`Failure::cancelled`]
    /// or with a result that was ready anyway. When the grace is over, or the job is ended otherwise, the future is
    /// dropped at its next await. A panic ends the job with `INTERNAL_ERROR` and the worker goes on.
    async fn run(&self, job: JobContext) -> Result<Outcome, Failure>;
}

/// What the gateway is told about an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentDescription {
    /// Its name and version.
    pub agent: ResolvedAgent,
    /// One line for people.
    pub description: String,
    /// How many jobs of it run at once in this worker.
    pub capacity: u32,
    /// Whether this version is meant when none is named.
    pub is_default: bool,
}
