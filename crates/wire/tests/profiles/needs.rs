//! What each official client needs of a frame, so as not to hang, drop it or die of it.
//!
//! First what is so for all of them, then, by profile, what only one of them asks for.

use moorline_types::limits::MAX_SENT_FRAME_BYTES;
use moorline_wire::{ErrorCode, Profile};
use serde_json::{Map, Value};

use crate::frames::{REQUEST, scenes};

/// Where something is wrong.
struct At {
    profile: Profile,
    scene: &'static str,
    frame: Value,
}

impl At {
    #[track_caller]
    fn holds(&self, need: bool, what: &str) {
        assert!(need, "{}, {}: {what}: {}", self.profile, self.scene, self.frame);
    }

    fn kind(&self) -> &str {
        self.frame["type"].as_str().unwrap()
    }

    fn payload(&self) -> &Value {
        &self.frame["payload"]
    }

    #[track_caller]
    fn has_text(&self, fields: &[&str]) {
        for field in fields {
            self.holds(self.payload()[field].as_str().is_some_and(|text| !text.is_empty()), field);
        }
    }
}

fn frames(profile: Profile) -> Vec<At> {
    let read = |scene: &'static str, frame: &str| At { profile, scene, frame: serde_json::from_str(frame).unwrap() };
    scenes(profile)
        .iter()
        .flat_map(|scene| scene.frames.iter().map(|frame| read(scene.name, frame)).collect::<Vec<_>>())
        .collect()
}

fn scene(profile: Profile, name: &str) -> Vec<At> {
    frames(profile).into_iter().filter(|at| at.scene == name).collect()
}

fn the_frame(profile: Profile, name: &str) -> At {
    let mut frames = scene(profile, name);
    assert_eq!(frames.len(), 1, "{profile}, {name}");
    frames.remove(0)
}

fn is_ulid(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

fn is_trace(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 32 && text.bytes().all(hex) && text.bytes().any(|byte| byte != b'0')
}

/// The paths at which a value is null.
fn nulls(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Null => found.push(path.to_owned()),
        Value::Array(items) => items.iter().for_each(|item| nulls(item, path, found)),
        Value::Object(fields) => fields.iter().for_each(|(name, field)| nulls(field, &format!("{path}.{name}"), found)),
        _ => {}
    }
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}

#[test]
fn every_envelope_is_one_that_every_client_accepts() {
    for at in Profile::ALL.iter().flat_map(|profile| frames(*profile)) {
        at.holds(at.frame["arcp"] == "1.1", "arcp");
        let id = at.frame["id"].as_str().unwrap();
        let echoed = at.kind() == "job.error" && id == REQUEST;
        at.holds(echoed || id.strip_prefix("msg_").is_some_and(is_ulid), "id");
        at.holds(at.frame["session_id"].as_str().is_some_and(|id| id.starts_with("sess_")), "session_id");
        at.holds(at.payload().is_object(), "payload");
        if let Some(trace) = at.frame.get("trace_id") {
            at.holds(is_trace(trace.as_str().unwrap()), "trace_id");
        }
        let keys = at.frame.get("extensions").map(|extensions| object(extensions).keys().cloned().collect::<Vec<_>>());
        let vendor = |key: &str| key.strip_prefix("x-vendor.").is_some_and(|rest| rest.contains('.'));
        at.holds(keys.unwrap_or_default().iter().all(|key| key == "optional" || vendor(key)), "extensions");
        at.holds(at.frame.to_string().len() <= MAX_SENT_FRAME_BYTES, "size");
        let mut found = Vec::new();
        nulls(&at.frame, "", &mut found);
        found.retain(|path| path != ".payload.next_cursor");
        at.holds(found.is_empty(), &format!("null at {found:?}"));
    }
}

#[test]
fn only_what_happens_in_a_job_is_numbered_and_a_refusal_is_not() {
    for at in Profile::ALL.iter().flat_map(|profile| frames(*profile)) {
        let numbered = matches!(at.scene, "events" | "result_inline" | "result_streamed" | "errors");
        let seq = at.frame.get("event_seq").map(|seq| seq.as_u64().unwrap());
        at.holds(numbered == seq.is_some(), "event_seq");
        at.holds(seq != Some(0), "event_seq counts from 1");
    }
}

#[test]
fn every_error_has_a_code_of_the_spec_and_says_whether_to_try_again() {
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(codes.len(), 15);
    for at in Profile::ALL.iter().flat_map(|profile| frames(*profile)) {
        if !matches!(at.kind(), "session.error" | "job.error") {
            continue;
        }
        at.has_text(&["code", "message"]);
        let code = at.payload()["code"].as_str().unwrap();
        at.holds(codes.contains(&code), "code");
        let retryable = at.payload()["retryable"].as_bool();
        at.holds(retryable.is_some(), "retryable");
        at.holds(code != "INTERNAL_ERROR" || retryable == Some(true), "retryable of INTERNAL_ERROR");
        let spent = matches!(code, "LEASE_EXPIRED" | "BUDGET_EXHAUSTED");
        at.holds(!spent || retryable == Some(false), "retryable of what is spent");
        at.holds(at.payload().get("details").is_none_or(Value::is_object), "details");
    }
}

#[test]
fn the_handshake_has_what_any_client_looks_for() {
    for profile in Profile::ALL {
        let at = the_frame(*profile, "welcome");
        at.has_text(&["session_id", "resume_token", "accepted_at"]);
        at.holds(at.payload()["session_id"] == at.frame["session_id"], "the same session in both places");
        for field in ["name", "version"] {
            at.holds(at.payload()["runtime"][field].as_str().is_some_and(|text| !text.is_empty()), "runtime");
        }
        for field in ["resume_window_sec", "heartbeat_interval_sec"] {
            at.holds(at.payload()[field].as_u64().is_some_and(|seconds| seconds > 0), field);
        }
        let agents = at.payload()["capabilities"]["agents"].as_array().unwrap();
        at.holds(agents.iter().all(|agent| agent["name"].is_string() && agent["versions"].is_array()), "agents");
        at.holds(at.payload()["capabilities"]["features"].is_array(), "features");

        let first = scene(*profile, "hello_refused").remove(0);
        first.holds(first.kind() == "session.error", "two clients look at the first frame only");
    }
}

#[test]
fn answers_have_what_any_client_correlates_by_and_looks_for() {
    for profile in Profile::ALL {
        for name in ["accepted", "subscribed_live", "subscribed_history", "cancelled"] {
            let at = the_frame(*profile, name);
            at.has_text(&["request_id", "job_id"]);
            at.holds(at.frame["job_id"] == at.payload()["job_id"], "the same job in both places");
        }
        let accepted = the_frame(*profile, "accepted");
        accepted.has_text(&["agent", "accepted_at"]);
        accepted.holds(accepted.payload()["lease"].is_object(), "lease");
        for name in ["subscribed_live", "subscribed_history"] {
            let at = the_frame(*profile, name);
            at.holds(at.payload()["lease"].is_object(), "lease");
            at.holds(at.payload()["subscribed_from"].is_u64(), "subscribed_from");
            at.holds(at.payload()["replayed"].is_boolean(), "replayed");
            let statuses = ["pending", "running", "success", "error", "cancelled", "timed_out"];
            at.holds(statuses.contains(&at.payload()["current_status"].as_str().unwrap()), "current_status");
        }
        for name in ["jobs_empty", "jobs_page"] {
            let at = the_frame(*profile, name);
            at.has_text(&["request_id"]);
            at.holds(object(at.payload()).contains_key("next_cursor"), "one client waits for ever without next_cursor");
            for entry in at.payload()["jobs"].as_array().unwrap() {
                let texts = ["job_id", "agent", "status", "created_at", "submitted_at"];
                at.holds(texts.iter().all(|field| entry[field].is_string()), "an entry's fields");
                at.holds(entry["lease"].is_object() && entry["last_event_seq"].is_u64(), "an entry's fields");
            }
        }
    }
}

#[test]
fn events_and_ends_have_what_any_client_looks_for() {
    for at in Profile::ALL.iter().flat_map(|profile| frames(*profile)) {
        match at.kind() {
            "job.event" => {
                at.has_text(&["kind", "ts"]);
                at.holds(at.payload()["body"].is_object(), "one client needs a body");
                if at.payload()["kind"] == "progress" {
                    at.holds(at.payload()["body"]["current"].is_u64(), "three clients read whole numbers only");
                }
            }
            "job.result" => {
                at.has_text(&["completed_at"]);
                at.holds(at.payload()["final_status"] == "success", "final_status");
                let inline = ["result", "output"].iter().any(|field| at.payload().get(field).is_some());
                at.holds(inline != at.payload().get("result_id").is_some(), "either inline or streamed");
            }
            "job.error" => at.has_text(&["final_status", "completed_at"]),
            _ => {}
        }
    }
}

#[test]
fn the_typescript_client_gets_what_only_it_needs() {
    let profile = Profile::TypeScript;
    let refused = the_frame(profile, "submit_refused");
    refused.holds(refused.kind() == "job.error", "anything else ends all its invocations");
    refused.holds(refused.frame["job_id"].as_str().is_some_and(|job| !job.is_empty()), "a job");
    refused.holds(refused.frame["trace_id"].is_string(), "it binds the refusal by the trace");
    assert!(scene(profile, "cancel_refused").is_empty(), "it would take it for the refusal of a submission");
    for name in ["subscribe_refused", "list_refused"] {
        let at = the_frame(profile, name);
        at.holds(at.kind() == "session.error", "nothing else ends its waiting");
    }
    let metric = scene(profile, "events").into_iter().find(|at| at.payload()["kind"] == "metric").unwrap();
    metric.holds(metric.payload()["body"]["dims"] == metric.payload()["body"]["dimensions"], "dims");
    let accepted = the_frame(profile, "accepted");
    accepted.holds(object(&accepted.payload()["budget"]).values().all(Value::is_number), "numbers");
}

#[test]
fn the_python_client_gets_what_only_it_needs() {
    let profile = Profile::Python;
    let accepted = the_frame(profile, "accepted");
    accepted.holds(accepted.payload().get("budget").is_none(), "a number kills its reader");
    for at in scene(profile, "errors") {
        at.holds(at.payload()["final_status"] == "error", "anything else kills its reader");
    }
    let codes: Vec<_> = scene(profile, "errors").iter().map(|at| at.payload()["code"].clone()).collect();
    assert_eq!(codes[1..3], ["CANCELLED", "TIMEOUT"], "the code tells what the status does not");
    assert!(scene(profile, "cancel_refused").is_empty(), "it would end all its jobs");
    for name in ["submit_refused", "subscribe_refused", "list_refused"] {
        let at = the_frame(profile, name);
        at.holds(at.kind() == "session.error", "nothing else ends its waiting");
    }
    let goodbye = the_frame(profile, "goodbye");
    goodbye.holds(goodbye.kind() == "session.bye", "the only one that it acts on");
    goodbye.has_text(&["reason"]);
    for at in scene(profile, "events") {
        let body = &at.payload()["body"];
        let aliases: &[_] = match at.payload()["kind"].as_str().unwrap() {
            "tool_call" => &[("tool", "name"), ("args", "arguments"), ("call_id", "tool_call_id")],
            "tool_result" => &[("call_id", "tool_call_id"), ("result", "output")],
            "metric" => &[("dimensions", "attributes")],
            "artifact_ref" => &[("content_type", "media_type"), ("byte_size", "size_bytes")],
            _ => &[],
        };
        for (name, alias) in aliases {
            at.holds(!body[name].is_null() && body[name] == body[alias], alias);
        }
    }
}

#[test]
fn the_go_client_gets_what_only_it_needs() {
    let profile = Profile::Go;
    let result = the_frame(profile, "result_inline");
    result.holds(result.payload()["output"] == serde_json::json!({ "n": 1.0 }), "output");
    for name in ["submit_refused", "cancel_refused", "subscribe_refused", "list_refused", "unknown_refused"] {
        let at = the_frame(profile, name);
        at.holds(at.kind() == "session.error", "anything else is taken for a job's end");
        at.holds(at.payload()["request_id"] == REQUEST, "without it, it waits for ever");
    }
    let cancel = the_frame(profile, "cancel_refused");
    cancel.holds(cancel.payload()["job_id"].is_string(), "it ends that handle only");
}

#[test]
fn the_csharp_client_gets_what_only_it_needs() {
    let profile = Profile::CSharp;
    for name in ["submit_refused", "subscribe_refused", "list_refused"] {
        let at = the_frame(profile, name);
        at.holds(at.kind() == "session.error", "nothing else ends its waiting");
        at.has_text(&["detail"]);
    }
    assert!(scene(profile, "cancel_refused").is_empty(), "it would end all its jobs");
    for at in scene(profile, "errors") {
        at.has_text(&["detail"]);
    }
}

#[test]
fn the_java_client_gets_what_only_it_needs() {
    let profile = Profile::Java;
    let hello = scene(profile, "hello_refused").remove(1);
    for at in [hello, the_frame(profile, "submit_refused"), the_frame(profile, "list_refused")]
        .into_iter()
        .chain([the_frame(profile, "cancel_refused"), the_frame(profile, "unknown_refused")])
    {
        at.holds(at.kind() == "job.error" && at.frame["id"] == REQUEST, "it correlates by the envelope's id");
        at.holds(at.frame.get("job_id").is_none(), "a job here would be ended");
    }
    let subscribe = the_frame(profile, "subscribe_refused");
    subscribe.holds(subscribe.kind() == "job.error" && subscribe.frame["id"] == REQUEST, "by the envelope's id");
    subscribe.holds(subscribe.frame["job_id"].is_string(), "the job whose publisher is to end");
}

/// Nobody but the one who asked for it gets what is not in the spec.
#[test]
fn the_spec_is_the_default() {
    for at in frames(Profile::Spec) {
        let odd = ["output", "detail"].iter().any(|field| at.payload().get(field).is_some());
        at.holds(!odd, "a field for somebody else");
    }
    for name in ["hello_refused", "submit_refused", "cancel_refused", "subscribe_refused", "list_refused"] {
        let at = the_frame(Profile::Spec, name);
        at.holds(at.kind() == "session.error" && at.payload()["request_id"] == REQUEST, "a refusal");
    }
    let statuses: Vec<_> =
        scene(Profile::Spec, "errors").iter().map(|at| at.payload()["final_status"].clone()).collect();
    assert_eq!(statuses, ["error", "cancelled", "timed_out", "error", "error"]);
    assert_eq!(the_frame(Profile::Spec, "goodbye").kind(), "session.closed");
}
