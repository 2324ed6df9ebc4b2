//! Which gateway a command talks to, and which key it shows there.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;
use std::net::TcpListener;

use common::{Gateway, moorline, stderr};
use rustix::process::Signal;

/// The key of this machine's gateway opens everything there. Nobody else gets to see it.
#[test]
fn the_key_in_the_data_directory_is_sent_to_the_gateway_of_that_directory_only() {
    let gateway = Gateway::start();
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let url = format!("ws://{}/arcp", stranger.local_addr().unwrap());
    let data_dir = gateway.data_dir();
    let by_variable = {
        let mut command = gateway.command(&["agents"]);
        command.env("MOORLINE_URL", &url);
        command
    };
    for mut command in [gateway.command(&["--url", &url, "agents"]), by_variable] {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        for fragment in [url.as_str(), "--token-file", data_dir.to_str().unwrap()] {
            assert!(stderr(&output).contains(fragment), "{fragment:?} in: {}", stderr(&output));
        }
        assert_eq!(stranger.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody has called");
    }
    let named = gateway.run(&["--url", &gateway.url, "agents"]);
    assert_eq!(named.status.code(), Some(0), "its own gateway may be named: {}", stderr(&named));
}

#[test]
fn a_key_that_is_named_goes_where_it_is_said_to() {
    let gateway = Gateway::start();
    let key = fs::read_to_string(gateway.data_dir().join("admin.token")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("key.txt");
    fs::write(&file, &key).unwrap();
    let far = |args: &[&str]| {
        let data_dir = elsewhere.path().to_str().unwrap();
        moorline([&["--data-dir", data_dir, "--url", &gateway.url], args].concat())
    };
    for (how, mut command) in [
        ("--token-file", far(&["--token-file", file.to_str().unwrap(), "agents"])),
        ("--token", far(&["--token", key.trim(), "agents"])),
        ("MOORLINE_TOKEN", {
            let mut command = far(&["agents"]);
            command.env("MOORLINE_TOKEN", &key);
            command
        }),
    ] {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{how}: {}", stderr(&output));
    }
}

/// A gateway that was killed leaves its address behind, where nobody answers.
#[test]
fn an_address_that_was_left_behind_is_told_with_a_remedy() {
    let gateway = Gateway::start();
    let address = gateway.data_dir().join("gateway.json");
    let left_behind = fs::read(&address).unwrap();
    let (home, _) = gateway.end(Signal::TERM);
    fs::write(&address, left_behind).unwrap();
    let output = moorline(["--data-dir", home.path().join("data").to_str().unwrap(), "agents"]).output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert!(stderr(&output).contains("moorline serve"), "{}", stderr(&output));
}
