//! A message as the peer needs it.

use moorline_types::limits::{MAX_EVENT_BODY_BYTES, MAX_INLINE_RESULT_BYTES, MAX_REASON_BYTES};
use moorline_types::{EventKind, Json};

use super::{Goodbye, Profile, Quirks};
use crate::payload::{Accepted, Close, Closed, JobError, JobEvent, JobResult, SessionError};
use crate::{FinalStatus, Reason, RuntimeMessage, event};

impl Profile {
    /// The message as the peer needs it.
    #[must_use]
    pub fn adapt(self, message: RuntimeMessage) -> RuntimeMessage {
        let quirks = self.quirks();
        match message {
            RuntimeMessage::Accepted(accepted) => RuntimeMessage::Accepted(quirks.accepted(accepted)),
            RuntimeMessage::Event(event) => RuntimeMessage::Event(quirks.event(event)),
            RuntimeMessage::JobResult(result) => RuntimeMessage::JobResult(quirks.result(result)),
            RuntimeMessage::JobError(error) => RuntimeMessage::JobError(quirks.job_error(error)),
            RuntimeMessage::SessionError(error) => RuntimeMessage::SessionError(quirks.session_error(error)),
            same @ (RuntimeMessage::Welcome(_)
            | RuntimeMessage::Closed(_)
            | RuntimeMessage::Jobs(_)
            | RuntimeMessage::Cancelled(_)
            | RuntimeMessage::Subscribed(_)
            | RuntimeMessage::Gap(_)
            | RuntimeMessage::GcReport(_)
            | RuntimeMessage::AuditPage(_)
            | RuntimeMessage::KeysReport(_)
            | RuntimeMessage::CredentialsReport(_)
            | RuntimeMessage::Close(_)
            | RuntimeMessage::Bye(_)
            | RuntimeMessage::Ping(_)
            | RuntimeMessage::Pong(_)) => same,
        }
    }

    /// Whether an event of this kind is to the peer what it is to everybody.
    pub fn takes_as_it_is(self, kind: &[u8]) -> bool {
        self.quirks().aliases.iter().all(|(adapted, _)| adapted.as_str().as_bytes() != kind)
    }

    /// The message with which the gateway ends the connection.
    pub fn goodbye(self, reason: &str) -> RuntimeMessage {
        match self.quirks().goodbye {
            Goodbye::Closed => RuntimeMessage::Closed(Closed { reason: Some(reason.to_owned()) }),
            Goodbye::Bye => RuntimeMessage::Bye(Close { reason: Reason::cut(reason) }),
        }
    }
}

impl Quirks {
    /// The event, with its fields under the peer's names as well, as far as there is room for both.
    fn event(&self, mut event: JobEvent) -> JobEvent {
        let Some((_, aliases)) = self.aliases.iter().find(|(kind, _)| is(kind, &event)) else { return event };
        if let Some(body) = event::with_aliases(event.body.get(), aliases)
            && body.get().len() <= MAX_EVENT_BODY_BYTES
        {
            event.body = body;
        }
        event
    }

    /// The result under the name that the peer looks for; under the other too, as far as there is room for both.
    fn result(&self, mut result: JobResult) -> JobResult {
        if self.reads_output
            && let Some(value) = result.result.take()
        {
            result.result = (2 * value.get().len() <= MAX_INLINE_RESULT_BYTES).then(|| value.clone());
            result.output = Some(value);
        }
        result
    }

    fn job_error(&self, mut error: JobError) -> JobError {
        if self.knows_only_error {
            error.final_status = FinalStatus::Error.into();
        }
        error.detail = self.detail(error.details.as_ref());
        error
    }

    fn session_error(&self, mut error: SessionError) -> SessionError {
        error.detail = self.detail(error.details.as_ref());
        error
    }

    /// The details as text. What is longer than a paragraph is none.
    fn detail(&self, details: Option<&Json>) -> Option<Box<str>> {
        let text = details.filter(|_| self.reads_detail)?.get();
        (text.len() <= MAX_REASON_BYTES).then(|| text.into())
    }

    fn accepted(&self, mut accepted: Box<Accepted>) -> Box<Accepted> {
        if self.no_budget {
            accepted.budget = None;
        }
        accepted
    }
}

fn is(kind: &EventKind, event: &JobEvent) -> bool {
    kind.as_str() == &*event.kind
}
