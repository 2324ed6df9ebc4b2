//! Programs as agents, above all those that misbehave.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use moorline_types::{Capability, EventKind, Json};
use moorline_worker::exec::{ExecAgent, ExecSpec};
use moorline_worker::message::{
    Answer, Ask, ChildFailure, DelegationCode, DelegationNews, Failure, FailureCode, FromWorker, Output, Report,
    ToWorker, Until,
};
use moorline_worker::sdk::Agent;
use support::{Attached, attach, cancel, job, line, lines, start};

fn program(command: &[&str]) -> Arc<dyn Agent> {
    program_with_answers(command, false)
}

fn program_with_answers(command: &[&str], answers: bool) -> Arc<dyn Agent> {
    Arc::new(ExecAgent::new(ExecSpec {
        name: "p".parse().unwrap(),
        version: "1".parse().unwrap(),
        is_default: true,
        description: "a program".to_owned(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        env: [("GREETING".to_owned(), "hello".to_owned())].into(),
        cwd: None,
        capacity: 4,
        answers,
    }))
}

async fn run(command: &[&str]) -> Vec<Report> {
    attach([program(command)]).await.run("p@1", r#"{"n":1}"#).await
}

async fn sh(script: &str) -> Vec<String> {
    lines(&run(&["sh", "-c", script]).await)
}

async fn python(script: &str) -> Vec<String> {
    lines(&run(&["python3", "-c", script]).await)
}

fn failure(reports: &[Report]) -> &Failure {
    match reports.last() {
        Some(Report::Failure(failure)) => failure,
        other => panic!("not a failure: {other:?}"),
    }
}

fn details(reports: &[Report]) -> serde_json::Value {
    failure(reports).details.as_ref().map(|details| details.to().unwrap()).unwrap_or_default()
}

/// Waits for the first event of a job and returns its message.
async fn first_message(gateway: &mut Attached) -> String {
    loop {
        if let FromWorker::Report { report: Report::Event { kind: EventKind::Log, body }, .. } = gateway.next().await {
            return body.to::<serde_json::Value>().unwrap()["message"].as_str().unwrap().to_owned();
        }
    }
}

/// Waits for the last report of a job. A shell may have words of its own about a signal before it.
async fn ending(gateway: &mut Attached) -> String {
    loop {
        let message = gateway.next().await;
        if let FromWorker::Report { report, .. } = message
            && report.is_terminal()
        {
            return line(&report);
        }
    }
}

/// Waits until there is no process with this id, or only one that has ended.
async fn wait_for_end_of(pid: &str) {
    let alive = || {
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    };
    tokio::time::timeout(support::DEADLINE, async {
        while alive() {
            // not a wait: nothing but a look tells whether a stranger's process has ended
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("process {pid} still lives"));
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_named_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    std::fs::write(&plain, "#!/bin/sh\n").unwrap();
    for (command, part) in [
        (&["/no/such/program"][..], "/no/such/program: install it"),
        (&["no-such-program"], "\"no-such-program\" in PATH"),
        (&[plain.to_str().unwrap()], "chmod +x"),
        (&["/"], "is a directory"),
        (&[], "no command is configured"),
    ] {
        let reports = run(command).await;
        let failure = failure(&reports);
        assert!(failure.message.contains(part), "{command:?}: {}", failure.message);
        assert_eq!((failure.code, failure.retryable), (FailureCode::InternalError, false));
    }
}

#[tokio::test]
async fn a_program_that_ends_without_a_result_is_told_how_to_give_one() {
    for script in ["true", "echo hello", "exec >&-"] {
        let reports = run(&["sh", "-c", script]).await;
        assert!(failure(&reports).message.contains("print {\"result\": ...}"), "{script}");
    }
}

#[tokio::test]
async fn a_program_that_ends_badly_is_a_failure_with_its_last_words() {
    let reports = run(&["sh", "-c", "echo '{\"result\":1}'; echo first >&2; echo oh no >&2; exit 3"]).await;
    assert_eq!(failure(&reports).message, "the program ended with status 3");
    assert_eq!(details(&reports), serde_json::json!({"exit_status": 3, "stderr_tail": "first\noh no"}));
    let reports = run(&["sh", "-c", "kill -9 $$"]).await;
    assert_eq!(failure(&reports).message, "the program was ended by SIGKILL");
    assert_eq!(details(&reports)["signal"], "SIGKILL");
}

#[tokio::test]
async fn an_error_line_decides_whatever_the_status() {
    for status in [0, 1] {
        let script = format!(
            r#"echo '{{"error":{{"message":"bad n","code":"INVALID_REQUEST","details":{{"field":"n"}}}}}}'; exit {status}"#
        );
        let reports = run(&["sh", "-c", &script]).await;
        assert_eq!(lines(&reports), ["INVALID_REQUEST: bad n"]);
        assert_eq!(details(&reports), serde_json::json!({"field": "n"}));
    }
    let reports = run(&["sh", "-c", r#"echo '{"error":{"message":"m","code":"ODD","retryable":false}}'"#]).await;
    assert_eq!(details(&reports), serde_json::json!({"code": "ODD"}));
    assert_eq!((failure(&reports).code, failure(&reports).retryable), (FailureCode::InternalError, false));
}

#[tokio::test]
async fn rubbish_becomes_log_lines_and_nothing_is_lost() {
    let script = r#"
import sys
out = sys.stdout.buffer
for line in [b"plain", b"\xff\xfe", b"", b"{", b'{"a":1}', b'{"kind":"log","body":{"level":"LOUD","message":"m"}}',
             b'{"kind":"nonsense","body":{}}', b'{"result":1}', b"unfinished"]:
    out.write(line + (b"\n" if line != b"unfinished" else b""))
"#;
    let said = python(script).await;
    let (result, logs) = said.split_last().unwrap();
    assert_eq!(result, "result 1");
    let expected = [
        (r#"{"level":"info","message":"plain"}"#),
        "{\"level\":\"info\",\"message\":\"\u{fffd}\u{fffd}\"}",
        (r#"{"level":"info","message":"{"}"#),
        (r#"{"level":"info","message":"{\"a\":1}"}"#),
        "LOUD",
        "nonsense",
        (r#"{"level":"info","message":"unfinished"}"#),
    ];
    assert_eq!(logs.len(), expected.len(), "{logs:?}");
    for (log, part) in logs.iter().zip(expected) {
        assert!(log.contains(part), "{log} has no {part}");
    }
    assert!(logs[4].contains("warn") && logs[4].contains("unknown variant"), "{}", logs[4]);
}

#[tokio::test]
async fn a_line_without_end_is_cut_and_the_next_one_is_whole() {
    let said = python("print('x' * 3_000_000)\nprint('{\"result\":1}')").await;
    assert!(said[0].contains("more bytes of this line were cut]"), "{}", &said[0][said[0].len() - 100..]);
    assert!(said[0].len() < 100_000);
    assert_eq!(said[1..], ["result 1"]);
}

#[tokio::test]
async fn a_flood_is_slowed_down_and_arrives_whole() {
    const LINES: usize = 20_000;
    let script = format!("for i in range({LINES}): print(i)\nprint('{{\"result\":1}}')");
    let said = python(&script).await;
    assert_eq!(said.len(), LINES + 1);
    for (number, log) in said[..LINES].iter().enumerate() {
        assert_eq!(*log, format!("log {{\"level\":\"info\",\"message\":\"{number}\"}}"));
    }
}

#[tokio::test]
async fn events_and_the_result_are_taken_as_they_are() {
    let script = r#"
echo '{"kind":"status","body":{"phase":"one"}}'
echo '{"kind":"progress","body":{"current":1,"total":2}}'
echo '{"kind":"x-vendor.acme.heat","body":{"at":[1,2]}}'
echo note >&2
echo '{"result":{"ok":true},"summary":"fine"}'
"#;
    let mut said = sh(script).await;
    // Standard error is another pipe: its place among the others is not known.
    let note = said.iter().position(|line| line == r#"log {"level":"warn","message":"note"}"#).unwrap();
    said.remove(note);
    assert_eq!(
        said,
        [
            r#"status {"phase":"one"}"#,
            r#"progress {"current":1,"total":2}"#,
            r#"x-vendor.acme.heat {"at":[1,2]}"#,
            r#"result {"ok":true} (fine)"#,
        ]
    );
}

#[tokio::test]
async fn the_first_verdict_counts_and_the_others_are_warnings() {
    for (second, form) in [
        (r#"{"result":2}"#, "`result`"),
        (r#"{"error":"late"}"#, "`error`"),
        (r#"{"kind":"result_chunk","body":{"data":"x"}}"#, "`result_chunk`"),
    ] {
        let said = sh(&format!("echo '{{\"result\":1}}'; echo '{second}'")).await;
        assert_eq!(said[1..], ["result 1"]);
        assert!(said[0].contains("warn") && said[0].contains(form) && said[0].contains("ignored"), "{}", said[0]);
    }
}

#[tokio::test]
async fn chunks_make_a_streamed_result() {
    let reports = run(&[
        "sh",
        "-c",
        r#"echo '{"kind":"result_chunk","body":{"data":"YWI=","encoding":"base64"}}'
           echo '{"kind":"result_chunk","body":{"data":"!!","encoding":"base64"}}'
           echo '{"kind":"result_chunk","body":{"data":"c"}}'
           echo '{"result":1}'"#,
    ])
    .await;
    let chunks: Vec<serde_json::Value> = reports
        .iter()
        .filter_map(|report| {
            let Report::Event { kind: EventKind::ResultChunk, body } = report else { return None };
            Some(body.to().unwrap())
        })
        .collect();
    assert_eq!(chunks.len(), 1);
    assert_eq!((&chunks[0]["data"], &chunks[0]["more"]), (&"YWJj".into(), &false.into()));
    assert_eq!(line(reports.last().unwrap()), "streamed 3 bytes");
    assert_eq!(reports.len(), 4, "two warnings, a chunk and the end: {reports:?}");
}

#[tokio::test]
async fn the_job_is_one_line_and_the_environment_is_short() {
    let script = r#"read -r line; read -r more; printf '{"result":%s}\n' "$line"
        [ -z "$more" ] && [ "$GREETING" = hello ] && [ -z "$CARGO_MANIFEST_DIR" ] &&
        [ "$TRACEPARENT" = 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ] && [ "$TRACESTATE" = a=b ]"#;
    let reports = attach([program(&["sh", "-c", script])]).await.run("p@1", "{\n\"n\": 1}").await;
    let Some(Report::Result { output: Output::Inline(read), .. }) = reports.last() else {
        panic!("{reports:?}");
    };
    let read: serde_json::Value = read.to().unwrap();
    assert_eq!(read["job_id"], job(1).to_string());
    assert_eq!((&read["agent"], &read["input"]["n"]), (&"p@1".into(), &1.into()));
    assert_eq!(read["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(read["traceparent"], "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert_eq!(read["tracestate"], "a=b");
    assert!(read.get("deadline").is_none() && read["lease"].is_object());
}

#[tokio::test]
async fn a_program_that_does_not_read_a_large_job_still_runs() {
    let input = Json::of(&"x".repeat(500_000)).unwrap();
    let said = attach([program(&["sh", "-c", "echo '{\"result\":1}'"])]).await.run("p@1", input.get()).await;
    assert_eq!(lines(&said), ["result 1"]);
}

#[tokio::test]
async fn a_cancelled_program_is_asked_to_end_and_may_still_succeed() {
    let obedient = r#"trap 'echo "{\"result\":\"saved\"}"; exit 0' TERM; echo ready; while :; do sleep 0.01; done"#;
    let mut gateway = attach([program(&["sh", "-c", obedient])]).await;
    gateway.send(start(job(1), "p@1", "0")).await;
    assert_eq!(first_message(&mut gateway).await, "ready");
    gateway.send(cancel(job(1), 60_000)).await;
    assert_eq!(ending(&mut gateway).await, "result \"saved\"");
}

#[tokio::test]
async fn a_program_that_ignores_its_cancellation_is_killed_with_all_that_it_started() {
    let stubborn = "trap '' TERM; sleep 600 & echo $!; wait; wait; sleep 600";
    let mut gateway = attach([program(&["sh", "-c", stubborn])]).await;
    gateway.send(start(job(1), "p@1", "0")).await;
    let grandchild = first_message(&mut gateway).await;
    gateway.send(cancel(job(1), 50)).await;
    assert_eq!(ending(&mut gateway).await, "CANCELLED: the job was cancelled");
    wait_for_end_of(&grandchild).await;
}

#[tokio::test]
async fn a_killed_job_leaves_no_process() {
    let mut gateway = attach([program(&["sh", "-c", "sleep 600 & echo $!; wait"])]).await;
    gateway.send(start(job(1), "p@1", "0")).await;
    let grandchild = first_message(&mut gateway).await;
    gateway.send(ToWorker::Kill { job: job(1) }).await;
    wait_for_end_of(&grandchild).await;
}

#[tokio::test]
async fn what_a_program_leaves_running_in_its_group_ends_with_it() {
    let reports = run(&["sh", "-c", "sleep 600 & echo $!; echo '{\"result\":1}'"]).await;
    let Report::Event { body, .. } = &reports[0] else { panic!("{reports:?}") };
    let pid = body.to::<serde_json::Value>().unwrap()["message"].as_str().unwrap().to_owned();
    assert_eq!(line(&reports[1]), "result 1");
    wait_for_end_of(&pid).await;
}

#[tokio::test]
async fn a_process_that_leaves_the_group_does_not_hold_the_job_open() {
    let reports = run(&["sh", "-c", "setsid sleep 5 & echo '{\"result\":1}'"]).await;
    assert_eq!(lines(&reports), ["result 1"]);
}

/// Two questions at once, which are answered in the other order, and an event in between.
#[tokio::test]
async fn a_program_asks_and_goes_on_while_it_is_not_answered() {
    let script = r#"
import json, sys
def say(**line): print(json.dumps(line), flush=True)
sys.stdin.readline()
for n in (1, 2): say(authorize={"capability": "tool.call", "target": "t%d" % n}, id=n)
say(kind="thought", body={"text": "meanwhile"})
say(result=[json.loads(sys.stdin.readline()) for _ in (1, 2)])
"#;
    let mut gateway = attach([program_with_answers(&["python3", "-c", script], true)]).await;
    gateway.send(start(job(1), "p@1", "{}")).await;
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    while asked.len() < 2 || said.is_empty() {
        match gateway.next().await {
            FromWorker::Started { .. } => {}
            FromWorker::Ask { id, ask, .. } => asked.push((id, ask)),
            FromWorker::Report { report, .. } => said.push(line(&report)),
            refused @ FromWorker::Refused { .. } => panic!("{refused:?}"),
        }
    }
    assert_eq!(said, [r#"thought {"text": "meanwhile"}"#]);
    let target = |target: &str| Ask::Authorize { capability: Capability::ToolCall, target: target.to_owned() };
    assert_eq!(asked.iter().map(|(_, ask)| ask.clone()).collect::<Vec<_>>(), [target("t1"), target("t2")]);
    let denied = Failure::new(FailureCode::PermissionDenied, "not this one").details(&serde_json::json!({ "n": 2 }));
    for ((id, _), verdict) in asked.into_iter().zip([Ok(()), Err(denied)]).rev() {
        gateway.send(ToWorker::Answer { job: job(1), id, answer: Answer::Verdict(verdict) }).await;
    }
    assert_eq!(
        ending(&mut gateway).await,
        "result [{\"authorize\": {\"allowed\": false, \"error\": {\"code\": \"PERMISSION_DENIED\", \"message\": \
         \"not this one\", \"retryable\": false, \"details\": {\"n\": 2}}}, \"id\": 2}, \
         {\"authorize\": {\"allowed\": true}, \"id\": 1}]"
    );
}

#[tokio::test]
async fn what_cannot_be_asked_becomes_a_warning_with_the_remedy() {
    let ask = r#"{"authorize":{"capability":"tool.call","target":"t"}}"#;
    let said = sh(&format!("echo '{ask}'; echo '{{\"result\":1}}'")).await;
    assert!(said[0].contains("answers = true") && said[0].contains("tool.call"), "{said:?}");
    let script = format!("echo '{}'; echo '{{\"result\":1}}'", ask.replace("tool.call", "fs.chown"));
    let mut gateway = attach([program_with_answers(&["sh", "-c", &script], true)]).await;
    let said = lines(&gateway.run("p@1", "1").await);
    assert!(said[0].contains("must be one of fs.read"), "{said:?}");
}

/// What becomes of a delegation comes on standard input: that there is a child, and how it ended.
#[tokio::test]
async fn a_program_that_delegates_is_told_what_becomes_of_it() {
    let script = r#"
import json, sys
def say(**line): print(json.dumps(line), flush=True)
sys.stdin.readline()
for n in (1, 2): say(kind="delegate", body={"delegate_id": "d%d" % n, "agent": "reader"})
told = [json.loads(sys.stdin.readline())["delegation"] for _ in (1, 2, 3)]
say(result=sorted(told, key=lambda one: (one["delegate_id"], "result" in one)))
"#;
    let mut gateway = attach([program_with_answers(&["python3", "-c", script], true)]).await;
    gateway.send(start(job(1), "p@1", "{}")).await;
    let child = job(2);
    let refused = ChildFailure {
        code: DelegationCode::LeaseSubsetViolation,
        message: "too much".to_owned(),
        retryable: false,
        details: None,
    };
    let mut ended = None;
    loop {
        match gateway.next().await {
            FromWorker::Ask { id, ask: Ask::Delegation { delegate_id, until }, .. } => {
                let news = match (delegate_id.as_str(), until) {
                    ("d1", Until::Begun) => DelegationNews::Begun { child },
                    ("d1", Until::Ended) => {
                        DelegationNews::Ended { child, outcome: Ok(Output::Inline(Json::parse("[1.50]").unwrap())) }
                    }
                    (_, Until::Begun | Until::Ended) => DelegationNews::Refused(refused.clone()),
                };
                gateway.send(ToWorker::Answer { job: job(1), id, answer: Answer::Delegation(news) }).await;
            }
            FromWorker::Report { report: Report::Result { output: Output::Inline(json), .. }, .. } => {
                ended = Some(json)
            }
            FromWorker::Started { .. } | FromWorker::Ask { .. } | FromWorker::Report { .. } => {}
            refused @ FromWorker::Refused { .. } => panic!("{refused:?}"),
        }
        if let Some(ended) = ended {
            let expected = format!(
                r#"[{{"delegate_id": "d1", "child_job_id": "{child}"}}, {{"delegate_id": "d1", "child_job_id": "{child}", "result": [1.5]}}, {{"delegate_id": "d2", "error": {{"code": "LEASE_SUBSET_VIOLATION", "message": "too much", "retryable": false}}}}]"#
            );
            assert_eq!(ended.get(), expected);
            return;
        }
    }
}
