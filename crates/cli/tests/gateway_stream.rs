//! `moorline gateway stream` and `alarms`, as a script reads them, over a connection that is cut and a gateway that is
//! killed.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::process::{Command, Stdio};

use common::grpc::url;
use common::proxy::Proxy;
use common::terminal::Terminal;
use common::{Gateway, Running, moorline, stderr, stdout};
use rustix::process::Signal;
use rustix::termios::Termios;
use serde_json::{Value, json};

const CONFIG: &str = "[gateway]\nlisten = \"127.0.0.1:0\"\nmultiple_subscribers = true\n";

/// A plant whose counter moves so often that a lost value is a lost number.
const PLANT: &str = r#"{"tick_ms":20,"tags":{
    "Count":{"wave":"counter"},
    "Set":{"wave":"memory","value":1.5},
    "Hot":{"wave":"ramp","min":0,"max":100,"period_ms":400,"alarm_above":50}
}}"#;

fn open(gateway: &Gateway) -> String {
    let output = gateway.run(&["gateway", "open", "--options", PLANT]);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).trim().to_owned()
}

/// A command whose output is read line by line while it runs.
fn running(command: &mut Command) -> Running {
    Running::start(command.stderr(Stdio::null()))
}

fn json_line(running: &Running) -> Value {
    let line = running.line().expect("the stream has ended");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The counter in the next event that has one, with the event's number. A gap is none.
fn counted(running: &Running) -> (i64, u64) {
    loop {
        let line = json_line(running);
        assert!(line["replay_gap"].is_null(), "{line}");
        if line["item"] == "Count" {
            return (line["said"]["value"].as_i64().unwrap(), line["worker_sequence"].as_u64().unwrap());
        }
    }
}

/// So many counts follow each other without one missing or coming twice.
fn count_on(running: &Running, seen: &mut (i64, u64), times: usize) {
    for _ in 0..times {
        let next = counted(running);
        assert!(next.0 == seen.0 + 1 && next.1 > seen.1, "{next:?} after {seen:?}");
        *seen = next;
    }
}

#[test]
fn a_stream_goes_on_over_a_gateway_that_is_killed_wherever_the_next_one_listens() {
    let gateway = Gateway::with(CONFIG, &[]);
    let session = open(&gateway);
    let mut stream = running(&mut gateway.command(&["gateway", "stream", &session, "Count", "Set", "--json"]));
    let mut seen = counted(&stream);
    count_on(&stream, &mut seen, 20);
    let before = url(&gateway);
    let (home, _) = gateway.end(Signal::KILL);
    let gateway = Gateway::over(home, CONFIG, &[]);
    assert_ne!(url(&gateway), before, "any free port is another one");
    count_on(&stream, &mut seen, 50);
    let closed = gateway.run(&["gateway", "close", &session]);
    assert!(closed.status.success(), "{}", stderr(&closed));
    while stream.line().is_some() {}
    assert_eq!(stream.wait().code(), Some(0), "the session's end is the stream's");
}

#[test]
fn a_stream_goes_on_over_a_connection_that_is_cut_and_items_are_removed_at_its_end() {
    let gateway = Gateway::with(CONFIG, &[]);
    let session = open(&gateway);
    let proxy = Proxy::before(url(&gateway).trim_start_matches("http://").parse().unwrap());
    let token = gateway.data_dir().join("admin.token");
    let through = ["--url", &format!("http://{}", proxy.address), "--token-file", token.to_str().unwrap()];
    let mut stream =
        running(&mut moorline([&through[..], &["gateway", "stream", &session, "Count", "--json"]].concat()));
    let mut seen = counted(&stream);
    for _ in 0..3 {
        count_on(&stream, &mut seen, 10);
        assert!(proxy.cut() > 0);
    }
    let early = seen;
    count_on(&stream, &mut seen, 30);
    stream.signal(Signal::INT);
    while stream.line().is_some() {}
    assert_eq!(stream.wait().code(), Some(130));
    let held = gateway.run(&["gateway", "invoke", &session, "get-session-state"]);
    assert!(!stdout(&held).contains("item"), "{}", stdout(&held));

    // Somebody who comes with a number gets what followed it.
    let after = early.1.to_string();
    let mut again = running(&mut gateway.command(&["gateway", "stream", &session, "--after", &after, "--json"]));
    let next = json_line(&again);
    assert!(next["worker_sequence"].as_u64().unwrap() > early.1, "{next} after {early:?}");
    again.signal(Signal::INT);
    again.wait();
}

/// The back end says how a write went after it has taken it in, and says it to whoever streams.
#[test]
fn how_a_write_went_is_told_by_the_stream() {
    let gateway = Gateway::with(CONFIG, &[]);
    let session = open(&gateway);
    let stream = running(&mut gateway.command(&["gateway", "stream", &session, "Set", "--json"]));
    let lines = running(&mut gateway.command(&["gateway", "stream", &session, "Set", "--lines"]));
    for stream in [&stream, &lines] {
        assert!(stream.line().unwrap().contains("data_change"), "the item is advised");
    }
    for (item, succeeds) in [("Set", true), ("Nowhere", false)] {
        let written = gateway.run(&["gateway", "write", &session, item, "2.5"]);
        assert_eq!(written.status.code(), Some(if succeeds { 0 } else { 5 }), "{item}: {}", stderr(&written));
        let note = stderr(&written);
        let id = note.split_whitespace().find(|word| word.starts_with("cmd_")).unwrap_or_else(|| panic!("{note}"));
        let told = loop {
            let line = json_line(&stream);
            if line["said"]["command_id"] == id {
                break line;
            }
        };
        assert_eq!(told["family"], "write_complete", "{told}");
        assert_eq!(told["statuses"][0]["success"], succeeds, "{told}");
        let in_words = loop {
            let line = lines.line().unwrap();
            if line.contains(id) {
                break line;
            }
        };
        let outcome = if succeeds { " done " } else { " failed (configuration_error 1) " };
        assert!(in_words.contains(outcome), "{in_words}");
    }
    for mut stream in [stream, lines] {
        stream.signal(Signal::INT);
        stream.wait();
    }
}

/// A person's terminal: the table stays in its place, however wide that is, and no item has a say in it.
#[test]
fn a_live_table_is_painted_in_its_place_and_obeys_no_item() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}\r\n";
    let long = format!("Hall.{}Speed", "Row.".repeat(40));
    let plant = json!({ "tick_ms": 20, "tags": {
        "Count": { "wave": "counter" },
        "Evil": { "wave": "memory", "value": evil },
        &long: { "wave": "memory", "value": "x".repeat(500) },
    } });
    let gateway = Gateway::with(CONFIG, &[]);
    let opened = gateway.run(&["gateway", "open", "--options", &plant.to_string()]);
    let session = stdout(&opened).trim().to_owned();
    let mut terminal = Terminal::new(140);
    let mode = terminal.mode();
    let mut table = terminal.run(&mut gateway.command(&["gateway", "stream", &session, "Count", "Evil", &long]));
    for columns in [140, 50] {
        terminal.resize(columns);
        // What is being painted at that moment is as wide as before.
        for _ in 0..2 {
            terminal.forget();
            let before = painted(&terminal, 0);
            painted(&terminal, before);
        }
        let lines = terminal.screen();
        for word in ["Count ", "Evil ", "Row.Speed "] {
            assert_eq!(lines.iter().filter(|line| line.contains(word)).count(), 1, "{word}, of {columns}: {lines:#?}");
        }
        assert!(columns < 140 || lines.iter().any(|line| line.contains("\\u001b]0;owned")), "{lines:#?}");
    }
    // What is typed is shown nowhere, and other keys end nothing.
    terminal.press("wx\u{1b}[A");
    let before = painted(&terminal, 0);
    painted(&terminal, before);
    assert!(!terminal.screen().concat().contains("wx"), "{:#?}", terminal.screen());
    table.signal(Signal::INT);
    assert_eq!(table.wait().code(), Some(130));
    is_left_as_it_was(&terminal, &mode);

    terminal.forget();
    let mut table = terminal.run(&mut gateway.command(&["gateway", "stream", &session, "Count"]));
    painted(&terminal, 0);
    terminal.press("q");
    assert_eq!(table.wait().code(), Some(0), "whoever has seen enough has seen what there was to see");
    is_left_as_it_was(&terminal, &mode);
    let about = gateway.run(&["gateway", "get", &session, "--json"]);
    assert!(stdout(&about).contains("\"ready\""), "the session goes on: {}", stdout(&about));

    // Nobody waits for a key where nobody is: the end of what is typed is no key.
    let mut piped = Command::new("sh");
    let program = gateway.command(&["gateway", "stream", &session, "Count"]);
    piped.arg("-c").arg("exec \"$@\" < /dev/null").arg("sh").arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => piped.env(name, value),
            None => piped.env_remove(name),
        };
    }
    terminal.forget();
    let mut table = terminal.run(&mut piped);
    painted(&terminal, 0);
    assert_eq!(format!("{:?}", terminal.mode()), format!("{mode:?}"), "keys are not taken that are not read");
    table.signal(Signal::INT);
    assert_eq!(table.wait().code(), Some(130));
}

/// It is said how to go on, and the terminal takes what is typed as before.
fn is_left_as_it_was(terminal: &Terminal, mode: &Termios) {
    common::wait_for("it to be said how to go on", || {
        terminal.screen().last().is_some_and(|line| line.ends_with("follows"))
    });
    assert_eq!(format!("{:?}", terminal.mode()), format!("{mode:?}"), "the terminal is as it was");
}

/// Waits until the line above the table counts more events than this, and answers how many.
fn painted(terminal: &Terminal, than: u64) -> u64 {
    let mut events = 0;
    common::wait_for("the table to be painted", || {
        let screen = terminal.screen();
        let mut counted =
            screen.iter().filter_map(|line| line.split_once(" items, ")?.1.strip_suffix(" events")?.parse().ok());
        events = counted.next_back().unwrap_or(0);
        events > than
    });
    events
}

#[test]
fn a_gap_is_a_line_of_its_own() {
    let gateway = Gateway::with(&format!("{CONFIG}replay_events = 50\n"), &[]);
    let session = open(&gateway);
    let invoke = |command: &[&str]| stdout(&gateway.run(&[&["gateway", "invoke", &session], command].concat()));
    let server = invoke(&["register"]).trim().to_owned();
    let item = invoke(&["add-item", "--server-handle", &server, "--item", "Count"]).trim().to_owned();
    invoke(&["advise", "--server-handle", &server, "--item-handle", &item]);
    common::wait_for("more events than are retained", || {
        let about = stdout(&gateway.run(&["gateway", "get", &session, "--json"]));
        serde_json::from_str::<Value>(&about).unwrap()["oldest_worker_sequence"].as_u64() > Some(50)
    });
    let mut late = running(&mut gateway.command(&["gateway", "stream", &session, "--after", "1", "--json"]));
    let gap = json_line(&late)["replay_gap"].take();
    assert_eq!((gap["requested_after"].as_u64(), gap["cause"].as_str()), (Some(1), Some("retention")), "{gap}");
    let next = json_line(&late);
    assert!(next["replay_gap"].is_object() || next["worker_sequence"].as_u64() >= gap["oldest_available"].as_u64());
    let mut told = running(&mut gateway.command(&["gateway", "stream", &session, "--after", "1"]));
    let line = told.line().unwrap();
    assert!(line.starts_with("-- GAP: ") && line.contains("look at the items anew"), "{line}");
    let line = told.line_with("data_change");
    assert!(line.contains(" Count data_change ") && line.ends_with(" good"), "{line}");
    for stream in [&mut late, &mut told] {
        stream.signal(Signal::INT);
        stream.wait();
    }
}

#[test]
fn alarms_are_shown_as_they_come_and_acknowledged() {
    let gateway = Gateway::with(CONFIG, &[]);
    let session = open(&gateway);
    let mut alarms = running(&mut gateway.command(&["gateway", "alarms", &session, "--json"]));
    let raised = loop {
        let alarm = json_line(&alarms);
        if alarm["active"] == true {
            break alarm;
        }
    };
    assert_eq!((raised["item"].as_str(), raised["acknowledged"].as_bool()), (Some("Hot"), Some(false)), "{raised}");
    let id = raised["alarm_id"].as_str().unwrap();
    // It may be cleared by now, and another one active under the same name.
    let acknowledge = ["gateway", "acknowledge", &session, id, "--comment", "seen"];
    common::wait_for("the alarm to be acknowledged", || gateway.run(&acknowledge).status.success());
    let acknowledged = loop {
        let alarm = json_line(&alarms);
        if alarm["acknowledged"] == true {
            break alarm;
        }
    };
    assert_eq!(acknowledged["by"], "admin", "{acknowledged}");
    let unknown = gateway.run(&["gateway", "acknowledge", &session, "Nowhere.High"]);
    assert_eq!(unknown.status.code(), Some(5), "{}", stderr(&unknown));
    let mut told = running(&mut gateway.command(&["gateway", "alarms", &session]));
    let line = told.line_with("Hot");
    assert!(line.contains(" active") || line.contains(" cleared"), "{line}");
    gateway.run(&["gateway", "close", &session]);
    for alarms in [&mut alarms, &mut told] {
        while alarms.line().is_some() {}
        assert_eq!(alarms.wait().code(), Some(0));
    }
}
