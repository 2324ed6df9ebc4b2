//! Tokens that somebody else has issued, through a real gateway that asks a real address for the keys.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::process::Output;

use common::issuer::{Key, Publisher};
use common::{Gateway, json_lines, moorline, stderr, stdout, wait_for};
use serde_json::{Value, json};

/// What the command answers to the bearer of a token.
fn run(gateway: &Gateway, token: &str, args: &[&str]) -> Output {
    moorline(["--url", &gateway.url, "--token", token]).args(args).output().unwrap()
}

/// Its output.
fn done(gateway: &Gateway, token: &str, args: &[&str]) -> String {
    let output = run(gateway, token, args);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

/// What it says is wrong.
fn refused(gateway: &Gateway, token: &str, args: &[&str]) -> String {
    let output = run(gateway, token, args);
    assert!(!output.status.success(), "{}", stdout(&output));
    stderr(&output)
}

fn jobs(gateway: &Gateway, token: &str) -> Vec<Value> {
    let listed = done(gateway, token, &["jobs", "--json"]);
    listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_bearer_of_a_token_does_what_its_scopes_say_until_its_key_is_withdrawn() {
    let (first, second) = (Key::new("first"), Key::new("second"));
    let publisher = Publisher::of(&[&first]);
    let flags = publisher.flags();
    // Until the new key is known, its bearer fails as often as it tries.
    let patient = "--limits-free-failures-per-address=100000";
    let gateway = Gateway::with("", &[&flags.each_ref().map(String::as_str)[..], &[patient]].concat());
    let ada = first.token("ada", "openid moorline:jobs");
    done(&gateway, &ada, &["submit", "echo", "--input", "1", "--follow"]);
    assert_eq!(jobs(&gateway, &ada).len(), 1);
    assert!(jobs(&gateway, &first.token("eve", "moorline:jobs")).is_empty(), "another subject is another principal");
    let watcher = first.token("ada", "moorline:observe");
    assert_eq!(jobs(&gateway, &watcher).len(), 1);
    let told = refused(&gateway, &watcher, &["submit", "echo", "--input", "1"]);
    assert!(told.contains("needs the scope submit"), "{told}");
    for untrusted in [Key::new("first").token("ada", "moorline:jobs"), first.token("ada", "openid"), format!("{ada}A")]
    {
        let told = refused(&gateway, &untrusted, &["jobs"]);
        assert!(told.contains("UNAUTHENTICATED"), "{told}");
    }

    // The issuer changes its key. The gateway asks again when a token names one that it does not know.
    publisher.publish(&[&second]);
    let renewed = second.token("ada", "moorline:jobs");
    wait_for("the new key is known", || run(&gateway, &renewed, &["jobs"]).status.success());
    assert_eq!(jobs(&gateway, &renewed).len(), 1, "the principal is the same");
    let told = refused(&gateway, &ada, &["jobs"]);
    assert!(told.contains("UNAUTHENTICATED"), "{told}");
}

#[test]
fn no_api_key_is_made_for_a_principal_of_tokens() {
    let key = Key::new("one");
    let publisher = Publisher::of(&[&key]);
    let flags = publisher.flags();
    let flags = [&flags.each_ref().map(String::as_str)[..], &["--auth-jwt-principal-prefix=corp:"]].concat();
    let gateway = Gateway::with("", &flags);
    for principal in ["corp:ada", "jwt:ada"] {
        let refused = gateway.run(&["keys", "create", "--principal", principal]);
        assert!(!refused.status.success());
        assert!(stderr(&refused).contains("those of tokens"), "{}", stderr(&refused));
    }
    let listed = json_lines(&gateway.run(&["keys", "list", "--json"]));
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["principal"], json!("admin"));
    done(&gateway, &key.token("ada", "moorline:jobs"), &["jobs"]);
}
