//! `moorline audit` against a real gateway.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::{Gateway, Running, json_lines, moorline, stderr, stdout, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

#[test]
fn the_trail_is_read_filtered_followed_and_kept_over_a_kill() {
    let gateway = Gateway::start();
    let job = gateway.submit("echo", &json!({ "echo": { "events": 1 } }));
    let follow = ["audit", "--follow", "--action", "submit", "--json"];
    let follower = Running::start(&mut gateway.command(&follow));
    let entry: Value = serde_json::from_str(&follower.line().unwrap()).unwrap();
    assert_eq!(
        (&entry["object"], &entry["who"], &entry["decision"]),
        (&json!(job), &json!("admin"), &json!("allowed"))
    );
    assert_eq!(entry["from"], "127.0.0.1");
    let next = gateway.submit("echo", &json!({ "echo": { "events": 1 } }));
    assert!(follower.line().unwrap().contains(&next));
    drop(follower);

    let stranger = moorline(["--url", &gateway.url, "--token", "mlk_not-a-key", "agents"]).output().unwrap();
    assert!(!stranger.status.success());
    let refused = || gateway.run(&["audit", "--since", "1h", "--decision", "refused"]);
    wait_for("the refusal is written", || stdout(&refused()).contains("refused authenticate"));
    assert!(!stdout(&refused()).contains("not-a-key"));
    assert!(stderr(&gateway.run(&["audit", "--principal", "nobody"])).contains("no entries"));
    let bad = gateway.run(&["audit", "--since", "yesterday"]);
    assert_eq!(bad.status.code(), Some(2), "{}", stderr(&bad));

    let (home, _) = gateway.end(Signal::KILL);
    let again = Gateway::over(home, "", &[]);
    let found = json_lines(&again.run(&["audit", "--job", &job, "--json"]));
    assert_eq!(found[0]["action"], "submit", "{found:?}");
}
