//! The session gateway from the command line: what a person types, and what a script reads.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use common::{Gateway, stderr, stdout, wait_for, workers_of};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const CONFIG: &str = "[gateway]\nlisten = \"127.0.0.1:0\"\nshutdown_timeout = \"1s\"\n";

/// What a `moorline gateway` command prints, its exit code, and what it says beside.
fn tried(gateway: &Gateway, args: &[&str]) -> (String, Option<i32>, String) {
    let output = gateway.run(&[&["gateway"], args].concat());
    (stdout(&output).trim().to_owned(), output.status.code(), stderr(&output))
}

/// What one that succeeds prints.
fn told(gateway: &Gateway, args: &[&str]) -> String {
    let (printed, code, said) = tried(gateway, args);
    assert_eq!(code, Some(0), "{args:?}: {said}");
    printed
}

fn told_json(gateway: &Gateway, args: &[&str]) -> Value {
    let printed = told(gateway, args);
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

/// The process of the session's worker.
fn worker_of(gateway: &Gateway, session: &str) -> u32 {
    let told = told_json(gateway, &["invoke", session, "get-worker-info", "--json"]);
    told["result"]["worker_info"]["pid"].as_u64().unwrap().try_into().unwrap()
}

/// An advised item of its own client session: both handles.
fn advised(gateway: &Gateway, session: &str, item: &str) -> (String, String) {
    let server = told(gateway, &["invoke", session, "register", "--client-name", "test"]);
    let handle = told(gateway, &["invoke", session, "add-item", "--server-handle", &server, "--item", item]);
    let at = ["--server-handle", &server, "--item-handle", &handle];
    told(gateway, &[&["invoke", session, "advise"], &at[..]].concat());
    (server, handle)
}

#[test]
fn every_command_can_be_typed_and_is_carried_out_once_under_its_name() {
    let gateway = Gateway::with(CONFIG, &[]);
    let session = told(&gateway, &["open"]);
    let (server, item) = advised(&gateway, &session, "Plant.Setpoint");
    let at = ["--server-handle", &server, "--item-handle", &item];
    let write = ["invoke", &session, "--id", "set-1", "--json", "write"];
    let write = [&write[..], &at, &["--value", "-7.5"]].concat();
    let (first, again) = (told_json(&gateway, &write), told_json(&gateway, &write));
    assert_eq!((&first["command_id"], &first["repeated"]), (&json!("set-1"), &json!(false)), "{first}");
    assert_eq!((&again["repeated"], &again["result"]["success"]), (&json!(true), &json!(true)), "{again}");
    let read = ["invoke", &session, "read", "Plant.Setpoint", "Plant.Label"];
    wait_for("the write to be complete", || {
        told(&gateway, &read) == "Plant.Setpoint -7.5 good\nPlant.Label \"line 1\" good"
    });
    for (command, rest) in [
        ("suspend", &at[..]),
        ("activate", &at[..]),
        ("un-advise", &at[..]),
        ("remove-item", &at[..]),
        ("unregister", &at[..2]),
        ("subscribe-alarms", &[]),
        ("refresh-alarms", &[]),
    ] {
        assert_eq!(told(&gateway, &[&["invoke", &session, command], rest].concat()), "", "{command}");
    }
    let server = told(&gateway, &["invoke", &session, "register"]);
    let interval = ["--server-handle", &server, "--interval-ms", "150"];
    let interval = [&["invoke", &session, "set-buffered-update-interval"], &interval[..]].concat();
    assert_eq!(told(&gateway, &interval), "200", "it is rounded up");
    let buffered = ["--server-handle", &server, "--item", "Counter", "--context", "Plant", "--buffered"];
    told(&gateway, &[&["invoke", &session, "add-item"], &buffered[..]].concat());
    let advise = ["--server-handle", &server, "--item-handle", "1"];
    let advised = told(&gateway, &[&["invoke", &session, "advise"], &advise[..]].concat());
    let revision = "sampling 500ms, queue 1000, publishing 200ms (150ms was asked for)";
    assert_eq!(advised, revision);
    let held = told(&gateway, &["invoke", &session, "get-session-state"]);
    assert!(held.contains(&format!("Plant.Counter advised, buffered\n    {revision}")), "{held}");
    for fragment in [&format!("server {server} \"\", collecting for 200 ms"), "alarms are told"] {
        assert!(held.contains(fragment), "{fragment:?} in {held}");
    }
    let worker = told(&gateway, &["invoke", &session, "get-worker-info"]);
    assert!(worker.starts_with("simulated ") && worker.contains("process"), "{worker}");
}

#[test]
fn a_password_is_read_from_a_file_and_a_secured_item_takes_two_users() {
    let gateway = Gateway::with(CONFIG, &[]);
    let session = told(&gateway, &["open"]);
    let (server, item) = advised(&gateway, &session, "Plant.Recipe");
    let file = gateway.home.path().join("password");
    fs::write(&file, "simulated\nand more\n").unwrap();
    let user = |name: &str| {
        let user = ["--server-handle", &server, "--user", name, "--password-file", file.to_str().unwrap()];
        told(&gateway, &[&["invoke", &session, "authenticate-user"], &user[..]].concat())
    };
    let (user, verifier) = (user("operator"), user("supervisor"));
    let write = ["--server-handle", &server, "--item-handle", &item, "--value", "2"];
    let users = ["--user-handle", &user, "--verifier-handle", &verifier];
    told(&gateway, &[&["invoke", &session, "write-secured"], &write[..], &users[..]].concat());
    wait_for("the write to be complete", || {
        told(&gateway, &["read", &session, "Plant.Recipe"]) == "Plant.Recipe 2 good"
    });
    fs::write(&file, "wrong").unwrap();
    let user = ["--server-handle", &server, "--user", "operator", "--password-file", file.to_str().unwrap()];
    let (printed, code, said) = tried(&gateway, &[&["invoke", &session, "authenticate-user"], &user[..]].concat());
    assert_eq!((printed.as_str(), code), ("", Some(5)), "{said}");
}

#[test]
fn several_commands_are_said_as_json_and_answered_each_in_its_line() {
    let gateway = Gateway::with(CONFIG, &[]);
    let session = told(&gateway, &["open"]);
    let commands = json!({ "bulk": { "commands": [
        { "register": { "client_name": "line 1" } },
        { "add_item": { "server_handle": 1, "item": "Plant.Setpoint" } },
        { "advise": { "serverHandle": 1, "itemHandle": 1 } },
        { "write": { "server_handle": 1, "item_handle": 1, "value": 12.5 } },
        { "advise": { "server_handle": 9, "item_handle": 9 } },
        { "read": { "items": ["Plant.Label"] } },
    ] } });
    let mut command = gateway.command(&["gateway", "invoke", &session, "--command", "-"]);
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    running.stdin.take().unwrap().write_all(commands.to_string().as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5), "one was not carried out: {}", stderr(&output));
    let printed = stdout(&output);
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(
        lines[..4],
        ["1: done: 1", "2: done: 1", "3: done: sampling 500ms, queue 1, publishing 500ms", "4: done"]
    );
    assert!(lines[4].starts_with("5: not done: "), "{printed}");
    assert_eq!(lines[5..], ["6: done: Plant.Label \"line 1\" good"]);
    let answer = told_json(&gateway, &["invoke", &session, "--command", r#"{"get_worker_info":{}}"#, "--json"]);
    assert_eq!(answer["result"]["worker_info"]["backend"], "simulated", "{answer}");
}

#[test]
fn what_makes_no_sense_is_told_and_nothing_is_sent() {
    let gateway = Gateway::with(CONFIG, &[]);
    let session = told(&gateway, &["open"]);
    let unlikely = format!("session-{}", "0".repeat(32));
    for (args, code, reason) in [
        (&["invoke", &session][..], 2, "there is no command"),
        (&["invoke", &session, "reed", "A"], 2, "reed"),
        (&["invoke", &session, "read"], 2, "ITEM"),
        (&["invoke", &session, "advise", "--server-handle", "1"], 2, "--item-handle"),
        (&["invoke", &session, "advise", "--server-handle", "one", "--item-handle", "1"], 2, "one"),
        (&["invoke", &session, "--command", "{"], 2, "is no JSON"),
        (&["invoke", &session, "--command", "{}"], 2, "none of register"),
        (&["invoke", &session, "--command", r#"{"read":{"item":"A"}}"#], 2, "item"),
        (&["invoke", &session, "--command", "{}", "refresh-alarms"], 2, "said twice"),
        (&["invoke", &session, "--timeout", "soon", "refresh-alarms"], 2, "soon"),
        (
            &["invoke", &session, "authenticate-user", "--server-handle", "1", "--user", "a", "--password-file", "/no"],
            2,
            "/no",
        ),
        (&["invoke", &session, "--id", "a\nb", "refresh-alarms"], 5, "command_id"),
        (&["invoke", &session, "unregister", "--server-handle", "9"], 5, "9"),
        (&["invoke", &unlikely, "refresh-alarms"], 5, "there is no session"),
        (&["get", &unlikely], 5, "there is no session"),
        (&["list", "--state", "redy"], 2, "ready"),
    ] {
        let (printed, exit, said) = tried(&gateway, args);
        assert_eq!((printed.as_str(), exit), ("", Some(code)), "{args:?}: {said}");
        assert!(said.contains(reason), "{args:?}: {said}");
    }
}

#[test]
fn a_write_is_waited_for_as_long_as_one_likes_and_says_how_it_went() {
    let gateway = Gateway::with(CONFIG, &[]);
    let options = r#"{"slow_write_ms":2500,"tags":{"Set":{"wave":"memory","value":1},"Count":{"wave":"counter"}}}"#;
    let session = told(&gateway, &["open", "--options", options]);
    let (printed, code, said) = tried(&gateway, &["write", &session, "Set", "2", "--timeout", "1s"]);
    assert_eq!((printed.as_str(), code), ("", Some(5)), "{said}");
    assert!(said.contains("within 1000 ms") && said.contains("may yet be carried out"), "{said}");
    let (server, item) = advised(&gateway, &session, "Set");
    let at = ["--server-handle", &server, "--item-handle", &item];
    let write = |value| [&["invoke", &session, "--wait", "--json", "write"], &at[..], &["--value", value]].concat();
    let answer = told_json(&gateway, &write("3"));
    assert_eq!(answer["completions"][0]["statuses"][0]["success"], true, "{answer}");
    assert_eq!(told(&gateway, &["read", &session, "Set"]), "Set 3 good");
    let (printed, code, _) = tried(&gateway, &write("high"));
    assert_eq!(code, Some(5), "{printed}");
    let answer: Value = serde_json::from_str(&printed).unwrap();
    let ended = &answer["completions"][0];
    assert_eq!((&answer["result"]["success"], &ended["statuses"][0]["success"]), (&json!(true), &json!(false)));
    assert_eq!(ended["item_handle"].to_string(), item);
}

#[test]
fn sessions_are_listed_by_their_state_and_shown_one_by_one() {
    let gateway = Gateway::with(CONFIG, &[]);
    assert_eq!(tried(&gateway, &["list"]), (String::new(), Some(0), "no sessions\n".to_owned()));
    let session = told(&gateway, &["open", "--name", "line 1"]);
    let table = told(&gateway, &["list", "--state", "ready,faulted"]);
    let (header, row) = table.split_once('\n').unwrap();
    assert!(header.starts_with("state") && row.trim().starts_with("ready"), "{table}");
    assert!(row.contains(&session) && row.contains("simulated") && row.ends_with("line 1"), "{table}");
    assert_eq!(told(&gateway, &["list", "--state", "faulted"]), "");
    let about = told_json(&gateway, &["get", &session, "--json"]);
    assert_eq!(
        (&about["state"], &about["name"], &about["owner"]),
        (&json!("ready"), &json!("line 1"), &json!("admin"))
    );
    assert_eq!(told_json(&gateway, &["list", "--json"])["session_id"], about["session_id"]);
    let shown = told(&gateway, &["get", &session]);
    for fragment in ["lease expires at", "subscribers             0", "epoch"] {
        assert!(shown.contains(fragment), "{fragment:?} in {shown}");
    }
    assert!(!shown.contains("fault"), "what there is not is not shown: {shown}");
}

#[test]
fn a_close_that_takes_too_long_is_told_and_frees_the_place() {
    let gateway = Gateway::with(&format!("{CONFIG}max_sessions = 1\n"), &[]);
    let session = told(&gateway, &["open", "--options", r#"{"slow_close_ms":3600000}"#]);
    let worker = worker_of(&gateway, &session);
    let (_, code, said) = tried(&gateway, &["open"]);
    assert!(code == Some(5) && said.contains("max_sessions"), "{said}");
    let (_, code, said) = tried(&gateway, &["close", &session]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("did not close its back end within 1000 ms and was killed"), "{said}");
    told(&gateway, &["open"]);
    let data_dir = gateway.data_dir();
    wait_for("the worker that did not close to be gone", || !workers_of(&data_dir).contains(&worker));
}

#[test]
fn a_fault_is_still_shown_after_the_gateway_was_killed() {
    let gateway = Gateway::with(CONFIG, &[]);
    let session = told(&gateway, &["open"]);
    let worker = worker_of(&gateway, &session);
    kill_process(Pid::from_raw(i32::try_from(worker).unwrap()).unwrap(), Signal::KILL).unwrap();
    let about = |gateway: &Gateway| told_json(gateway, &["get", &session, "--json"]);
    wait_for("the fault", || about(&gateway)["state"] == "faulted");
    let fault = about(&gateway)["fault"].clone();
    let (home, _) = gateway.end(Signal::KILL);

    let gateway = Gateway::over(home, CONFIG, &[]);
    wait_for("the fault to be known again", || about(&gateway)["state"] == "faulted");
    assert_eq!(about(&gateway)["fault"], fault);
    told(&gateway, &["close", &session]);
    let (home, _) = gateway.end(Signal::KILL);
    let gateway = Gateway::over(home, CONFIG, &[]);
    assert_eq!(tried(&gateway, &["get", &session]).1, Some(5), "what was closed is gone");
}
