//! What a client is told of delegations (spec 10): events that the gateway makes of what a job's stream records of them.
//!
//! The specification names the event and no fields of it. Those here are what the official SDKs read and write, all of
//! them at once. What became of a delegation is told as that of a tool: a `tool_result` whose `call_id` is the
//! delegation's id.

use moorline_core::record::{ChildEnded, Delegated, DelegationRefused, Failure};
use moorline_types::{EventKind, Json, Timestamp};
use moorline_wire::payload::JobEvent;
use serde::Serialize;

use super::to_wire::code_of;

#[derive(Serialize)]
struct Delegate<'a> {
    delegate_id: &'a str,
    child_job_id: String,
    agent: &'a str,
    input: &'a Json,
    lease_request: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_constraints: Option<Constraints>,
    lease: &'a Json,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    detached: bool,
}

#[derive(Serialize)]
struct Constraints {
    expires_at: String,
}

#[derive(Serialize)]
struct Answer<'a> {
    call_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error<'a>>,
}

#[derive(Serialize)]
struct Outcome {
    child_job_id: String,
    final_status: String,
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'static str,
    message: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Json>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
}

/// A job has delegated.
pub(super) fn delegated(delegated: &Delegated, at: Timestamp) -> JobEvent {
    let Delegated { delegate_id, child, agent, input, lease, expires_at, detached, .. } = delegated;
    event(
        &EventKind::Delegate,
        at,
        &Delegate {
            delegate_id,
            child_job_id: child.to_string(),
            agent,
            input,
            lease_request: lease,
            lease_constraints: expires_at.map(|at| Constraints { expires_at: at.to_string() }),
            lease,
            detached: *detached,
        },
    )
}

/// A job was not allowed or not able to delegate.
pub(super) fn refused(refused: &DelegationRefused, at: Timestamp) -> JobEvent {
    let answer = Answer { call_id: &refused.delegate_id, result: None, error: Some(error(&refused.failure, None)) };
    event(&EventKind::ToolResult, at, &answer)
}

/// A child has ended.
pub(super) fn ended(ended: &ChildEnded, at: Timestamp) -> JobEvent {
    let outcome = Outcome { child_job_id: ended.child.to_string(), final_status: ended.status.to_string() };
    let (result, error) = match &ended.failure {
        None => (Some(outcome), None),
        Some(failure) => (None, Some(error(failure, Some(outcome)))),
    };
    event(&EventKind::ToolResult, at, &Answer { call_id: &ended.delegate_id, result, error })
}

fn error(failure: &Failure, outcome: Option<Outcome>) -> Error<'_> {
    let Failure { cause, message, retryable, details, .. } = failure;
    Error { code: code_of(*cause).as_str(), message, retryable: *retryable, details: details.as_ref(), outcome }
}

fn event(kind: &EventKind, at: Timestamp, body: &impl Serialize) -> JobEvent {
    // Serialising to memory fails only for maps with keys that are no strings, and there is none.
    JobEvent::new(kind, at, Json::of(body).unwrap_or_else(|_| Json::null()))
}

#[cfg(test)]
mod tests {
    use moorline_core::job::Status;
    use moorline_core::record::Cause;
    use moorline_types::JobId;

    use super::*;

    const AT: Timestamp = Timestamp::from_unix_millis(1_778_701_333_000);

    fn child() -> JobId {
        JobId::from_bytes([7; 16])
    }

    fn failure(cause: Cause) -> Failure {
        let details = Json::parse(r#"{"n":1.50}"#).ok();
        Failure { worker_seq: None, cause, message: "no".to_owned(), retryable: false, details }
    }

    fn told(event: &JobEvent) -> String {
        assert!(moorline_wire::validate_body(&event.kind.parse().unwrap(), &event.body).is_ok());
        event.body.get().replace(&child().to_string(), "CHILD")
    }

    #[test]
    fn a_delegation_is_told_with_the_fields_of_every_sdk_and_its_input_to_the_letter() {
        let fact = Delegated {
            worker_seq: None,
            delegate_id: "dlg_1".into(),
            child: child(),
            agent: "echo@1.0.0".to_owned(),
            input: Json::parse(r#"{"a":1.50}"#).unwrap(),
            lease: Json::parse(r#"{"fs.read":["/a"]}"#).unwrap(),
            expires_at: Some(AT),
            detached: false,
        };
        assert_eq!(
            told(&delegated(&fact, AT)),
            r#"{"delegate_id":"dlg_1","child_job_id":"CHILD","agent":"echo@1.0.0","input":{"a":1.50},"lease_request":{"fs.read":["/a"]},"lease_constraints":{"expires_at":"2026-05-13T19:42:13.000Z"},"lease":{"fs.read":["/a"]}}"#
        );
    }

    #[test]
    fn what_became_of_it_is_told_like_that_of_a_tool() {
        let fact = DelegationRefused { delegate_id: "dlg_1".into(), failure: failure(Cause::LeaseSubset) };
        assert_eq!(
            told(&refused(&fact, AT)),
            r#"{"call_id":"dlg_1","error":{"code":"LEASE_SUBSET_VIOLATION","message":"no","retryable":false,"details":{"n":1.50}}}"#
        );
        let fact = |status, failure| ChildEnded { delegate_id: "dlg_1".into(), child: child(), status, failure };
        assert_eq!(
            told(&ended(&fact(Status::Success, None), AT)),
            r#"{"call_id":"dlg_1","result":{"child_job_id":"CHILD","final_status":"success"}}"#
        );
        assert_eq!(
            told(&ended(&fact(Status::TimedOut, Some(failure(Cause::TimedOut))), AT)),
            r#"{"call_id":"dlg_1","error":{"code":"TIMEOUT","message":"no","retryable":false,"details":{"n":1.50},"child_job_id":"CHILD","final_status":"timed_out"}}"#
        );
    }
}
