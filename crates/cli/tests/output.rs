//! What is written, to whom: people at a terminal, programs behind a pipe, and readers that go away.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use common::{Gateway, Running, stderr, stdout};
use serde_json::json;

/// Runs its arguments in a terminal of its own and shows what arrives there.
const IN_TERMINAL: &str = "
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
";

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

fn in_terminal(command: &Command) -> Command {
    let mut terminal = Command::new("python3");
    terminal.args(["-c", IN_TERMINAL]).arg(command.get_program()).args(command.get_args()).env_clear();
    terminal.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TERM", "xterm").stdin(Stdio::null());
    terminal
}

fn has_colours(output: &Output) -> bool {
    assert!(output.status.success(), "{} {}", stdout(output), stderr(output));
    stdout(output).contains("\u{1b}[1mecho\u{1b}[0m")
}

#[test]
fn colours_are_for_terminals_unless_somebody_says_otherwise() {
    let gateway = Gateway::start();
    let agents = |args: &[&str]| gateway.command(&[args, &["agents"]].concat());
    assert!(has_colours(&in_terminal(&agents(&[])).output().unwrap()), "a terminal");
    assert!(!has_colours(&in_terminal(&agents(&[])).env("NO_COLOR", "1").output().unwrap()), "NO_COLOR");
    assert!(has_colours(&in_terminal(&agents(&[])).env("NO_COLOR", "").output().unwrap()), "NO_COLOR that is empty");
    assert!(!has_colours(&in_terminal(&agents(&["--color", "never"])).output().unwrap()), "never");
    assert!(!has_colours(&agents(&[]).output().unwrap()), "a pipe");
    assert!(has_colours(&agents(&["--color", "always"]).env("NO_COLOR", "1").output().unwrap()), "always");
}

/// An agent's words must not reach the terminal as commands to it.
#[test]
fn what_an_agent_says_does_not_command_the_terminal() {
    let gateway = Gateway::with(AGENTS, &[]);
    let script = r#"
        printf 'log \033[2J\007 line\n'
        echo '{"kind": "status", "body": {"phase": "p\u001b[2J", "message": "m\u001b[2J"}}'
        echo '{"kind": "thought", "body": {"text": "t\u001b[2J"}}'
        echo '{"kind": "progress", "body": {"current": 1, "message": "g\u001b[2J", "units": "u\u001b[2J"}}'
        echo '{"kind": "metric", "body": {"name": "n", "value": 1, "unit": "b\u001b[2J"}}'
        echo '{"kind": "x-vendor.some.kind", "body": {"raw": "\u009b2J"}}'
        echo '{"result": {"odd": "\u009b2J"}, "summary": "s\u001b[2J"}'
    "#;
    let input = json!(script).to_string();
    let submit = gateway.command(&["submit", "script", "--follow", "--input", &input]);
    for (place, output) in [
        ("a terminal", in_terminal(&submit).env("NO_COLOR", "1").output().unwrap()),
        ("a pipe", gateway.run(&["submit", "script", "--follow", "--input", &input])),
    ] {
        let seen = stdout(&output) + &stderr(&output);
        assert!(output.status.success(), "{place}: {seen}");
        assert!(seen.contains(r"log \u{1b}[2J"), "{place}: what was said is still there to be read: {seen}");
        assert!(!seen.contains("\u{1b}[2J") && !seen.contains('\u{7}'), "{place}: {seen:?}");
        assert_eq!(seen.contains('\u{9b}'), place == "a pipe", "{place}: the result is whole for a program: {seen:?}");
    }
    let failed = gateway.run(&[
        "submit",
        "script",
        "--follow",
        "--input",
        r#""printf '{\"error\": {\"message\": \"e\\\\u001b[2J\"}}\\n'; exit 1""#,
    ]);
    assert_eq!(failed.status.code(), Some(1), "{}", stderr(&failed));
    assert!(stderr(&failed).contains(r"e\u{1b}[2J") && !stderr(&failed).contains('\u{1b}'), "{:?}", stderr(&failed));
}

#[test]
fn a_reader_that_goes_away_ends_the_watch_and_not_the_job() {
    let gateway = Gateway::start();
    // Far longer than any test waits.
    let job = gateway.submit("echo", &json!({ "echo": { "events": 10_000, "delay_ms": 100 } }));
    for form in [&["--json"][..], &[]] {
        let mut command = gateway.command(&[&["watch", &job], form].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut watch = Running::of(child);
        assert_eq!(watch.wait().code(), Some(130), "{form:?}");
    }
    let cancelled = gateway.run(&["cancel", &job]);
    assert!(cancelled.status.success(), "the job was still there: {}", stderr(&cancelled));
    assert_eq!(gateway.run(&["watch", &job]).status.code(), Some(3));
}

#[test]
fn a_result_that_cannot_be_written_is_no_success() {
    let gateway = Gateway::start();
    for args in [&["agents"][..], &["submit", "echo"], &["submit", "echo", "--follow"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = gateway.command(args).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(70), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("standard output cannot be written"), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn input_comes_from_the_command_line_a_file_or_standard_input() {
    let gateway = Gateway::start();
    let file = gateway.home.path().join("input.json");
    fs::write(&file, "[\"from a file\"]\n").unwrap();
    let at_file = format!("@{}", file.display());
    for (input, piped, expected) in [
        ("[1, 2]", "", json!([1, 2])),
        (at_file.as_str(), "", json!(["from a file"])),
        ("-", "{\"from\": \"a pipe\"}", json!({ "from": "a pipe" })),
    ] {
        let mut command = gateway.command(&["submit", "echo", "--follow", "--json", "--input", input]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(piped.as_bytes()).unwrap();
        let seen = common::json_lines(&child.wait_with_output().unwrap());
        assert_eq!(seen.last().unwrap()["payload"]["result"], expected, "{input}");
    }
}
