//! API keys from the command line, through real processes.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use common::{Gateway, json_lines, moorline, stderr, stdout};
use serde_json::{Value, json};

fn keys(gateway: &Gateway) -> Vec<Value> {
    json_lines(&gateway.run(&["keys", "list", "--json"]))
}

#[test]
fn what_makes_no_sense_is_told_with_a_remedy() {
    for (args, fragment) in [
        (&["keys", "create"][..], "--principal"),
        (&["keys", "create", "--principal", "a b"], "principal"),
        (&["keys", "create", "--principal", "a", "--scope", "everything"], "administer"),
        (&["keys", "create", "--principal", "a", "--lease-cap", "fs.read"], "NAMESPACE=PATTERN"),
        (&["keys", "create", "--principal", "a", "--max-budget", "five"], "USD:5.00"),
        (&["keys", "create", "--principal", "a", "--max-jobs", "0"], "max-jobs"),
        (&["keys", "revoke", "mine"], "key"),
        (&["keys", "rotate", "key_01KRHDRWGW0W3GE1R70W3GE1R7", "--overlap", "soon"], "7d"),
    ] {
        let output = moorline(args).output().unwrap();
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{args:?}");
        assert!(stderr(&output).contains(fragment), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn a_key_is_made_used_and_revoked_and_its_secret_is_nowhere_but_in_its_file() {
    let gateway = Gateway::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ci.key");
    let path = file.to_str().unwrap();
    let made = gateway.run(&[
        "keys",
        "create",
        "--principal",
        "ci",
        "--agent",
        "echo",
        "--max-runtime",
        "1h",
        "--expires-in",
        "90d",
        "--out",
        path,
    ]);
    assert!(made.status.success(), "{}", stderr(&made));
    let secret = fs::read_to_string(&file).unwrap().trim().to_owned();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(secret.starts_with("mlk_") && !(stdout(&made) + &stderr(&made)).contains(&secret), "{}", stderr(&made));
    assert_eq!(gateway.run(&["keys", "create", "--principal", "x", "--out", path]).status.code(), Some(2));
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), secret, "a file that is there stays as it is");

    let run = |args: &[&str]| gateway.run(&[args, &["--token", &secret]].concat());
    assert!(run(&["submit", "echo", "--input", "1", "--follow"]).status.success());
    let refused = run(&["submit", "census", "--input", "{}"]);
    assert_eq!(refused.status.code(), Some(5), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("not among those that this identity may use"), "{}", stderr(&refused));
    let refused = run(&["keys", "list"]);
    assert_eq!(refused.status.code(), Some(5), "{}", stderr(&refused));

    let listed = keys(&gateway);
    let ci = listed.iter().find(|key| key["principal"] == "ci").unwrap();
    assert_eq!(ci["grants"]["constraints"], json!({ "agents": ["echo"], "max_runtime_sec": 3600 }));
    let id = ci["id"].as_str().unwrap();
    assert!(stdout(&gateway.run(&["keys", "list"])).contains(id));
    assert!(gateway.run(&["keys", "revoke", id]).status.success());
    let refused = run(&["jobs"]);
    assert!(!refused.status.success() && stderr(&refused).contains("revoked"), "{}", stderr(&refused));
    assert_eq!(keys(&gateway).iter().find(|key| key["id"] == id).unwrap()["revoked"], true);
}

#[test]
fn a_key_is_rotated_and_the_new_secret_is_printed_once() {
    let gateway = Gateway::start();
    let made = json_lines(&gateway.run(&["keys", "create", "--principal", "ci", "--json"])).remove(0);
    let (id, first) = (made["key"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let rotated = gateway.run(&["keys", "rotate", id, "--overlap", "0s"]);
    let second = stdout(&rotated).trim().to_owned();
    assert!(second.starts_with("mlk_") && second != first, "{}", stderr(&rotated));
    assert!(gateway.run(&["jobs", "--token", &second]).status.success());
    assert!(!gateway.run(&["jobs", "--token", first]).status.success());
}
