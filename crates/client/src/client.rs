//! What a program holds.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use moorline_wire::payload::{Jobs, ListJobs, Welcome};
use moorline_wire::vendor::{AuditPage, AuditQuery, Credentials, CredentialsReport, Gc, GcReport, Keys, KeysReport};
use moorline_wire::{FeatureSet, JobRef, Reason, SessionRef};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::connect::{self, Opened};
use crate::driver::{Again, Command, Driver, Ends};
use crate::error::{CallError, ConnectError, Ended};
use crate::job::{JobHandle, Opening};
use crate::mint::Mint;
use crate::options::ConnectOptions;
use crate::pages::JobPages;
use crate::request::{SubmitRequest, SubscribeRequest};
use crate::state::{ConnectionState, Continuity, SessionInfo};
use crate::tasks;
use crate::transport::{ByteStream, Dial};

/// Calls that may wait for the task that owns the socket. It takes one whenever it is not writing, so more would only
/// hide that the runtime does not read.
const COMMAND_QUEUE: usize = 16;

/// How long a runtime that confirms no cancel has to refuse one. It answers a request in the order in which it came, so
/// a round trip is enough.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);

/// A connection to a runtime and the session on it.
///
/// Clones share the connection. It is closed when the last clone is dropped; jobs go on.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    info: watch::Receiver<Arc<SessionInfo>>,
    commands: mpsc::Sender<Command>,
    closes: mpsc::Sender<Option<Reason>>,
    state: watch::Receiver<ConnectionState>,
    call_timeout: Duration,
    /// Dropped with the last clone, which ends the task that owns the socket. Nothing is ever sent.
    _hold: oneshot::Sender<Infallible>,
}

impl Client {
    /// Connects and opens a session. A connection that is lost later is made again, as the options say.
    ///
    /// # Errors
    /// There is no session; the connection, if there was one, is closed. The first connection is tried once.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        Self::begin(options, Again::Url, None).await
    }

    /// The same over byte streams that the program provides: through a tunnel, or to a socket of another kind.
    ///
    /// # Errors
    /// There is no session.
    pub async fn connect_with(dial: Arc<dyn Dial>, options: ConnectOptions) -> Result<Self, ConnectError> {
        Self::begin(options, Again::Dial(dial), None).await
    }

    /// Opens a session over one byte stream that exists already. The options' URL is what the upgrade names. When the
    /// stream ends, so does the client.
    ///
    /// # Errors
    /// There is no session; the stream is dropped.
    pub async fn connect_over<S>(stream: S, options: ConnectOptions) -> Result<Self, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self::begin(options, Again::No, Some(Box::new(stream))).await
    }

    async fn begin(
        options: ConnectOptions,
        again: Again,
        stream: Option<Box<dyn ByteStream>>,
    ) -> Result<Self, ConnectError> {
        let mut mint = Mint::new().ok_or(ConnectError::Entropy)?;
        let hello = connect::hello(&options, mint.message_id(), None);
        let dial = match &again {
            Again::Dial(dial) => Some(Arc::clone(dial)),
            Again::Url | Again::No => None,
        };
        let opened = match stream {
            Some(stream) => Box::pin(connect::connect_over(stream, &options, hello)).await?,
            None => Box::pin(connect::connect(&options, dial.as_deref(), hello)).await?,
        };
        Ok(Self::start(opened, mint, options, again))
    }

    fn start(opened: Opened, mint: Mint, options: ConnectOptions, again: Again) -> Self {
        let (commands, queue) = mpsc::channel(COMMAND_QUEUE);
        let (closes, close_queue) = mpsc::channel(1);
        let first = ConnectionState::Connected { connection: 1, continuity: Continuity::First };
        let (state, state_seen) = watch::channel(first);
        let (info, info_seen) = watch::channel(Arc::new(opened.info.clone()));
        let (hold, held) = oneshot::channel();
        let call_timeout = options.call_timeout;
        let shared = Shared { info: info_seen, commands, closes, state: state_seen, call_timeout, _hold: hold };
        let ends = Ends { commands: queue, closes: close_queue, held, state, info };
        let (driver, socket) = Driver::new(opened, mint, ends, Arc::new(options), again);
        tasks::spawn_driver(driver.run(socket));
        Self { shared: Arc::new(shared) }
    }

    /// The session as its last welcome has it: what the runtime said of itself, its agents among it.
    pub fn info(&self) -> Arc<SessionInfo> {
        Arc::clone(&self.shared.info.borrow())
    }

    /// What the runtime said of itself, its agents among it.
    pub fn welcome(&self) -> Welcome {
        self.info().welcome.clone()
    }

    /// The features that both sides named.
    pub fn features(&self) -> FeatureSet {
        self.info().features
    }

    /// The session. A session that cannot be resumed is followed by another.
    pub fn session_id(&self) -> Option<SessionRef> {
        self.info().session.clone()
    }

    /// How it stands with the connection, now and whenever that changes.
    pub fn state(&self) -> watch::Receiver<ConnectionState> {
        self.shared.state.clone()
    }

    /// Submits a job.
    ///
    /// # Errors
    /// The runtime refused, did not answer in time, or is not connected. In the last two cases the job may exist; an
    /// idempotency key makes it safe to ask again. [`CallError::ConnectionLost`] is for a submission without one.
    pub async fn submit(&self, request: impl Into<SubmitRequest>) -> Result<JobHandle, CallError> {
        let request = Box::new(request.into());
        self.call(|reply| Command::Submit { request, reply }).await.map(|opening| self.handle(opening))
    }

    /// Watches a job that another session, or an earlier connection, submitted.
    ///
    /// # Errors
    /// The runtime refused, did not answer in time, or is not connected; or this client has a handle of the job.
    pub async fn subscribe(&self, request: SubscribeRequest) -> Result<JobHandle, CallError> {
        self.call(|reply| Command::Subscribe { request, reply }).await.map(|opening| self.handle(opening))
    }

    /// Asks for a job's end. It succeeds when the runtime has confirmed that it was asked, or when the job has ended.
    ///
    /// # Errors
    /// The runtime refused, did not answer in time, or is not connected.
    pub async fn cancel(&self, job: &JobRef, reason: Option<Reason>) -> Result<(), CallError> {
        let Shared { commands, state, info, call_timeout, .. } = &*self.shared;
        cancel(commands, state, info, *call_timeout, job.clone(), reason).await
    }

    /// A page of the jobs that the principal may see.
    ///
    /// # Errors
    /// The runtime refused, did not answer in time, or is not connected.
    pub async fn list_jobs(&self, request: ListJobs) -> Result<Jobs, CallError> {
        self.call(|reply| Command::List { request, reply }).await
    }

    /// The jobs that the principal may see, page by page, from the page that `first` asks for.
    pub fn job_pages(&self, first: ListJobs) -> JobPages {
        JobPages::new(self.clone(), first)
    }

    /// The next step of removing what is over. For administrators, and of our own runtime only.
    ///
    /// # Errors
    /// The runtime refused, did not answer in time, or is not connected.
    pub async fn gc(&self, request: Gc) -> Result<GcReport, CallError> {
        self.call(|reply| Command::Gc { request, reply }).await
    }

    /// Makes, lists, rotates or revokes API keys. For administrators, and of our own runtime only.
    ///
    /// # Errors
    /// The runtime refused, did not answer in time, or is not connected.
    pub async fn keys(&self, request: Keys) -> Result<KeysReport, CallError> {
        self.call(|reply| Command::Keys { request: Box::new(request), reply }).await
    }

    /// Lists credentials that are to be withdrawn, or has it done. For administrators, and of our own runtime only.
    ///
    /// # Errors
    /// The runtime refused, did not answer in time, or is not connected.
    pub async fn credentials(&self, request: Credentials) -> Result<CredentialsReport, CallError> {
        self.call(|reply| Command::Credentials { request, reply }).await
    }

    /// A page of the audit trail, as an administrator of a Moorline gateway. The next one begins at its cursor.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn audit(&self, query: AuditQuery) -> Result<AuditPage, CallError> {
        self.call(|reply| Command::Audit { query, reply }).await
    }

    /// Closes the session by agreement, for all clones of this client. Jobs go on. Waits up to a second for the
    /// runtime's word.
    pub async fn close(self, reason: Option<Reason>) -> Ended {
        // If the task is gone already, it has left the reason behind.
        drop(self.shared.closes.send(reason).await);
        self.ended().await
    }

    /// Waits until the connection is over for good, and says why.
    pub async fn ended(&self) -> Ended {
        let mut state = self.shared.state.clone();
        // The error is that the task is gone, which is an end too.
        drop(state.wait_for(|state| matches!(state, ConnectionState::Ended(_))).await.map(|_| ()));
        ended(&state)
    }

    async fn call<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, CallError>>) -> Command,
    ) -> Result<T, CallError> {
        let Shared { commands, state, call_timeout, .. } = &*self.shared;
        answer(commands, state, *call_timeout, command).await
    }

    fn handle(&self, opening: Opening) -> JobHandle {
        let Shared { commands, state, info, call_timeout, .. } = &*self.shared;
        JobHandle::new(opening, commands.downgrade(), state.clone(), info.clone(), *call_timeout)
    }
}

/// Asks for a job's end. Where that is not confirmed, no refusal within a moment is as good.
pub(crate) async fn cancel(
    commands: &mpsc::Sender<Command>,
    over: &watch::Receiver<ConnectionState>,
    info: &watch::Receiver<Arc<SessionInfo>>,
    after: Duration,
    job: JobRef,
    reason: Option<Reason>,
) -> Result<(), CallError> {
    let confirms = info.borrow().profile.conduct().confirms_cancels;
    let after = if confirms { after } else { after.min(REFUSED_WITHIN) };
    match answer(commands, over, after, |reply| Command::Cancel { job, reason, reply }).await {
        Err(CallError::Timeout { .. }) if !confirms => Ok(()),
        answered => answered,
    }
}

/// Hands a command to the task that owns the socket and waits for its answer.
pub(crate) async fn answer<T>(
    commands: &mpsc::Sender<Command>,
    over: &watch::Receiver<ConnectionState>,
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
pub(crate) fn ended(over: &watch::Receiver<ConnectionState>) -> Ended {
    match &*over.borrow() {
        ConnectionState::Ended(ended) => ended.clone(),
        ConnectionState::Connected { .. } | ConnectionState::Reconnecting { .. } => Ended::Lost,
    }
}
