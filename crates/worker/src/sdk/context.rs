//! What a job can know and do.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use moorline_types::{EventKind, JobId, Json, JsonError, ResolvedAgent, Timestamp, TraceContext, TraceId};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use super::body::{self, Check, Delegate, Log, Status, Thought, ToolAnswerFields, ToolCall, ToolResult};
use super::cancel::{Cancel, CancelRequest};
use super::commands::Commands;
use super::result_stream::{Encoding, ResultStream, StreamError};
use super::{
    Artifact, ChildFailure, Delegated, Delegation, DelegationCode, DelegationError, Failure, Flaw, InvalidEvent, Level,
    Metric, Progress, ToolAnswer,
};
use crate::clock;
use crate::credential::{Credential, Held};
use crate::limits::{MAX_ASKS, MAX_AWAITED};
use crate::message::{Answer, Ask, Command, DelegationNews, Report, StartJob, Until};

/// One job, as its agent sees it. Cheap to clone; a clone that outlives the job can emit nothing.
#[derive(Clone)]
pub struct JobContext(Arc<Inner>);

struct Inner {
    start: StartJob,
    cancel: Cancel,
    commands: Commands,
    credentials: Held,
    port: Arc<dyn Port>,
    calls: AtomicU64,
    streaming: AtomicBool,
    /// Room for questions that are not answered.
    asks: Arc<Semaphore>,
    /// Room for questions about delegations, which may wait for long.
    awaiting: Arc<Semaphore>,
}

/// Where a job's reports go.
pub(crate) trait Port: Send + Sync {
    /// Takes a report in if there is room for it.
    fn push(&self, at: Timestamp, report: Report) -> Result<Pushed, PushError>;

    /// Takes a question in, behind the reports that were taken in before it.
    fn ask(&self, ask: Ask, room: OwnedSemaphorePermit) -> Result<oneshot::Receiver<Answer>, PushError>;
}

/// What became of a report.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// It is on its way.
    Taken,
    /// It has to wait for room; here it is, and what tells of room.
    Full { report: Report, room: Arc<Notify> },
}

/// The job is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PushError;

impl From<PushError> for EmitError {
    fn from(PushError: PushError) -> Self {
        Self::Ended
    }
}

/// Why an event was not emitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// The job is over: it has ended, or it was killed. Stop working on it.
    #[error("the job is over")]
    Ended,
    /// The event is not one that may be emitted. The job goes on.
    #[error(transparent)]
    Invalid(#[from] InvalidEvent),
}

/// Why an input could not be read. Turns into `INVALID_REQUEST`.
#[derive(Debug, thiserror::Error)]
#[error("the input does not have the form that this agent asks for")]
pub struct InputError(#[source] JsonError);

impl InputError {
    /// The failure that tells the submitter.
    pub fn into_failure(self) -> Failure {
        Failure::invalid_request(format!("input: {}", self.0))
    }
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

handles! {
    /// Names one tool call within its job.
    CallId;
    /// Names one delegation within its job.
    DelegateId;
}

impl JobContext {
    pub(crate) fn new(
        start: StartJob,
        cancel: Cancel,
        commands: Commands,
        credentials: Held,
        port: Arc<dyn Port>,
    ) -> Self {
        let (calls, streaming) = (AtomicU64::new(0), AtomicBool::new(false));
        let asks = Arc::new(Semaphore::new(MAX_ASKS));
        let awaiting = Arc::new(Semaphore::new(MAX_AWAITED));
        Self(Arc::new(Inner { start, cancel, commands, credentials, port, calls, streaming, asks, awaiting }))
    }

    /// The job.
    pub fn job_id(&self) -> JobId {
        self.0.start.job
    }

    /// The agent version that runs it.
    pub fn agent(&self) -> &ResolvedAgent {
        &self.0.start.agent
    }

    /// The input, as a `T`.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, InputError> {
        self.0.start.input.to().map_err(InputError)
    }

    /// The input as it was submitted.
    pub fn input_json(&self) -> &Json {
        &self.0.start.input
    }

    /// What the job may do (spec 9): [`Self::authorize`] says what follows from it.
    pub fn lease_json(&self) -> &Json {
        &self.0.start.lease
    }

    /// The W3C trace that the job belongs to.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.trace().map(|context| context.trace)
    }

    /// The job's place in its trace (spec 11), for calls of tools and other services: its text is the `traceparent` to
    /// send along, its `state` the `tracestate`.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.0.start.trace.as_ref()
    }

    /// The job's credentials for upstreams (spec 9.8), as they are now: a value may be replaced while the job runs, so
    /// ask again before each use. Secret.
    pub fn credentials(&self) -> Arc<[Credential]> {
        self.0.credentials.get()
    }

    /// When the gateway will end the job.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.0.start.deadline
    }

    /// When the job was accepted.
    pub fn accepted_at(&self) -> Timestamp {
        self.0.start.accepted_at
    }

    /// A line for people.
    pub async fn log(&self, level: Level, message: impl Into<String> + Send) -> Result<(), EmitError> {
        self.emit(&Log { level, message: message.into() }).await
    }

    /// Reasoning.
    pub async fn thought(&self, text: impl Into<String> + Send) -> Result<(), EmitError> {
        self.emit(&Thought { text: text.into() }).await
    }

    /// A tool is being called. `args` is an object.
    pub async fn tool_call(&self, tool: impl Into<String> + Send, args: Json) -> Result<CallId, EmitError> {
        let call_id = self.mint("call");
        self.emit(&ToolCall { tool: tool.into(), args, call_id: call_id.clone() }).await?;
        Ok(CallId(call_id))
    }

    /// What the tool answered.
    pub async fn tool_result(&self, call: &CallId, answer: ToolAnswer) -> Result<(), EmitError> {
        let answer = match answer {
            ToolAnswer::Result(result) => ToolAnswerFields { result: Some(result), error: None },
            ToolAnswer::Error(error) => ToolAnswerFields { result: None, error: Some(error) },
        };
        self.emit(&ToolResult { call_id: call.0.clone(), answer }).await
    }

    /// Asks the gateway something that it answers at once; `None` if the job is over.
    pub(super) async fn ask(&self, ask: Ask) -> Option<Answer> {
        let room = Arc::clone(&self.0.asks).acquire_owned().await.ok()?;
        self.0.port.ask(ask, room).ok()?.await.ok()
    }

    /// The job is in this phase.
    pub async fn status(&self, phase: impl Into<String> + Send, message: Option<String>) -> Result<(), EmitError> {
        self.emit(&Status { phase: phase.into(), message }).await
    }

    /// A measured number.
    pub async fn metric(&self, metric: Metric) -> Result<(), EmitError> {
        self.emit(&metric).await
    }

    /// How far the work is.
    pub async fn progress(&self, progress: Progress) -> Result<(), EmitError> {
        let told = |text: Option<String>| text.filter(|text| !text.is_empty());
        let Progress { current, total, units, message } = progress;
        self.emit(&Progress { current, total, units: told(units), message: told(message) }).await
    }

    /// Something was made.
    pub async fn artifact(&self, artifact: Artifact) -> Result<(), EmitError> {
        self.emit(&artifact).await
    }

    /// Gives a part of the work to another agent, which does it as a child job. What became of it is asked of what this
    /// returns; a refusal is told to whoever watches the job, too.
    ///
    /// # Errors
    /// If the job is over, or the delegation is larger than an event may be.
    pub async fn delegate(&self, delegation: Delegation) -> Result<Delegated, EmitError> {
        let delegate_id = self.mint("dlg");
        let Delegation { agent, input, lease_request, lease_constraints, max_runtime_sec, detached } = delegation;
        let body = Delegate {
            delegate_id: delegate_id.clone(),
            agent: agent.to_string(),
            input,
            lease_request,
            lease_constraints,
            max_runtime_sec,
            detached,
        };
        self.emit(&body).await?;
        Ok(self.delegated(delegate_id))
    }

    /// A delegation that was emitted under this id.
    pub(crate) fn delegated(&self, delegate_id: String) -> Delegated {
        Delegated::new(self.clone(), DelegateId(delegate_id))
    }

    /// Asks what became of a delegation.
    pub(crate) async fn ask_delegation(
        &self,
        id: &DelegateId,
        until: Until,
    ) -> Result<DelegationNews, DelegationError> {
        let room = Arc::clone(&self.0.awaiting).acquire_owned().await.map_err(|_| DelegationError::Ended)?;
        let answered = self.0.port.ask(Ask::Delegation { delegate_id: id.0.clone(), until }, room);
        match answered.map_err(|PushError| DelegationError::Ended)?.await {
            Ok(Answer::Delegation(news)) => Ok(news),
            // A gateway of an earlier version has no answer but that it has none.
            Ok(Answer::Verdict(Err(failure))) => Err(DelegationError::Refused(ChildFailure {
                code: DelegationCode::InternalError,
                message: failure.message,
                retryable: false,
                details: failure.details,
            })),
            Ok(Answer::Verdict(Ok(()))) | Err(_) => Err(DelegationError::Ended),
        }
    }

    /// An event of a vendor's own kind, with an object as its body.
    pub async fn event(&self, kind: EventKind, body: Json) -> Result<(), EmitError> {
        if !matches!(kind, EventKind::Vendor(_)) {
            return Err(InvalidEvent { kind, flaw: Flaw::Reserved }.into());
        }
        self.emit_checked(kind, body).await
    }

    /// Begins the streamed result. A job has one; after it has begun, its end is the job's result.
    pub fn result_stream(&self, encoding: Encoding) -> Result<ResultStream, StreamError> {
        if self.0.streaming.swap(true, Ordering::Relaxed) {
            return Err(StreamError::Begun);
        }
        ResultStream::begin(self.clone(), encoding)
    }

    /// The next thing that the job is told to do, when there is one. What comes of it is for the agent to say, by an
    /// event. It may be told again what it was told before, after a link was lost. May be cancelled without loss.
    pub async fn next_command(&self) -> Command {
        self.0.commands.next().await
    }

    /// Resolves when the job is asked to stop.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        let cancel = self.0.cancel.clone();
        async move { cancel.wait().await }
    }

    /// Whether the job was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancel_request().is_some()
    }

    /// Why the job was asked to stop, and how long it has.
    pub fn cancel_request(&self) -> Option<&CancelRequest> {
        self.0.cancel.requested()
    }

    /// Why the job was asked to stop, in the asker's words.
    pub fn cancel_reason(&self) -> Option<&str> {
        self.cancel_request().map(|request| request.reason.as_str())
    }

    /// Emits an event of any kind but `result_chunk` whose body comes from elsewhere.
    pub(crate) async fn emit_checked(&self, kind: EventKind, body: Json) -> Result<(), EmitError> {
        body::check_body(&kind, &body)?;
        self.push(Report::Event { kind, body }).await
    }

    /// Hands a report over as it is, waiting for room.
    pub(crate) async fn push(&self, report: Report) -> Result<(), EmitError> {
        let (at, port) = (clock::now(), &self.0.port);
        let Pushed::Full { mut report, room } = port.push(at, report)? else { return Ok(()) };
        loop {
            let mut freed = std::pin::pin!(room.notified());
            // Waiting begins before the next look, so room that comes in between is not missed.
            freed.as_mut().enable();
            match port.push(at, report)? {
                Pushed::Taken => return Ok(()),
                Pushed::Full { report: back, .. } => report = back,
            }
            freed.await;
        }
    }

    /// Whether a streamed result was begun.
    pub(crate) fn is_streaming(&self) -> bool {
        self.0.streaming.load(Ordering::Relaxed)
    }

    async fn emit<B: Check + Sync>(&self, body: &B) -> Result<(), EmitError> {
        let body = body::encode(body)?;
        self.push(Report::Event { kind: B::KIND, body }).await
    }

    fn mint(&self, prefix: &str) -> String {
        format!("{prefix}_{}", self.0.calls.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext").field("job", &self.job_id()).field("agent", self.agent()).finish_non_exhaustive()
    }
}

impl From<Value> for ToolAnswer {
    fn from(result: Value) -> Self {
        Self::Result(result)
    }
}
