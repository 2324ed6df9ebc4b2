//! Jobs that delegate to each other: real gateways, real workers, and kills between a delegation and what becomes of it.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use common::survival::{LEAVE, assert_whole, chances, echo, echoed, pass, read};
use common::{Gateway, Running, json_lines, stderr, stdout};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A job that may delegate to `echo`, with this input.
fn submit(gateway: &Gateway, input: &Value) -> String {
    let lease = json!({ "agent.delegate": ["echo"] }).to_string();
    let output = gateway.run(&["submit", "echo", "--input", &input.to_string(), "--lease", &lease]);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).trim().to_owned()
}

fn delegating(parts: &[Value]) -> Value {
    json!({ "echo": { "delegate": parts } })
}

fn bodies<'a>(seen: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    seen.iter().filter(move |line| line["payload"]["kind"] == kind).map(|line| &line["payload"]["body"])
}

#[test]
fn a_tree_of_jobs_is_watched_and_listed_as_one() {
    let gateway = Gateway::start();
    let leaf = json!({ "agent": "echo", "input": echo(3, 0) });
    let lease = json!({ "agent.delegate": ["echo"] });
    let middle = json!({ "agent": "echo", "input": delegating(&[leaf]), "lease": lease });
    let refused = json!({ "agent": "census" });
    let root = submit(&gateway, &delegating(&[middle, refused]));
    let seen = json_lines(&gateway.run(&["watch", &root, "--tree", "--json"]));
    let jobs: BTreeSet<_> = seen.iter().map(|line| line["job_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(jobs.len(), 3, "{seen:#?}");
    assert_eq!(seen.iter().filter(|line| line["type"] == "job.result").count(), 3);
    let of_root = read(&gateway, &root);
    let refusal = bodies(&of_root, "tool_result").find(|body| !body["error"].is_null()).unwrap();
    assert_eq!(refusal["error"]["code"], "PERMISSION_DENIED");
    assert_eq!(refusal["error"]["details"], json!({ "namespace": "agent.delegate", "target": "census" }));
    let result = &of_root.last().unwrap()["payload"]["result"];
    assert!(result[1]["error"].as_str().unwrap().contains("PERMISSION_DENIED"), "{result}");

    let listed = json_lines(&gateway.run(&["jobs", "--json"]));
    let child = bodies(&of_root, "delegate").next().unwrap()["child_job_id"].clone();
    let entry = listed.iter().find(|job| job["job_id"] == child).unwrap();
    assert_eq!(entry["parent_job_id"], json!(root));
    assert!(stdout(&gateway.run(&["jobs"])).contains("parent"));
    let shown = stdout(&gateway.run(&["watch", &root, "--tree"]));
    assert!(shown.contains(&root[root.len() - 6..]), "{shown}");
}

/// Whenever the gateway dies, each delegation has one child, and each child's end is told once.
#[test]
fn a_delegation_is_one_child_whenever_the_gateway_is_killed() {
    const CHILDREN: usize = 12;
    let mut rng = chances(None);
    let mut gateway = Gateway::with("", LEAVE);
    let part = json!({ "agent": "echo", "input": echo(60, 20) });
    let parents: Vec<_> = (0..4).map(|_| submit(&gateway, &delegating(&vec![part.clone(); CHILDREN]))).collect();
    for round in 0..5 {
        // The first kill comes while delegations are on their way, those after it while children run and end.
        pass(rng.u64(0..if round == 0 { 60 } else { 500 }));
        gateway = Gateway::over(gateway.end(Signal::KILL).0, "", LEAVE);
    }
    for parent in &parents {
        let seen = read(&gateway, parent);
        assert_eq!(seen.last().unwrap()["type"], "job.result", "{:?}", seen.last());
        let children: Vec<_> =
            bodies(&seen, "delegate").map(|body| body["child_job_id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(children.iter().collect::<BTreeSet<_>>().len(), CHILDREN);
        assert_eq!(children.len(), CHILDREN);
        let ended: Vec<_> = bodies(&seen, "tool_result").map(|body| body["result"]["child_job_id"].clone()).collect();
        assert_eq!(ended.len(), CHILDREN, "{ended:?}");
        for child in &children {
            assert!(ended.contains(&json!(child)));
            assert_whole(&read(&gateway, child), 60, echoed(60));
        }
        let told = seen.last().unwrap()["payload"]["result"].as_array().unwrap();
        assert!(told.iter().all(|told| told["result"] == echo(60, 20)), "{told:?}");
    }
    let listed = json_lines(&gateway.run(&["jobs", "--all", "--json"]));
    assert_eq!(listed.len(), parents.len() * (CHILDREN + 1), "and no other job began");
    drop(Gateway::over(gateway.end(Signal::TERM).0, "", &["--stop-workers"]));
}

/// Cancelling the first ends the whole tree, also if the gateway is killed in between.
#[test]
fn a_cancelled_tree_ends_whole_over_a_kill() {
    let gateway = Gateway::with("", LEAVE);
    let leaf = json!({ "agent": "echo", "input": echo(100_000, 20) });
    let lease = json!({ "agent.delegate": ["echo"] });
    let middle = json!({ "agent": "echo", "input": delegating(&[leaf.clone(), leaf]), "lease": lease });
    let root = submit(&gateway, &delegating(&[middle]));
    common::wait_for("all of them run", || {
        let listed = stdout(&gateway.run(&["jobs", "--status", "running", "--json"]));
        listed.lines().count() == 4
    });
    let cancelled = gateway.run(&["cancel", &root]);
    assert!(cancelled.status.success(), "{}", stderr(&cancelled));
    let gateway = Gateway::over(gateway.end(Signal::KILL).0, "", &[]);
    assert_eq!(read(&gateway, &root).last().unwrap()["payload"]["final_status"], "cancelled");
    let listed = json_lines(&gateway.run(&["jobs", "--all", "--json"]));
    let statuses: Vec<_> = listed.iter().map(|job| job["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["cancelled"; 4]);
}

/// Whoever watches a tree sees it whole, also what is delegated while no gateway is there to tell of it.
#[test]
fn a_tree_is_watched_through_a_kill_without_a_hole() {
    let mut rng = chances(None);
    let mut gateway = Gateway::with("", LEAVE);
    let leaf = json!({ "agent": "echo", "input": echo(40, 20) });
    let lease = json!({ "agent.delegate": ["echo"] });
    let middle = json!({ "agent": "echo", "input": delegating(&[leaf.clone(), leaf.clone()]), "lease": lease });
    let root = submit(&gateway, &delegating(&[middle, leaf]));
    let watch = ["watch", &root, "--tree", "--json"];
    let told = gateway.home.path().join("told");
    let mut watching = Running::start(gateway.command(&watch).stderr(fs::File::create(&told).unwrap()));
    let mut seen: Vec<String> = (0..3).map(|_| watching.line().unwrap()).collect();
    for _ in 0..2 {
        pass(rng.u64(0..400));
        gateway = Gateway::over(gateway.end(Signal::KILL).0, "", LEAVE);
    }
    seen.extend(std::iter::from_fn(|| watching.line()));
    let told = fs::read_to_string(&told).unwrap();
    assert_eq!(watching.wait().code(), Some(0), "{told}");
    assert!(told.contains("reconnecting"), "{told}");
    let seen: Vec<Value> = seen.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |lines: &[Value], job: &Value| -> Vec<Value> {
        let records = lines.iter().filter(|line| line["job_id"] == *job && line["event_seq"].is_u64());
        records.map(|line| line["payload"].clone()).collect()
    };
    let jobs: BTreeSet<_> = seen.iter().filter_map(|line| line["job_id"].as_str()).collect();
    assert_eq!(jobs.len(), 5, "{jobs:?}");
    for job in jobs {
        let whole = of(&read(&gateway, job), &json!(job));
        assert_eq!(of(&seen, &json!(job)), whole, "{job} is seen as it was, once: {told}");
    }
}

/// A submission below a job is repeated with its key until it is answered, whenever the gateway dies: there is one child
/// for each key, and none is answered with another's.
#[test]
fn a_submission_below_a_job_is_one_child_whenever_the_gateway_is_killed() {
    let mut rng = chances(None);
    let mut gateway = Gateway::with("", LEAVE);
    let parent = submit(&gateway, &echo(1, 3_600_000));
    let (mut answers, mut children) = (Vec::new(), BTreeSet::new());
    for round in 0..6 {
        let (key, input) = (format!("k{round}"), round.to_string());
        let args = ["submit", "echo", "--parent", &parent, "--idempotency-key", &key, "--input", &input];
        let mut first = Running::start(gateway.command(&args).arg("--no-reconnect").stderr(Stdio::null()));
        pass(rng.u64(0..250));
        gateway = Gateway::over(gateway.end(Signal::KILL).0, "", LEAVE);
        answers.extend(first.line().map(|child| (round, child)));
        first.wait();
        let again = gateway.run(&args);
        assert!(again.status.success(), "{key}: {}", stderr(&again));
        let child = stdout(&again).trim().to_owned();
        assert_eq!(read(&gateway, &child).last().unwrap()["payload"]["result"], json!(round), "{key}");
        let told = answers.last().filter(|(of, _)| *of == round);
        assert!(told.is_none_or(|(_, told)| *told == child), "{key}: {told:?} and {child}");
        assert!(children.insert(child), "{key}");
    }
    let named = ["submit", "echo", "--parent", &parent, "--delegate-id", "named"];
    assert!(gateway.run(&named).status.success());
    let refused = gateway.run(&named);
    assert!(!refused.status.success() && stderr(&refused).contains("of its own"), "{}", stderr(&refused));
    let listed = json_lines(&gateway.run(&["jobs", "--all", "--json"]));
    let below = listed.iter().filter(|job| job["parent_job_id"] == json!(parent)).count();
    assert_eq!((below, listed.len()), (children.len() + 1, children.len() + 2), "and no other job began");
    assert!(gateway.run(&["cancel", &parent]).status.success());
    let of_parent = read(&gateway, &parent);
    assert_eq!(bodies(&of_parent, "delegate").count(), below, "its own stream tells of each once");
    drop(Gateway::over(gateway.end(Signal::TERM).0, "", &["--stop-workers"]));
}
