//! What the runtime sends.

use std::ops::ControlFlow;

use moorline_types::{EventSeq, MessageId, TraceId};
use moorline_wire::payload::{Accepted, Cancelled, JobError, Jobs, Ping, Pong, SessionError, Subscribed};
use moorline_wire::vendor::{self, AuditPage, CredentialsReport, Cursor, GapReason, GcReport, KeysReport};
use moorline_wire::{
    ClientMessage, DecodeError, ErrorCode, Frame, JobRef, JobStatus, MessageType, ResumeConduct, RuntimeMessage,
    decode_runtime,
};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::calls::{Call, Expects};
use super::jobs::{Arrival, Delivery, Origin};
use super::sequence::Arrived;
use super::{Driver, answered};
use crate::clock;
use crate::connect::{transport, wait};
use crate::error::{CallError, Ended, Refused};
use crate::gap::{Gap, GapCause, Missing};
use crate::job::{JobEvent, JobUpdate, Opened, Opening};

/// What a message is about.
struct About {
    job: Option<JobRef>,
    seq: Option<EventSeq>,
    /// The size of its frame.
    bytes: usize,
}

impl Driver {
    pub(super) fn receive(&mut self, frame: Option<Result<Message, WsError>>) -> ControlFlow<Ended> {
        self.heartbeat.handle_received(clock::instant());
        match frame {
            Some(Ok(Message::Text(text))) => match decode_runtime(text.as_bytes(), self.limits) {
                Ok(frame) => self.dispatch(frame, text.len()),
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

    fn dispatch(&mut self, frame: Frame<RuntimeMessage>, bytes: usize) -> ControlFlow<Ended> {
        let Frame { id, job_id, trace_id, event_seq, extensions, message, .. } = frame;
        if !self.count(event_seq)? {
            return ControlFlow::Continue(());
        }
        self.come_back = extensions.retry.map_or(self.come_back, |retry| Some(wait(retry)));
        let about = About { job: job_id, seq: event_seq, bytes };
        match message {
            RuntimeMessage::Event(event) => self.update(about, JobUpdate::Event(JobEvent::new(event_seq, event))),
            RuntimeMessage::JobResult(result) => self.update(about, JobUpdate::Result { seq: event_seq, result }),
            RuntimeMessage::JobError(error) => self.job_error(&id, trace_id, about, error),
            RuntimeMessage::Accepted(accepted) => self.accepted(accepted, trace_id),
            RuntimeMessage::Subscribed(subscribed) => self.subscribed(subscribed),
            RuntimeMessage::Cancelled(cancelled) => self.cancelled(about, cancelled),
            RuntimeMessage::Jobs(jobs) => self.listed(jobs),
            RuntimeMessage::GcReport(report) => self.collected(report),
            RuntimeMessage::AuditPage(page) => self.audited(page),
            RuntimeMessage::KeysReport(report) => self.looked_after_keys(report),
            RuntimeMessage::CredentialsReport(report) => self.looked_after_credentials(report),
            RuntimeMessage::SessionError(error) => self.session_error(error),
            RuntimeMessage::Ping(ping) => {
                self.pong(ping);
                return self.check_head(extensions.cursor);
            }
            RuntimeMessage::Pong(_) => {}
            RuntimeMessage::Gap(gap) => self.gap(gap),
            RuntimeMessage::Closed(closed) => {
                return ControlFlow::Break(self.over(Ended::ByRuntime { reason: closed.reason }));
            }
            RuntimeMessage::Bye(close) | RuntimeMessage::Close(close) => {
                let reason = close.reason.map(|reason| reason.as_str().to_owned());
                return ControlFlow::Break(self.over(Ended::ByRuntime { reason }));
            }
            RuntimeMessage::Welcome(_) => tracing::warn!("a second welcome was ignored"),
        }
        ControlFlow::Continue(())
    }

    /// Counts a frame; whether it is one that was not seen before.
    fn count(&mut self, seq: Option<EventSeq>) -> ControlFlow<Ended, bool> {
        let Some(seq) = seq else { return ControlFlow::Continue(true) };
        loop {
            match self.sequence.count(seq) {
                Arrived::New => {
                    self.was_of_use = true;
                    return ControlFlow::Continue(true);
                }
                Arrived::Again => return ControlFlow::Continue(false),
                Arrived::Missing { from, to } => self.miss(from, to)?,
            }
        }
    }

    /// A loss at the quiet end of a stream: the runtime says how far it has come.
    fn check_head(&mut self, cursor: Option<Cursor>) -> ControlFlow<Ended> {
        let Some(cursor) = cursor.filter(|cursor| self.epoch.is_none_or(|epoch| epoch == cursor.epoch)) else {
            return ControlFlow::Continue(());
        };
        self.epoch = Some(cursor.epoch);
        match self.sequence.missing_up_to(cursor.event_seq).filter(|_| !self.leaves_out) {
            Some((from, to)) => self.miss(from, to),
            None => ControlFlow::Continue(()),
        }
    }

    /// Numbers did not arrive. The session is resumed from where they are missing; if they are missing again, or there
    /// is no way to resume, every job is told.
    fn miss(&mut self, from: EventSeq, to: EventSeq) -> ControlFlow<Ended> {
        let after = self.sequence.contiguous();
        tracing::warn!(%from, %to, "numbers of the session did not arrive");
        if self.can_resume() && self.resumed_after != Some(after) {
            self.resumed_after = Some(after);
            return ControlFlow::Break(Ended::Incomplete { from, to });
        }
        self.sequence.skip_to(to);
        self.jobs.tell_all(&Gap { missing: Missing::Numbers { from, to }, cause: GapCause::Numbering });
        ControlFlow::Continue(())
    }

    /// The runtime says that numbers are missing for good.
    fn gap(&mut self, gap: vendor::Gap) {
        tracing::warn!(reason = %gap.reason, next = %gap.next, "the runtime tells of a gap");
        self.epoch = Some(gap.epoch);
        let is_left_out = matches!(gap.reason.known(), Some(GapReason::Skipped | GapReason::Superseded));
        self.leaves_out |= is_left_out;
        self.sequence.begin_at(gap.next);
        self.jobs.tell_all(&Gap::from(gap));
        if !is_left_out {
            self.ask_for_missed_jobs();
        }
    }

    /// A frame that cannot be read. What can be told of it is told to whom it may have been for.
    fn pass_over(&mut self, error: DecodeError) -> ControlFlow<Ended> {
        tracing::warn!(%error, "a frame of the runtime cannot be read");
        if !self.count(error.event_seq)? {
            return ControlFlow::Continue(());
        }
        let answered = match error.message_type {
            Some(
                answer @ (MessageType::Accepted
                | MessageType::Subscribed
                | MessageType::Jobs
                | MessageType::GcReport
                | MessageType::AuditPage
                | MessageType::KeysReport
                | MessageType::CredentialsReport),
            ) => self.calls.take_oldest(answer),
            _ => None,
        };
        if let Some(call) = answered {
            self.fail(call, &CallError::Unreadable(error));
        } else if error.job_id.is_some() {
            let about = About { job: error.job_id.clone(), seq: error.event_seq, bytes: 0 };
            self.update(about, JobUpdate::Unreadable(error));
        }
        ControlFlow::Continue(())
    }

    fn update(&mut self, about: About, update: JobUpdate) {
        let About { job, seq, bytes } = about;
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
        let receipt = seq.and_then(|seq| self.acks.receipt(seq));
        let arrival = Arrival { update, is_record: seq.is_some(), receipt, bytes };
        if !self.jobs.is_known(&job) {
            if self.calls.has_repeated_submission() {
                return self.jobs.keep_unknown(&job, arrival);
            }
            tracing::debug!(%job, "an update of a job that nobody watches was ignored");
            return;
        }
        match self.jobs.push(&job, arrival) {
            Delivery::Queued | Delivery::Unknown => {}
            Delivery::Abandoned => self.unsubscribe(job),
            Delivery::TooEarly => {
                if let Some(call) = self.calls.take_about(&job, MessageType::Subscribed) {
                    self.fail(call, &CallError::HistoryTooLong { job: job.clone() });
                    self.unsubscribe(job);
                }
            }
        }
    }

    /// A job's end, or, from some runtimes, the refusal of a request.
    fn job_error(&mut self, id: &MessageId, trace: Option<TraceId>, about: About, error: JobError) {
        match self.refused_call(id, trace, &about, &error) {
            Some(call) => self.fail(call, &CallError::Refused(Refused::from(error))),
            None => {
                let seq = about.seq;
                self.update(about, JobUpdate::Error { seq, error });
            }
        }
    }

    /// The call that a `job.error` refuses, if it is not the end of a job.
    fn refused_call(
        &mut self,
        id: &MessageId,
        trace: Option<TraceId>,
        about: &About,
        error: &JobError,
    ) -> Option<Call> {
        if let Some(call) = self.calls.take_named(id) {
            return Some(call);
        }
        let job = about.job.as_ref()?;
        // A job may end for want of a permission, and that end has a number. No job ends because it does not exist.
        let refusal = match error.code().known() {
            Some(ErrorCode::JobNotFound) => true,
            Some(ErrorCode::PermissionDenied) => about.seq.is_none(),
            _ => false,
        };
        let asked = |driver: &mut Self, answer| driver.calls.take_about(job, answer);
        if refusal
            && let Some(call) = asked(self, MessageType::Subscribed).or_else(|| asked(self, MessageType::Cancelled))
        {
            return Some(call);
        }
        if self.jobs.is_known(job) { None } else { self.calls.take_submission(trace) }
    }

    fn accepted(&mut self, accepted: Box<Accepted>, trace: Option<TraceId>) {
        let call = match &accepted.request_id {
            Some(id) => self.calls.take_named(id),
            None => self.calls.take_submission(trace.or(accepted.trace_id)),
        };
        match call {
            Some(Call { expects: Expects::Accepted { reply, .. }, .. }) => {
                let opening = self.jobs.open(&accepted.job_id, Origin::Submitted);
                answered(reply, opening.map(|updates| Opening { opened: Opened::Accepted(accepted), updates }));
            }
            Some(call) => self.fail(call, &CallError::Refused(misnamed(MessageType::Accepted))),
            None => tracing::debug!(job = %accepted.job_id, "a job that nobody submitted was ignored"),
        }
        if !self.calls.has_repeated_submission() {
            self.jobs.forget_unknown();
        }
    }

    fn subscribed(&mut self, subscribed: Box<Subscribed>) {
        let job = subscribed.job_id.clone();
        let is_over = subscribed.current_status.known().is_some_and(JobStatus::is_terminal);
        let named = subscribed.request_id.as_ref().and_then(|id| self.calls.take_named(id));
        let call = named.or_else(|| self.calls.take_about(&job, MessageType::Subscribed));
        match call {
            Some(Call { expects: Expects::Subscribed { updates, reply, .. }, .. }) => {
                self.jobs.confirm(&job);
                answered(reply, Ok(Opening { opened: Opened::Subscribed(subscribed), updates }));
            }
            Some(Call { expects: Expects::Rejoined { .. }, .. }) => {}
            Some(Call { expects: Expects::Missed { job }, .. }) => {
                if subscribed.replayed {
                    self.jobs.retrace(&job);
                }
            }
            Some(call) => return self.fail(call, &CallError::Refused(misnamed(MessageType::Subscribed))),
            None => {
                tracing::debug!(%job, "a subscription that nobody asked for was ignored");
                return;
            }
        }
        // Such a runtime has sent the history by now. What is not in it does not come any more.
        if is_over && self.conduct.resume == ResumeConduct::WithoutJobs {
            self.jobs.give_up(&job, &Ended::JobUnavailable(end_not_kept()));
        }
    }

    fn cancelled(&mut self, about: About, cancelled: Cancelled) {
        let Cancelled { job_id, reason, request_id } = cancelled;
        let job = job_id.or_else(|| about.job.clone());
        let named = request_id.as_ref().and_then(|id| self.calls.take_named(id));
        let asked = |job: &JobRef| self.calls.take_about(job, MessageType::Cancelled);
        if let Some(call) = named.or_else(|| job.as_ref().and_then(asked)) {
            confirm_cancel(call);
        }
        self.update(About { job, ..about }, JobUpdate::CancelRequested { reason });
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

    fn collected(&mut self, report: GcReport) {
        let named = report.request_id.as_ref().and_then(|id| self.calls.take_named(id));
        match named.or_else(|| self.calls.take_oldest(MessageType::GcReport)) {
            Some(Call { expects: Expects::GcReport { reply }, .. }) => answered(reply, Ok(report)),
            Some(call) => self.fail(call, &CallError::Refused(misnamed(MessageType::GcReport))),
            None => tracing::debug!("a report that nobody asked for was ignored"),
        }
    }

    fn looked_after_credentials(&mut self, report: CredentialsReport) {
        let named = report.request_id.as_ref().and_then(|id| self.calls.take_named(id));
        match named.or_else(|| self.calls.take_oldest(MessageType::CredentialsReport)) {
            Some(Call { expects: Expects::CredentialsReport { reply }, .. }) => answered(reply, Ok(report)),
            Some(call) => self.fail(call, &CallError::Refused(misnamed(MessageType::CredentialsReport))),
            None => tracing::debug!("a report on credentials that nobody asked for was ignored"),
        }
    }

    fn looked_after_keys(&mut self, report: KeysReport) {
        let named = report.request_id.as_ref().and_then(|id| self.calls.take_named(id));
        match named.or_else(|| self.calls.take_oldest(MessageType::KeysReport)) {
            Some(Call { expects: Expects::KeysReport { reply }, .. }) => answered(reply, Ok(report)),
            Some(call) => self.fail(call, &CallError::Refused(misnamed(MessageType::KeysReport))),
            None => tracing::debug!("a report on keys that nobody asked for was ignored"),
        }
    }

    fn audited(&mut self, page: AuditPage) {
        let named = page.request_id.as_ref().and_then(|id| self.calls.take_named(id));
        match named.or_else(|| self.calls.take_oldest(MessageType::AuditPage)) {
            Some(Call { expects: Expects::AuditPage { reply }, .. }) => answered(reply, Ok(page)),
            Some(call) => self.fail(call, &CallError::Refused(misnamed(MessageType::AuditPage))),
            None => tracing::debug!("a page of the audit trail that nobody asked for was ignored"),
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
        Expects::Accepted { .. }
        | Expects::Subscribed { .. }
        | Expects::Rejoined { .. }
        | Expects::Missed { .. }
        | Expects::Jobs { .. }
        | Expects::GcReport { .. }
        | Expects::KeysReport { .. }
        | Expects::CredentialsReport { .. }
        | Expects::AuditPage { .. } => {
            call.fail(&CallError::Refused(misnamed(MessageType::Cancelled)));
        }
    }
}

/// A job that is over, whose end the runtime has forgotten.
fn end_not_kept() -> Refused {
    Refused {
        code: ErrorCode::JobNotFound.into(),
        message: "the job has ended, and the runtime has not kept its result".to_owned(),
        retryable: false,
        details: None,
        retry_after: None,
    }
}

/// The runtime answered a request with another request's answer.
fn misnamed(answer: MessageType) -> Refused {
    Refused {
        code: ErrorCode::InternalError.into(),
        message: format!("the runtime answered this request with {answer}"),
        retryable: true,
        details: None,
        retry_after: None,
    }
}
