//! From what travels to what it means. Every bound and every grammar is checked here, on both sides.

use moorline_types::limits::{
    MAX_AGENT_NAME_BYTES, MAX_DELEGATE_ID_BYTES, MAX_EVENT_BODY_BYTES, MAX_INLINE_RESULT_BYTES, MAX_JSON_DEPTH,
    MAX_LEASE_TARGET_BYTES, MAX_REASON_BYTES,
};
use moorline_types::{
    EventKind, JobId, Json, Millis, ResolvedAgent, SpanId, Timestamp, TraceContext, TraceFlags, WorkerSeq,
};

use super::{
    AgentOffer, Answer, Ask, AskId, ChildFailure, Command, DelegationCode, DelegationNews, Failure, FailureCode,
    FromWorker, HeldJob, Output, Report, StartJob, ToWorker, Until,
};
use crate::limits::{MAX_COMMAND_BYTES, MAX_DESCRIPTION_BYTES, MAX_DETAILS_BYTES, MAX_HELD_JOBS, MAX_OFFERS};
use crate::{json, proto, text};

/// A message that its sender should not have sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}.{field} {flaw}")]
pub struct Malformed {
    /// The message's name in `worker.proto`.
    pub message: &'static str,
    /// The field in it.
    pub field: &'static str,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Nothing is there.
    #[error("is missing")]
    Missing,
    /// Something is there that excludes something else that is there too.
    #[error("excludes another field that is set")]
    Ambiguous,
    /// The text does not have the form that its place asks for.
    #[error("does not have the form that worker.proto asks for")]
    Form,
    /// The text is not JSON, or not the kind of JSON value that its place asks for.
    #[error("is not the JSON that worker.proto asks for")]
    Json,
    /// It is longer than allowed.
    #[error("is longer than {max}")]
    TooLong {
        /// The bound, in bytes or entries.
        max: usize,
    },
    /// JSON in it nests deeper than allowed.
    #[error("nests deeper than {MAX_JSON_DEPTH}")]
    TooDeep,
    /// The number is not one that may stand there.
    #[error("is out of range")]
    Range,
}

/// Makes the errors of one message.
struct Fields(&'static str);

impl Fields {
    const fn flaw(&self, field: &'static str, flaw: Flaw) -> Malformed {
        Malformed { message: self.0, field, flaw }
    }

    fn parse<T: std::str::FromStr>(&self, field: &'static str, text: &str) -> Result<T, Malformed> {
        text.parse().map_err(|_| self.flaw(field, if text.is_empty() { Flaw::Missing } else { Flaw::Form }))
    }

    fn json(&self, field: &'static str, text: &str, max: usize) -> Result<Json, Malformed> {
        if text.len() > max {
            return Err(self.flaw(field, Flaw::TooLong { max }));
        }
        if !json::depth_within(text, MAX_JSON_DEPTH) {
            return Err(self.flaw(field, Flaw::TooDeep));
        }
        Json::parse(text).map_err(|_| self.flaw(field, Flaw::Json))
    }

    fn object(&self, field: &'static str, text: &str, max: usize) -> Result<Json, Malformed> {
        let value = self.json(field, text, max)?;
        if json::is_object(&value) { Ok(value) } else { Err(self.flaw(field, Flaw::Json)) }
    }

    fn seq(&self, field: &'static str, number: u64) -> Result<WorkerSeq, Malformed> {
        if number == 0 { Err(self.flaw(field, Flaw::Range)) } else { Ok(WorkerSeq::new(number)) }
    }
}

impl TryFrom<proto::Report> for FromWorker {
    type Error = Malformed;

    fn try_from(report: proto::Report) -> Result<Self, Malformed> {
        let fields = Fields("Report");
        let job = fields.parse("job_id", &report.job_id)?;
        let seq = fields.seq("worker_seq", report.worker_seq)?;
        let at = Timestamp::from_unix_millis(report.at_ms);
        let report = report.body.ok_or(fields.flaw("body", Flaw::Missing))?.try_into()?;
        Ok(Self::Report { job, seq, at, report })
    }
}

impl TryFrom<proto::report::Body> for Report {
    type Error = Malformed;

    fn try_from(body: proto::report::Body) -> Result<Self, Malformed> {
        match body {
            proto::report::Body::Event(event) => event.try_into(),
            proto::report::Body::Result(outcome) => outcome.try_into(),
            proto::report::Body::Failure(failure) => Ok(Self::Failure(failure.try_into()?)),
        }
    }
}

impl TryFrom<proto::Event> for Report {
    type Error = Malformed;

    fn try_from(event: proto::Event) -> Result<Self, Malformed> {
        let fields = Fields("Event");
        let kind: EventKind = fields.parse("kind", &event.kind)?;
        Ok(Self::Event { kind, body: event_body(&event.body_json)? })
    }
}

/// The body of an event: an object within the bounds.
pub(crate) fn event_body(json: &str) -> Result<Json, Malformed> {
    Fields("Event").object("body_json", json, MAX_EVENT_BODY_BYTES)
}

impl TryFrom<proto::Outcome> for Report {
    type Error = Malformed;

    fn try_from(mut outcome: proto::Outcome) -> Result<Self, Malformed> {
        let summary = outcome.summary.take().map(|summary| text::clip(summary, MAX_REASON_BYTES));
        Ok(Self::Result { output: output(outcome)?, summary })
    }
}

fn output(outcome: proto::Outcome) -> Result<Output, Malformed> {
    let fields = Fields("Outcome");
    Ok(match (outcome.result_json, outcome.result_id) {
        (Some(_), Some(_)) => return Err(fields.flaw("result_json", Flaw::Ambiguous)),
        (None, None) => return Err(fields.flaw("result_json", Flaw::Missing)),
        (Some(json), None) => Output::Inline(fields.json("result_json", &json, MAX_INLINE_RESULT_BYTES)?),
        (None, Some(result_id)) => {
            if result_id.is_empty() || result_id.len() > MAX_AGENT_NAME_BYTES {
                return Err(fields.flaw("result_id", Flaw::Form));
            }
            let result_size = outcome.result_size.ok_or(fields.flaw("result_size", Flaw::Missing))?;
            Output::Streamed { result_id, result_size }
        }
    })
}

impl TryFrom<proto::Failure> for Failure {
    type Error = Malformed;

    fn try_from(failure: proto::Failure) -> Result<Self, Malformed> {
        let fields = Fields("Failure");
        let details = failure.details_json.map(|json| fields.object("details_json", &json, MAX_DETAILS_BYTES));
        Ok(Self {
            code: fields.parse::<FailureCode>("code", &failure.code)?,
            message: text::clip(failure.message, MAX_REASON_BYTES),
            retryable: failure.retryable,
            details: details.transpose()?,
        })
    }
}

impl TryFrom<proto::JobStarted> for FromWorker {
    type Error = Malformed;

    fn try_from(started: proto::JobStarted) -> Result<Self, Malformed> {
        Ok(Self::Started { job: Fields("JobStarted").parse("job_id", &started.job_id)? })
    }
}

impl TryFrom<proto::JobRefused> for FromWorker {
    type Error = Malformed;

    fn try_from(refused: proto::JobRefused) -> Result<Self, Malformed> {
        let fields = Fields("JobRefused");
        Ok(Self::Refused {
            job: fields.parse("job_id", &refused.job_id)?,
            reason: fields.parse("reason", &refused.reason)?,
        })
    }
}

impl TryFrom<proto::Ask> for FromWorker {
    type Error = Malformed;

    fn try_from(ask: proto::Ask) -> Result<Self, Malformed> {
        let fields = Fields("Ask");
        Ok(Self::Ask {
            job: fields.parse("job_id", &ask.job_id)?,
            id: AskId::new(ask.ask_id),
            after: WorkerSeq::new(ask.after_worker_seq),
            ask: match ask.body.ok_or(fields.flaw("body", Flaw::Missing))? {
                proto::ask::Body::Authorize(authorize) => authorize.try_into()?,
                proto::ask::Body::Delegation(delegation) => delegation.try_into()?,
            },
        })
    }
}

impl TryFrom<proto::Authorize> for Ask {
    type Error = Malformed;

    fn try_from(authorize: proto::Authorize) -> Result<Self, Malformed> {
        let fields = Fields("Authorize");
        let proto::Authorize { capability, target } = authorize;
        if target.len() > MAX_LEASE_TARGET_BYTES {
            return Err(fields.flaw("target", Flaw::TooLong { max: MAX_LEASE_TARGET_BYTES }));
        }
        Ok(Self::Authorize { capability: fields.parse("capability", &capability)?, target })
    }
}

impl TryFrom<proto::Answer> for ToWorker {
    type Error = Malformed;

    fn try_from(answer: proto::Answer) -> Result<Self, Malformed> {
        let fields = Fields("Answer");
        let (job, id) = (fields.parse("job_id", &answer.job_id)?, AskId::new(answer.ask_id));
        let answer = match answer.body.ok_or(fields.flaw("body", Flaw::Missing))? {
            proto::answer::Body::Verdict(verdict) => {
                Answer::Verdict(verdict.denied.map_or(Ok(Ok(())), |denied| Failure::try_from(denied).map(Err))?)
            }
            proto::answer::Body::Delegation(news) => Answer::Delegation(news.try_into()?),
        };
        Ok(Self::Answer { job, id, answer })
    }
}

impl TryFrom<proto::AskDelegation> for Ask {
    type Error = Malformed;

    fn try_from(ask: proto::AskDelegation) -> Result<Self, Malformed> {
        let fields = Fields("AskDelegation");
        let proto::AskDelegation { delegate_id, until_ended } = ask;
        if delegate_id.is_empty() || delegate_id.len() > MAX_DELEGATE_ID_BYTES {
            return Err(fields.flaw("delegate_id", Flaw::Form));
        }
        Ok(Self::Delegation { delegate_id, until: if until_ended { Until::Ended } else { Until::Begun } })
    }
}

impl TryFrom<proto::DelegationNews> for DelegationNews {
    type Error = Malformed;

    fn try_from(news: proto::DelegationNews) -> Result<Self, Malformed> {
        let fields = Fields("DelegationNews");
        let child = news.child_job_id.map(|id| fields.parse("child_job_id", &id)).transpose()?;
        let failure = news.failure.map(ChildFailure::try_from).transpose()?;
        match (child, failure, news.result) {
            (Some(child), None, None) => Ok(Self::Begun { child }),
            (None, Some(failure), None) => Ok(Self::Refused(failure)),
            (Some(child), Some(failure), None) => Ok(Self::Ended { child, outcome: Err(failure) }),
            (Some(child), None, Some(result)) => Ok(Self::Ended { child, outcome: Ok(output(result)?) }),
            (None, None, _) => Err(fields.flaw("child_job_id", Flaw::Missing)),
            (_, Some(_), Some(_)) => Err(fields.flaw("result", Flaw::Ambiguous)),
        }
    }
}

impl TryFrom<proto::Failure> for ChildFailure {
    type Error = Malformed;

    fn try_from(failure: proto::Failure) -> Result<Self, Malformed> {
        let fields = Fields("Failure");
        let details = failure.details_json.map(|json| fields.object("details_json", &json, MAX_DETAILS_BYTES));
        Ok(Self {
            // What a later gateway may say is a failure all the same.
            code: failure.code.parse().unwrap_or(DelegationCode::InternalError),
            message: text::clip(failure.message, MAX_REASON_BYTES),
            retryable: failure.retryable,
            details: details.transpose()?,
        })
    }
}

/// What the worker's proof brings along.
pub(crate) fn offers(offers: Vec<proto::AgentOffer>) -> Result<Vec<AgentOffer>, Malformed> {
    if offers.len() > MAX_OFFERS {
        return Err(Fields("Proof").flaw("agents", Flaw::TooLong { max: MAX_OFFERS }));
    }
    offers.into_iter().map(AgentOffer::try_from).collect()
}

impl TryFrom<proto::AgentOffer> for AgentOffer {
    type Error = Malformed;

    fn try_from(offer: proto::AgentOffer) -> Result<Self, Malformed> {
        let fields = Fields("AgentOffer");
        let agent = ResolvedAgent {
            name: fields.parse("name", &offer.name)?,
            version: fields.parse("version", &offer.version)?,
        };
        Ok(Self {
            agent,
            is_default: offer.is_default,
            description: text::clip(offer.description, MAX_DESCRIPTION_BYTES),
            capacity: offer.capacity,
        })
    }
}

/// The jobs that the worker's proof announces.
pub(crate) fn held(jobs: Vec<proto::HeldJob>) -> Result<Vec<HeldJob>, Malformed> {
    if jobs.len() > MAX_HELD_JOBS {
        return Err(Fields("Proof").flaw("jobs", Flaw::TooLong { max: MAX_HELD_JOBS }));
    }
    jobs.into_iter().map(HeldJob::try_from).collect()
}

impl TryFrom<proto::HeldJob> for HeldJob {
    type Error = Malformed;

    fn try_from(held: proto::HeldJob) -> Result<Self, Malformed> {
        let fields = Fields("HeldJob");
        let first = fields.seq("first_worker_seq", held.first_worker_seq)?;
        let next = fields.seq("next_worker_seq", held.next_worker_seq)?;
        if next < first {
            return Err(fields.flaw("next_worker_seq", Flaw::Range));
        }
        Ok(Self { job: fields.parse("job_id", &held.job_id)?, first, next, finished: held.finished })
    }
}

impl TryFrom<proto::StartJob> for StartJob {
    type Error = Malformed;

    fn try_from(start: proto::StartJob) -> Result<Self, Malformed> {
        let fields = Fields("StartJob");
        let job = fields.parse("job_id", &start.job_id)?;
        Ok(Self {
            job,
            agent: fields.parse("agent", &start.agent)?,
            input: fields.json("input_json", &start.input_json, usize::MAX)?,
            lease: fields.object("lease_json", &start.lease_json, usize::MAX)?,
            trace: trace(&fields, job, &start)?,
            deadline: start.deadline_ms.map(Timestamp::from_unix_millis),
            accepted_at: Timestamp::from_unix_millis(start.accepted_at_ms),
            credentials: match &start.credentials_json {
                None => Vec::new(),
                Some(text) => serde_json::from_str(text).map_err(|_| fields.flaw("credentials_json", Flaw::Json))?,
            },
        })
    }
}

/// Gateways of earlier versions say the trace alone; the job's own span is what they would have said beside it.
fn trace(fields: &Fields, job: JobId, start: &proto::StartJob) -> Result<Option<TraceContext>, Malformed> {
    let proto::StartJob { trace_id, traceparent, tracestate, .. } = start;
    let context = match (traceparent, trace_id) {
        (Some(parent), _) => fields.parse("traceparent", parent)?,
        (None, Some(id)) => {
            let trace = fields.parse("trace_id", id)?;
            TraceContext { trace, span: SpanId::of_job(job), flags: TraceFlags::default(), state: None }
        }
        (None, None) => return Ok(None),
    };
    let state = tracestate.as_ref().map(|state| fields.parse("tracestate", state)).transpose()?;
    Ok(Some(TraceContext { state, ..context }))
}

impl TryFrom<proto::CancelJob> for ToWorker {
    type Error = Malformed;

    fn try_from(cancel: proto::CancelJob) -> Result<Self, Malformed> {
        let job = Fields("CancelJob").parse("job_id", &cancel.job_id)?;
        Ok(Self::Cancel {
            job,
            reason: text::clip(cancel.reason, MAX_REASON_BYTES),
            grace: Millis::new(cancel.grace_ms),
        })
    }
}

impl TryFrom<proto::CommandJob> for ToWorker {
    type Error = Malformed;

    fn try_from(command: proto::CommandJob) -> Result<Self, Malformed> {
        let fields = Fields("CommandJob");
        let json = fields.object("command_json", &command.command_json, MAX_COMMAND_BYTES)?;
        Ok(Self::Command { job: fields.parse("job_id", &command.job_id)?, command: Command::new(json) })
    }
}

impl TryFrom<proto::KillJob> for ToWorker {
    type Error = Malformed;

    fn try_from(kill: proto::KillJob) -> Result<Self, Malformed> {
        Ok(Self::Kill { job: Fields("KillJob").parse("job_id", &kill.job_id)? })
    }
}

impl TryFrom<proto::Ack> for ToWorker {
    type Error = Malformed;

    fn try_from(ack: proto::Ack) -> Result<Self, Malformed> {
        let fields = Fields("Ack");
        Ok(Self::Ack { job: fields.parse("job_id", &ack.job_id)?, seq: WorkerSeq::new(ack.worker_seq) })
    }
}

/// A message from the gateway that has a meaning for the host; `None` for a heartbeat.
pub(crate) fn to_worker(body: proto::gateway_message::Body) -> Result<Option<ToWorker>, Malformed> {
    use proto::gateway_message::Body;

    let out_of_place = |field| Err(Fields("GatewayMessage").flaw(field, Flaw::Ambiguous));
    Ok(Some(match body {
        Body::StartJob(start) => ToWorker::Start(start.try_into()?),
        Body::CancelJob(cancel) => cancel.try_into()?,
        Body::CommandJob(command) => command.try_into()?,
        Body::KillJob(kill) => kill.try_into()?,
        Body::Ack(ack) => ack.try_into()?,
        Body::Answer(answer) => answer.try_into()?,
        Body::Shutdown(shutdown) => ToWorker::Shutdown { grace: Millis::new(shutdown.grace_ms) },
        Body::Heartbeat(_) => return Ok(None),
        Body::Challenge(_) => return out_of_place("challenge"),
        Body::Accepted(_) => return out_of_place("accepted"),
        Body::Refused(_) => return out_of_place("refused"),
    }))
}
