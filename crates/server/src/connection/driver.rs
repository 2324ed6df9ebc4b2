//! What a connection does with what it reads, and when.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use moorline_core::Refusal;
use moorline_core::access::Ruling;
use moorline_core::audit::AuditAction;
use moorline_core::backlog::MAX_WAITING_RECORDS;
use moorline_core::connection::{Connection as Machine, Due, Verdict};
use moorline_core::record::Corrupt;
use moorline_runtime::view::ViewError;
use moorline_runtime::{Attached, Delivery, SessionHandle};
use moorline_types::{JobId, Timestamp, TraceId, limits};
use moorline_wire::payload::{Close, Closed, Nonce, Ping, Pong, SessionError};
use moorline_wire::profile::{Asked, Profile};
use moorline_wire::vendor::{Gap, GapReason, Retry};
use moorline_wire::{
    ClientMessage, DecodeError, DecodeErrorKind, DecodeLimits, ErrorCode, EventFrames, Feature, FeatureSet, Frame,
    RuntimeMessage, Secret, decode_client,
};
use tokio_util::sync::CancellationToken;

mod audit;
mod outgoing;
mod requests;
mod slow;
mod together;

use super::hello::{self, NotOpened, Opened};
use super::retry;
use super::service::Service;
use crate::door::{CloseReason, Incoming, Outgoing, Peer, Transport, Turn, read_now, turn, write_now};
use crate::front::{from_wire, to_wire};
use crate::keys::Certified;

use slow::Slow;
use together::Accepting;

/// Answers that may wait to be written before nothing more is read from the client.
const WAITING_ANSWERS: usize = 64;

/// How long the last frames of a connection may take to be written. A client that has not read them by then does not.
const LAST_FRAMES: Duration = Duration::from_secs(2);

/// Serves one connection to its end.
pub(super) async fn drive<T: Transport>(
    service: Arc<Service>,
    peer: Peer,
    certified: Option<Arc<Certified>>,
    mut transport: T,
) {
    // Who has not authenticated announces no more than a hello may have, and is not given room for more.
    transport.limit(limits::MAX_HELLO_BYTES);
    let mut driver = Driver::new::<T>(&service, peer, certified);
    tracing::debug!("a client is connected");
    let reason = driver.run(&mut transport).await;
    tracing::debug!(%peer, reason = %reason, "the connection ends");
    // The client may come back to a session that it did not close.
    if let Some(session) = driver.session.take() {
        Box::pin(session.park()).await;
    }
    let mut outgoing = driver.outgoing;
    transport.say_goodbye(reason, &mut outgoing);
    let rest = turn(&mut transport, &mut outgoing, false);
    match tokio::time::timeout(LAST_FRAMES, rest).await {
        Ok(Turn::Broken(error)) => tracing::debug!(%error, "the client did not wait for the goodbye"),
        Ok(Turn::Written | Turn::Arrived(_)) => {}
        Err(_) => tracing::debug!("the client did not take its last frames"),
    }
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

struct Driver<'a> {
    service: &'a Service,
    peer: Peer,
    /// Whom the peer's TLS certificate authenticates.
    certified: Option<Arc<Certified>>,
    machine: Machine,
    limits: DecodeLimits,
    survives_oversize: bool,
    session: Option<SessionHandle>,
    /// Cancelled when another connection takes the session over.
    fence: CancellationToken,
    /// Ready when what the client has authenticated with is not good any more. Made once, so that waiting for it costs
    /// nothing.
    over: Pin<Box<dyn Future<Output = Refusal> + Send>>,
    /// Whether the client has sent anything since its welcome.
    confirmed: bool,
    /// Which client it is; `None` before its first frame.
    profile: Option<Profile>,
    features: FeatureSet,
    outgoing: Outgoing,
    /// Answers among what waits to be written.
    answers: usize,
    /// Whether one of them is about a job that has just begun.
    has_begun: bool,
    /// When the client is to come back, to be told with the next message.
    retry: Option<Retry>,
    /// The traces of the jobs that the session watches, for their envelopes; what is not here is looked up.
    traces: HashMap<JobId, Option<TraceId>>,
    /// By which decisions the session sees jobs that it has not submitted, until they have ended.
    watched: HashMap<JobId, Ruling>,
    /// Requests that wait for an upstream.
    slow: Slow,
    /// Submissions that wait for those that have arrived with them.
    accepting: Accepting,
    /// What frames have in common, those of the job that was delivered last above all.
    frames: Option<EventFrames>,
}

impl<'a> Driver<'a> {
    fn new<T: Transport>(service: &'a Service, peer: Peer, certified: Option<Arc<Certified>>) -> Self {
        let options = service.options();
        Self {
            machine: Machine::new(service.gateway().now(), options.hello_deadline, options.heartbeat_interval),
            limits: DecodeLimits { max_bytes: limits::MAX_HELLO_BYTES, max_depth: limits::MAX_JSON_DEPTH },
            service,
            peer,
            certified,
            survives_oversize: T::READS_ON_AFTER_TOO_LARGE,
            session: None,
            fence: CancellationToken::new(),
            over: Box::pin(std::future::pending()),
            confirmed: false,
            profile: None,
            features: FeatureSet::NONE,
            outgoing: Outgoing::new(T::FRAMING),
            answers: 0,
            has_begun: false,
            retry: None,
            traces: HashMap::new(),
            watched: HashMap::new(),
            slow: Slow::default(),
            accepting: Accepting::default(),
            frames: None,
        }
    }

    async fn run(&mut self, transport: &mut impl Transport) -> CloseReason {
        loop {
            match self.step(transport).await {
                Ok(None) => {}
                Ok(Some(reason)) => return reason,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the session cannot be served on");
                    let message = "the journal cannot be read at the moment; connect again later";
                    self.push(None, RuntimeMessage::SessionError(SessionError::new(ErrorCode::InternalError, message)));
                    return CloseReason::Internal;
                }
            }
        }
    }

    // Every connection holds the state of this future for as long as it lives, so what seldom happens is boxed: a
    // connection that is idle has nothing of it.

    /// Waits for one thing to happen and does what follows from it. Answers why the connection ends, if it does.
    async fn step(&mut self, transport: &mut impl Transport) -> Result<Option<CloseReason>, Broken> {
        if (self.has_begun || !self.accepting.is_empty())
            && let Some(reason) = Box::pin(self.gather(transport)).await?
        {
            return Ok(Some(reason));
        }
        if let Some(turn) = write_now(transport, &mut self.outgoing).await
            && let Some(reason) = self.handle_turn(turn).await
        {
            return Ok(Some(reason));
        }
        if let Some(session) = &mut self.session {
            let max_bytes = self.service.options().max_frame_bytes;
            if std::mem::replace(&mut self.limits.max_bytes, max_bytes) != max_bytes {
                transport.limit(max_bytes);
            }
            if session.is_something_due() {
                Box::pin(session.prepare()).await?;
            }
        }
        let clock = self.service.gateway().clock();
        let may_read = self.answers < WAITING_ANSWERS;
        let may_pull = self.outgoing.is_empty();
        tokio::select! {
            () = self.service.closing().cancelled() => Ok(Some(self.say_goodbye(CloseReason::GoingAway))),
            () = self.fence.cancelled() => Ok(Some(self.say_goodbye(CloseReason::TakenOver))),
            refusal = &mut self.over => Ok(Some(self.turn_out(&refusal))),
            () = clock.sleep_until(self.machine.poll_timeout()) => Ok(self.handle_time(transport).await),
            turn = turn(transport, &mut self.outgoing, may_read) => Ok(self.handle_turn(turn).await),
            done = self.slow.next() => {
                Box::pin(self.handle_slow(done)).await;
                Ok(None)
            }
            deliveries = next(&mut self.session), if may_pull => self.deliver_all(deliveries?).await,
        }
    }

    async fn deliver_all(&mut self, deliveries: Vec<Delivery>) -> Result<Option<CloseReason>, Broken> {
        for delivery in deliveries {
            if !self.copy(&delivery) {
                Box::pin(self.deliver(&delivery)).await?;
            }
        }
        Ok(self.check_missed().or_else(|| self.check_overrun()))
    }

    async fn handle_turn(&mut self, turn: Turn) -> Option<CloseReason> {
        match turn {
            Turn::Written => {
                self.answers = 0;
                self.machine.handle_sent(self.service.gateway().now());
                None
            }
            Turn::Arrived(incoming) => Box::pin(self.handle_incoming(incoming)).await,
            Turn::Broken(error) => {
                tracing::debug!(%error, "the client is gone");
                Some(self.lost())
            }
        }
    }

    /// Tells of what was removed before the session was shown it, or ends the connection of a client that cannot be told.
    fn check_missed(&mut self) -> Option<CloseReason> {
        let session = self.session.as_mut()?;
        let missed = session.take_missed()?;
        if self.features.contains(Feature::Gap) {
            self.tell_missed(missed);
            return None;
        }
        let refusal = Refusal::ResumeTrimmed { asked: missed.from.previous(), through: missed.to };
        tracing::info!(%refusal, "a client is too far behind");
        self.push(None, RuntimeMessage::SessionError(to_wire::refusal(&refusal)));
        self.machine.handle_closed();
        Some(CloseReason::Policy)
    }

    /// Ends the connection if a subscription asks for that.
    fn check_overrun(&mut self) -> Option<CloseReason> {
        let job = self.session.as_ref()?.overrun()?;
        let refusal = Refusal::Overrun { job, limit: MAX_WAITING_RECORDS };
        tracing::info!(%refusal, "a client is disconnected");
        self.push(None, RuntimeMessage::SessionError(to_wire::refusal(&refusal)));
        self.machine.handle_closed();
        Some(CloseReason::Policy)
    }

    /// Ends the connection of a client whose credential is not good any more. Its session waits for it.
    fn turn_out(&mut self, refusal: &Refusal) -> CloseReason {
        tracing::info!(%refusal, "a client is disconnected");
        self.over = Box::pin(std::future::pending());
        self.push(None, RuntimeMessage::SessionError(to_wire::refusal(refusal)));
        self.machine.handle_closed();
        CloseReason::Policy
    }

    fn lost(&mut self) -> CloseReason {
        self.machine.handle_closed();
        CloseReason::Normal
    }

    fn say_goodbye(&mut self, reason: CloseReason) -> CloseReason {
        self.machine.handle_closed();
        if self.session.is_some() {
            let mut text = reason.to_string();
            if reason == CloseReason::GoingAway {
                let retry = retry::after(self.service.connections());
                text = format!("{text}; come back in {} ms", retry.after_ms);
                self.retry = Some(retry);
            }
            self.push(None, self.profile().goodbye(&text));
        }
        reason
    }

    /// A moment has come. Of a client that is to be given up something may have arrived while this process stood still.
    async fn handle_time(&mut self, transport: &mut impl Transport) -> Option<CloseReason> {
        if self.machine.is_unheard(self.service.gateway().now())
            && let Some(incoming) = read_now(transport, &mut self.outgoing).await
        {
            return Box::pin(self.handle_incoming(incoming)).await;
        }
        self.handle_timeout()
    }

    fn handle_timeout(&mut self) -> Option<CloseReason> {
        let now = self.service.gateway().now();
        match self.machine.handle_timeout(now)? {
            Due::Ping => {
                let id = self.message_id(now);
                if let Ok(nonce) = id.as_str().parse::<Nonce>() {
                    self.push(None, RuntimeMessage::Ping(Ping { nonce, sent_at: Some(now) }));
                }
                None
            }
            Due::HelloTooLate(refusal) => {
                self.refuse(&refusal, &Asked::default());
                Some(CloseReason::Policy)
            }
            Due::HeartbeatLost => {
                let message = "nothing was heard of the client for two heartbeat intervals";
                self.push(None, RuntimeMessage::SessionError(SessionError::new(ErrorCode::HeartbeatLost, message)));
                Some(CloseReason::GoingAway)
            }
        }
    }

    async fn handle_incoming(&mut self, incoming: Incoming) -> Option<CloseReason> {
        if let (Some(session), Incoming::Frame(_), false) = (&mut self.session, &incoming, self.confirmed) {
            session.confirm().await;
            self.confirmed = true;
        }
        if !matches!(incoming, Incoming::Frame(_)) {
            self.accept_all().await;
        }
        match incoming {
            Incoming::Closed => Some(self.lost()),
            Incoming::NotText => self.handle_malformed(&DecodeErrorKind::NotText, &Asked::default()),
            Incoming::TooLarge => {
                let max_bytes = self.limits.max_bytes;
                let message = format!("the frame exceeds the limit of {max_bytes} bytes");
                let mut error = SessionError::new(ErrorCode::InvalidRequest, &message);
                error.details = moorline_types::Json::of(&serde_json::json!({ "max_bytes": max_bytes })).ok();
                self.tell(&error, &Asked::default());
                (!self.survives_oversize || !self.machine.is_open()).then_some(CloseReason::TooLarge)
            }
            Incoming::Frame(frame) => {
                let decoded = decode_client(&frame, self.limits);
                if self.profile.is_none() {
                    self.recognise(&frame);
                }
                // Whatever is no submission comes after those before it.
                if !matches!(&decoded, Ok(Frame { message: ClientMessage::Submit(_), .. })) {
                    self.accept_all().await;
                }
                match decoded {
                    Ok(frame) => self.handle_frame(frame).await,
                    Err(DecodeError { id, message_type, job_id, kind, .. }) => {
                        self.handle_malformed(&kind, &Asked { id, message_type, job_id, trace_id: None })
                    }
                }
            }
        }
    }

    fn handle_malformed(&mut self, kind: &DecodeErrorKind, asked: &Asked) -> Option<CloseReason> {
        let now = self.service.gateway().now();
        let verdict = self.machine.handle_arrival(now, from_wire::unreadable(kind));
        match verdict {
            Verdict::ReportMalformed | Verdict::ReportMalformedAndClose => {
                self.tell(&to_wire::malformed(kind), asked);
                (verdict == Verdict::ReportMalformedAndClose).then_some(CloseReason::Policy)
            }
            Verdict::RefuseAndClose(refusal) => {
                self.refuse(&refusal, asked);
                Some(CloseReason::Policy)
            }
            Verdict::Authenticate
            | Verdict::Pong
            | Verdict::Perform
            | Verdict::Resume
            | Verdict::Ignore
            | Verdict::Refuse(_)
            | Verdict::Close => None,
        }
    }

    async fn handle_frame(&mut self, frame: Frame<ClientMessage>) -> Option<CloseReason> {
        let now = self.service.gateway().now();
        let session = self.session.as_ref().map(|session| session.id().to_string());
        let arrival = from_wire::arrival(&frame, session.as_deref());
        match self.machine.handle_arrival(now, arrival) {
            Verdict::Ignore | Verdict::ReportMalformed | Verdict::ReportMalformedAndClose => None,
            Verdict::Authenticate => self.authenticate(frame).await,
            Verdict::Pong => {
                self.pong(now, frame.message);
                None
            }
            Verdict::Perform => {
                self.perform(frame).await;
                None
            }
            Verdict::Resume => {
                self.resume(frame).await;
                None
            }
            Verdict::Refuse(refusal) => {
                self.refuse(&refusal, &from_wire::asked(&frame));
                None
            }
            Verdict::RefuseAndClose(refusal) => {
                self.refuse(&refusal, &from_wire::asked(&frame));
                Some(CloseReason::Policy)
            }
            Verdict::Close => {
                self.close(frame.message).await;
                Some(CloseReason::Normal)
            }
        }
    }

    async fn authenticate(&mut self, frame: Frame<ClientMessage>) -> Option<CloseReason> {
        let asked = from_wire::asked(&frame);
        let Frame { extensions, message: ClientMessage::Hello(hello), .. } = frame else { return None };
        match hello::open(self.service, self.peer, hello, &extensions, self.certified.as_deref()).await {
            Ok(Opened { attached, features, standing }) => {
                self.over = Box::pin(standing.over(self.service.gateway().clock().clone()));
                self.machine.handle_welcomed(self.service.gateway().now(), from_wire::negotiated(features));
                self.features = features;
                // Our own client says who it is.
                if !extensions.profile
                    && let Some(configured) = self.service.profile_of(&attached.session.principal().id)
                {
                    self.profile = Some(configured);
                }
                self.attach(attached);
                None
            }
            Err(NotOpened { refusal, reason, over, known }) => {
                // What strangers try is told by the audit trail, at a bounded rate.
                tracing::debug!(code = %to_wire::code(&refusal), reason, "a session is refused");
                match known {
                    Some(known) => self.note_known(known, &refusal),
                    None => self.note_stranger(reason, over),
                }
                if refusal == Refusal::Unauthenticated {
                    self.service.note_failure(self.peer);
                }
                self.machine.handle_closed();
                self.refuse(&refusal, &asked);
                Some(CloseReason::Policy)
            }
        }
    }

    /// Goes on with another session in the place of the one that was opened by the hello.
    async fn resume(&mut self, frame: Frame<ClientMessage>) {
        let asked = from_wire::asked(&frame);
        let Frame { extensions, message: ClientMessage::Resume(resume), .. } = frame else { return };
        let Some(session) = &self.session else { return };
        let principal = session.principal().clone();
        let resumed = match from_wire::resume(&resume, &extensions, self.features) {
            Ok(request) => self.service.gateway().resume_session(principal.clone(), request).await,
            Err(refusal) => Err(refusal),
        };
        let resumed = match resumed {
            Ok(attached) => hello::record(self.service, self.peer, attached, AuditAction::SessionResume, None).await,
            refused @ Err(_) => refused,
        };
        match resumed {
            Ok(attached) => {
                if let Some(unused) = self.session.take() {
                    unused.close(None).await;
                }
                self.attach(attached);
            }
            Err(refusal) => {
                tracing::info!(code = %to_wire::code(&refusal), "a session is not resumed");
                let ruling = hello::ruling(self.service, &principal, &refusal).await;
                self.note_not_resumed(&refusal, ruling);
                self.refuse(&refusal, &asked);
            }
        }
    }

    /// Serves this session from here on, beginning with its welcome.
    fn attach(&mut self, attached: Attached) {
        let Attached { mut session, token, fence, replaced, missed } = attached;
        tracing::info!(session = %session.id(), principal = %session.principal().id, "a session is open");
        if self.features.contains(Feature::Ack) {
            session.expect_acknowledgements();
        }
        if self.features.contains(Feature::Gap) {
            session.accept_gaps();
        }
        let next = session.event_seq().next();
        let gateway = self.service.gateway();
        let resume = (Secret::new(token.expose()), gateway.resume_window());
        let heartbeat = self.service.options().heartbeat_interval;
        let features = self.features;
        let welcome =
            to_wire::welcome(session.id(), gateway.now(), features, resume, heartbeat, &gateway.agents().inventory());
        (self.session, self.fence, self.confirmed, self.frames) = (Some(session), fence, false, None);
        self.push(None, welcome);
        if replaced {
            let (epoch, reason) = (self.service.gateway().epoch(), GapReason::JournalReplaced.into());
            self.push(None, RuntimeMessage::Gap(Gap { from: None, to: None, next, reason, epoch }));
        }
        if let Some(missed) = missed {
            self.tell_missed(missed);
        }
    }

    fn pong(&mut self, now: Timestamp, message: ClientMessage) {
        if let ClientMessage::Ping(Ping { nonce, .. }) = message {
            self.push(None, RuntimeMessage::Pong(Pong { ping_nonce: nonce, received_at: Some(now) }));
        }
    }

    async fn close(&mut self, message: ClientMessage) {
        let (ClientMessage::Close(Close { reason }) | ClientMessage::Bye(Close { reason })) = message else { return };
        let reason = reason.map(|reason| reason.to_string());
        self.push(None, RuntimeMessage::Closed(Closed { reason: reason.clone() }));
        let Some(session) = self.session.take() else { return };
        tracing::info!(session = %session.id(), "the session is closed by its client");
        session.close(reason).await;
    }
}

/// What the session sees next, once there is a session.
async fn next(session: &mut Option<SessionHandle>) -> Result<Vec<Delivery>, ViewError> {
    match session {
        Some(session) => session.next().await,
        None => std::future::pending().await,
    }
}
