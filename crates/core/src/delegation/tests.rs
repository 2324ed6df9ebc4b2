//! What a job may give away.

use moorline_types::JobId;

use super::*;
use crate::job::{Job, JobLimits};
use crate::quota::Quota;
use crate::record::tests::plain;
use crate::record::{Failure, SubmitterBounds};

const NOW: Timestamp = Timestamp::from_unix_millis(1_778_701_333_000);

/// The parent's lease in these tests.
const LEASE: &str = r#"{"agent.delegate":["echo","census-*"],"fs.read":["/ws/**"],"tool.call":["git-*"]}"#;

fn accepted(lease: &str) -> Accepted {
    Accepted {
        tags: ["team".parse().unwrap()].into(),
        agent: "plan".into(),
        max_runtime_sec: Some(600),
        expires_at: Some("2026-05-13T23:00:00Z".parse().unwrap()),
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".parse().ok(),
        ..plain(lease)
    }
}

fn found() -> Found {
    Found { agent: Ok("echo@1.0.0".parse().unwrap()), room: Ok(()), credentials: false }
}

fn read(body: &str) -> Delegation {
    Delegation::read(&Json::parse(body).unwrap()).unwrap()
}

fn ask_with(accepted: Accepted, body: &str, found: Found) -> Result<Accepted, Failure> {
    let limits = JobLimits {
        cancel_grace: moorline_types::Millis::from_secs(1),
        max_pending: moorline_types::Millis::from_secs(1),
        delegation: DelegationLimits::DEFAULT,
        tracing: crate::trace::Participation::DEFAULT,
    };
    let job = Job::accept(NOW, JobId::mint(NOW, [2; 10]), accepted, limits);
    let Delegation { delegate_id, wanted } = read(body);
    let parent = Delegating { job: job.id(), accepted: job.accepted(), authority: job.authority() };
    let wanted = wanted.map_err(|problem| DelegationError::Malformed { problem });
    wanted
        .and_then(|wanted| derive(NOW, parent, &delegate_id, wanted, found, DelegationLimits::DEFAULT))
        .map_err(|error| error.into_failure(None))
}

fn ask(body: &str) -> Result<Accepted, Failure> {
    ask_with(accepted(LEASE), body, found())
}

#[test]
fn a_delegation_that_says_no_id_cannot_be_answered() {
    for body in ["{}", r#"{"delegate_id":""}"#, r#"{"delegate_id":7}"#, "[]", "null"] {
        assert!(Delegation::read(&Json::parse(body).unwrap()).is_err(), "{body}");
    }
    let long = format!(r#"{{"delegate_id":"{}"}}"#, "x".repeat(MAX_DELEGATE_ID_BYTES + 1));
    assert!(Delegation::read(&Json::parse(&long).unwrap()).is_err());
}

#[test]
fn what_cannot_be_read_is_refused_with_what_is_wrong() {
    for (rest, expected) in [
        ("", "missing field `agent`"),
        (r#","agent":"No Agent""#, "an agent name is"),
        (r#","agent":"echo","lease_request":[]"#, "must be an object of arrays of strings"),
        (r#","agent":"echo","lease_request":{"fs.read":["/a/../b"]}"#, "/a/../b"),
        (r#","agent":"echo","lease_request":{"cost.budget":["USD:-1"]}"#, "USD:-1"),
        (r#","agent":"echo","lease_constraints":{"expires_at":"tomorrow"}"#, "\"tomorrow\", which is no moment"),
        (r#","agent":"echo","max_runtime_sec":-1"#, "invalid value"),
    ] {
        let failure = ask(&format!(r#"{{"delegate_id":"d"{rest}}}"#)).unwrap_err();
        assert_eq!(failure.cause, crate::record::Cause::InvalidRequest, "{rest}");
        assert!(failure.message.contains(expected), "{rest}: {}", failure.message);
    }
}

#[test]
fn a_child_has_what_was_asked_for_and_the_rest_from_its_parent() {
    let body = r#"{"delegate_id":"d1","agent":"echo","input":[1],"lease_request":{"fs.read":["/ws/a/**"]}}"#;
    let (parent, child) = (accepted(LEASE), ask(body).unwrap());
    assert_eq!((child.agent.as_str(), child.version.as_str()), ("echo", "1.0.0"));
    assert_eq!((child.input.get(), child.lease.get()), ("[1]", r#"{"fs.read":["/ws/a/**"]}"#));
    assert_eq!((&child.principal, &child.tags, child.session), (&parent.principal, &parent.tags, parent.session));
    assert_eq!((child.trace_id, child.expires_at), (parent.trace_id, parent.expires_at));
    assert_eq!(child.max_runtime_sec, Some(600));
    let link = child.parent.unwrap();
    assert_eq!((&*link.delegate_id, link.depth, link.detached), ("d1", 1, false));
}

#[test]
fn without_a_request_a_child_may_do_nothing() {
    assert_eq!(ask(r#"{"delegate_id":"d","agent":"echo"}"#).unwrap().lease.get(), "{}");
    // Constraints that name no end do not take the parent's away (TS-15).
    let child = ask(r#"{"delegate_id":"d","agent":"echo","lease_constraints":{}}"#).unwrap();
    assert_eq!(child.expires_at, accepted(LEASE).expires_at);
}

#[test]
fn a_child_may_have_less_than_its_parent() {
    let body = r#"{"delegate_id":"d","agent":"census-1","max_runtime_sec":5,
        "lease_constraints":{"expires_at":"2026-05-13T22:00:00Z"},"detached":true}"#;
    let child = ask(body).unwrap();
    assert_eq!(child.max_runtime_sec, Some(5));
    assert_eq!(child.expires_at, "2026-05-13T22:00:00Z".parse().ok());
    assert!(child.parent.unwrap().detached);
}

#[test]
fn what_is_more_than_the_parent_has_is_refused_with_what_it_is() {
    use crate::record::Cause;
    for (rest, cause, details) in [
        (r#""agent":"shell""#, Cause::PermissionDenied, r#"{"namespace":"agent.delegate","target":"shell"}"#),
        (
            r#""agent":"echo","lease_request":{"fs.read":["/**"]}"#,
            Cause::LeaseSubset,
            r#"{"namespace":"fs.read","pattern":"/**"}"#,
        ),
        (
            r#""agent":"echo","lease_request":{"fs.write":["/ws/a"]}"#,
            Cause::LeaseSubset,
            r#"{"namespace":"fs.write","pattern":"/ws/a"}"#,
        ),
        (
            r#""agent":"echo","lease_request":{"model.use":["tier-fast/*"]}"#,
            Cause::LeaseSubset,
            r#"{"namespace":"model.use","pattern":"tier-fast/*"}"#,
        ),
        (
            r#""agent":"echo","lease_constraints":{"expires_at":"2026-05-13T23:00:01Z"}"#,
            Cause::LeaseSubset,
            r#"{"expires_at":"2026-05-13T23:00:01.000Z","limit":"2026-05-13T23:00:00.000Z"}"#,
        ),
        (
            r#""agent":"echo","lease_constraints":{"expires_at":"2020-01-01T00:00:00Z"}"#,
            Cause::InvalidRequest,
            r#"{"expires_at":"2020-01-01T00:00:00.000Z"}"#,
        ),
        (r#""agent":"echo","max_runtime_sec":601"#, Cause::PermissionDenied, r#"{"limit":600,"max_runtime_sec":601}"#),
    ] {
        let failure = ask(&format!(r#"{{"delegate_id":"d",{rest}}}"#)).unwrap_err();
        assert_eq!(failure.cause, cause, "{rest}");
        assert_eq!(failure.details.unwrap().get(), details, "{rest}");
    }
}

#[test]
fn a_job_whose_lease_has_ended_delegates_nothing() {
    let over = Accepted { expires_at: Some(NOW), ..accepted(LEASE) };
    let failure = ask_with(over, r#"{"delegate_id":"d","agent":"shell"}"#, found()).unwrap_err();
    assert_eq!(failure.cause, crate::record::Cause::LeaseExpired, "asked before the pattern is");
}

#[test]
fn a_child_of_a_job_with_a_budget_names_its_own() {
    let lease = r#"{"agent.delegate":["echo"],"cost.budget":["USD:5"]}"#;
    let failure = ask_with(accepted(lease), r#"{"delegate_id":"d","agent":"echo"}"#, found()).unwrap_err();
    assert_eq!(failure.cause, crate::record::Cause::LeaseSubset);
    assert!(failure.message.contains("`USD:0`"), "{}", failure.message);
    let body = r#"{"delegate_id":"d","agent":"echo","lease_request":{"cost.budget":["USD:0"]}}"#;
    assert!(ask_with(accepted(lease), body, found()).is_ok());
}

#[test]
fn a_child_is_nothing_that_its_submitter_may_not_use() {
    let bounds =
        SubmitterBounds { agents: vec!["census*".parse().unwrap()], quotas: moorline_types::Quotas::default() };
    let bounds = Some(Box::new(bounds));
    let bounded = Accepted { bounds: bounds.clone(), ..accepted(LEASE) };
    let failure = ask_with(bounded.clone(), r#"{"delegate_id":"d","agent":"echo"}"#, found()).unwrap_err();
    assert_eq!(failure.cause, crate::record::Cause::PermissionDenied);
    let child = ask_with(bounded, r#"{"delegate_id":"d","agent":"census-1"}"#, found()).unwrap();
    assert_eq!(child.bounds, bounds, "nor are the child's own children");
}

#[test]
fn generations_are_bounded() {
    let parent = |depth| Accepted {
        parent: Some(Parent { job: JobId::from_bytes([9; 16]), delegate_id: "d".into(), depth, detached: false }),
        ..accepted(LEASE)
    };
    let ask = |depth| ask_with(parent(depth), r#"{"delegate_id":"d","agent":"echo"}"#, found());
    assert_eq!(ask(DEFAULT_DELEGATION_DEPTH - 1).unwrap().parent.unwrap().depth, DEFAULT_DELEGATION_DEPTH);
    assert_eq!(ask(DEFAULT_DELEGATION_DEPTH).unwrap_err().details.unwrap().get(), r#"{"limit":8}"#);
}

#[test]
fn an_agent_that_there_is_not_and_an_owner_without_room_are_told() {
    let name = "echo".parse().unwrap();
    let missing = Found { agent: Err(Refusal::AgentNotAvailable { name }), ..found() };
    let body = r#"{"delegate_id":"d","agent":"echo"}"#;
    let failure = ask_with(accepted(LEASE), body, missing).unwrap_err();
    assert_eq!(failure.cause, crate::record::Cause::AgentNotAvailable);
    let full = Found { room: Err(Quota::Jobs.take(3, 1, Some(3)).unwrap_err().into()), ..found() };
    assert!(ask_with(accepted(LEASE), body, full).unwrap_err().message.contains("3 "));
    let draining = Found { room: Err(Refusal::Draining), ..found() };
    assert!(ask_with(accepted(LEASE), body, draining).unwrap_err().retryable);
}

#[test]
fn a_childs_id_follows_from_its_parent_and_its_name_there() {
    let parent = JobId::from_bytes([9; 16]);
    let id = |parent, name| child_id(NOW, parent, name);
    assert_eq!(id(parent, "a"), id(parent, "a"));
    assert_ne!(id(parent, "a"), id(parent, "b"));
    assert_ne!(id(parent, "a"), id(JobId::from_bytes([8; 16]), "a"));
}
