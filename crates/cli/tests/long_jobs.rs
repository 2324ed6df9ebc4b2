//! A job with more events than anybody holds in memory.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::{Gateway, Running, peak};
use serde_json::{Value, json};

const EVENTS: u64 = 100_000;

const MIB: u64 = 1024 * 1024;

/// What the gateway may need: 26 MiB when it is idle, 32 MiB for the tail of the journal, and what is under way. The
/// journal has the events in some 25 MiB, and each of several copies in memory would show.
const GATEWAY: u64 = 100 * MIB;

/// What the client may need: 18 MiB when it is idle, and what waits for its reader.
const CLIENT: u64 = 44 * MIB;

/// The command acknowledges what it has printed; when it is behind it is told, by events that are numbered as well.
#[test]
fn a_hundred_thousand_events_are_acknowledged_and_held_by_nobody() {
    let gateway = Gateway::start();
    let input = json!({ "echo": { "events": EVENTS } }).to_string();
    let mut client = Running::start(&mut gateway.command(&["submit", "echo", "--input", &input, "--follow", "--json"]));
    let (mut next, mut logged, mut client_peak) = (1, 0, 0);
    let end = loop {
        let line: Value = serde_json::from_str(&client.line().expect("the job goes on")).unwrap();
        if line["type"] == "job.result" {
            break line;
        }
        if line["type"] == "job.event" {
            assert_eq!(line["event_seq"], next);
            next += 1;
            logged += u64::from(line["payload"]["kind"] == "log");
        }
        if next % 1_000 == 0 {
            client_peak = peak(client.child.id()).unwrap_or(0).max(client_peak);
        }
    };
    assert_eq!((&end["event_seq"], logged), (&json!(next), EVENTS));
    assert!(client.wait().success());
    let gateway_peak = peak(gateway.process.child.id()).unwrap();
    let told = format!("client {}, gateway {} MiB", client_peak / MIB, gateway_peak / MIB);
    assert!(client_peak < CLIENT && gateway_peak < GATEWAY, "{told}");
}
