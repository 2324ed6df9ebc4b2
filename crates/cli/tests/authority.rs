//! What a job may do, with real programs that ask, and real gateways that are killed in between.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;

use common::survival::LEAVE;
use common::{Gateway, Running, stdout};
use moorline_types::{Millis, Timestamp};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Spends its whole budget, waits for a file, and asks whether it may go on. The file is named by its input.
const SPENDER: &str = r#"
builtin_agents = []
[[agents]]
name = "spender"
version = "1"
answers = true
command = ["python3", "-uc", '''
import json, os, sys, time
def say(**line): print(json.dumps(line), flush=True)
def may(tool):
    say(authorize={"capability": "tool.call", "target": tool}, id=tool)
    answer = json.loads(sys.stdin.readline())
    assert answer["id"] == tool
    return answer["authorize"]
job = json.loads(sys.stdin.readline())
before = may("grep")
say(kind="metric", body={"name": "cost.grep", "value": 1.0, "unit": "USD"})
while not os.path.exists(job["input"]): time.sleep(0.01)
after, other = may("grep"), may("rm")
say(result=[before["allowed"], after["error"]["code"], after["error"]["details"], other["error"]["code"]])
''']
"#;

const LEASE: &str = r#"{"tool.call": ["grep"], "cost.budget": ["USD:1"]}"#;

fn begin(gateway: &Gateway, go: &std::path::Path) -> String {
    let input = json!(go).to_string();
    let output = gateway.run(&["submit", "spender", "--input", &input, "--lease", LEASE]);
    stdout(&output).trim().to_owned()
}

fn metrics(seen: &[Value], name: &str) -> Vec<Value> {
    let bodies = seen.iter().map(|line| &line["payload"]["body"]).filter(|body| body["name"] == name);
    bodies.map(|body| body["value"].clone()).collect()
}

/// A cost that is reported just before the gateway is killed is counted once, before the next question is answered:
/// whether that is asked while no gateway is there, or of the next one.
#[test]
fn a_cost_before_a_kill_is_counted_once_before_the_next_question() {
    for asks_alone in [false, true] {
        let gateway = Gateway::with(SPENDER, &["--stop-workers=false"]);
        let files = tempfile::tempdir().unwrap();
        let go = files.path().join("go");
        let job = begin(&gateway, &go);
        let watch = Running::start(&mut gateway.command(&["watch", &job, "--json"]));
        watch.line_with("cost.grep");
        let (home, _) = gateway.end(Signal::KILL);
        if asks_alone {
            fs::write(&go, "").unwrap();
        }
        let gateway = Gateway::over(home, SPENDER, &[]);
        fs::write(&go, "").unwrap();
        let seen = common::json_lines(&gateway.run(&["watch", &job, "--json"]));
        let result = &seen.last().unwrap()["payload"]["result"];
        let details = json!({ "currency": "USD", "remaining": "0" });
        assert_eq!(*result, json!([true, "BUDGET_EXHAUSTED", details, "PERMISSION_DENIED"]), "{seen:?}");
        assert_eq!(metrics(&seen, "cost.grep"), [json!(1.0)]);
        assert_eq!(metrics(&seen, "cost.budget.remaining"), [json!(0)], "it is told once");
    }
}

/// What a job was denied is told to its administrator, with what it was and on what ground, and is kept over a kill.
#[test]
fn a_denial_is_in_the_trail_over_a_kill() {
    let gateway = Gateway::with(SPENDER, &[]);
    let files = tempfile::tempdir().unwrap();
    let go = files.path().join("go");
    fs::write(&go, "").unwrap();
    let job = begin(&gateway, &go);
    common::json_lines(&gateway.run(&["watch", &job, "--json"]));
    let trail = |gateway: &Gateway| -> Vec<Value> {
        let text = stdout(&gateway.run(&["audit", "--action", "operation", "--job", &job, "--json"]));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    common::wait_for("both denials are written", || trail(&gateway).len() == 2);
    let told = trail(&gateway);
    for (entry, words) in told.iter().zip([["tool.call", "grep", "exhausted"], ["tool.call", "rm", "not covered"]]) {
        assert_eq!(
            (&entry["decision"], &entry["object"], &entry["who"]),
            (&json!("refused"), &json!(job), &json!("admin"))
        );
        let text = entry.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    }
    let gateway = Gateway::over(gateway.end(Signal::KILL).0, SPENDER, &[]);
    assert_eq!(trail(&gateway), told);
}

/// How long the leases are of which it is tried whether a restart makes them longer.
const LEASE_SECS: u64 = 12;

/// Submits a job whose agent does nothing, with a lease of so many seconds. Answers its id and when the lease ends.
fn waiting(gateway: &Gateway, secs: u64) -> (String, Timestamp) {
    let end = now() + Millis::from_secs(secs);
    let input = json!({ "echo": { "events": 1, "delay_ms": 3_600_000 } }).to_string();
    let args = ["submit", "echo", "--input", &input, "--expires-at", &end.to_string()];
    let output = gateway.run(&args);
    assert!(output.status.success(), "{}", common::stderr(&output));
    (stdout(&output).trim().to_owned(), end)
}

#[expect(clippy::disallowed_methods, reason = "what a lease says is of the machine's clock")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_unix_millis(since.as_millis().try_into().unwrap())
}

/// When the job was told to have ended for its lease.
fn expired_at(gateway: &Gateway, job: &str) -> Timestamp {
    let seen = common::json_lines(&gateway.run(&["watch", job, "--json"]));
    let last = &seen.last().unwrap()["payload"];
    assert_eq!((&last["code"], &last["final_status"]), (&json!("LEASE_EXPIRED"), &json!("error")), "{last}");
    last["completed_at"].as_str().unwrap().parse().unwrap()
}

/// A lease goes on while no gateway is there: the next start finds it at its end, and ends the job.
#[test]
fn a_lease_that_ends_while_the_gateway_is_down_has_ended_at_the_next_start() {
    // On a machine that is busy the shorter one may end before the gateway does.
    let killed = [5, 30].into_iter().find_map(|secs| {
        let gateway = Gateway::with("", LEAVE);
        let (job, end) = waiting(&gateway, secs);
        let running = || stdout(&gateway.run(&["jobs", "--status", "running", "--json"]));
        common::wait_for("the job runs", || running().contains(&job));
        let (home, _) = gateway.end(Signal::KILL);
        (now() < end).then_some((job, end, home))
    });
    let (job, end, home) = killed.expect("a gateway that is killed within half a minute");
    common::wait_for("the lease ends", || now() > end + Millis::from_secs(1));
    let started = now();
    let gateway = Gateway::over(home, "", &[]);
    let ended = expired_at(&gateway, &job);
    assert!(ended >= started && ended > end, "{ended} after {started}");
    let found = stdout(&gateway.run(&["audit", "--action", "lease_expiry", "--job", &job, "--json"]));
    assert_eq!(found.lines().count(), 1, "{found}");
}

/// However often the gateway is started anew, a lease has the end that it was given.
#[test]
fn no_restart_gives_a_lease_more_time() {
    let mut gateway = Gateway::with("", LEAVE);
    let (job, end) = waiting(&gateway, LEASE_SECS);
    let mut started = now();
    for part in 1..=2 {
        common::wait_for("some of the lease is over", || {
            now() + Millis::from_secs(LEASE_SECS) > end + Millis::from_secs(4 * part)
        });
        let (home, _) = gateway.end(Signal::KILL);
        started = now();
        gateway = Gateway::over(home, "", LEAVE);
    }
    let ended = expired_at(&gateway, &job);
    assert!(ended > end, "not before its end: {ended}");
    assert!(ended < started + Millis::from_secs(LEASE_SECS), "{ended}, as if it began at the start at {started}");
    drop(Gateway::over(gateway.end(Signal::TERM).0, "", &["--stop-workers"]));
}
