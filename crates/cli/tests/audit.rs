//! `moorline audit` against a real gateway.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;

use common::raw::{Raw, TEXT, hello};
use common::{Gateway, Running, json_lines, moorline, stderr, stdout, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

#[test]
fn the_trail_is_read_filtered_followed_and_kept_over_a_kill() {
    let gateway = Gateway::start();
    let job = gateway.submit("echo", &json!({ "echo": { "events": 1 } }));
    let follow = ["audit", "--follow", "--action", "submit", "--json"];
    let follower = Running::start(&mut gateway.command(&follow));
    let entry: Value = serde_json::from_str(&follower.line().unwrap()).unwrap();
    assert_eq!(
        (&entry["object"], &entry["who"], &entry["decision"]),
        (&json!(job), &json!("admin"), &json!("allowed"))
    );
    assert_eq!(entry["from"], "127.0.0.1");
    let next = gateway.submit("echo", &json!({ "echo": { "events": 1 } }));
    assert!(follower.line().unwrap().contains(&next));
    drop(follower);

    let stranger = moorline(["--url", &gateway.url, "--token", "mlk_not-a-key", "agents"]).output().unwrap();
    assert!(!stranger.status.success());
    let refused = || gateway.run(&["audit", "--since", "1h", "--decision", "refused"]);
    wait_for("the refusal is written", || stdout(&refused()).contains("refused authenticate"));
    assert!(!stdout(&refused()).contains("not-a-key"));
    assert!(stderr(&gateway.run(&["audit", "--principal", "nobody"])).contains("no entries"));
    let bad = gateway.run(&["audit", "--since", "yesterday"]);
    assert_eq!(bad.status.code(), Some(2), "{}", stderr(&bad));

    let (home, _) = gateway.end(Signal::KILL);
    let again = Gateway::over(home, "", &[]);
    let found = json_lines(&again.run(&["audit", "--job", &job, "--json"]));
    assert_eq!(found[0]["action"], "submit", "{found:?}");
}

/// What opens a session, controls or administers is in the trail before it is answered: a gateway that is killed at the
/// answer has it. Without that, twenty milliseconds would be missing.
#[test]
fn what_was_answered_is_in_the_trail_of_a_gateway_that_is_killed_at_the_answer() {
    const KEYS: (&str, &str) = ("x-vendor.moorline.keys", "x-vendor.moorline.keys_report");
    let mut home = tempfile::tempdir().unwrap();
    let mut known = Vec::new();
    for (action, reason, message) in [
        ("session_open", "", None),
        ("session_resume", "", None),
        ("cancel", "", Some((("job.cancel", "job.cancelled"), json!({})))),
        ("keys", "listed", Some((KEYS, json!({ "do": "list" })))),
        ("keys", "made", Some((KEYS, json!({ "do": "create", "name": "b", "principal": "b", "grants": {} })))),
        ("keys", "rotated", Some((KEYS, json!({ "do": "rotate" })))),
        ("keys", "revoked", Some((KEYS, json!({ "do": "revoke" })))),
        (
            "gc",
            "removed",
            Some((("x-vendor.moorline.gc", "x-vendor.moorline.gc_report"), json!({ "older_than_ms": 0 }))),
        ),
        ("audit", "", Some((("x-vendor.moorline.audit", "x-vendor.moorline.audit_page"), json!({})))),
    ] {
        let gateway = Gateway::over(home, "", &[]);
        let job = gateway.submit("echo", &json!({ "echo": { "events": 1, "delay_ms": 600_000 } }));
        let made = json_lines(&gateway.run(&["keys", "create", "--principal", "ci", "--json"])).remove(0);
        let key = fs::read_to_string(gateway.data_dir().join("admin.token")).unwrap();
        let greet = |resume: Option<Value>| {
            let mut raw = Raw::connect(&gateway.url, 1).unwrap();
            raw.upgrade("");
            let mut hello = hello(key.trim());
            if let Some(resume) = resume {
                hello["payload"]["resume"] = resume;
            }
            raw.frame(TEXT, hello.to_string().as_bytes());
            let welcome = raw.recv().unwrap();
            assert_eq!(welcome["type"], "session.welcome", "{welcome}");
            (raw, welcome)
        };
        let (mut raw, mut welcome) = greet(None);
        if action == "session_resume" {
            let token = &welcome["payload"]["resume_token"];
            drop(raw);
            let resume = json!({ "session_id": welcome["session_id"], "resume_token": token, "last_event_seq": 0 });
            (raw, welcome) = greet(Some(resume));
        }
        if let Some(((message_type, answer), mut payload)) = message {
            if message_type == "job.cancel" {
                payload["job_id"] = json!(job);
            }
            if ["rotated", "revoked"].contains(&reason) {
                payload["key"] = made["key"]["id"].clone();
            }
            let frame = json!({ "arcp": "1.1", "id": "msg_1", "type": message_type, "payload": payload,
                "session_id": welcome["session_id"] });
            raw.frame(TEXT, frame.to_string().as_bytes());
            let answered = raw.recv().unwrap();
            assert_eq!(answered["type"], answer, "{answered}");
        }
        let (left, _) = gateway.end(Signal::KILL);
        home = left;
        known.push((action, reason, welcome["session_id"].clone()));
    }
    let gateway = Gateway::over(home, "", &[]);
    let trail = json_lines(&gateway.run(&["audit", "--json"]));
    for (action, reason, session) in known {
        let is_it = |entry: &&Value| {
            let told = entry["reason"].as_str().unwrap_or_default();
            entry["action"] == action && entry["session"] == session && told.starts_with(reason)
        };
        assert!(trail.iter().any(|entry| is_it(&entry)), "{action} {reason} in {session}: {trail:?}");
    }
}

/// What the operator decides is in the trail too, and nothing secret of it.
#[test]
fn the_trail_tells_of_starts_settings_and_enrolments_and_of_none_twice() {
    let config = r#"
        [[agents]]
        name = "shell"
        version = "1.0.0"
        command = ["sh", "-c", "cat # an-argument-4c1e"]
        env = { API_TOKEN = "a-value-77d0" }
    "#;
    let flags = |grace: &'static str| ["--workers-listen=127.0.0.1:0", "--jobs-cancel-grace", grace];
    let gateway = Gateway::with(config, &flags("10s"));
    assert!(gateway.run(&["workers", "enroll", "--name", "gpu", "--agents", "fold,echo*"]).status.success());
    let found = |gateway: &Gateway, action: &str| json_lines(&gateway.run(&["audit", "--json", "--action", action]));
    wait_for("the enrolment is told", || !stdout(&gateway.run(&["audit", "--action", "worker_enroll"])).is_empty());
    let (home, _) = gateway.end(Signal::TERM);

    assert!(
        moorline(["--data-dir", home.path().join("data").to_str().unwrap(), "workers", "revoke", "gpu"])
            .status()
            .unwrap()
            .success()
    );
    let changed = config.replace("an-argument-4c1e", "another-2b90");
    let gateway = Gateway::over(home, &changed, &flags("20s"));
    wait_for("the revocation is told", || !stdout(&gateway.run(&["audit", "--action", "worker_revoke"])).is_empty());
    let starts = found(&gateway, "start");
    let reasons: Vec<_> = starts.iter().map(|entry| entry["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[0].ends_with("the first start") && reasons[1].ends_with("2 settings are not as before"));
    let settings = found(&gateway, "configuration");
    let later: Vec<_> =
        settings.iter().filter(|entry| entry["reason"].as_str().unwrap().contains(" before, ")).collect();
    let names: Vec<_> = later.iter().map(|entry| entry["object"].as_str().unwrap()).collect();
    assert_eq!(names, ["agents.shell@1.0.0", "jobs.cancel_grace"], "{settings:?}");
    assert!(later[1]["reason"].as_str().unwrap().starts_with("\"10s\" before, \"20s\" now"), "{later:?}");
    let (enrolled, revoked) = (found(&gateway, "worker_enroll"), found(&gateway, "worker_revoke"));
    assert_eq!((enrolled.len(), revoked.len()), (1, 1));
    assert_eq!(enrolled[0]["object"], revoked[0]["object"]);
    assert!(enrolled[0]["reason"].as_str().unwrap().starts_with("gpu, for fold, echo*"), "{enrolled:?}");
    let trail = stdout(&gateway.run(&["audit", "--json"]));
    for secret in ["an-argument-4c1e", "another-2b90", "a-value-77d0"] {
        assert!(!trail.contains(secret), "{secret}: {trail}");
    }
}
