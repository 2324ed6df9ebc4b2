//! What the runtime sends.

use std::ops::ControlFlow;

use moorline_types::{EventSeq, MessageId, TraceId};
use moorline_wire::payload::{Accepted, Cancelled, JobError, Jobs, Ping, Pong, SessionError, Subscribed};
use moorline_wire::{
    ClientMessage, DecodeError, ErrorCode, Frame, JobRef, MessageType, RuntimeMessage, decode_runtime,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::calls::{Call, Expects};
use super::jobs::Delivery;
use super::{Driver, answered};
use crate::clock;
use crate::connect::transport;
use crate::error::{CallError, Ended, Refused};
use crate::job::{JobEvent, JobUpdate, Opened, Opening};

/// Where an error stands.
struct Origin {
    id: MessageId,
    job_id: Option<JobRef>,
    trace_id: Option<TraceId>,
    event_seq: Option<EventSeq>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    pub(super) fn receive(&mut self, frame: Option<Result<Message, WsError>>) -> ControlFlow<Ended> {
        self.heartbeat.handle_received(clock::instant());
        match frame {
            Some(Ok(Message::Text(text))) => match decode_runtime(text.as_bytes(), self.limits) {
                Ok(frame) => self.dispatch(frame),
                Err(error) => self.pass_over(error),
            },
            Some(Ok(Message::Close(close))) => {
                let reason = close.map(|close| close.reason.to_string()).filter(|reason| !reason.is_empty());
                ControlFlow::Break(self.over(Ended::ByRuntime { reason }))
            }
            // The protocol is text; the rest is the transport's own business.
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                ControlFlow::Continue(())
            }
            Some(Err(error)) => ControlFlow::Break(self.over(transport(error))),
            None => ControlFlow::Break(self.over(Ended::Lost)),
        }
    }

    fn dispatch(&mut self, frame: Frame<RuntimeMessage>) -> ControlFlow<Ended> {
        let Frame { id, job_id, trace_id, event_seq, message, .. } = frame;
        self.count(event_seq);
        match message {
            RuntimeMessage::Event(event) => self.update(job_id, JobUpdate::Event(JobEvent::new(event_seq, event))),
            RuntimeMessage::JobResult(result) => self.update(job_id, JobUpdate::Result { seq: event_seq, result }),
            RuntimeMessage::JobError(error) => self.job_error(&Origin { id, job_id, trace_id, event_seq }, error),
            RuntimeMessage::Accepted(accepted) => self.accepted(accepted, trace_id),
            RuntimeMessage::Subscribed(subscribed) => self.subscribed(subscribed),
            RuntimeMessage::Cancelled(cancelled) => self.cancelled(job_id, cancelled),
            RuntimeMessage::Jobs(jobs) => self.listed(jobs),
            RuntimeMessage::SessionError(error) => self.session_error(error),
            RuntimeMessage::Ping(ping) => self.pong(ping),
            RuntimeMessage::Pong(_) => {}
            RuntimeMessage::Closed(closed) => {
                return ControlFlow::Break(self.over(Ended::ByRuntime { reason: closed.reason }));
            }
            RuntimeMessage::Bye(close) | RuntimeMessage::Close(close) => {
                let reason = close.reason.map(|reason| reason.as_str().to_owned());
                return ControlFlow::Break(self.over(Ended::ByRuntime { reason }));
            }
            RuntimeMessage::Gap(_) => tracing::warn!("a gap that was not negotiated was ignored"),
            RuntimeMessage::Welcome(_) => tracing::warn!("a second welcome was ignored"),
        }
        ControlFlow::Continue(())
    }

    fn count(&mut self, seq: Option<EventSeq>) {
        if let Some(gap) = seq.and_then(|seq| self.sequence.count(seq)) {
            tracing::warn!(expected = %gap.expected, found = %gap.found, "the runtime's numbering is broken");
            self.jobs.push_to_all(&JobUpdate::Gap(gap));
        }
    }

    /// A frame that cannot be read. What can be told of it is told to whom it may have been for.
    fn pass_over(&mut self, error: DecodeError) -> ControlFlow<Ended> {
        tracing::warn!(%error, "a frame of the runtime cannot be read");
        self.count(error.event_seq);
        let answered = match error.message_type {
            Some(answer @ (MessageType::Accepted | MessageType::Subscribed | MessageType::Jobs)) => {
                self.calls.take_oldest(answer)
            }
            _ => None,
        };
        if let Some(call) = answered {
            self.fail(call, &CallError::Unreadable(error));
        } else if error.job_id.is_some() {
            self.update(error.job_id.clone(), JobUpdate::Unreadable(error));
        }
        ControlFlow::Continue(())
    }

    fn update(&mut self, job: Option<JobRef>, update: JobUpdate) {
        let Some(job) = job else {
            tracing::debug!("an update without a job was ignored");
            return;
        };
        if update.is_terminal() {
            // A job that is over needs no cancelling.
            while let Some(call) = self.calls.take_about(&job, MessageType::Cancelled) {
                confirm_cancel(call);
            }
        }
        match self.jobs.push(&job, &update) {
            Delivery::Queued => {}
            Delivery::Abandoned => self.unsubscribe(job.clone()),
            Delivery::Unknown => tracing::debug!(%job, "an update of a job that nobody watches was ignored"),
        }
        // Nobody can read the queue before the subscription is confirmed, and we must read on for that to happen.
        if self.calls.is_subscribing(&job)
            && self.jobs.drop_stalled_of(&job)
            && let Some(call) = self.calls.take_about(&job, MessageType::Subscribed)
        {
            self.fail(call, &CallError::HistoryTooLong { job: job.clone() });
            self.unsubscribe(job);
        }
    }

    /// A job's end, or, from some runtimes, the refusal of a request.
    fn job_error(&mut self, origin: &Origin, error: JobError) {
        match self.refused_call(origin, &error) {
            Some(call) => self.fail(call, &CallError::Refused(Refused::from(error))),
            None => self.update(origin.job_id.clone(), JobUpdate::Error { seq: origin.event_seq, error }),
        }
    }

    /// The call that a `job.error` refuses, if it is not the end of a job.
    fn refused_call(&mut self, origin: &Origin, error: &JobError) -> Option<Call> {
        if let Some(call) = self.calls.take_named(&origin.id) {
            return Some(call);
        }
        let job = origin.job_id.as_ref()?;
        // A job may end for want of a permission, and that end has a number. No job ends because it does not exist.
        let refusal = match error.code().known() {
            Some(ErrorCode::JobNotFound) => true,
            Some(ErrorCode::PermissionDenied) => origin.event_seq.is_none(),
            _ => false,
        };
        let about = |driver: &mut Self, answer| driver.calls.take_about(job, answer);
        if refusal
            && let Some(call) = about(self, MessageType::Subscribed).or_else(|| about(self, MessageType::Cancelled))
        {
            return Some(call);
        }
        if self.jobs.is_known(job) { None } else { self.calls.take_submission(origin.trace_id) }
    }

    fn accepted(&mut self, accepted: Box<Accepted>, trace: Option<TraceId>) {
        let call = match &accepted.request_id {
            Some(id) => self.calls.take_named(id),
            None => self.calls.take_submission(trace.or(accepted.trace_id)),
        };
        match call {
            Some(Call { expects: Expects::Accepted { reply, .. }, .. }) => {
                let opening = self.jobs.open(&accepted.job_id, false);
                answered(reply, opening.map(|updates| Opening { opened: Opened::Accepted(accepted), updates }));
            }
            Some(call) => self.fail(call, &CallError::Refused(misnamed(MessageType::Accepted))),
            None => tracing::debug!(job = %accepted.job_id, "a job that nobody submitted was ignored"),
        }
    }

    fn subscribed(&mut self, subscribed: Box<Subscribed>) {
        let named = subscribed.request_id.as_ref().and_then(|id| self.calls.take_named(id));
        let call = named.or_else(|| self.calls.take_about(&subscribed.job_id, MessageType::Subscribed));
        match call {
            Some(Call { expects: Expects::Subscribed { updates, reply, .. }, .. }) => {
                answered(reply, Ok(Opening { opened: Opened::Subscribed(subscribed), updates }));
            }
            Some(call) => self.fail(call, &CallError::Refused(misnamed(MessageType::Subscribed))),
            None => tracing::debug!(job = %subscribed.job_id, "a subscription that nobody asked for was ignored"),
        }
    }

    fn cancelled(&mut self, job: Option<JobRef>, cancelled: Cancelled) {
        let Cancelled { job_id, reason, request_id } = cancelled;
        let job = job_id.or(job);
        let named = request_id.as_ref().and_then(|id| self.calls.take_named(id));
        let about = |job: &JobRef| self.calls.take_about(job, MessageType::Cancelled);
        if let Some(call) = named.or_else(|| job.as_ref().and_then(about)) {
            confirm_cancel(call);
        }
        self.update(job, JobUpdate::CancelRequested { reason });
    }

    fn listed(&mut self, jobs: Jobs) {
        let named = jobs.request_id.as_ref().and_then(|id| self.calls.take_named(id));
        let call = named.or_else(|| self.calls.take_oldest(MessageType::Jobs));
        match call {
            Some(Call { expects: Expects::Jobs { reply }, .. }) => answered(reply, Ok(jobs)),
            Some(call) => self.fail(call, &CallError::Refused(misnamed(MessageType::Jobs))),
            None => tracing::debug!("a page of jobs that nobody asked for was ignored"),
        }
    }

    /// An error that names its request fails that call. One that names none may be any call's, so it fails them all; it
    /// is never the end of a job.
    fn session_error(&mut self, error: SessionError) {
        let request = error.request_id.clone();
        let refused = Refused::from(error);
        match request {
            Some(id) => match self.calls.take_named(&id) {
                Some(call) => self.fail(call, &CallError::Refused(refused)),
                None => tracing::debug!(%refused, "a refusal that nobody waits for was ignored"),
            },
            None => {
                tracing::warn!(%refused, "the runtime reports an error");
                self.last_words = Some(refused.to_string());
                for call in self.calls.take_all() {
                    self.fail(call, &CallError::Refused(refused.clone()));
                }
            }
        }
    }

    fn pong(&mut self, ping: Ping) {
        let pong = Pong { ping_nonce: ping.nonce, received_at: Some(clock::now()) };
        let id = self.mint.message_id();
        self.post(id, None, ClientMessage::Pong(pong));
    }
}

fn confirm_cancel(call: Call) {
    match call.expects {
        Expects::Cancelled { reply, .. } => answered(reply, Ok(())),
        Expects::Accepted { .. } | Expects::Subscribed { .. } | Expects::Jobs { .. } => {
            call.fail(&CallError::Refused(misnamed(MessageType::Cancelled)));
        }
    }
}

/// The runtime answered a request with another request's answer.
fn misnamed(answer: MessageType) -> Refused {
    Refused {
        code: ErrorCode::InternalError.into(),
        message: format!("the runtime answered this request with {answer}"),
        retryable: true,
        details: None,
    }
}
