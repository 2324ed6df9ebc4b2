//! Who may do what over standard input and output: the same as over a socket.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{ChildStdin, Stdio};

use common::{Gateway, Running, serve, stderr};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A client of a gateway of its own, over what the one before has left behind.
struct Client {
    gateway: Running,
    stdin: ChildStdin,
}

impl Client {
    /// Says hello with the secret in this file.
    fn hello(home: &Path, key: &str) -> (Self, Value) {
        let mut gateway = Running::start(serve(home, &["--stdio"]).stdin(Stdio::piped()).stderr(Stdio::null()));
        let stdin = gateway.child.stdin.take().unwrap();
        let mut client = Self { gateway, stdin };
        let token = fs::read_to_string(home.join(key)).unwrap();
        let features = json!({ "features": ["subscribe", "list_jobs"] });
        let welcome = client.ask(
            "session.hello",
            &json!({
                "client": { "name": "t", "version": "1" }, "capabilities": features,
                "auth": { "scheme": "bearer", "token": token.trim() },
            }),
            "session.welcome",
        );
        (client, welcome)
    }

    /// Sends a request and waits for its refusal, or for an answer of this type.
    fn ask(&mut self, message_type: &str, payload: &Value, answer: &str) -> Value {
        let frame = json!({ "arcp": "1.1", "id": "msg_ask", "type": message_type, "payload": payload });
        writeln!(self.stdin, "{frame}").unwrap();
        loop {
            let frame: Value = serde_json::from_str(&self.gateway.line().unwrap()).unwrap();
            if frame["type"] == answer || frame["payload"]["request_id"] == "msg_ask" {
                return frame;
            }
        }
    }

    /// Ends the input, which ends the gateway.
    fn end(mut self) {
        drop(self.stdin);
        assert_eq!(self.gateway.wait().code(), Some(0));
    }
}

#[test]
fn who_may_do_what_is_answered_on_standard_output_as_on_a_socket() {
    const OK: &str = "";
    const DENIED: &str = "PERMISSION_DENIED";
    const NOT_FOUND: &str = "JOB_NOT_FOUND";
    let gateway = Gateway::start();
    for (file, principal, scopes, tag) in [
        ("zoe.key", "zoe", "jobs", "team"),
        ("tom.key", "tom", "jobs", "team"),
        ("eve.key", "eve", "jobs", "other"),
        ("dash.key", "dash", "observe_all", "other"),
        ("ops.key", "ops", "control_all", "other"),
    ] {
        let out = gateway.home.path().join(file);
        let out = out.to_str().unwrap();
        let args = ["keys", "create", "--principal", principal, "--scope", scopes, "--tag", tag, "--out", out];
        let made = gateway.run(&args);
        assert!(made.status.success(), "{}", stderr(&made));
    }
    let (home, _) = gateway.end(Signal::TERM);

    let (mut owner, _) = Client::hello(home.path(), "zoe.key");
    let accepted = owner.ask("job.submit", &json!({ "agent": "echo", "input": "hers" }), "job.accepted");
    let job = accepted["job_id"].as_str().unwrap().to_owned();
    // Over before anybody else asks.
    let ended = loop {
        let frame: Value = serde_json::from_str(&owner.gateway.line().unwrap()).unwrap();
        if frame["type"] != "job.event" {
            break frame;
        }
    };
    assert_eq!(ended["payload"]["result"], "hers", "{ended}");
    owner.end();

    let unknown = "job_01HF7YAT00000000000000000Z";
    // In the order of: submit, list, observe, cancel, administer.
    for (key, expected) in [
        ("zoe.key", [OK, OK, OK, OK, DENIED]),
        ("tom.key", [OK, OK, OK, DENIED, DENIED]),
        ("eve.key", [OK, OK, NOT_FOUND, NOT_FOUND, DENIED]),
        ("dash.key", [DENIED, OK, OK, DENIED, DENIED]),
        ("ops.key", [DENIED, DENIED, DENIED, OK, DENIED]),
    ] {
        let (mut client, welcome) = Client::hello(home.path(), key);
        assert_eq!(welcome["type"], "session.welcome", "{key}: {welcome}");
        for ((message_type, payload, answer), code) in [
            ("job.submit", json!({ "agent": "echo", "input": 1 }), "job.accepted"),
            ("session.list_jobs", json!({}), "session.jobs"),
            ("job.subscribe", json!({ "job_id": job }), "job.subscribed"),
            // The job is over, so whoever may cancel it is told that.
            ("job.cancel", json!({ "job_id": job }), "ended already"),
            ("x-vendor.moorline.audit", json!({}), "x-vendor.moorline.audit_page"),
        ]
        .into_iter()
        .zip(expected)
        {
            let frame = client.ask(message_type, &payload, answer);
            let told = if code.is_empty() { answer } else { code };
            assert!(frame.to_string().contains(told), "{key} {message_type}: {told} in {frame}");
            if code == NOT_FOUND {
                let never = client.ask(message_type, &json!({ "job_id": unknown }), answer);
                let never = never["payload"].to_string().replace(unknown, &job);
                assert_eq!(never, frame["payload"].to_string(), "{key} {message_type}");
            }
        }
        client.end();
    }
}
