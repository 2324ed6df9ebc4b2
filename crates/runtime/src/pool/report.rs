//! A worker's report as its job takes it.

use moorline_core::job::Report;
use moorline_core::record::{Cause, Output};
use moorline_types::Timestamp;
use moorline_worker::message::{self, FailureCode};

use crate::options::CheckEvent;

/// The report, checked. An event that is not of its kind's shape is replaced by a log line that says so, under the same
/// number: nothing else is lost for it.
pub(super) fn taken(check_event: CheckEvent, at: Timestamp, report: message::Report) -> Report {
    match report {
        message::Report::Event { kind, body } => match check_event(&kind, &body) {
            Ok(()) => Report::Event { kind, ts: at, body },
            Err(problem) => {
                let (kind, body) = Report::dropped(&kind, &problem);
                Report::Event { kind, ts: at, body }
            }
        },
        message::Report::Result { output, summary } => {
            let output = match output {
                message::Output::Inline(json) => Output::Inline(json),
                message::Output::Streamed { result_id, result_size } => Output::Streamed { result_id, result_size },
            };
            Report::Result { output, summary }
        }
        message::Report::Failure(message::Failure { code, message, retryable, details }) => {
            Report::Failure { cause: cause(code), message, retryable, details }
        }
    }
}

const fn cause(code: FailureCode) -> Cause {
    match code {
        FailureCode::Cancelled => Cause::Cancelled,
        FailureCode::InvalidRequest => Cause::InvalidRequest,
        FailureCode::PermissionDenied => Cause::PermissionDenied,
        FailureCode::LeaseExpired => Cause::LeaseExpired,
        FailureCode::BudgetExhausted => Cause::BudgetExhausted,
        FailureCode::InternalError => Cause::Agent,
    }
}
