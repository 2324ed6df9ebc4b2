//! Calls that wait for their answer, and which answer is whose.
//!
//! A runtime that names the request is believed. One that does not answers in order, so the oldest call that could have
//! this answer gets it. A caller that has stopped waiting keeps its place: its answer will still come.

use std::collections::VecDeque;

use moorline_types::{MessageId, TraceId, TraceRef};
use moorline_wire::payload::{Jobs, Subscribe};
use moorline_wire::vendor::{AuditPage, CredentialsReport, Extensions, GcReport, KeysReport};
use moorline_wire::{ClientMessage, JobRef, MessageType};
use tokio::sync::mpsc;

use super::{Reply, answered, watching};
use crate::error::CallError;
use crate::job::{Opening, Queued};
use crate::request::SubscribeRequest;

/// Calls that may wait at once. Further ones wait to be sent.
const MAX_CALLS: usize = 256;

/// A message that asks for something, so that it can be sent again.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) message: ClientMessage,
    pub(super) job: Option<JobRef>,
    pub(super) trace: Option<TraceRef>,
    pub(super) extensions: Extensions,
}

impl Request {
    pub(super) const fn new(message: ClientMessage) -> Self {
        Self { message, job: None, trace: None, extensions: Extensions::NONE }
    }

    pub(super) fn about(job: JobRef, message: ClientMessage) -> Self {
        Self { job: Some(job), ..Self::new(message) }
    }

    pub(super) fn subscribe(request: &SubscribeRequest) -> Self {
        let SubscribeRequest { job, history, from, overflow } = request.clone();
        let subscribe = Subscribe { job_id: job.clone(), from_event_seq: from, history };
        Self { extensions: watching(overflow), ..Self::about(job, ClientMessage::Subscribe(subscribe)) }
    }
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    /// The envelope that asked.
    pub(super) id: MessageId,
    pub(super) request: Request,
    pub(super) expects: Expects,
    /// Whether it was sent on an earlier connection too.
    pub(super) is_repeated: bool,
}

/// What answers a call.
#[derive(Debug)]
pub(super) enum Expects {
    Accepted {
        trace_id: Option<TraceId>,
        reply: Reply<Opening>,
    },
    Subscribed {
        job: JobRef,
        updates: mpsc::Receiver<Queued>,
        reply: Reply<Opening>,
    },
    /// The same for a job that a lost session watched. Nobody waits for the answer.
    Rejoined {
        job: JobRef,
    },
    /// Whether there is still a job of which something is missing, and what of it. Nobody waits for the answer.
    Missed {
        job: JobRef,
    },
    Cancelled {
        job: JobRef,
        reply: Reply<()>,
    },
    Jobs {
        reply: Reply<Jobs>,
    },
    KeysReport {
        reply: Reply<KeysReport>,
    },
    CredentialsReport {
        reply: Reply<CredentialsReport>,
    },
    GcReport {
        reply: Reply<GcReport>,
    },
    AuditPage {
        reply: Reply<AuditPage>,
    },
}

impl Call {
    pub(super) fn fail(self, error: &CallError) {
        let error = error.clone();
        match self.expects {
            Expects::Accepted { reply, .. } | Expects::Subscribed { reply, .. } => answered(reply, Err(error)),
            Expects::Rejoined { .. } | Expects::Missed { .. } => {}
            Expects::Cancelled { reply, .. } => answered(reply, Err(error)),
            Expects::Jobs { reply } => answered(reply, Err(error)),
            Expects::GcReport { reply } => answered(reply, Err(error)),
            Expects::KeysReport { reply } => answered(reply, Err(error)),
            Expects::CredentialsReport { reply } => answered(reply, Err(error)),
            Expects::AuditPage { reply } => answered(reply, Err(error)),
        }
    }

    /// Whether making it twice does no more than making it once.
    pub(super) fn may_be_repeated(&self) -> bool {
        if let ClientMessage::Submit(submit) = &self.request.message { submit.idempotency_key.is_some() } else { true }
    }

    fn is_abandoned(&self) -> bool {
        match &self.expects {
            Expects::Accepted { reply, .. } | Expects::Subscribed { reply, .. } => reply.is_closed(),
            Expects::Rejoined { .. } | Expects::Missed { .. } => false,
            Expects::Cancelled { reply, .. } => reply.is_closed(),
            Expects::Jobs { reply } => reply.is_closed(),
            Expects::GcReport { reply } => reply.is_closed(),
            Expects::KeysReport { reply } => reply.is_closed(),
            Expects::CredentialsReport { reply } => reply.is_closed(),
            Expects::AuditPage { reply } => reply.is_closed(),
        }
    }

    fn is_about(&self, about: &JobRef) -> bool {
        match &self.expects {
            Expects::Subscribed { job, .. }
            | Expects::Rejoined { job }
            | Expects::Missed { job }
            | Expects::Cancelled { job, .. } => job == about,
            Expects::Accepted { .. }
            | Expects::Jobs { .. }
            | Expects::GcReport { .. }
            | Expects::KeysReport { .. }
            | Expects::CredentialsReport { .. }
            | Expects::AuditPage { .. } => false,
        }
    }

    /// The message that answers the call when all is well.
    pub(super) const fn answer(&self) -> MessageType {
        match self.expects {
            Expects::Accepted { .. } => MessageType::Accepted,
            Expects::Subscribed { .. } | Expects::Rejoined { .. } | Expects::Missed { .. } => MessageType::Subscribed,
            Expects::Cancelled { .. } => MessageType::Cancelled,
            Expects::Jobs { .. } => MessageType::Jobs,
            Expects::GcReport { .. } => MessageType::GcReport,
            Expects::KeysReport { .. } => MessageType::KeysReport,
            Expects::CredentialsReport { .. } => MessageType::CredentialsReport,
            Expects::AuditPage { .. } => MessageType::AuditPage,
        }
    }
}

/// The calls, oldest first.
#[derive(Debug, Default)]
pub(super) struct Calls {
    waiting: VecDeque<Call>,
}

impl Calls {
    pub(super) fn has_room(&mut self) -> bool {
        if self.waiting.len() >= MAX_CALLS {
            // A runtime that leaves so many unanswered does not answer in order either.
            self.forget_abandoned();
        }
        self.waiting.len() < MAX_CALLS
    }

    pub(super) fn push(&mut self, call: Call) {
        self.waiting.push_back(call);
    }

    /// The call that a message of this type answers, if it says which.
    pub(super) fn take_named(&mut self, id: &MessageId) -> Option<Call> {
        self.take(|call| call.id == *id)
    }

    /// The submission that is answered, if the answer does not name it.
    pub(super) fn take_submission(&mut self, trace: Option<TraceId>) -> Option<Call> {
        let traced = |call: &Call| match &call.expects {
            Expects::Accepted { trace_id, .. } => trace.is_some() && *trace_id == trace,
            Expects::Subscribed { .. }
            | Expects::Rejoined { .. }
            | Expects::Missed { .. }
            | Expects::Cancelled { .. }
            | Expects::Jobs { .. }
            | Expects::GcReport { .. }
            | Expects::KeysReport { .. }
            | Expects::CredentialsReport { .. }
            | Expects::AuditPage { .. } => false,
        };
        self.take(traced).or_else(|| self.take_oldest(MessageType::Accepted))
    }

    /// The oldest call that a message of this type answers.
    pub(super) fn take_oldest(&mut self, answer: MessageType) -> Option<Call> {
        self.take(|call| call.answer() == answer)
    }

    /// The oldest call about this job that a message of this type answers.
    pub(super) fn take_about(&mut self, job: &JobRef, answer: MessageType) -> Option<Call> {
        self.take(|call| call.answer() == answer && call.is_about(job))
    }

    /// Forgets the calls whose callers have stopped waiting.
    pub(super) fn forget_abandoned(&mut self) {
        self.waiting.retain(|call| !call.is_abandoned());
    }

    /// Whether a submission waits that was made before: its job may report something before its answer comes.
    pub(super) fn has_repeated_submission(&self) -> bool {
        self.waiting.iter().any(|call| call.is_repeated && call.answer() == MessageType::Accepted)
    }

    pub(super) fn take_all(&mut self) -> VecDeque<Call> {
        std::mem::take(&mut self.waiting)
    }

    pub(super) fn fail_all(&mut self, error: &CallError) {
        for call in self.take_all() {
            call.fail(error);
        }
    }

    fn take(&mut self, which: impl Fn(&Call) -> bool) -> Option<Call> {
        let place = self.waiting.iter().position(which)?;
        self.waiting.remove(place)
    }
}
