//! What is secret stays so: not in a log at any level, not in the journal, not in the audit trail.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;

use common::issuer::{Key, Publisher};
use common::raw::{Raw, TEXT, hello};
use common::secrets::{Sought, files, found_in};
use common::upstream::{Client, Upstream, VALUE};
use common::{Gateway, moorline, stderr, stdout, wait_for};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use rustix::process::Signal;
use serde_json::json;

#[test]
fn a_secret_is_found_as_it_is_and_encoded_and_only_then() {
    let text = "mlk_a-secret/that?is+long";
    let sought = [Sought { kind: "a key", text }, Sought { kind: "another", text: "mlk_another-that-is-not-there" }];
    for before in ["", "x", "xy", "xyz"] {
        let within = format!("{before}{text} and more");
        let bytes = within.as_bytes();
        for (how, written) in [
            ("as it is", within.clone()),
            ("hex", HEXLOWER.encode(bytes)),
            ("HEX", HEXUPPER.encode(bytes)),
            ("base64", BASE64.encode(bytes)),
            ("base64url", BASE64URL_NOPAD.encode(bytes)),
        ] {
            let content = format!("{{\"field\":\"{written}\"}}");
            assert_eq!(found_in(content.as_bytes(), &sought), ["a key"], "{how} behind {before:?}");
        }
    }
    assert!(found_in(b"", &sought).is_empty());
    assert!(found_in(b"mlk_a-secret/that?is-short", &sought).is_empty());
}

#[test]
fn no_secret_of_a_whole_run_is_where_it_does_not_belong() {
    let issuer = Key::new("one");
    let flags = Publisher::of(&[&issuer]).flags();
    let flags = [&["--log-filter=trace", "--workers-listen=127.0.0.1:0"], &flags.each_ref().map(String::as_str)[..]];
    let gateway = Gateway::with("", &flags.concat());
    let key = fs::read_to_string(gateway.data_dir().join("admin.token")).unwrap().trim().to_owned();
    let guessed = "mlk_Z3Vlc3NlZC10b2tlbi10aGF0LWlzLW5vYm9keXM-0";
    let (input, reason, name) = ("input-7f3a91c2", "reason-5b20e8d4", "client-c41d77aa");

    let enrolled = gateway.run(&["workers", "enroll", "--name", "gpu", "--agents", "*"]);
    let enrolment = stdout(&enrolled).trim().to_owned();
    assert!(enrolment.len() > 20, "{}", stderr(&enrolled));
    let stranger = moorline(["--url", &gateway.url, "--token", guessed, "agents"]).output().unwrap();
    assert!(!stranger.status.success());
    // One that is trusted, and one that is not for what it says.
    let (jwt, untrusted) = (issuer.token("ada", "moorline:jobs"), issuer.token("ada", "other:jobs"));
    for (token, is_trusted) in [(&jwt, true), (&untrusted, false)] {
        let listed = moorline(["--url", &gateway.url, "--token", token, "jobs"]).output().unwrap();
        assert_eq!(listed.status.success(), is_trusted, "{}", stderr(&listed));
    }
    let mut raw = Raw::connect(&gateway.url, 1).unwrap();
    raw.upgrade("");
    let mut greeting = hello(&key);
    greeting["payload"]["client"]["name"] = json!(name);
    raw.frame(TEXT, greeting.to_string().as_bytes());
    let welcome = raw.recv().unwrap();
    let resume = welcome["payload"]["resume_token"].as_str().unwrap().to_owned();
    // A token in a field where it does not belong.
    let misplaced = json!({ "arcp": "1.1", "id": "msg_2", "type": "job.cancel", "session_id": welcome["session_id"],
        "payload": { "job_id": guessed, "reason": reason } });
    raw.frame(TEXT, misplaced.to_string().as_bytes());
    assert_eq!(raw.recv().unwrap()["type"], "session.error");
    let job = gateway.submit("echo", &json!({ "note": input }));
    assert!(gateway.run(&["result", &job]).status.success());
    drop(raw);
    let trail = || stdout(&gateway.run(&["audit", "--json"]));
    wait_for("what was done is in the trail", || {
        ["authenticate", "session_open", "submit", "cancel"].iter().all(|action| trail().contains(action))
    });
    let trail = trail();
    // Of what the journal and the other files may hold, jobs' inputs and reasons are a part; what lets somebody in is not,
    // and is looked for there when the gateway ends.
    gateway.secret("a guessed token", guessed);
    let (home, _) = gateway.end(Signal::TERM);
    let log = fs::read_to_string(home.path().join("log")).unwrap();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is as talkative as it gets");

    let said = |printed: &str, secret: &str| {
        let shown = format!("The administrator's API key, shown this once: {secret}");
        printed.replace(&shown, "").contains(secret)
    };
    for (what, secret) in [
        ("the API key", key.as_str()),
        ("a guessed token", guessed),
        ("a JWT", &jwt),
        ("a JWT that is not trusted", &untrusted),
        ("the signature of a JWT", jwt.rsplit_once('.').unwrap().1),
        ("an enrolment token", &enrolment),
        ("a resume token", &resume),
        ("an input", input),
        ("a reason", reason),
    ] {
        assert!(!said(&log, secret), "{what} is in the log");
        assert!(!trail.contains(secret), "{what} is in the audit trail");
    }
    assert!(!trail.contains(name), "a client's name is not ours to repeat");
}

#[test]
fn a_gateways_certificate_is_loaded_anew_at_a_hangup() {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        fs::write(home.path().join("cert.pem"), cert.pem()).unwrap();
        fs::write(home.path().join("key.pem"), key.serialize_pem()).unwrap();
    };
    write("one.example");
    let [cert, key] = ["cert.pem", "key.pem"].map(|file| home.path().join(file).display().to_string());
    let gateway = Gateway::with("", &["--tls-cert", &cert, "--tls-key", &key]);
    write("two.example");
    gateway.process.signal(Signal::HUP);
    wait_for("the certificate is loaded", || gateway.log().contains("the certificate is loaded anew"));
    fs::write(home.path().join("cert.pem"), "rubbish").unwrap();
    gateway.process.signal(Signal::HUP);
    wait_for("the bad one is not", || gateway.log().contains("the certificate is not loaded anew"));
}

/// Neither what a credential opens nor what issues it is anywhere but where it belongs: at the upstream, and with the
/// submitter.
#[test]
fn no_value_of_a_credential_is_in_a_file_of_the_gateway() {
    let upstream = Upstream::new();
    let gateway = Gateway::with(&upstream.config(), &["--log-filter=trace"]);
    let key = fs::read_to_string(gateway.data_dir().join("admin.token")).unwrap().trim().to_owned();
    let mut client = Client::offered(&gateway, &key);
    client.submit("echo", &json!({ "echo": { "events": 3, "delay_ms": 10 } }));
    let accepted = client.recv("job.accepted");
    let value = accepted["credentials"][0]["value"].as_str().unwrap().to_owned();
    client.recv("job.result");
    // One that is good while the gateway is killed: what is needed to show it again is in the store.
    client.submit("echo", &json!({ "echo": { "events": 0, "delay_ms": 3_600_000 } }));
    let second = client.recv("job.accepted")["credentials"][0]["value"].as_str().unwrap().to_owned();
    let trail = stdout(&gateway.run(&["audit", "--json"]));
    let listed = stdout(&gateway.run(&["credentials", "list", "--json"]));
    for value in [&value, &second] {
        assert!(value.starts_with(VALUE), "what is looked for in the log and the files when the gateway ends");
    }
    for (what, text) in [("the trail", &trail), ("the list", &listed)] {
        assert!(!text.contains(VALUE), "a value is in {what}");
    }
    gateway.end(Signal::KILL);
}

/// The command that submits a job leaves no value of its credentials where it runs, and prints none, however it is told to
/// print. The client below it writes no file at all.
#[test]
fn no_value_of_a_credential_is_printed_or_kept_by_who_submits() {
    let upstream = Upstream::new();
    let gateway = Gateway::with(&format!("{}lifetime = \"3s\"\n", upstream.config()), &[]);
    let key = fs::read_to_string(gateway.data_dir().join("admin.token")).unwrap().trim().to_owned();
    drop(Client::offered(&gateway, &key));
    let lease = json!({ "model.use": ["tier-fast/*"], "cost.budget": ["USD:2.00"] }).to_string();
    // Long enough for its credential to be replaced while it is followed.
    let input = json!({ "echo": { "events": 0, "delay_ms": 2_800 } }).to_string();
    let home = tempfile::tempdir().unwrap();
    let submit = ["submit", "echo", "--input", &input, "--lease", &lease, "--follow"];
    let followed = [&[][..], &["--json"]].map(|form| {
        let mut command = gateway.command(&[&submit[..], form].concat());
        let variables = ["HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "TMPDIR"];
        command.current_dir(home.path()).envs(variables.map(|name| (name, home.path()))).env("RUST_LOG", "trace");
        std::thread::spawn(move || command.output().unwrap())
    });
    for output in followed.map(|thread| thread.join().unwrap()) {
        let printed = format!("{}{}", stdout(&output), stderr(&output));
        assert!(output.status.success() && printed.contains("credential_rotated"), "{printed}");
        assert!(!printed.contains(VALUE), "{printed}");
    }
    assert_eq!(files(home.path()), Vec::<std::path::PathBuf>::new(), "nothing is kept");
}

/// Neither what lets a client or a user in, nor what items hold, is in the log of a session gateway; and a password is in
/// no file at all.
#[test]
fn no_secret_of_a_session_gateway_is_where_it_does_not_belong() {
    let gateway = Gateway::with("[gateway]\nlisten = \"127.0.0.1:0\"\n", &["--log-filter=trace"]);
    let (password, guessed, value) = ("password-1d9c03b7", "guessed-password-88ad41f0", "value-of-an-item-5cc2e19a");
    let (comment, name) = ("comment-6fd28b30", "session-name-0b7c55e1");
    gateway.secret("a guessed password", guessed);
    let told = |args: &[&str]| {
        let output = gateway.run(&[&["gateway"], args].concat());
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output).trim().to_owned()
    };
    // It would be in the journal, and is nowhere.
    gateway.secret("a password among options", password);
    let secret = json!({ "users": [{ "name": "operator", "password": password }] }).to_string();
    let refused = gateway.run(&["gateway", "open", "--options", &secret]);
    assert_eq!(refused.status.code(), Some(5), "{}", stderr(&refused));
    assert!(
        stderr(&refused).contains("users.password") && !stderr(&refused).contains(password),
        "{}",
        stderr(&refused)
    );
    let options = json!({ "users": ["operator"], "tags": {
        "Text": { "wave": "memory", "value": "" }, "Secured": { "wave": "memory", "value": "", "secured": true } } });
    let session = told(&["open", "--name", name, "--options", &options.to_string()]);
    let server = told(&["invoke", &session, "register"]);
    let authenticated = ["simulated", guessed].map(|typed| {
        let file = gateway.home.path().join("typed");
        fs::write(&file, typed).unwrap();
        let user = ["--server-handle", &server, "--user", "operator", "--password-file", file.to_str().unwrap()];
        gateway.run(&[&["gateway", "invoke", &session, "authenticate-user"], &user[..]].concat()).status.code()
    });
    assert_eq!(authenticated, [Some(0), Some(5)]);
    told(&["write", &session, "Text", value]);
    let written = format!("Text \"{value}\" good");
    wait_for("the write to be complete", || told(&["read", &session, "Text"]) == written);
    let refused = gateway.run(&["gateway", "kill", "session-0", "--reason", comment]);
    assert!(!refused.status.success());
    let stranger = gateway.run(&["--token", "mlk_Z3Vlc3NlZC1rZXktdGhhdC1pcy1ub2JvZHlz-00", "gateway", "list"]);
    assert_eq!(stranger.status.code(), Some(5), "{}", stderr(&stranger));
    told(&["close", &session]);
    let trail = stdout(&gateway.run(&["audit", "--json"]));
    let (home, _) = gateway.end(Signal::TERM);
    let log = fs::read_to_string(home.path().join("log")).unwrap();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is as talkative as it gets");
    for (what, secret) in [
        ("a password", password),
        ("a guessed password", guessed),
        ("what an item holds", value),
        ("why somebody wanted to kill", comment),
        ("what a client calls its session", name),
    ] {
        assert!(!log.contains(secret), "{what} is in the log");
        assert!(!trail.contains(secret), "{what} is in the audit trail");
    }
}
