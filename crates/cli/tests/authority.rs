//! What a job may do, with real programs that ask, and real gateways that are killed in between.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;

use common::{Gateway, Running, stdout};
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
