//! What a program holds.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use moorline_types::TraceId;
use moorline_wire::payload::{Jobs, ListJobs, Submit, Welcome};
use moorline_wire::{FeatureSet, JobRef, Reason, SessionRef};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::connect::{self, Opened};
use crate::driver::{Command, Driver};
use crate::error::{CallError, ConnectError, Ended};
use crate::job::{JobHandle, Opening};
use crate::options::ConnectOptions;
use crate::tasks;

/// Calls that may wait for the task that owns the socket. It takes one whenever it is not writing, so more would only
/// hide that the runtime does not read.
const COMMAND_QUEUE: usize = 16;

/// A connection to a runtime and the session on it.
///
/// Clones share the connection. It is closed when the last clone is dropped; jobs go on.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    welcome: Welcome,
    session: Option<SessionRef>,
    features: FeatureSet,
    commands: mpsc::Sender<Command>,
    ended: watch::Receiver<Option<Ended>>,
    call_timeout: Duration,
    /// Dropped with the last clone, which ends the task that owns the socket. Nothing is ever sent.
    _hold: oneshot::Sender<Infallible>,
}

/// What to submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitRequest {
    /// The work.
    pub submit: Submit,
    /// The trace that it belongs to.
    pub trace_id: Option<TraceId>,
}

impl From<Submit> for SubmitRequest {
    fn from(submit: Submit) -> Self {
        Self { submit, trace_id: None }
    }
}

impl Client {
    /// Connects and opens a session.
    ///
    /// # Errors
    /// There is no session; the connection, if there was one, is closed.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        let opened = Box::pin(connect::connect(&options)).await?;
        Ok(Self::start(opened, &options))
    }

    /// Opens a session over a byte stream that exists already, such as a tunnel's. The options' URL is what the
    /// upgrade names.
    ///
    /// # Errors
    /// There is no session; the stream is dropped.
    pub async fn connect_over<S>(stream: S, options: ConnectOptions) -> Result<Self, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let opened = Box::pin(connect::connect_over(stream, &options)).await?;
        Ok(Self::start(opened, &options))
    }

    fn start<S>(opened: Opened<S>, options: &ConnectOptions) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (commands, queue) = mpsc::channel(COMMAND_QUEUE);
        let (end, ended) = watch::channel(None);
        let (hold, held) = oneshot::channel();
        let shared = Shared {
            welcome: opened.welcome.clone(),
            session: opened.session.clone(),
            features: opened.features,
            commands,
            ended,
            call_timeout: options.call_timeout,
            _hold: hold,
        };
        let driver = Driver::new(opened, queue, held, end, options.max_frame_bytes);
        tasks::spawn_driver(driver.run());
        Self { shared: Arc::new(shared) }
    }

    /// What the runtime said of itself, its agents among it.
    pub fn welcome(&self) -> &Welcome {
        &self.shared.welcome
    }

    /// The features that both sides named.
    pub fn features(&self) -> FeatureSet {
        self.shared.features
    }

    /// The session.
    pub fn session_id(&self) -> Option<&SessionRef> {
        self.shared.session.as_ref()
    }

    /// Submits a job.
    ///
    /// # Errors
    /// The runtime refused, did not answer in time, or is not connected. In the last two cases the job may exist; an
    /// idempotency key makes it safe to ask again.
    pub async fn submit(&self, request: impl Into<SubmitRequest>) -> Result<JobHandle, CallError> {
        let request = Box::new(request.into());
        self.call(|reply| Command::Submit { request, reply }).await.map(|opening| self.handle(opening))
    }

    /// Watches a job that another session, or an earlier connection, submitted. With `history`, from its beginning.
    ///
    /// # Errors
    /// The runtime refused, did not answer in time, or is not connected; or this client has a handle of the job.
    pub async fn subscribe(&self, job: JobRef, history: bool) -> Result<JobHandle, CallError> {
        self.call(|reply| Command::Subscribe { job, history, reply }).await.map(|opening| self.handle(opening))
    }

    /// Asks for a job's end. It succeeds when the runtime has confirmed that it was asked, or when the job has ended.
    ///
    /// # Errors
    /// The runtime refused, did not answer in time, or is not connected.
    pub async fn cancel(&self, job: &JobRef, reason: Option<Reason>) -> Result<(), CallError> {
        let job = job.clone();
        self.call(|reply| Command::Cancel { job, reason, reply }).await
    }

    /// A page of the jobs that the principal may see.
    ///
    /// # Errors
    /// The runtime refused, did not answer in time, or is not connected.
    pub async fn list_jobs(&self, request: ListJobs) -> Result<Jobs, CallError> {
        self.call(|reply| Command::List { request, reply }).await
    }

    /// Closes the session by agreement, for all clones of this client. Jobs go on. Waits up to a second for the
    /// runtime's word.
    pub async fn close(self, reason: Option<Reason>) -> Ended {
        // If the task is gone already, it has left the reason behind.
        drop(self.shared.commands.send(Command::Close { reason }).await);
        self.ended().await
    }

    /// Waits until the connection is over, and says why.
    pub async fn ended(&self) -> Ended {
        let mut over = self.shared.ended.clone();
        // The error is that the task is gone, which is an end too.
        drop(over.wait_for(Option::is_some).await.map(|_| ()));
        ended(&over)
    }

    async fn call<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, CallError>>) -> Command,
    ) -> Result<T, CallError> {
        let Shared { commands, ended, call_timeout, .. } = &*self.shared;
        answer(commands, ended, *call_timeout, command).await
    }

    fn handle(&self, opening: Opening) -> JobHandle {
        let Shared { commands, ended, call_timeout, .. } = &*self.shared;
        JobHandle::new(opening, commands.downgrade(), ended.clone(), *call_timeout)
    }
}

/// Hands a command to the task that owns the socket and waits for its answer.
pub(crate) async fn answer<T>(
    commands: &mpsc::Sender<Command>,
    over: &watch::Receiver<Option<Ended>>,
    after: Duration,
    command: impl FnOnce(oneshot::Sender<Result<T, CallError>>) -> Command,
) -> Result<T, CallError> {
    let (reply, answer) = oneshot::channel();
    let call = async {
        if commands.send(command(reply)).await.is_err() {
            return Err(CallError::Disconnected(ended(over)));
        }
        answer.await.unwrap_or_else(|_| Err(CallError::Disconnected(ended(over))))
    };
    timeout(after, call).await.unwrap_or(Err(CallError::Timeout { after }))
}

/// Why the connection is over. A task that left no reason was ended with its runtime.
pub(crate) fn ended(over: &watch::Receiver<Option<Ended>>) -> Ended {
    over.borrow().clone().unwrap_or(Ended::Lost)
}
