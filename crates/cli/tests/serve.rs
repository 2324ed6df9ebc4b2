//! The gateway as a process: how it starts, why it does not, and how it ends.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use common::{Gateway, Running, moorline, serve, stderr, stdout, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

/// What a gateway says that does not start, and its exit code.
fn refused(config: &str, flags: &[&str]) -> (String, Option<i32>) {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("moorline.toml"), config).unwrap();
    let output = serve(home.path(), flags).output().unwrap();
    assert!(stdout(&output).is_empty(), "nothing is announced: {}", stdout(&output));
    (stderr(&output), output.status.code())
}

#[test]
fn the_first_start_shows_the_key_once_and_leaves_it_for_its_owner() {
    let gateway = Gateway::start();
    let token = gateway.data_dir().join("admin.token");
    let key = fs::read_to_string(&token).unwrap().trim().to_owned();
    assert_eq!(fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(gateway.log().matches(&key).count(), 1, "{}", gateway.log());
    let (home, status) = gateway.end(Signal::TERM);
    assert_eq!(status.code(), Some(0));
    let gateway = Gateway::over(home, "", &["--log-filter", "trace"]);
    assert_eq!(gateway.follow("echo", &json!("x")).1, 0, "the key is still good");
    assert_eq!(gateway.log().matches(&key).count(), 1, "the second start does not show it, at no level");
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_a_remedy() {
    let config = "listne = \"127.0.0.1:1\"\n[journal]\ndurability = \"forever\"\n[[agents]]\nname = \"A\"\n";
    let (told, exit) = refused(config, &["--limits-max-connections", "none"]);
    assert_eq!(exit, Some(78));
    for fragment in
        ["listne", "listen", "moorline.toml:1", "durability", "moorline.toml:3", "name", "--limits-max-connections"]
    {
        assert!(told.contains(fragment), "{fragment:?} in:\n{told}");
    }
}

#[test]
fn an_address_that_cannot_be_listened_on_is_told_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (told, exit) = refused("", &["--listen", &address]);
    assert_eq!(exit, Some(69));
    assert!(told.contains(&address) && told.contains("--listen"), "{told}");
    let (told, exit) = refused("", &["--listen", "0.0.0.0:0"]);
    assert_eq!(exit, Some(78), "{told}");
    assert!(told.contains("tls") && told.contains("insecure"), "{told}");
}

#[test]
fn a_data_directory_that_cannot_be_used_is_told_with_a_remedy() {
    let gateway = Gateway::start();
    let output = serve(gateway.home.path(), &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("another gateway") && stderr(&output).contains("--data-dir"),
        "{}",
        stderr(&output)
    );

    let (home, _) = gateway.end(Signal::TERM);
    let data = home.path().join("data");
    fs::write(data.join("VERSION"), "999\n").unwrap();
    let output = serve(home.path(), &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(73), "{}", stderr(&output));
    assert!(stderr(&output).contains("newer"), "{}", stderr(&output));

    fs::remove_dir_all(&data).unwrap();
    fs::write(&data, "a file").unwrap();
    let output = serve(home.path(), &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(73), "{}", stderr(&output));
    assert!(stderr(&output).contains("not a directory"), "{}", stderr(&output));
}

#[test]
fn a_journal_that_is_none_is_told_and_left_alone() {
    let (home, _) = Gateway::start().end(Signal::TERM);
    let journal = home.path().join("data/journal.db");
    let rubbish = vec![b'x'; 8_192];
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(home.path().join(format!("data/journal.db{suffix}"))).unwrap_or_default();
    }
    fs::write(&journal, &rubbish).unwrap();
    let output = serve(home.path(), &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(73), "{}", stderr(&output));
    assert!(stderr(&output).contains("journal.db"), "{}", stderr(&output));
    assert_eq!(fs::read(&journal).unwrap(), rubbish);
}

#[test]
fn a_broken_certificate_is_told_with_its_file() {
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("cert.pem"), "not a certificate").unwrap();
    fs::write(path("key.pem"), "not a key").unwrap();
    let (told, exit) = refused("", &["--tls-cert", &path("cert.pem"), "--tls-key", &path("key.pem")]);
    assert_eq!(exit, Some(78), "{told}");
    assert!(told.contains("cert.pem"), "{told}");
    let (told, exit) = refused("", &["--tls-cert", &path("cert.pem")]);
    assert_eq!(exit, Some(78), "{told}");
    assert!(told.contains("tls.key"), "{told}");
}

#[test]
fn tls_is_served_to_clients_that_trust_the_certificate() {
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    fs::write(path("cert.pem"), cert.pem()).unwrap();
    fs::write(path("key.pem"), signing_key.serialize_pem()).unwrap();
    let gateway = Gateway::with("", &["--tls-cert", &path("cert.pem"), "--tls-key", &path("key.pem")]);
    assert!(gateway.url.starts_with("wss://"), "{}", gateway.url);
    let trusted = gateway.run(&["--ca-cert", &path("cert.pem"), "submit", "echo", "--follow"]);
    assert_eq!(trusted.status.code(), Some(0), "{}", stderr(&trusted));
    let distrusted = gateway.run(&["agents"]);
    assert_eq!(distrusted.status.code(), Some(6), "{}", stderr(&distrusted));
    assert!(stderr(&distrusted).contains("certificate"), "{}", stderr(&distrusted));
}

#[test]
fn sigterm_waits_for_jobs_ends_workers_and_takes_the_address_away() {
    let gateway = Gateway::with("", &["--shutdown-grace", "30s"]);
    let job = gateway.submit("echo", &json!({ "echo": { "events": 10, "delay_ms": 100 } }));
    let watch = Running::start(&mut gateway.command(&["watch", &job, "--json"]));
    watch.line_with("job.event");
    let marker = gateway.data_dir().to_str().unwrap().to_owned();
    let (home, status) = gateway.end(Signal::TERM);
    assert_eq!(status.code(), Some(0));
    assert!(watch.line_with("job.result").contains("success"), "the job had its time");
    assert!(!home.path().join("data/gateway.json").exists());
    wait_for("the workers have ended", || common::processes_with(&marker).is_empty());
}

#[test]
fn a_second_signal_cuts_the_grace_short_and_jobs_end_honestly() {
    let mut gateway = Gateway::with("", &["--shutdown-grace", "10m"]);
    let job = gateway.submit("echo", &json!({ "echo": { "events": 10_000, "delay_ms": 100 } }));
    let watch = Running::start(&mut gateway.command(&["watch", &job, "--json"]));
    watch.line_with("job.event");
    gateway.process.signal(Signal::INT);
    wait_for("the gateway shuts down", || gateway.log().contains("shutting down"));
    gateway.process.signal(Signal::INT);
    let last: Value = serde_json::from_str(&watch.line_with("job.error")).unwrap();
    assert_eq!(last["payload"]["retryable"], true);
    assert_eq!(gateway.process.wait().code(), Some(0));
}

/// A whole conversation over pipes, with nothing but envelopes on standard output.
#[test]
fn on_standard_input_and_output_one_client_is_served() {
    let (home, _) = Gateway::start().end(Signal::TERM);
    let key = fs::read_to_string(home.path().join("data/admin.token")).unwrap().trim().to_owned();
    let mut command = serve(home.path(), &["--stdio"]);
    let mut running = Running::start(command.stdin(Stdio::piped()).stderr(Stdio::null()));
    let mut stdin = running.child.stdin.take().unwrap();
    let mut say = |message_type: &str, payload: Value| {
        use std::io::Write as _;
        let frame =
            json!({ "arcp": "1.1", "id": format!("msg_{message_type}"), "type": message_type, "payload": payload });
        writeln!(stdin, "\n{frame}").unwrap();
    };
    let hear = || -> Value { serde_json::from_str(&running.line().unwrap()).expect("an envelope and nothing else") };
    say(
        "session.hello",
        json!({ "client": { "name": "t", "version": "1" }, "auth": { "scheme": "bearer", "token": key } }),
    );
    assert_eq!(hear()["type"], "session.welcome");
    say("job.submit", json!({ "agent": "echo", "input": "over a pipe" }));
    assert_eq!(hear()["type"], "job.accepted");
    let result = loop {
        let frame = hear();
        if frame["type"] != "job.event" {
            break frame;
        }
    };
    assert_eq!(result["payload"]["result"], "over a pipe");
    say("rubbish", json!({}));
    assert_eq!(hear()["payload"]["code"], "INVALID_REQUEST");
    drop(stdin);
    assert_eq!(running.wait().code(), Some(0), "the end of the input is the end");
}

#[test]
fn the_configuration_is_checked_and_shown_without_a_gateway() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("m.toml");
    fs::write(&config, "listen = \"127.0.0.1:9\"\n[jobs]\ncancel_grace = \"5s\"\n").unwrap();
    let run = |args: &[&str]| {
        let fixed = ["--config", config.to_str().unwrap(), "--data-dir", "/d"];
        moorline([args, &fixed].concat()).env("MOORLINE_LOG_FORMAT", "json").output().unwrap()
    };
    let checked = run(&["config", "check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    let shown = stdout(&run(&["config", "show"]));
    for fragment in ["127.0.0.1:9", "m.toml:1", "5s", "MOORLINE_LOG_FORMAT", "--data-dir"] {
        assert!(shown.contains(fragment), "{fragment:?} in:\n{shown}");
    }
    fs::write(&config, "listen = 7\nlistne = 1\n[jobs]\ncancel_grace = \"soon\"\n").unwrap();
    for command in ["check", "show"] {
        let refused = run(&["config", command]);
        assert_eq!((refused.status.code(), stdout(&refused).as_str()), (Some(78), ""), "{command}");
        for fragment in ["m.toml:1", "m.toml:2", "m.toml:4", "cancel_grace"] {
            assert!(stderr(&refused).contains(fragment), "{fragment:?} in:\n{}", stderr(&refused));
        }
    }
}

#[test]
fn help_and_completions_name_every_command() {
    let help = stdout(&moorline(["--help"]).output().unwrap());
    let completions = stdout(&moorline(["completions", "bash"]).output().unwrap());
    for command in ["serve", "config", "demo", "submit", "watch", "cancel", "agents", "version", "completions"] {
        assert!(help.contains(command), "{command}");
        assert!(completions.contains(command), "{command}");
        let own = moorline([command, "--help"]).output().unwrap();
        assert!(own.status.success() && !own.stdout.is_empty(), "{command}");
    }
    assert!(help.contains("Exit codes"), "{help}");
}
