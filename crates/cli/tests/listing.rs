//! Lists of jobs and repeated submissions from the command line, through real processes and a killed gateway.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::{Gateway, json_lines, stderr, stdout, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

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

/// The jobs of a list, as JSON.
fn jobs(gateway: &Gateway, args: &[&str]) -> Vec<Value> {
    let output = gateway.run(&[&["jobs", "--json"], args].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    if stdout(&output).is_empty() { Vec::new() } else { json_lines(&output) }
}

fn ids(jobs: &[Value]) -> Vec<&str> {
    jobs.iter().map(|job| job["job_id"].as_str().unwrap()).collect()
}

#[test]
fn jobs_are_listed_for_people_and_for_programs() {
    let gateway = Gateway::with(AGENTS, &["--jobs-cancel-grace", "1s"]);
    let empty = gateway.run(&["jobs"]);
    assert_eq!((stdout(&empty).as_str(), stderr(&empty).trim()), ("", "no jobs"));
    let mut submitted = Vec::new();
    for (script, exit) in [("echo '{\"result\": 1}'", 0), ("exit 3", 1)] {
        let (seen, code) = gateway.follow("script", &json!(script));
        assert_eq!(code, exit, "{seen:?}");
        submitted.push(seen.last().unwrap()["job_id"].as_str().unwrap().to_owned());
    }
    let (seen, _) = gateway.follow("echo", &json!("hello"));
    submitted.push(seen.last().unwrap()["job_id"].as_str().unwrap().to_owned());
    let sleeping = gateway.submit("script", &json!("sleep 600"));
    submitted.push(sleeping.clone());

    let all = jobs(&gateway, &[]);
    assert_eq!(ids(&all), submitted, "oldest first");
    assert_eq!(all[0]["agent"], "script@1.0.0");
    assert_eq!(all[1]["status"], "error");
    for (args, expected) in [
        (&["--status", "success"][..], &[0, 2][..]),
        (&["--status", "error,success"], &[0, 1, 2]),
        (&["--status", "pending", "--status", "running"], &[3]),
        (&["--agent", "echo"], &[2]),
        (&["--agent", "script@1.0.0", "--limit", "1"], &[0]),
        (&["--after", "2020-01-01T00:00:00Z", "--all"], &[0, 1, 2, 3]),
        (&["--before", "2020-01-01T00:00:00Z"], &[]),
    ] {
        let listed = jobs(&gateway, args);
        assert_eq!(ids(&listed), expected.iter().map(|n| submitted[*n].as_str()).collect::<Vec<_>>(), "{args:?}");
    }

    let table = gateway.run(&["jobs", "--limit", "3"]);
    let text = stdout(&table);
    let words: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words.len(), 4, "{text}");
    assert_eq!(words[0][..3], ["status", "job", "agent"], "{text}");
    assert_eq!(words[2][..3], ["error", &submitted[1], "script@1.0.0"], "{text}");
    assert!(stderr(&table).contains("--all"), "{}", stderr(&table));
    assert!(!text.contains('\u{1b}'), "no colours into a pipe");
    let painted = stdout(&gateway.run(&["--color", "always", "jobs", "--agent", "script", "--status", "error"]));
    assert!(painted.contains("\u{1b}[31merror\u{1b}[0m"), "{painted:?}");

    let observable = jobs(&gateway, &["--observable", "--limit", "1"]);
    assert_eq!(observable[0]["x-vendor.moorline.owner"], "admin", "{observable:?}");
    let table = stdout(&gateway.run(&["jobs", "--observable", "--limit", "1"]));
    assert_eq!(table.lines().next().unwrap().split_whitespace().last(), Some("owner"), "{table}");
    assert!(table.lines().nth(1).unwrap().ends_with(" admin"), "{table}");

    let cancelled = gateway.run(&["cancel", &sleeping]);
    assert!(cancelled.status.success(), "{}", stderr(&cancelled));
    assert_eq!(gateway.run(&["watch", &sleeping]).status.code(), Some(3));
    assert_eq!(ids(&jobs(&gateway, &["--status", "cancelled"])), [sleeping]);
}

#[test]
fn what_cannot_be_listed_is_told_with_a_remedy() {
    let gateway = Gateway::start();
    for (args, exit, fragment) in [
        (&["jobs", "--status", "sleeping"][..], 2, "timed_out"),
        (&["jobs", "--agent", "Echo!"], 2, "names no agent"),
        (&["jobs", "--after", "yesterday"], 2, "RFC 3339"),
        (&["jobs", "--limit", "0"], 2, "1..="),
        (&["jobs", "--limit", "5", "--all"], 2, "--all"),
        (&["submit", "echo", "--idempotency-key", ""], 2, "--idempotency-key"),
    ] {
        let output = gateway.run(args);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(exit), ""), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(fragment), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn lists_and_keys_survive_a_killed_gateway() {
    let gateway = Gateway::with(AGENTS, &[]);
    let submit = |gateway: &Gateway, key: &str, script: &str| {
        let input = json!(script).to_string();
        gateway.run(&["submit", "script", "--input", &input, "--idempotency-key", key, "--follow", "--json"])
    };
    let script = "echo '{\"event\": \"log\", \"level\": \"info\", \"message\": \"once\"}'; echo '{\"result\": 1}'";
    let first = json_lines(&submit(&gateway, "nightly", script));
    let job = first.last().unwrap()["job_id"].as_str().unwrap().to_owned();
    let (home, _) = gateway.end(Signal::KILL);

    let gateway = Gateway::over(home, AGENTS, &[]);
    let again = submit(&gateway, "nightly", script);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    let again = json_lines(&again);
    let payloads = |seen: &[Value]| seen.iter().map(|line| line["payload"].clone()).collect::<Vec<_>>();
    assert_eq!(payloads(&again), payloads(&first), "the same job, from its first event to its end");
    assert_eq!(again.last().unwrap()["job_id"], job);
    let other = submit(&gateway, "nightly", "echo '{\"result\": 2}'");
    assert_eq!(other.status.code(), Some(5));
    assert!(
        stderr(&other).contains("DUPLICATE_KEY") || stderr(&other).contains("other parameters"),
        "{}",
        stderr(&other)
    );
    assert_eq!(ids(&jobs(&gateway, &[])), [job]);
}

#[test]
fn a_key_finds_its_job_that_went_on_while_no_gateway_was_there() {
    let gateway = Gateway::with(AGENTS, &[]);
    let go = gateway.home.path().join("go");
    let wait = format!("while [ ! -e '{}' ]; do sleep 0.05; done; echo '{{\"result\": 7}}'", go.display());
    let input = json!(wait).to_string();
    let args = ["submit", "script", "--input", &input, "--idempotency-key", "once"];
    let job = stdout(&gateway.run(&args)).trim().to_owned();
    wait_for("the job to run", || ids(&jobs(&gateway, &["--status", "running"])) == [job.as_str()]);
    let (home, _) = gateway.end(Signal::KILL);

    let gateway = Gateway::over(home, AGENTS, &[]);
    assert_eq!(ids(&jobs(&gateway, &["--status", "running"])), [job.as_str()], "{}", gateway.log());
    assert_eq!(stdout(&gateway.run(&args)).trim(), job);
    std::fs::write(&go, "").unwrap();
    let followed = gateway.run(&[&args[..], &["--follow", "--json"]].concat());
    assert_eq!(followed.status.code(), Some(0), "{}", stderr(&followed));
    let last = json_lines(&followed).pop().unwrap();
    assert_eq!((&last["job_id"], &last["payload"]["result"]), (&json!(job), &json!(7)));
    assert_eq!(ids(&jobs(&gateway, &["--status", "success"])), [job], "one job in all");
    assert_eq!(jobs(&gateway, &[]).len(), 1);
}
