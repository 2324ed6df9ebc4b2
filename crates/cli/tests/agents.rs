//! Programs as agents, and everything that a program can do wrong: the job says what, and nobody else notices.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use common::{Gateway, logs, stderr, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

/// An agent that runs its input as a shell script.
const SCRIPT: &str = r#"
[[agents]]
name = "script"
version = "1.0.0"
capacity = 8
command = ["python3", "-c", """
import json, os, sys
os.execvp('sh', ['sh', '-c', json.loads(sys.stdin.readline())['input']])
"""]
"#;

fn gateway() -> Gateway {
    Gateway::with(SCRIPT, &["--jobs-cancel-grace", "1s"])
}

fn last(seen: &[Value]) -> &Value {
    &seen.last().unwrap()["payload"]
}

#[test]
fn what_a_program_prints_is_an_event_a_result_or_a_log_line() {
    let gateway = gateway();
    let script = r#"
        echo 'plain words'
        echo 'words of warning' >&2
        echo '{"kind": "status", "body": {"phase": "working"}}'
        echo '{"kind": "progress", "body": {"current": 1, "total": 2, "units": "steps"}}'
        echo '{"kind": "progress", "body": {"current": "many"}}'
        echo '{"half": '
        printf '\377\376\n'
        echo '{"result": {"answer": 42}, "summary": "found"}'
    "#;
    let (seen, exit) = gateway.follow("script", &json!(script));
    assert_eq!(exit, 0, "{seen:#?}");
    assert_eq!(last(&seen)["result"], json!({ "answer": 42 }));
    let kinds: Vec<_> = seen.iter().filter_map(|line| line["payload"]["kind"].as_str()).collect();
    assert!(kinds.contains(&"status") && kinds.contains(&"progress"), "{kinds:?}");
    let logs = logs(&seen);
    let said = |level: &str, fragment: &str| logs.iter().any(|(l, message)| l == level && message.contains(fragment));
    assert!(said("info", "plain words") && said("warn", "words of warning"), "{logs:?}");
    assert!(said("warn", "many"), "a body that is none is told: {logs:?}");
    assert!(said("info", "half"), "what is no JSON is a line like any other: {logs:?}");
}

/// All ten kinds of the specification and a vendor's own reach the client as they were printed.
#[test]
fn every_kind_of_event_reaches_the_client() {
    let events = [
        ("log", json!({ "level": "error", "message": "m" })),
        ("thought", json!({ "text": "hm" })),
        ("tool_call", json!({ "tool": "grep", "args": { "n": 1 }, "call_id": "c1" })),
        ("tool_result", json!({ "call_id": "c1", "result": [1] })),
        ("status", json!({ "phase": "p", "message": "m" })),
        ("metric", json!({ "name": "n", "value": 1.5, "unit": "s" })),
        ("artifact_ref", json!({ "uri": "file:///x", "content_type": "text/plain", "byte_size": 3 })),
        ("progress", json!({ "current": 1, "total": 2, "units": "steps" })),
        ("x-vendor.acme.heat", json!({ "celsius": 40 })),
    ];
    let lines = events.iter().map(|(kind, body)| format!("echo '{}'\n", json!({ "kind": kind, "body": body })));
    let chunks = ["first, ", "second"].map(|data| json!({ "kind": "result_chunk", "body": { "data": data } }));
    let script = lines.chain(chunks.iter().map(|chunk| format!("echo '{chunk}'\n"))).collect::<String>();
    let gateway = gateway();
    let (seen, exit) = gateway.follow("script", &json!(script));
    assert_eq!(exit, 0, "{seen:#?}");
    let kinds = |line: &Value| line["payload"]["kind"].as_str().map(str::to_owned);
    for (n, (kind, body)) in events.iter().enumerate() {
        assert_eq!(kinds(&seen[n]).as_deref(), Some(*kind));
        assert_eq!(&seen[n]["payload"]["body"], body, "{kind}");
    }
    let chunks: Vec<_> = seen.iter().filter(|line| kinds(line).as_deref() == Some("result_chunk")).collect();
    let data: String = chunks.iter().map(|chunk| chunk["payload"]["body"]["data"].as_str().unwrap()).collect();
    assert_eq!(data, "first, second");
    assert_eq!(last(&seen)["result_id"], chunks[0]["payload"]["body"]["result_id"]);
    assert_eq!(last(&seen)["result_size"], data.len());
    assert!(last(&seen).get("result").is_none(), "a streamed result is not inline too");
}

#[test]
fn a_program_that_ends_badly_is_told_with_what_it_said() {
    let gateway = gateway();
    for (script, fragment) in [
        ("exit 0", "without a result"),
        ("echo oops >&2; exit 3", "status 3"),
        ("kill -KILL $$", "SIGKILL"),
        (
            "echo '{\"error\": {\"message\": \"no such table\", \"code\": \"INVALID_REQUEST\"}}'; exit 1",
            "no such table",
        ),
    ] {
        let (seen, exit) = gateway.follow("script", &json!(script));
        assert_eq!(exit, 1, "{script}: {seen:#?}");
        assert!(last(&seen)["message"].as_str().unwrap().contains(fragment), "{script}: {}", last(&seen));
    }
    let (seen, _) = gateway.follow("script", &json!("echo the reason >&2; exit 3"));
    assert!(last(&seen)["details"]["stderr_tail"].as_str().unwrap().contains("the reason"), "{}", last(&seen));
}

#[test]
fn a_program_that_is_not_there_or_cannot_run_keeps_the_gateway_from_starting() {
    let home = tempfile::tempdir().unwrap();
    let plain = home.path().join("plain.sh");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    for (command, fragment) in [("/nowhere/at/all", "/nowhere/at/all"), (plain.to_str().unwrap(), "executable")] {
        let config = format!("[[agents]]\nname = \"a\"\nversion = \"1\"\ncommand = {command:?}\n");
        fs::write(home.path().join("moorline.toml"), config).unwrap();
        let output = common::serve(home.path(), &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
        assert!(stderr(&output).contains(fragment), "{}", stderr(&output));
    }
}

#[test]
fn a_program_that_disappears_later_fails_its_jobs_with_a_remedy() {
    let home = tempfile::tempdir().unwrap();
    let program = home.path().join("agent.sh");
    fs::write(&program, "#!/bin/sh\necho '{\"result\": 1}'\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!("[[agents]]\nname = \"a\"\nversion = \"1\"\ncommand = {:?}\n", program.to_str().unwrap());
    let gateway = Gateway::with(&config, &[]);
    assert_eq!(gateway.follow("a", &json!(null)).1, 0);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    let (seen, exit) = gateway.follow("a", &json!(null));
    assert_eq!(exit, 1);
    assert!(last(&seen)["message"].as_str().unwrap().contains("agent.sh"), "{}", last(&seen));
    fs::remove_file(&program).unwrap();
    let (seen, exit) = gateway.follow("a", &json!(null));
    assert_eq!(exit, 1);
    assert!(last(&seen)["message"].as_str().unwrap().contains("agent.sh"), "{}", last(&seen));
    assert_eq!(gateway.follow("echo", &json!(1)).1, 0, "other agents go on");
}

#[test]
fn a_program_that_hangs_is_ended_with_everything_that_it_started() {
    let gateway = gateway();
    // A time to sleep, of which no process of this machine has the digits by chance.
    let marker = format!("600.{:016}", fastrand::u64(..10_000_000_000_000_000));
    let job = gateway.submit("script", &json!(format!("trap '' TERM; sleep {marker} & sleep {marker}")));
    wait_for("the program runs", || common::processes_with(&marker).len() >= 2);
    let cancelled = gateway.run(&["cancel", &job]);
    assert!(cancelled.status.success(), "{}", stderr(&cancelled));
    assert_eq!(gateway.run(&["watch", &job]).status.code(), Some(3));
    wait_for("nothing of it is left", || common::processes_with(&marker).is_empty());
}

/// A program that floods waits for the journal; nothing is lost and others are served meanwhile.
#[test]
fn a_program_that_floods_is_slowed_down_and_loses_nothing() {
    let gateway = gateway();
    let job = gateway.submit("script", &json!("seq 1 20000; echo '{\"result\": null}'"));
    assert_eq!(gateway.follow("echo", &json!(1)).1, 0);
    let seen = common::json_lines(&gateway.run(&["watch", &job, "--json"]));
    let numbers: Vec<u64> = logs(&seen).iter().map(|(_, message)| message.parse().unwrap()).collect();
    assert_eq!(numbers, (1..=20_000).collect::<Vec<_>>());
    assert_eq!(last(&seen)["final_status"], "success");
}

/// A worker that is killed takes its jobs with it, is started again, and nobody else notices.
#[test]
fn a_worker_that_is_killed_ends_its_jobs_and_comes_back() {
    let gateway = gateway();
    let marker = format!("of {}", gateway.data_dir().display());
    let job = gateway.submit("script", &json!(format!("echo started; sleep 600; : {marker}")));
    let watch = common::Running::start(&mut gateway.command(&["watch", &job, "--json"]));
    watch.line_with("started");
    // Between fork and exec there are two with the shell's command line.
    wait_for("the program alone to run", || common::processes_with(&marker).len() == 1);
    let other = gateway.submit("echo", &json!({ "echo": { "events": 20, "delay_ms": 50 } }));
    let scratch = gateway.data_dir().join("scratch/script@1.0.0");
    let workers = common::processes_with(&format!("MOORLINE_WORKER_SCRATCH={}", scratch.display()));
    assert!(!workers.is_empty());
    let worker = workers.into_iter().find(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("moorline\0worker")
    });
    let pid = rustix::process::Pid::from_raw(i32::try_from(worker.unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    let lost: Value = serde_json::from_str(&watch.line_with("job.error")).unwrap();
    assert_eq!((&lost["payload"]["code"], &lost["payload"]["retryable"]), (&json!("INTERNAL_ERROR"), &json!(true)));
    wait_for("the program to end with its worker", || common::processes_with(&marker).is_empty());
    let other = common::json_lines(&gateway.run(&["watch", &other, "--json"]));
    assert_eq!(logs(&other).len(), 20, "another agent's job does not notice");
    let (seen, exit) = gateway.follow("script", &json!("echo '{\"result\": 1}'"));
    assert_eq!(exit, 0, "the worker is back: {seen:#?}");
}
