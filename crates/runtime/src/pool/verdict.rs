//! Whether an operation is allowed, as its worker is told.

use moorline_core::job::Denied;
use moorline_types::Capability;
use moorline_worker::message::{Answer, Failure, FailureCode};
use serde_json::json;

/// Characters of a target that the audit trail tells: enough to know it by. With the longest escapes they leave room for
/// the rest of an entry's reason.
const MAX_TOLD_TARGET: usize = 40;

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

/// What the audit trail says of a denial: what was to be done to what, and why not.
pub(super) fn reason(capability: &Capability, target: &str, denied: &Denied) -> String {
    let target: String = target.chars().take(MAX_TOLD_TARGET).collect();
    let why = match denied {
        Denied::Ended { .. } => "the job is over",
        Denied::Expired { .. } => "the lease has expired",
        Denied::Target { .. } => "no target",
        Denied::NotCovered { .. } => "not covered",
        Denied::Exhausted { .. } => "the budget is exhausted",
    };
    format!("{capability} {target:?}: {why}")
}

/// The answer about a job that this gateway does not know any more.
pub(super) fn over() -> Answer {
    Answer::Verdict(Err(Failure::new(FailureCode::PermissionDenied, "the job is over")))
}

#[cfg(test)]
mod tests {
    use moorline_types::Timestamp;

    use moorline_core::audit::MAX_REASON_BYTES;

    use super::*;

    #[test]
    fn the_trail_is_told_what_was_denied_and_why_and_no_more_of_a_target_than_it_is_known_by() {
        let capability = Capability::ToolCall;
        let not_covered = Denied::NotCovered { capability: capability.clone(), target: "rm".to_owned() };
        assert_eq!(reason(&capability, "rm", &not_covered), r#"tool.call "rm": not covered"#);
        let expired = Denied::Expired { at: Timestamp::from_unix_millis(0) };
        assert_eq!(reason(&capability, "a\nb", &expired), r#"tool.call "a\nb": the lease has expired"#);
        let long = reason(&capability, &"\u{10ffff}".repeat(5_000), &not_covered);
        assert!(long.len() <= MAX_REASON_BYTES && long.ends_with(": not covered"), "{long}");
    }

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
