//! Commands that carry on through a lost connection and a restarted gateway, as real processes.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;
use std::process::{Command, Output, Stdio};

use common::proxy::Proxy;
use common::{Gateway, Running, json_lines, logs, moorline, stderr, stdout};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A command that reaches the gateway through the proxy.
fn through(proxy: &Proxy, gateway: &Gateway, args: &[&str]) -> Command {
    let key = gateway.data_dir().join("admin.token");
    moorline([&["--url", &proxy.url(), "--token-file", key.to_str().unwrap()], args].concat())
}

/// Reads the rest of what a command says.
fn rest(running: &Running) -> Vec<Value> {
    std::iter::from_fn(|| running.line()).map(|line| serde_json::from_str(&line).unwrap()).collect()
}

fn started(command: &mut Command, told: &std::path::Path) -> Running {
    Running::start(command.stderr(fs::File::create(told).unwrap()))
}

/// An agent that says numbers until there is a file, named by its input, and returns how many.
const TELLING: &str = r#"
[[agents]]
name = "tell"
version = "1.0.0"
command = ["python3", "-u", "-c", """
import json, os, sys, time
enough = json.loads(sys.stdin.readline())['input']
number = 0
while not os.path.exists(enough):
    number += 1
    print(number)
    time.sleep(0.02)
print(json.dumps({'result': number}))
"""]
"#;

#[test]
fn a_job_is_followed_through_connections_that_are_cut() {
    const CUTS: usize = 4;
    let gateway = Gateway::with(TELLING, &[]);
    let proxy = Proxy::start(&gateway.url);
    let (told, enough) = (gateway.home.path().join("told"), gateway.home.path().join("enough"));
    let input = json!(enough).to_string();
    let args = ["submit", "tell", "--follow", "--json", "--input", &input];
    let mut client = started(&mut through(&proxy, &gateway, &args), &told);
    let mut seen = Vec::new();
    let notes = |note: &str| fs::read_to_string(&told).unwrap().lines().filter(|line| *line == note).count();
    for cuts in 1..=CUTS {
        for _ in 0..5 {
            seen.push(serde_json::from_str(&client.line().unwrap()).unwrap());
        }
        assert_eq!(proxy.cut(), 1, "one connection at a time");
        common::wait_for("the session is resumed", || notes("resumed") == cuts);
    }
    fs::write(enough, "").unwrap();
    seen.extend(rest(&client));
    assert_eq!(client.wait().code(), Some(0), "{}", fs::read_to_string(&told).unwrap());
    let numbers: Vec<_> = seen.iter().map(|line| line["event_seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "nothing is missing and nothing twice");
    let last = seen.last().unwrap();
    assert_eq!((&last["type"], &last["payload"]["result"]), (&json!("job.result"), &json!(logs(&seen).len())));
    assert_eq!(notes("connection lost, reconnecting…"), CUTS);
}

#[test]
fn a_watch_goes_on_when_the_gateway_is_started_again_elsewhere() {
    let gateway = Gateway::start();
    let job = gateway.submit("echo", &json!({ "echo": { "events": 10_000, "delay_ms": 20 } }));
    let told = gateway.home.path().join("told");
    let mut watch = started(&mut gateway.command(&["watch", &job, "--json"]), &told);
    let mut seen: Vec<Value> = (0..5).map(|_| serde_json::from_str(&watch.line().unwrap()).unwrap()).collect();
    let (home, _) = gateway.end(Signal::KILL);
    // Another port: the data directory says which.
    let gateway = Gateway::over(home, "", &[]);
    gateway.run(&["cancel", &job]);
    seen.extend(rest(&watch));
    watch.wait();
    let told = fs::read_to_string(&told).unwrap();
    assert!(told.contains("connection lost, reconnecting…"), "{told}");
    let whole = json_lines(&gateway.run(&["watch", &job, "--json"]));
    let records = |lines: &[Value]| -> Vec<Value> {
        let records = lines.iter().filter(|line| line["event_seq"].is_u64());
        records.map(|line| line["payload"].clone()).collect()
    };
    assert_eq!(records(&seen), records(&whole), "what was seen is what there was, once: {told}");
}

#[test]
fn a_command_that_is_told_not_to_come_back_ends_with_its_connection() {
    let gateway = Gateway::start();
    let proxy = Proxy::start(&gateway.url);
    let job = gateway.submit("echo", &json!({ "echo": { "events": 10_000, "delay_ms": 20 } }));
    let mut watch = Running::start(&mut through(&proxy, &gateway, &["watch", &job, "--json", "--no-reconnect"]));
    watch.line_with("job.event");
    proxy.cut();
    assert_eq!(watch.wait().code(), Some(6));
    gateway.run(&["cancel", &job]);
}

#[test]
fn patience_has_an_end() {
    let gateway = Gateway::start();
    let told = gateway.home.path().join("told");
    let job = gateway.submit("echo", &json!({ "echo": { "events": 10_000, "delay_ms": 20 } }));
    let mut watch = started(&mut gateway.command(&["watch", &job, "--json", "--reconnect-for", "1s"]), &told);
    watch.line_with("job.event");
    let _home = gateway.end(Signal::KILL);
    assert_eq!(watch.wait().code(), Some(6));
    let told = fs::read_to_string(&told).unwrap();
    assert!(told.contains("moorline watch"), "the job goes on: {told}");
}

/// An agent whose result is streamed: as many bytes as its input says, as text or not.
const STREAMING: &str = r#"
[[agents]]
name = "stream"
version = "1.0.0"
command = ["python3", "-c", """
import base64, json, sys
job = json.loads(sys.stdin.readline())['input']
for n in range(job['chunks']):
    data = bytes((n + i) % 251 for i in range(job['bytes']))
    if job.get('binary'):
        body = {'data': base64.b64encode(data).decode(), 'encoding': 'base64'}
    else:
        body = {'data': ''.join(chr(97 + b % 26) for b in data)}
    print(json.dumps({'kind': 'result_chunk', 'body': body}), flush=True)
if job.get('fail'):
    sys.exit(3)
"""]
"#;

fn expected(chunks: usize, bytes: usize) -> Vec<u8> {
    (0..chunks).flat_map(|n| (0..bytes).map(move |i| u8::try_from((n + i) % 251).unwrap())).collect()
}

#[test]
fn a_result_is_fetched_later_to_a_file_or_to_standard_output() {
    let gateway = Gateway::with(STREAMING, &[]);
    let job = gateway.submit("stream", &json!({ "chunks": 40, "bytes": 5_000, "binary": true }));
    let file = gateway.home.path().join("result.bin");
    let fetched = gateway.run(&["result", &job, "--output", file.to_str().unwrap()]);
    assert_eq!(fetched.status.code(), Some(0), "{}", stderr(&fetched));
    assert!(fetched.stdout.is_empty());
    assert_eq!(fs::read(&file).unwrap(), expected(40, 5_000));
    for args in [&["result", &job][..], &["result", &job, "-o", "-"]] {
        assert_eq!(gateway.run(args).stdout, expected(40, 5_000));
    }
    let text = gateway.submit("stream", &json!({ "chunks": 2, "bytes": 3 }));
    assert_eq!(stdout(&gateway.run(&["result", &text])), "abcbcd");
    let inline = gateway.submit("echo", &json!({ "a": [1.0] }));
    assert_eq!(stdout(&gateway.run(&["result", &inline])), "{\"a\":[1.0]}\n");
}

#[test]
fn a_result_that_does_not_come_leaves_no_file() {
    let gateway = Gateway::with(STREAMING, &[]);
    let folder = gateway.home.path().join("results");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("result.bin");
    let fetch = |job: &str| -> Output { gateway.run(&["result", job, "--output", file.to_str().unwrap()]) };
    let failed = gateway.submit("stream", &json!({ "chunks": 3, "bytes": 100, "fail": true }));
    let output = fetch(&failed);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("no result"), "{}", stderr(&output));
    assert_eq!(fetch("job_nope").status.code(), Some(5));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    for (path, fragment) in
        [(folder.as_path(), "is a directory"), (std::path::Path::new("/nowhere/x"), "cannot be made")]
    {
        let output = gateway.run(&["result", &failed, "--output", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(fragment), "{}", stderr(&output));
    }
}

#[test]
fn a_result_is_whole_although_its_connection_is_cut_on_the_way() {
    let gateway = Gateway::with(STREAMING, &[]);
    let proxy = Proxy::start(&gateway.url);
    let job = gateway.submit("stream", &json!({ "chunks": 300, "bytes": 20_000, "binary": true }));
    let file = gateway.home.path().join("result.bin");
    let mut command = through(&proxy, &gateway, &["result", &job, "--output", file.to_str().unwrap()]);
    let mut fetch = Running::of(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let part = || {
        let entries = fs::read_dir(gateway.home.path()).unwrap().flatten();
        let parts = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".moorline-result-"));
        parts.map(|entry| entry.metadata().map_or(0, |file| file.len())).max().unwrap_or(0)
    };
    for size in [1, 500_000, 2_000_000] {
        common::wait_for("a part of the result", || part() >= size || file.exists());
        proxy.cut();
    }
    assert_eq!(fetch.wait().code(), Some(0));
    assert_eq!(fs::read(&file).unwrap(), expected(300, 20_000));
}
