//! Jobs from the command line, through real processes, to the exit code.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::{Gateway, json_lines, stderr, stdout};
use rustix::process::Signal;
use serde_json::json;

/// An agent that runs its input as a shell script.
const AGENTS: &str = r#"
[[agents]]
name = "script"
version = "1.0.0"
command = ["python3", "-c", """
import json, os, sys
os.execvp('sh', ['sh', '-c', json.loads(sys.stdin.readline())['input']])
"""]
"#;

#[test]
fn a_job_ends_when_its_lease_does() {
    let gateway = Gateway::with("", &[]);
    for (moment, code, told) in
        [("tomorrow", 2, "--expires-at must be a moment in UTC"), ("2001-01-01T00:00:00Z", 5, "which is past")]
    {
        let refused = gateway.run(&["submit", "echo", "--expires-at", moment]);
        assert_eq!(refused.status.code(), Some(code), "{}", stderr(&refused));
        assert!(stderr(&refused).contains(told), "{}", stderr(&refused));
    }
    let done = gateway.run(&["submit", "echo", "--expires-at", "2999-01-01T00:00:00Z", "--follow"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
}

#[test]
fn a_job_that_is_followed_shows_its_events_and_its_result() {
    let gateway = Gateway::start();
    let (seen, exit) = gateway.follow("echo", &json!({ "echo": { "events": 3 } }));
    assert_eq!(exit, 0);
    let numbers: Vec<_> = seen.iter().filter_map(|line| line["event_seq"].as_u64()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert!(numbers.len() >= 3, "{seen:?}");
    assert_eq!(seen.last().unwrap()["type"], "job.result");

    let output = gateway.run(&["submit", "echo", "--input", r#"{"greeting": "hello"}"#, "--follow"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains(r#""greeting": "hello""#), "{}", stdout(&output));
    assert!(!stdout(&output).contains('\u{1b}'), "no colours into a pipe");
}

#[test]
fn the_exit_code_says_how_a_job_ended() {
    let gateway = Gateway::with(AGENTS, &["--jobs-cancel-grace", "1s"]);
    for (script, options, expected) in
        [("echo '{\"result\": 1}'", &[][..], 0), ("exit 3", &[][..], 1), ("sleep 600", &["--max-runtime", "1s"][..], 4)]
    {
        let input = json!(script).to_string();
        let output = gateway.run(&[&["submit", "script", "--follow", "--input", &input], options].concat());
        assert_eq!(output.status.code(), Some(expected), "{script}: {} {}", stdout(&output), stderr(&output));
    }
    let job = gateway.submit("script", &json!("sleep 600"));
    let cancelled = gateway.run(&["cancel", &job, "--reason", "enough"]);
    assert!(cancelled.status.success(), "{}", stderr(&cancelled));
    let output = gateway.run(&["watch", &job]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("cancelled: enough"), "{}", stderr(&output));
    let again = gateway.run(&["cancel", &job]);
    assert!(stderr(&again).contains("ended") || again.status.success(), "{}", stderr(&again));
}

#[test]
fn a_job_is_watched_from_its_first_event_as_often_as_one_likes() {
    let gateway = Gateway::start();
    let job = gateway.submit("echo", &json!({ "echo": { "events": 2_000 } }));
    for _ in 0..2 {
        let seen = json_lines(&gateway.run(&["watch", &job, "--json"]));
        assert!(seen.len() > 2_000, "{}", seen.len());
        assert_eq!(seen[0]["event_seq"], 1);
        assert_eq!(seen.last().unwrap()["type"], "job.result");
    }
}

#[test]
fn a_watch_may_begin_in_the_middle_and_leave_out_what_is_replaced() {
    let gateway = Gateway::start();
    let job = gateway.submit("echo", &json!({ "echo": { "events": 100 } }));
    let whole = json_lines(&gateway.run(&["watch", &job, "--json"]));
    let rest = json_lines(&gateway.run(&["watch", &job, "--json", "--from", "90"]));
    let payloads =
        |lines: &[serde_json::Value]| -> Vec<_> { lines.iter().map(|line| line["payload"].clone()).collect() };
    assert_eq!(payloads(&rest), payloads(&whole[90..]));
    for policy in ["catch_up", "latest", "disconnect"] {
        let seen = json_lines(&gateway.run(&["watch", &job, "--json", "--overflow", policy]));
        assert_eq!(payloads(&seen), payloads(&whole), "nothing of this job replaces anything: {policy}");
    }
    assert_eq!(gateway.run(&["watch", &job, "--from", "1", "--no-history"]).status.code(), Some(2));
    assert_eq!(gateway.run(&["watch", &job, "--overflow", "panic"]).status.code(), Some(2));
}

#[test]
fn what_the_gateway_refuses_is_told_with_a_remedy() {
    let gateway = Gateway::start();
    for (args, exit, fragment) in [
        (&["submit", "nobody"][..], 5, "nobody"),
        (&["submit", "echo@99"], 5, "available"),
        (&["submit", "Echo!"], 2, "names no agent"),
        (&["submit", "echo", "--input", "{"], 2, "--input must be JSON"),
        (&["submit", "echo", "--input", "@/nowhere"], 2, "/nowhere"),
        (&["submit", "echo", "--lease", "[]"], 2, "--lease"),
        (&["submit", "echo", "--lease", r#"{"cost.budget": ["USD:1e3"]}"#], 5, "USD:1e3"),
        (&["submit", "echo", "--trace-id", "x"], 2, "trace"),
        (&["submit", "echo", "--max-runtime", "soon"], 2, "duration"),
        (&["watch", "job_nope"], 5, "job_nope"),
        (&["cancel", "job_nope"], 5, "job_nope"),
        (&["--token", "mlk_wrong", "agents"], 5, "token"),
        (&["--token-file", "/nowhere", "agents"], 6, "/nowhere"),
        (&["--token", "mlk_any", "--url", "ws://127.0.0.1:1/arcp", "agents"], 6, "127.0.0.1:1"),
        (&["--token", "mlk_any", "--url", "http://127.0.0.1:1", "agents"], 6, "ws://"),
        (&["submit", "echo", "--max-runtime", "0"], 5, "max_runtime_sec"),
    ] {
        let output = gateway.run(args);
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(fragment), "{args:?}: {}", stderr(&output));
        assert!(stdout(&output).is_empty(), "{args:?}: {}", stdout(&output));
    }
    assert_eq!(gateway.follow("echo", &json!(1)).1, 0, "the gateway goes on");
}

#[test]
fn without_a_gateway_the_remedy_is_named() {
    let home = tempfile::tempdir().unwrap();
    let output = common::moorline(["--data-dir", home.path().to_str().unwrap(), "agents"]).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    assert!(stderr(&output).contains("moorline serve"), "{}", stderr(&output));
}

#[test]
fn agents_and_version_are_told_to_people_and_to_scripts() {
    let gateway = Gateway::with(AGENTS, &[]);
    let agents = &json_lines(&gateway.run(&["agents", "--json"]))[0];
    let names: Vec<_> = agents.as_array().unwrap().iter().map(|agent| agent["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["census", "echo", "script"]);
    assert!(stdout(&gateway.run(&["agents"])).contains("script  1.0.0"));
    assert_eq!(json_lines(&gateway.run(&["version", "--json"]))[0]["arcp"], "1.1");
}

/// Events that happened while nobody was connected are seen by whoever comes later.
#[test]
fn a_client_that_is_killed_costs_its_job_nothing() {
    let gateway = Gateway::start();
    let input = json!({ "echo": { "events": 20, "delay_ms": 50 } }).to_string();
    let mut client =
        common::Running::start(&mut gateway.command(&["submit", "echo", "--follow", "--json", "--input", &input]));
    let first: serde_json::Value = serde_json::from_str(&client.line_with("job.event")).unwrap();
    client.signal(Signal::KILL);
    client.wait();
    let seen = json_lines(&gateway.run(&["watch", first["job_id"].as_str().unwrap(), "--json"]));
    assert_eq!(seen.last().unwrap()["type"], "job.result");
    assert_eq!(common::logs(&seen).len(), 20);
}

#[test]
fn interrupting_a_watch_leaves_the_job_alone() {
    let gateway = Gateway::start();
    let job = gateway.submit("echo", &json!({ "echo": { "events": 30, "delay_ms": 100 } }));
    let mut watch = common::Running::start(&mut gateway.command(&["watch", &job, "--json"]));
    watch.line_with("job.event");
    watch.signal(Signal::INT);
    assert_eq!(watch.wait().code(), Some(130));
    let output = gateway.run(&["watch", &job, "--json"]);
    assert_eq!(output.status.code(), Some(0));
}

/// The store that is configured is the one that is used: what one gateway recorded, the next one tells.
#[test]
fn what_was_recorded_is_there_after_a_restart_and_after_a_kill() {
    let mut home = None;
    let mut told: Vec<(String, Vec<serde_json::Value>)> = Vec::new();
    for end in [Signal::TERM, Signal::KILL, Signal::TERM] {
        let gateway = match home.take() {
            Some(home) => Gateway::over(home, "", &[]),
            None => Gateway::start(),
        };
        for (job, before) in &told {
            assert_eq!(&json_lines(&gateway.run(&["watch", job, "--json"])), before, "after {end:?}");
        }
        let job = gateway.submit("echo", &json!({ "echo": { "events": 300 } }));
        let seen = json_lines(&gateway.run(&["watch", &job, "--json"]));
        assert_eq!(common::logs(&seen).len(), 300);
        told.push((job, seen));
        home = Some(gateway.end(end).0);
    }
}
