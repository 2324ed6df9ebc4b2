//! Removing what is over from the command line, through real processes.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;

use common::proxy::Proxy;
use common::{Gateway, Running, json_lines, moorline, stderr, stdout, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

/// The one object that `gc --json` prints.
fn gc(gateway: &Gateway, args: &[&str]) -> Value {
    let output = gateway.run(&[&["gc", "--json"], args].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    json_lines(&output).remove(0)
}

/// Runs a job to its end, and waits until it is known to be over.
fn run(gateway: &Gateway, n: usize) -> String {
    let (seen, code) = gateway.follow("echo", &json!({ "number": n }));
    assert_eq!(code, 0, "{seen:?}");
    seen.last().unwrap()["job_id"].as_str().unwrap().to_owned()
}

fn wait_until_over(gateway: &Gateway, jobs: u64) {
    wait_for("the jobs are over", || gc(gateway, &["--dry-run", "--older-than", "0s"])["jobs"] == json!(jobs));
}

#[test]
fn what_makes_no_sense_is_told_with_a_remedy() {
    for (args, fragment) in [
        (&["gc", "--older-than", "7"][..], "7d"),
        (&["gc", "--older-than", "soon"], "7d"),
        (&["gc", "--max-bytes", "2GB"], "GiB"),
        (&["gc", "--dryrun"], "--dry-run"),
    ] {
        let output = moorline(args).output().unwrap();
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{args:?}");
        assert!(stderr(&output).contains(fragment), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn a_dry_run_changes_nothing_and_what_is_removed_is_gone() {
    let gateway = Gateway::start();
    assert_eq!(gc(&gateway, &["--older-than", "0s"])["jobs"], 0);
    let jobs: Vec<_> = (0..3).map(|n| run(&gateway, n)).collect();
    wait_until_over(&gateway, 3);
    let table = stdout(&gateway.run(&["gc", "--dry-run", "--older-than", "0s"]));
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((&rows[0][..], &rows[1][..]), (&["would", "go"][..], &["jobs", "3"][..]), "{table}");
    assert!(table.contains("afterwards") && table.contains("at most"), "{table}");
    assert_eq!(gc(&gateway, &[])["jobs"], 0, "by default what the configuration does not keep");
    assert_eq!(gc(&gateway, &["--older-than", "1h"])["jobs"], 0);
    for job in &jobs {
        assert_eq!(gateway.run(&["watch", job]).status.code(), Some(0));
    }

    let gone = stdout(&gateway.run(&["gc", "--older-than", "0s"]));
    assert!(gone.lines().next().unwrap().contains("gone") && gone.contains("journal now"), "{gone}");
    for job in &jobs {
        let watch = gateway.run(&["watch", job]);
        assert_eq!(watch.status.code(), Some(5));
        assert!(stderr(&watch).contains("JOB_NOT_FOUND"), "{}", stderr(&watch));
    }
    assert_eq!(stdout(&gateway.run(&["jobs"])), "");
    assert_eq!(gc(&gateway, &["--older-than", "0s"])["jobs"], 0);
}

/// A client that is away while its job ends and is removed comes back: it is told exactly what is gone, and does not
/// wait for an end that does not come.
fn come_back_for_what_was_removed(killed: bool) {
    const EVENTS: u64 = 150;
    let gateway = Gateway::start();
    let proxy = Proxy::start(&gateway.url);
    let told = gateway.home.path().join("told");
    let key = gateway.data_dir().join("admin.token");
    let input = json!({ "echo": { "events": EVENTS, "delay_ms": 50 } }).to_string();
    let args = ["--token-file", key.to_str().unwrap(), "submit", "echo", "--follow", "--json", "--input", &input];
    let mut command = moorline([&["--url", &proxy.url()], &args[..]].concat());
    let mut client = Running::start(command.stderr(fs::File::create(&told).unwrap()));
    let mut seen: Vec<Value> = (0..5).map(|_| serde_json::from_str(&client.line().unwrap()).unwrap()).collect();
    // It stands still, and its connection is gone when it goes on.
    client.signal(Signal::STOP);
    proxy.cut();
    let job = seen[1]["job_id"].as_str().unwrap().to_owned();
    assert_eq!(gateway.run(&["watch", &job]).status.code(), Some(0));
    wait_for("the job is removed", || gc(&gateway, &["--older-than", "0s"])["jobs"] == json!(1));
    let _gateway = if killed {
        // Elsewhere, and the network knows where: somebody else may have the port that was its own by now.
        let gateway = Gateway::over(gateway.end(Signal::KILL).0, "", &[]);
        proxy.aim_at(&gateway.url);
        gateway
    } else {
        gateway
    };
    client.signal(Signal::CONT);
    seen.extend(std::iter::from_fn(|| client.line()).map(|line| serde_json::from_str(&line).unwrap()));
    let told = fs::read_to_string(&told).unwrap();
    assert_eq!(client.wait().code(), Some(5), "the job is not there any more: {told}");
    let numbers: Vec<_> = seen.iter().filter_map(|line| line["event_seq"].as_u64()).collect();
    let last = numbers.len() as u64;
    assert_eq!(numbers, (1..=last).collect::<Vec<_>>(), "{told}");
    let gap = seen.iter().find(|line| line["type"] == "x-vendor.moorline.gap").unwrap_or_else(|| panic!("{told}"));
    let payload = &gap["payload"];
    assert_eq!((&payload["from"], &payload["to"]), (&json!(last + 1), &json!(EVENTS + 1)), "killed: {killed}");
    assert!(payload["told"].as_str().unwrap().contains("the operator removed events"), "{payload}");
    assert!(told.contains("JOB_NOT_FOUND") || told.contains("is known to this principal"), "{told}");
}

#[test]
fn whoever_comes_back_for_what_was_removed_is_told_exactly_what_is_gone() {
    come_back_for_what_was_removed(false);
}

#[test]
fn so_is_whoever_comes_back_to_a_gateway_that_was_killed_after_the_removal() {
    come_back_for_what_was_removed(true);
}
