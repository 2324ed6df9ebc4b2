//! From how an agent ended to its job's last report.

use std::any::Any;

use crate::message::{Failure, FailureCode, Output, Report};
use crate::sdk::{CancelCause, JobContext, Outcome};

/// How [`crate::sdk::Agent::run`] ended: with a value, or with a panic.
type Ended = Result<Result<Outcome, Failure>, Box<dyn Any + Send>>;

/// The last report. A result counts even if the job was to be cancelled; a failure then is the cancellation.
pub(super) fn conclude(job: &JobContext, ended: Ended) -> Report {
    match ended {
        Err(panic) => Report::Failure(panicked(job, panic.as_ref())),
        Ok(Ok(Outcome { output: Output::Inline(_), .. })) if job.is_streaming() => Report::Failure(Failure::new(
            FailureCode::InternalError,
            "the agent returned an inline result after it had begun a streamed one",
        )),
        Ok(Ok(Outcome { output, summary })) => Report::Result { output, summary },
        Ok(Err(failure)) => Report::Failure(attribute(job, failure)),
    }
}

/// Who or what is behind a failure: the request to stop, if there was one.
fn attribute(job: &JobContext, failure: Failure) -> Failure {
    match (job.cancel_request().map(|request| request.cause), failure.code) {
        (Some(CancelCause::Gateway), _) => Failure { code: FailureCode::Cancelled, retryable: false, ..failure },
        (Some(CancelCause::WorkerShutdown), _) => Failure {
            details: failure.details,
            ..Failure::new(FailureCode::InternalError, "the worker was shut down before the agent was done")
        },
        (None, FailureCode::Cancelled) => Failure {
            details: failure.details,
            ..Failure::new(
                FailureCode::InternalError,
                "the agent ended as if it was cancelled, but nobody has asked for that",
            )
        },
        (
            None,
            FailureCode::InvalidRequest
            | FailureCode::PermissionDenied
            | FailureCode::LeaseExpired
            | FailureCode::BudgetExhausted
            | FailureCode::InternalError,
        ) => failure,
    }
}

/// What a panic says may be anything, so it stays in the worker's log.
fn panicked(job: &JobContext, panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    tracing::error!(job = %job.job_id(), agent = %job.agent(), panic = text, "an agent panicked");
    let failure = Failure::new(FailureCode::InternalError, "the agent panicked; the worker's log has the details");
    attribute(job, failure)
}
