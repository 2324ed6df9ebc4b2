//! From what a message means to what travels.

use super::{
    AgentOffer, Answer, Ask, ChildFailure, DelegationNews, Failure, FromWorker, HeldJob, Output, Report, StartJob,
    ToWorker, Until,
};
use crate::proto::{self, answer, ask, gateway_message, report, worker_message};

impl From<ToWorker> for proto::GatewayMessage {
    fn from(message: ToWorker) -> Self {
        use gateway_message::Body;

        let body = match message {
            ToWorker::Start(start) => Body::StartJob(start.into()),
            ToWorker::Cancel { job, reason, grace } => {
                Body::CancelJob(proto::CancelJob { job_id: job.to_string(), reason, grace_ms: grace.get() })
            }
            ToWorker::Command { job, command } => Body::CommandJob(proto::CommandJob {
                job_id: job.to_string(),
                command_json: command.json().get().to_owned(),
            }),
            ToWorker::Kill { job } => Body::KillJob(proto::KillJob { job_id: job.to_string() }),
            ToWorker::Ack { job, seq } => Body::Ack(proto::Ack { job_id: job.to_string(), worker_seq: seq.get() }),
            ToWorker::Answer { job, id, answer } => {
                Body::Answer(proto::Answer { job_id: job.to_string(), ask_id: id.get(), body: Some(answer.into()) })
            }
            ToWorker::Shutdown { grace } => Body::Shutdown(proto::Shutdown { grace_ms: grace.get() }),
        };
        Self { body: Some(body) }
    }
}

impl From<StartJob> for proto::StartJob {
    fn from(start: StartJob) -> Self {
        Self {
            job_id: start.job.to_string(),
            agent: start.agent.to_string(),
            input_json: start.input.get().to_owned(),
            lease_json: start.lease.get().to_owned(),
            trace_id: start.trace.as_ref().map(|context| context.trace.to_string()),
            traceparent: start.trace.as_ref().map(ToString::to_string),
            tracestate: start.trace.and_then(|context| context.state).map(|state| state.to_string()),
            deadline_ms: start.deadline.map(moorline_types::Timestamp::as_unix_millis),
            accepted_at_ms: start.accepted_at.as_unix_millis(),
            credentials_json: (!start.credentials.is_empty())
                .then(|| serde_json::to_string(&start.credentials).unwrap_or_default()),
        }
    }
}

impl From<FromWorker> for proto::WorkerMessage {
    fn from(message: FromWorker) -> Self {
        use worker_message::Body;

        let body = match message {
            FromWorker::Started { job } => Body::JobStarted(proto::JobStarted { job_id: job.to_string() }),
            FromWorker::Refused { job, reason } => {
                Body::JobRefused(proto::JobRefused { job_id: job.to_string(), reason: reason.to_string() })
            }
            FromWorker::Ask { job, id, after, ask } => Body::Ask(proto::Ask {
                job_id: job.to_string(),
                ask_id: id.get(),
                after_worker_seq: after.get(),
                body: Some(ask.into()),
            }),
            FromWorker::Report { job, seq, at, report } => Body::Report(proto::Report {
                job_id: job.to_string(),
                worker_seq: seq.get(),
                at_ms: at.as_unix_millis(),
                body: Some(report.into()),
            }),
        };
        Self { body: Some(body) }
    }
}

impl From<Ask> for ask::Body {
    fn from(ask: Ask) -> Self {
        match ask {
            Ask::Authorize { capability, target } => {
                Self::Authorize(proto::Authorize { capability: capability.to_string(), target })
            }
            Ask::Delegation { delegate_id, until } => {
                Self::Delegation(proto::AskDelegation { delegate_id, until_ended: until == Until::Ended })
            }
        }
    }
}

impl From<Answer> for answer::Body {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Verdict(verdict) => Self::Verdict(proto::Verdict { denied: verdict.err().map(Into::into) }),
            Answer::Delegation(news) => Self::Delegation(news.into()),
        }
    }
}

impl From<DelegationNews> for proto::DelegationNews {
    fn from(news: DelegationNews) -> Self {
        let (child, failure, result) = match news {
            DelegationNews::Begun { child } => (Some(child), None, None),
            DelegationNews::Refused(failure) => (None, Some(failure), None),
            DelegationNews::Ended { child, outcome: Ok(output) } => (Some(child), None, Some(output)),
            DelegationNews::Ended { child, outcome: Err(failure) } => (Some(child), Some(failure), None),
        };
        Self {
            child_job_id: child.map(|child| child.to_string()),
            failure: failure.map(Into::into),
            result: result.map(|output| outcome(output, None)),
        }
    }
}

impl From<ChildFailure> for proto::Failure {
    fn from(failure: ChildFailure) -> Self {
        let ChildFailure { code, message, retryable, details } = failure;
        let details_json = details.map(|details| details.get().to_owned());
        Self { code: code.as_str().to_owned(), message, retryable, details_json }
    }
}

fn outcome(output: Output, summary: Option<String>) -> proto::Outcome {
    match output {
        Output::Inline(json) => {
            proto::Outcome { result_json: Some(json.get().to_owned()), summary, ..proto::Outcome::default() }
        }
        Output::Streamed { result_id, result_size } => {
            proto::Outcome { result_json: None, result_id: Some(result_id), result_size: Some(result_size), summary }
        }
    }
}

impl From<Report> for report::Body {
    fn from(report: Report) -> Self {
        match report {
            Report::Event { kind, body } => {
                Self::Event(proto::Event { kind: kind.as_str().to_owned(), body_json: body.get().to_owned() })
            }
            Report::Result { output, summary } => Self::Result(outcome(output, summary)),
            Report::Failure(failure) => Self::Failure(failure.into()),
        }
    }
}

impl From<Failure> for proto::Failure {
    fn from(failure: Failure) -> Self {
        Self {
            code: failure.code.to_string(),
            message: failure.message,
            retryable: failure.retryable,
            details_json: failure.details.map(|details| details.get().to_owned()),
        }
    }
}

impl From<AgentOffer> for proto::AgentOffer {
    fn from(offer: AgentOffer) -> Self {
        Self {
            name: offer.agent.name.to_string(),
            version: offer.agent.version.to_string(),
            is_default: offer.is_default,
            description: offer.description,
            capacity: offer.capacity,
        }
    }
}

impl From<HeldJob> for proto::HeldJob {
    fn from(held: HeldJob) -> Self {
        Self {
            job_id: held.job.to_string(),
            first_worker_seq: held.first.get(),
            next_worker_seq: held.next.get(),
            finished: held.finished,
        }
    }
}
