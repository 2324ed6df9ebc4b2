//! The task that owns the socket, and the session that outlives it.
//!
//! It waits for whatever comes first of: a call to make, a frame from the runtime, room in the socket for what is to be
//! sent, room in a job's queue, an update that the program took, and a timer. It never waits for one of them alone, so
//! a runtime that does not read cannot keep us from reading, and a program that does not read its updates cannot keep us
//! from sending heartbeats.
//!
//! When the socket ends, [`recovery`] finds another and goes on; what waits for an answer or in a queue stays where it
//! is.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use moorline_types::limits::MAX_SENT_FRAME_BYTES;
use moorline_types::{Epoch, EventSeq, MessageId, TraceRef};
use moorline_wire::payload::{Ack, Cancel, Close, Jobs, ListJobs, Ping, Unsubscribe};
use moorline_wire::vendor::{
    AuditPage, AuditQuery, Credentials, CredentialsReport, Extensions, Gc, GcReport, Keys, KeysReport, Overflow,
    SubscribeOptions,
};
use moorline_wire::{ClientMessage, DecodeLimits, Farewell, Feature, Frame, JobRef, Reason, RuntimeConduct, encode};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::backoff::Backoff;
use crate::clock;
use crate::connect::{Opened, Socket, text, transport};
use crate::error::{CallError, Ended};
use crate::heartbeat::{Due, Heartbeat};
use crate::job::Opening;
use crate::mint::Mint;
use crate::options::ConnectOptions;
use crate::request::{SubmitRequest, SubscribeRequest};
use crate::state::{ConnectionState, SessionInfo};
use crate::transport::Dial;

mod acks;
mod calls;
mod inbound;
mod jobs;
mod outbox;
mod recovery;
mod sequence;

use acks::Acks;
pub(crate) use acks::Receipt;
use calls::{Call, Calls, Expects, Request};
pub(crate) use jobs::Hold;
use jobs::WatchedJobs;
use outbox::Outbox;
use sequence::Sequence;

/// How long the runtime has to confirm a close, and the socket to take the last frame.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// When there is no timer to wait for: longer than any program runs.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3_600);

type Reply<T> = oneshot::Sender<Result<T, CallError>>;

/// What a program wants done.
#[derive(Debug)]
pub(crate) enum Command {
    Submit {
        request: Box<SubmitRequest>,
        reply: Reply<Opening>,
    },
    Subscribe {
        request: SubscribeRequest,
        reply: Reply<Opening>,
    },
    Cancel {
        job: JobRef,
        reason: Option<Reason>,
        reply: Reply<()>,
    },
    List {
        request: ListJobs,
        reply: Reply<Jobs>,
    },
    Gc {
        request: Gc,
        reply: Reply<GcReport>,
    },
    Audit {
        query: AuditQuery,
        reply: Reply<AuditPage>,
    },
    Keys {
        request: Box<Keys>,
        reply: Reply<KeysReport>,
    },
    /// Looks after credentials.
    Credentials {
        request: Credentials,
        reply: Reply<CredentialsReport>,
    },
}

/// What a driver hears from its clients, and tells them.
pub(crate) struct Ends {
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Requests to close. Apart from the commands, which are not taken while there is no connection.
    pub(crate) closes: mpsc::Receiver<Option<Reason>>,
    /// Fails when the last client is dropped.
    pub(crate) held: oneshot::Receiver<Infallible>,
    pub(crate) state: watch::Sender<ConnectionState>,
    pub(crate) info: watch::Sender<Arc<SessionInfo>>,
}

/// How to get another connection.
pub(crate) enum Again {
    /// There is no other.
    No,
    /// From the URL's host.
    Url,
    /// From the program.
    Dial(Arc<dyn Dial>),
}

pub(crate) struct Driver {
    options: Arc<ConnectOptions>,
    again: Again,
    ends: Ends,
    limits: DecodeLimits,
    /// The session as of its last welcome.
    info: Arc<SessionInfo>,
    conduct: RuntimeConduct,
    /// The lineage of the runtime's journal, if it said.
    epoch: Option<Epoch>,
    connections: u32,
    mint: Mint,
    outbox: Outbox,
    calls: Calls,
    jobs: WatchedJobs,
    sequence: Sequence,
    acks: Acks,
    heartbeat: Heartbeat,
    backoff: Backoff,
    /// When the connection was made, and whether it was of use since.
    connected_at: Instant,
    was_of_use: bool,
    /// Where the session was resumed because something was missing after it. If it is missing again, it is gone.
    resumed_after: Option<EventSeq>,
    /// Whether numbers may be left out that the runtime tells of only before the next one.
    leaves_out: bool,
    /// When the runtime wants us back.
    come_back: Option<Duration>,
    /// Set once a close was asked for.
    closing: Option<Instant>,
    /// What the runtime said last that no call had asked for: if it then hangs up, that is why.
    last_words: Option<String>,
}

/// One connection.
struct Link {
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
}

impl Link {
    fn new(socket: Socket) -> Self {
        let (sink, stream) = socket.split();
        Self { sink, stream }
    }
}

/// What came first.
enum Step {
    Command(Command),
    Close(Option<Reason>),
    Dropped,
    Incoming(Option<Result<Message, WsError>>),
    Sent(Result<(), WsError>),
    Delivered,
    Taken,
    Timeout,
}

impl Driver {
    /// A driver, and the connection that it begins with.
    pub(crate) fn new(
        opened: Opened,
        mint: Mint,
        ends: Ends,
        options: Arc<ConnectOptions>,
        again: Again,
    ) -> (Self, Socket) {
        let Opened { socket, info, extensions } = opened;
        let now = clock::instant();
        let conduct = info.profile.conduct();
        let driver = Self {
            limits: DecodeLimits { max_bytes: options.max_frame_bytes, ..DecodeLimits::default() },
            heartbeat: heartbeat(now, &info),
            acks: acks(&info),
            sequence: Sequence::new(conduct.numbering),
            epoch: extensions.cursor.map(|cursor| cursor.epoch),
            info: Arc::new(info),
            options,
            again,
            ends,
            conduct,
            connections: 1,
            mint,
            outbox: Outbox::default(),
            calls: Calls::default(),
            jobs: WatchedJobs::default(),
            backoff: Backoff::default(),
            connected_at: now,
            was_of_use: false,
            resumed_after: None,
            leaves_out: false,
            come_back: None,
            closing: None,
            last_words: None,
        };
        (driver, socket)
    }

    pub(crate) async fn run(mut self, socket: Socket) {
        let mut link = Link::new(socket);
        let (ended, link) = loop {
            let cause = self.serve(&mut link).await;
            if matches!(cause, Ended::ByClient) {
                break (cause, Some(link));
            }
            drop(link);
            match self.recover(cause).await {
                Ok(next) => link = next,
                Err(ended) => break (ended, None),
            }
        };
        self.finish(ended, link).await;
    }

    /// Tells everybody, and takes leave.
    async fn finish(mut self, ended: Ended, link: Option<Link>) {
        tracing::debug!(reason = %ended, "connection over");
        self.ends.state.send_replace(ConnectionState::Ended(ended.clone()));
        self.calls.fail_all(&CallError::Disconnected(ended));
        drop(self.jobs);
        drop(self.ends);
        let Some(mut link) = link else { return };
        // Politeness: whoever waits has been told, and the peer may be gone.
        let farewell = async {
            self.outbox.flush(&mut link.sink).await?;
            link.sink.close().await
        };
        if !matches!(timeout(CLOSE_GRACE, farewell).await, Ok(Ok(()))) {
            tracing::debug!("the socket was dropped without a close frame");
        }
    }

    /// Serves one connection until it ends.
    async fn serve(&mut self, link: &mut Link) -> Ended {
        loop {
            let step = self.step(link).await;
            if let ControlFlow::Break(ended) = self.take(step) {
                return ended;
            }
        }
    }

    async fn step(&mut self, link: &mut Link) -> Step {
        let now = clock::instant();
        self.acknowledge(now);
        let reading = !self.jobs.is_stalled() && self.outbox.has_room();
        self.heartbeat.handle_reading(now, reading);
        let calling = self.outbox.has_room() && self.calls.has_room() && self.closing.is_none();
        let timers = [self.heartbeat.poll_timeout(), self.closing, self.acks.poll_timeout()];
        let wake = timers.into_iter().flatten().min().unwrap_or_else(|| now + NEVER);
        let taken = self.acks.taken();
        tokio::select! {
            Some(command) = self.ends.commands.recv(), if calling => Step::Command(command),
            Some(reason) = self.ends.closes.recv(), if self.closing.is_none() => Step::Close(reason),
            _ = &mut self.ends.held => Step::Dropped,
            frame = link.stream.next(), if reading => Step::Incoming(frame),
            sent = self.outbox.flush(&mut link.sink), if !self.outbox.is_idle() => Step::Sent(sent),
            () = self.jobs.deliver(), if self.jobs.is_stalled() => Step::Delivered,
            () = taken => Step::Taken,
            () = sleep_until(wake) => {
                // A program that has stood still finds what has arrived meanwhile.
                let unread = reading && self.heartbeat.is_unheard(clock::instant());
                match unread.then(|| link.stream.next().now_or_never()).flatten() {
                    Some(frame) => Step::Incoming(frame),
                    None => Step::Timeout,
                }
            }
        }
    }

    fn take(&mut self, step: Step) -> ControlFlow<Ended> {
        match step {
            Step::Command(command) => self.perform(command),
            Step::Close(reason) => self.close(reason),
            Step::Dropped => return ControlFlow::Break(Ended::ByClient),
            Step::Incoming(frame) => return self.receive(frame),
            Step::Sent(Ok(())) => self.heartbeat.handle_sent(clock::instant()),
            Step::Sent(Err(error)) => return ControlFlow::Break(self.over(transport(error))),
            Step::Delivered | Step::Taken => {}
            Step::Timeout => return self.handle_timeout(),
        }
        ControlFlow::Continue(())
    }

    fn handle_timeout(&mut self) -> ControlFlow<Ended> {
        let now = clock::instant();
        if self.closing.is_some_and(|at| at <= now) {
            return ControlFlow::Break(Ended::ByClient);
        }
        match self.heartbeat.handle_timeout(now) {
            Some(Due::Lost { after }) => return ControlFlow::Break(self.over(Ended::HeartbeatLost { after })),
            Some(Due::Ping) if self.outbox.has_room() => {
                let id = self.mint.message_id();
                // The envelope's id is as good a nonce as any: no two are alike.
                if let Ok(nonce) = id.as_str().parse() {
                    let ping = Ping { nonce, sent_at: Some(clock::now()) };
                    self.post(id, None, ClientMessage::Ping(ping));
                }
            }
            Some(Due::Ping) | None => {}
        }
        ControlFlow::Continue(())
    }

    /// Says how far the program has come, if that is due.
    fn acknowledge(&mut self, now: Instant) {
        if self.outbox.has_room()
            && let Some(last_processed_seq) = self.acks.poll(now, self.sequence.contiguous())
        {
            let id = self.mint.message_id();
            self.post(id, None, ClientMessage::Ack(Ack { last_processed_seq }));
        }
    }

    fn perform(&mut self, command: Command) {
        match command {
            Command::Submit { request, reply } => self.submit(*request, reply),
            Command::Subscribe { request, reply } => self.subscribe(&request, reply),
            Command::Cancel { job, reason, reply } => {
                let cancel = ClientMessage::Cancel(Cancel { job_id: Some(job.clone()), reason: Some(given(reason)) });
                self.ask(Request::about(job.clone(), cancel), Expects::Cancelled { job, reply });
            }
            Command::List { request, reply } => {
                self.ask(Request::new(ClientMessage::ListJobs(request)), Expects::Jobs { reply });
            }
            Command::Credentials { request, reply } => {
                let request = Request::new(ClientMessage::Credentials(request));
                self.ask(request, Expects::CredentialsReport { reply });
            }
            Command::Keys { request, reply } => {
                self.ask(Request::new(ClientMessage::Keys(request)), Expects::KeysReport { reply });
            }
            Command::Audit { query, reply } => {
                self.ask(Request::new(ClientMessage::Audit(query)), Expects::AuditPage { reply });
            }
            Command::Gc { request, reply } => {
                self.ask(Request::new(ClientMessage::Gc(request)), Expects::GcReport { reply });
            }
        }
    }

    fn submit(&mut self, request: SubmitRequest, reply: Reply<Opening>) {
        let SubmitRequest { mut submit, trace, overflow } = request;
        if let Err(error) = self.jobs.check_room() {
            return answered(reply, Err(error));
        }
        if submit.idempotency_key.is_none() && self.options.automatic_keys {
            submit.idempotency_key = self.mint.key();
        }
        let trace_id = trace.as_ref().map(TraceRef::trace_id);
        let request =
            Request { trace, extensions: watching(overflow), ..Request::new(ClientMessage::Submit(Box::new(submit))) };
        self.ask(request, Expects::Accepted { trace_id, reply });
    }

    fn subscribe(&mut self, request: &SubscribeRequest, reply: Reply<Opening>) {
        let job = request.job.clone();
        match self.jobs.open(&job, jobs::Origin::Subscribed(request.clone())) {
            Err(error) => answered(reply, Err(error)),
            Ok(updates) => self.ask(Request::subscribe(request), Expects::Subscribed { job, updates, reply }),
        }
    }

    fn unsubscribe(&mut self, job: JobRef) {
        let id = self.mint.message_id();
        self.post(id, Some(job.clone()), ClientMessage::Unsubscribe(Unsubscribe { job_id: job }));
    }

    /// Ends the session in the words that the runtime understands.
    fn close(&mut self, reason: Option<Reason>) {
        let close = Close { reason: Some(given(reason)) };
        let words = match self.conduct.farewell {
            Farewell::Close => vec![ClientMessage::Close(close)],
            Farewell::Bye => vec![ClientMessage::Bye(close)],
            Farewell::Both => vec![ClientMessage::Bye(close.clone()), ClientMessage::Close(close)],
            Farewell::Silent => Vec::new(),
        };
        let grace = if words.is_empty() { Duration::ZERO } else { CLOSE_GRACE };
        for message in words {
            let id = self.mint.message_id();
            self.post(id, None, message);
        }
        self.closing = Some(clock::instant() + grace);
    }

    fn ask(&mut self, request: Request, expects: Expects) {
        let overflow = request.extensions.subscribe.map(|options| options.overflow);
        self.leaves_out |= matches!(overflow, Some(Overflow::Skip | Overflow::Latest));
        let call = Call { id: self.mint.message_id(), request, expects, is_repeated: false };
        let frame = self.framed(&call);
        let bytes = encode(&frame).len();
        if bytes > MAX_SENT_FRAME_BYTES {
            return self.fail(call, &CallError::TooLarge { bytes, max_bytes: MAX_SENT_FRAME_BYTES });
        }
        self.outbox.push(text(&frame), Some(call.id.clone()));
        self.calls.push(call);
    }

    fn framed(&self, call: &Call) -> Frame<ClientMessage> {
        let Request { message, job, trace, extensions } = call.request.clone();
        Frame {
            session_id: self.info.session.clone(),
            job_id: job,
            trace_id: trace.as_ref().map(TraceRef::trace_id),
            trace_parent: trace.and_then(TraceRef::into_parent),
            extensions,
            ..Frame::new(call.id.clone(), message)
        }
    }

    fn post(&mut self, id: MessageId, job: Option<JobRef>, message: ClientMessage) {
        let session_id = self.info.session.clone();
        let frame = Frame { session_id, job_id: job, ..Frame::new(id, message) };
        self.outbox.push(text(&frame), None);
    }

    /// Fails a call, and forgets the job that it was about to watch.
    fn fail(&mut self, call: Call, error: &CallError) {
        match &call.expects {
            Expects::Subscribed { job, .. } => self.jobs.close(job),
            Expects::Rejoined { job } | Expects::Missed { job } => self.jobs.give_up(job, &unavailable(error)),
            Expects::Accepted { .. }
            | Expects::Cancelled { .. }
            | Expects::Jobs { .. }
            | Expects::GcReport { .. }
            | Expects::KeysReport { .. }
            | Expects::CredentialsReport { .. }
            | Expects::AuditPage { .. } => {}
        }
        call.fail(error);
    }

    /// Why the connection is over, given how the socket ended.
    fn over(&mut self, ended: Ended) -> Ended {
        if self.closing.is_some() {
            return Ended::ByClient;
        }
        let wordless = matches!(ended, Ended::Lost | Ended::ByRuntime { reason: None });
        match self.last_words.take().filter(|_| wordless) {
            Some(words) => Ended::ByRuntime { reason: Some(words) },
            None => ended,
        }
    }
}

fn heartbeat(now: Instant, info: &SessionInfo) -> Heartbeat {
    let interval = info.welcome.heartbeat_interval_sec.filter(|seconds| *seconds > 0).map(Duration::from_secs);
    Heartbeat::new(now, interval.filter(|_| info.features.contains(Feature::Heartbeat)))
}

fn acks(info: &SessionInfo) -> Acks {
    Acks::new(info.features.contains(Feature::Ack) && info.profile.conduct().acknowledges)
}

/// The extension that says how a job is to be watched.
fn watching(overflow: Option<Overflow>) -> Extensions {
    Extensions { subscribe: overflow.map(|overflow| SubscribeOptions { overflow }), ..Extensions::NONE }
}

/// Why a job that was watched before the session was lost is not watched any more.
fn unavailable(error: &CallError) -> Ended {
    match error {
        CallError::Refused(refused) => Ended::JobUnavailable(refused.clone()),
        CallError::Disconnected(ended) => ended.clone(),
        CallError::Unreadable(_)
        | CallError::TooLarge { .. }
        | CallError::AlreadyWatched { .. }
        | CallError::TooManyJobs { .. }
        | CallError::HistoryTooLong { .. }
        | CallError::Timeout { .. }
        | CallError::ConnectionLost { .. } => Ended::Lost,
    }
}

/// One official runtime requires a reason.
fn given(reason: Option<Reason>) -> Reason {
    reason.or_else(|| Reason::cut("requested by the client")).expect("the text is not empty")
}

/// Answers a call. Its caller may have stopped waiting.
fn answered<T>(reply: Reply<T>, answer: Result<T, CallError>) {
    drop(reply.send(answer));
}
