//! Jobs that outlive their gateway: agents to try it with, and what must be true afterwards.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Gateway, Running, json_lines, logs, wait_for};

/// Leaves workers to the next start, as is the default. They end a minute after the test if it is killed.
pub(crate) const LEAVE: &[&str] = &["--stop-workers=false"];

/// A program that says a number every so often. Its input is how many.
pub(crate) const COUNTING: &str = r#"
[[agents]]
name = "count"
version = "1.0.0"
capacity = 64
command = ["python3", "-u", "-c", """
import json, sys, time
number = json.loads(sys.stdin.readline())['input']
for n in range(1, number + 1):
    time.sleep(0.02)
    print(n)
print(json.dumps({'result': number}))
"""]
"#;

/// The workers of a gateway with [`COUNTING`]: of that agent, and of the two that are built in.
pub(crate) const WITH_COUNTING: usize = 3;

/// What became of a job, read to its end.
pub(crate) fn read(gateway: &Gateway, job: &str) -> Vec<Value> {
    json_lines(&gateway.run(&["watch", job, "--json"]))
}

/// Somebody who watches the job until it ends or the gateway does.
pub(crate) fn watching(gateway: &Gateway, job: &str) -> Running {
    Running::start(gateway.command(&["watch", job, "--json"]).stderr(Stdio::null()))
}

/// The job ended well, after `count` events of which `text` says what each is.
pub(crate) fn assert_whole(seen: &[Value], count: u64, text: impl Fn(u64) -> String) {
    assert_eq!(assert_in_order(seen, text), count, "{:?}", seen.last());
    assert_eq!(seen.last().unwrap()["type"], "job.result");
}

/// The job ended once, and its first events were seen, in order and once. Answers how many.
pub(crate) fn assert_in_order(seen: &[Value], text: impl Fn(u64) -> String) -> u64 {
    let said: Vec<String> = logs(seen).into_iter().map(|(_, message)| message).collect();
    let count = said.len() as u64;
    assert_eq!(said, (1..=count).map(text).collect::<Vec<_>>());
    let numbers: Vec<_> = seen.iter().map(|line| line["event_seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (numbers[0]..).take(numbers.len()).collect::<Vec<_>>(), "without a hole");
    let is_ending = |line: &Value| line["type"] == "job.result" || line["type"] == "job.error";
    let endings: Vec<_> = seen.iter().map(is_ending).collect();
    assert_eq!(endings.iter().position(|ends| *ends), Some(seen.len() - 1), "one ending, at the end");
    count
}

pub(crate) fn echo(events: u64, delay_ms: u64) -> Value {
    json!({ "echo": { "events": events, "delay_ms": delay_ms } })
}

pub(crate) fn echoed(events: u64) -> impl Fn(u64) -> String {
    move |n| format!("event {n} of {events}")
}

/// The worker processes of this gateway.
pub(crate) fn workers(gateway: &Gateway) -> BTreeSet<u32> {
    super::workers_of(&gateway.data_dir())
}

/// The worker processes of this gateway, once there are so many.
pub(crate) fn all_workers(gateway: &Gateway, number: usize) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    wait_for(&format!("{number} workers run"), || {
        found = workers(gateway);
        found.len() == number
    });
    found
}

/// Lets the agents work for a moment.
pub(crate) fn pass(millis: u64) {
    // not a wait: the moment of a kill is what is tested
    std::thread::sleep(Duration::from_millis(millis));
}

/// What decides about chances: a seed, drawn if none is given, that is shown when the test fails.
#[expect(clippy::print_stdout, reason = "the seed of a test that fails")]
pub(crate) fn chances(seed: Option<u64>) -> Rng {
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    Rng::with_seed(seed)
}

pub(crate) fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}
