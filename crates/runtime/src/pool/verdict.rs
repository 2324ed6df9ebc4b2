//! Whether an operation is allowed, as its worker is told.

use moorline_core::job::Denied;
use moorline_worker::message::{Answer, Failure, FailureCode};
use serde_json::json;

/// The answer. What a program needs of a denial is in its details.
pub(crate) fn verdict(verdict: Result<(), Denied>) -> Answer {
    Answer::Verdict(verdict.map_err(|denied| {
        let (code, details) = match &denied {
            Denied::Ended { status } => (FailureCode::PermissionDenied, json!({ "final_status": status.to_string() })),
            Denied::Expired { at } => (FailureCode::LeaseExpired, json!({ "expires_at": at.to_string() })),
            Denied::Target { capability, .. } => {
                (FailureCode::PermissionDenied, json!({ "capability": capability.as_str() }))
            }
            Denied::NotCovered { capability, target } => {
                (FailureCode::PermissionDenied, json!({ "capability": capability.as_str(), "target": target }))
            }
            Denied::Exhausted { currency, remaining } => {
                (FailureCode::BudgetExhausted, json!({ "currency": currency, "remaining": remaining }))
            }
        };
        Failure::new(code, denied.to_string()).details(&details)
    }))
}

/// The answer about a job that this gateway does not know any more.
pub(super) fn over() -> Answer {
    Answer::Verdict(Err(Failure::new(FailureCode::PermissionDenied, "the job is over")))
}

#[cfg(test)]
mod tests {
    use moorline_types::{Capability, Timestamp};

    use super::*;

    #[test]
    fn a_denial_has_its_code_and_what_a_program_needs() {
        let at = Timestamp::from_unix_millis(0);
        for (denied, code, details) in [
            (Denied::Expired { at }, FailureCode::LeaseExpired, r#"{"expires_at":"1970-01-01T00:00:00.000Z"}"#),
            (
                Denied::NotCovered { capability: Capability::ToolCall, target: "rm".to_owned() },
                FailureCode::PermissionDenied,
                r#"{"capability":"tool.call","target":"rm"}"#,
            ),
            (
                Denied::Exhausted { currency: "USD".to_owned(), remaining: "-0.12".parse().unwrap() },
                FailureCode::BudgetExhausted,
                r#"{"currency":"USD","remaining":"-0.12"}"#,
            ),
        ] {
            let Answer::Verdict(Err(failure)) = verdict(Err(denied)) else { panic!("it is allowed") };
            assert_eq!((failure.code, failure.retryable), (code, false));
            assert_eq!(failure.details.unwrap().get(), details);
        }
        assert_eq!(verdict(Ok(())), Answer::Verdict(Ok(())));
    }
}
