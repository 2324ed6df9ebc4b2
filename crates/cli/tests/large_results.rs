//! A streamed result passes through every process in memory that does not grow with it.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;
use std::process::Stdio;

use common::{Gateway, Running, peak, wait_for};
use serde_json::json;

/// The result's size. Large enough that a process which held it would be told from one that does not; small enough for
/// a debug build.
const RESULT: u64 = 64 * MIB;

const MIB: u64 = 1024 * 1024;

/// What the gateway may need: 26 MiB when it is idle, 32 MiB for the tail of the journal, and what is under way, which was
/// 28 MiB at most. In base64, the result has 85 MiB, so whoever held it would have that beside what it has when idle.
const GATEWAY: u64 = 130 * MIB;

/// What a worker may need: 17 MiB when it is idle, and a window of reports in several forms, 20 MiB as a rule.
const WORKER: u64 = 72 * MIB;

/// What the client may need: 18 MiB when it is idle, and what waits for the disk, 27 MiB as a rule.
const CLIENT: u64 = 72 * MIB;

const AGENT: &str = r#"
[[agents]]
name = "stream"
version = "1.0.0"
command = ["python3", "-c", """
import base64, json, sys
size = json.loads(sys.stdin.readline())['input']
data = base64.b64encode(bytes(range(256)) * 1024).decode()
line = json.dumps({'kind': 'result_chunk', 'body': {'data': data, 'encoding': 'base64'}})
for _ in range(size // (256 * 1024)):
    sys.stdout.write(line + chr(10))
sys.stdout.flush()
"""]
"#;

#[test]
fn a_large_result_is_held_by_no_process() {
    let gateway = Gateway::with(AGENT, &["--builtin-agents", "none"]);
    let file = gateway.home.path().join("result.bin");
    let job = gateway.submit("stream", &json!(RESULT));
    let mut command = gateway.command(&["result", &job, "--output", file.to_str().unwrap()]);
    let mut client = Running::of(command.stdout(Stdio::null()).spawn().unwrap());
    let mut client_peak = 0;
    wait_for("the result is there", || {
        client_peak = peak(client.child.id()).unwrap_or(0).max(client_peak);
        file.exists()
    });
    assert!(client.wait().success());
    let content = fs::read(&file).unwrap();
    assert_eq!(content.len() as u64, RESULT);
    assert!(content.chunks(256).all(|part| part.iter().copied().eq(0..=255)), "every byte is where it was");

    let home = gateway.home.path().to_str().unwrap();
    let workers: Vec<u64> =
        common::processes_with(home).into_iter().filter(|pid| is_worker(*pid)).filter_map(peak).collect();
    assert_eq!(workers.len(), 1);
    let gateway_peak = peak(gateway.process.child.id()).unwrap();
    let told = format!("client {}, worker {}, gateway {} MiB", client_peak / MIB, workers[0] / MIB, gateway_peak / MIB);
    assert!(client_peak < CLIENT && workers[0] < WORKER && gateway_peak < GATEWAY, "{told}");
}

fn is_worker(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains("moorline\0worker")
}
