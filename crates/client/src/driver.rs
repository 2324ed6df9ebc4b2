//! The task that owns the socket.
//!
//! It waits for whatever comes first of: a call to make, a frame from the runtime, room in the socket for what is to be
//! sent, room in a job's queue, and a timer. It never waits for one of them alone, so a runtime that does not read
//! cannot keep us from reading, and a program that does not read its updates cannot keep us from sending heartbeats.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use moorline_types::MessageId;
use moorline_types::limits::MAX_SENT_FRAME_BYTES;
use moorline_wire::payload::{Cancel, Close, Jobs, ListJobs, Ping, Subscribe, Unsubscribe};
use moorline_wire::{ClientMessage, DecodeLimits, Feature, Frame, JobRef, Reason, SessionRef, encode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::connect::{Opened, text, transport};
use crate::error::{CallError, Ended};
use crate::heartbeat::{Due, Heartbeat};
use crate::job::Opening;
use crate::mint::Mint;
use crate::{SubmitRequest, clock};

mod calls;
mod inbound;
mod jobs;
mod outbox;
mod sequence;

use calls::{Call, Calls, Expects};
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
    Submit { request: Box<SubmitRequest>, reply: Reply<Opening> },
    Subscribe { job: JobRef, history: bool, reply: Reply<Opening> },
    Cancel { job: JobRef, reason: Option<Reason>, reply: Reply<()> },
    List { request: ListJobs, reply: Reply<Jobs> },
    Close { reason: Option<Reason> },
}

pub(crate) struct Driver<S> {
    sink: SplitSink<WebSocketStream<S>, Message>,
    stream: SplitStream<WebSocketStream<S>>,
    commands: mpsc::Receiver<Command>,
    /// Fails when the last client is dropped, also while no command is taken.
    held: oneshot::Receiver<Infallible>,
    end: watch::Sender<Option<Ended>>,
    limits: DecodeLimits,
    session: Option<SessionRef>,
    mint: Mint,
    outbox: Outbox,
    calls: Calls,
    jobs: WatchedJobs,
    sequence: Sequence,
    heartbeat: Heartbeat,
    /// Set once a close was asked for.
    closing: Option<Instant>,
    /// What the runtime said last that no call had asked for: if it then hangs up, that is why.
    last_words: Option<String>,
}

/// What came first.
enum Step {
    Command(Command),
    Dropped,
    Incoming(Option<Result<Message, WsError>>),
    Sent(Result<(), WsError>),
    Delivered,
    Timeout,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    pub(crate) fn new(
        opened: Opened<S>,
        commands: mpsc::Receiver<Command>,
        held: oneshot::Receiver<Infallible>,
        end: watch::Sender<Option<Ended>>,
        max_frame_bytes: usize,
    ) -> Self {
        let Opened { socket, mint, welcome, session, features } = opened;
        let (sink, stream) = socket.split();
        let interval = welcome.heartbeat_interval_sec.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        let heartbeat = Heartbeat::new(clock::instant(), interval.filter(|_| features.contains(Feature::Heartbeat)));
        Self {
            sink,
            stream,
            commands,
            held,
            end,
            limits: DecodeLimits { max_bytes: max_frame_bytes, ..DecodeLimits::default() },
            session,
            mint,
            outbox: Outbox::default(),
            calls: Calls::default(),
            jobs: WatchedJobs::default(),
            sequence: Sequence::default(),
            heartbeat,
            closing: None,
            last_words: None,
        }
    }

    pub(crate) async fn run(mut self) {
        let ended = loop {
            let step = self.step().await;
            if let ControlFlow::Break(ended) = self.take(step) {
                break ended;
            }
        };
        tracing::debug!(reason = %ended, "connection over");
        self.end.send_replace(Some(ended.clone()));
        self.calls.fail_all(&CallError::Disconnected(ended));
        drop(self.jobs);
        drop(self.commands);
        // Politeness: whoever waits has been told, and the peer may be gone.
        let farewell = async {
            self.outbox.flush(&mut self.sink).await?;
            self.sink.close().await
        };
        if !matches!(timeout(CLOSE_GRACE, farewell).await, Ok(Ok(()))) {
            tracing::debug!("the socket was dropped without a close frame");
        }
    }

    async fn step(&mut self) -> Step {
        let reading = !self.jobs.is_stalled() && self.outbox.has_room();
        self.heartbeat.handle_reading(clock::instant(), reading);
        let calling = self.outbox.has_room() && self.calls.has_room() && self.closing.is_none();
        let wake = [self.heartbeat.poll_timeout(), self.closing].into_iter().flatten().min();
        let wake = wake.unwrap_or_else(|| clock::instant() + NEVER);
        tokio::select! {
            Some(command) = self.commands.recv(), if calling => Step::Command(command),
            _ = &mut self.held => Step::Dropped,
            frame = self.stream.next(), if reading => Step::Incoming(frame),
            sent = self.outbox.flush(&mut self.sink), if !self.outbox.is_idle() => Step::Sent(sent),
            () = self.jobs.deliver(), if self.jobs.is_stalled() => Step::Delivered,
            () = sleep_until(wake) => Step::Timeout,
        }
    }

    fn take(&mut self, step: Step) -> ControlFlow<Ended> {
        match step {
            Step::Command(command) => self.perform(command),
            Step::Dropped => return ControlFlow::Break(Ended::ByClient),
            Step::Incoming(frame) => return self.receive(frame),
            Step::Sent(Ok(())) => self.heartbeat.handle_sent(clock::instant()),
            Step::Sent(Err(error)) => return ControlFlow::Break(self.over(transport(error))),
            Step::Delivered => {}
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
            Some(Due::Lost { after }) => return ControlFlow::Break(Ended::HeartbeatLost { after }),
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

    fn perform(&mut self, command: Command) {
        match command {
            Command::Submit { request, reply } => self.submit(*request, reply),
            Command::Subscribe { job, history, reply } => self.subscribe(job, history, reply),
            Command::Cancel { job, reason, reply } => {
                let cancel = ClientMessage::Cancel(Cancel { job_id: Some(job.clone()), reason: Some(given(reason)) });
                self.ask(Some(job.clone()), cancel, Expects::Cancelled { job, reply });
            }
            Command::List { request, reply } => {
                self.ask(None, ClientMessage::ListJobs(request), Expects::Jobs { reply });
            }
            Command::Close { reason } => self.close(reason),
        }
    }

    fn submit(&mut self, request: SubmitRequest, reply: Reply<Opening>) {
        let SubmitRequest { submit, trace_id } = request;
        if let Err(error) = self.jobs.check_room() {
            return answered(reply, Err(error));
        }
        let mut frame = self.frame(ClientMessage::Submit(Box::new(submit)));
        frame.trace_id = trace_id;
        self.ask_frame(frame, Expects::Accepted { trace_id, reply });
    }

    fn subscribe(&mut self, job: JobRef, history: bool, reply: Reply<Opening>) {
        match self.jobs.open(&job, true) {
            Err(error) => answered(reply, Err(error)),
            Ok(updates) => {
                let subscribe = Subscribe { job_id: job.clone(), from_event_seq: None, history };
                let expects = Expects::Subscribed { job: job.clone(), updates, reply };
                self.ask(Some(job), ClientMessage::Subscribe(subscribe), expects);
            }
        }
    }

    fn unsubscribe(&mut self, job: JobRef) {
        let id = self.mint.message_id();
        self.post(id, Some(job.clone()), ClientMessage::Unsubscribe(Unsubscribe { job_id: job }));
    }

    /// Some runtimes know only the one word, some only the other; the wrong one is answered with an error that nobody
    /// waits for.
    fn close(&mut self, reason: Option<Reason>) {
        let close = Close { reason: Some(given(reason)) };
        for message in [ClientMessage::Bye(close.clone()), ClientMessage::Close(close)] {
            let id = self.mint.message_id();
            self.post(id, None, message);
        }
        self.closing = Some(clock::instant() + CLOSE_GRACE);
    }

    fn ask(&mut self, job: Option<JobRef>, message: ClientMessage, expects: Expects) {
        let mut frame = self.frame(message);
        frame.job_id = job;
        self.ask_frame(frame, expects);
    }

    fn ask_frame(&mut self, frame: Frame<ClientMessage>, expects: Expects) {
        let call = Call { id: frame.id.clone(), expects };
        let bytes = encode(&frame).len();
        if bytes > MAX_SENT_FRAME_BYTES {
            return self.fail(call, &CallError::TooLarge { bytes, max_bytes: MAX_SENT_FRAME_BYTES });
        }
        self.outbox.push(text(&frame));
        self.calls.push(call);
    }

    fn post(&mut self, id: MessageId, job: Option<JobRef>, message: ClientMessage) {
        let mut frame = self.frame(message);
        frame.id = id;
        frame.job_id = job;
        self.outbox.push(text(&frame));
    }

    fn frame(&mut self, message: ClientMessage) -> Frame<ClientMessage> {
        let mut frame = Frame::new(self.mint.message_id(), message);
        frame.session_id.clone_from(&self.session);
        frame
    }

    /// Fails a call, and forgets the job that it was about to watch.
    fn fail(&mut self, call: Call, error: &CallError) {
        if let Expects::Subscribed { job, .. } = &call.expects {
            self.jobs.close(job);
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

/// One official runtime requires a reason.
fn given(reason: Option<Reason>) -> Reason {
    reason.or_else(|| Reason::cut("requested by the client")).expect("the text is not empty")
}

/// Answers a call. Its caller may have stopped waiting.
fn answered<T>(reply: Reply<T>, answer: Result<T, CallError>) {
    drop(reply.send(answer));
}
