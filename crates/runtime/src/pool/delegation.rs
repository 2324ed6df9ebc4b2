//! What became of a delegation, as its worker is told.

use moorline_core::job::News;
use moorline_core::record::{self, Cause};
use moorline_worker::message::{Answer, ChildFailure, DelegationCode, DelegationNews, Output};

/// The answer. A child that has ended well comes with its result.
pub(crate) fn news(news: News, result: Option<record::Output>) -> Answer {
    Answer::Delegation(match news {
        News::Accepted { child } => DelegationNews::Begun { child },
        News::Refused(refused) => DelegationNews::Refused(failure(refused)),
        News::Ended { child, failure: Some(failed), .. } => {
            DelegationNews::Ended { child, outcome: Err(failure(failed)) }
        }
        News::Ended { child, failure: None, .. } => {
            DelegationNews::Ended { child, outcome: result.map(output).ok_or_else(result_is_gone) }
        }
    })
}

fn output(output: record::Output) -> Output {
    match output {
        record::Output::Inline(json) => Output::Inline(json),
        record::Output::Streamed { result_id, result_size } => Output::Streamed { result_id, result_size },
    }
}

fn failure(failure: record::Failure) -> ChildFailure {
    let record::Failure { cause, message, retryable, details, .. } = failure;
    ChildFailure { code: code(cause), message, retryable, details }
}

fn result_is_gone() -> ChildFailure {
    let message = "the child has ended well, and its result cannot be read any more".to_owned();
    ChildFailure { code: DelegationCode::InternalError, message, retryable: false, details: None }
}

const fn code(cause: Cause) -> DelegationCode {
    match cause {
        Cause::Cancelled => DelegationCode::Cancelled,
        Cause::TimedOut => DelegationCode::Timeout,
        Cause::InvalidRequest => DelegationCode::InvalidRequest,
        Cause::PermissionDenied => DelegationCode::PermissionDenied,
        Cause::LeaseExpired => DelegationCode::LeaseExpired,
        Cause::BudgetExhausted => DelegationCode::BudgetExhausted,
        Cause::LeaseSubset => DelegationCode::LeaseSubsetViolation,
        Cause::AgentNotAvailable => DelegationCode::AgentNotAvailable,
        Cause::AgentVersionNotAvailable => DelegationCode::AgentVersionNotAvailable,
        Cause::NotDispatched | Cause::WorkerLost | Cause::Agent | Cause::Gateway => DelegationCode::InternalError,
    }
}
