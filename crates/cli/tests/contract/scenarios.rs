//! What both clients do.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::peer::{Language, Peer, words};
use super::stage::{PLANT, Stage, grpc, key};
use crate::common::{Gateway, stdout, wait_for};

type Scenario = (&'static str, fn(&mut Stage));

/// On one gateway, in this order.
const SCENARIOS: &[Scenario] = &[
    ("values are written, read and streamed", values_are_written_read_and_streamed),
    ("a value has every time that it came with", a_value_has_every_time_that_it_came_with),
    ("a write may be waited for", a_write_may_be_waited_for),
    ("what the back end makes of an item is told", what_the_back_end_makes_of_an_item_is_told),
    ("a cut connection costs a stream nothing", a_cut_connection_costs_a_stream_nothing),
    ("a stream that has seen nothing goes on too", a_stream_that_has_seen_nothing_goes_on_too),
    ("a stream goes on from a position", a_stream_goes_on_from_a_position),
    ("waiting for an event may be given up", waiting_for_an_event_may_be_given_up),
    ("a command whose answer is lost is carried out once", a_command_whose_answer_is_lost_is_carried_out_once),
    ("what has no name is not repeated", what_has_no_name_is_not_repeated),
    ("a close whose answer is lost has closed", a_close_whose_answer_is_lost_has_closed),
    ("a command that takes too long can be asked for again", a_command_that_takes_too_long_can_be_asked_for_again),
    ("what makes no sense is refused by name", what_makes_no_sense_is_refused_by_name),
    ("a session's end ends its stream", a_sessions_end_ends_its_stream),
    ("alarms begin anew after an interruption", alarms_begin_anew_after_an_interruption),
    ("a killed gateway costs a stream nothing", a_killed_gateway_costs_a_stream_nothing),
];

/// On a gateway that retains ten events.
const FORGETFUL: &[Scenario] = &[("what is not retained is told as a gap", what_is_not_retained_is_told_as_a_gap)];

#[expect(clippy::print_stderr, reason = "which scenario has failed is said beside how")]
pub(crate) fn run_all(language: Language) {
    for (options, scenarios) in [("", SCENARIOS), ("replay_events = 10\n", FORGETFUL)] {
        let mut stage = Stage::set(language, options);
        for (name, scenario) in scenarios {
            if let Err(failed) = catch_unwind(AssertUnwindSafe(|| scenario(&mut stage))) {
                eprintln!("with the {language:?} client: {name}: FAILED");
                resume_unwind(failed);
            }
        }
    }
    over_tls(language);
}

/// With a certificate that is trusted because it was given, and not otherwise.
fn over_tls(language: Language) {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("cert.pem"), cert.pem()).unwrap();
    std::fs::write(path("key.pem"), signing_key.serialize_pem()).unwrap();
    let flags = ["--tls-cert", &path("cert.pem"), "--tls-key", &path("key.pem")];
    let gateway = Gateway::with("[gateway]\nlisten = \"127.0.0.1:0\"\n", &flags);
    let url = format!("https://{}", grpc(&gateway));
    let mut peer = Peer::start(language);
    let list = json!({ "do": "sessions", "gateway": "tls" });
    let mut connect = json!({ "do": "connect", "gateway": "tls", "url": url, "key": key(&gateway), "roots": cert.pem(), "call_timeout": 30 });
    peer.done(&connect);
    assert_eq!(peer.done(&list), json!({ "sessions": [] }));
    // One client connects at once, the other one at its first call.
    (connect["roots"], connect["gateway"], connect["call_timeout"]) = (Value::Null, json!("strange"), json!(1));
    peer.ask(&connect);
    let refused = peer.answer().and_then(|_| {
        peer.ask(&json!({ "do": "sessions", "gateway": "strange" }));
        peer.answer()
    });
    let kind = words(&refused.unwrap_err()).0;
    assert!(kind == "connect" || kind == "unreachable", "{language:?}: {kind}");
}

/// The values of an item's changes, which have to be all that there is.
fn counts(items: &[Value]) -> Vec<i64> {
    let count = |item: &Value| item["change"]["value"].as_i64().unwrap_or_else(|| panic!("no change: {item}"));
    items.iter().map(count).collect()
}

/// Whether every value is one more than the one before.
fn is_dense(counts: &[i64]) -> bool {
    counts.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

fn values_are_written_read_and_streamed(stage: &mut Stage) {
    stage.stream("values");
    let mut set = stage.advise("values", "Set");
    (set["do"], set["session"], set["value"]) = (json!("write"), json!("values"), json!(7.5));
    let written = stage.peer.done(&set);
    assert_eq!(written["repeated"], false);
    let mut seen = Vec::new();
    while seen.last().is_none_or(|item: &Value| item["written"].is_null()) {
        seen.extend(stage.take("values", 1));
    }
    let complete = &seen[seen.len() - 1]["written"];
    assert!(complete["command"] == written["command"] && complete["success"] == true, "{seen:?}");
    assert!(seen.iter().any(|item| item["change"]["value"] == 7.5 && item["change"]["good"] == true), "{seen:?}");

    let read = stage.peer.done(&json!({ "do": "read", "session": "values", "items": ["Set", "Nowhere"] }));
    let readings = &read["readings"];
    assert!(readings[0]["value"] == 7.5 && readings[0]["good"] == true, "{read}");
    assert!(readings[1]["item"] == "Nowhere" && readings[1]["failure"].is_string(), "{read}");
    let bulk =
        |server: &Value| json!({ "do": "bulk", "session": "values", "server": server, "items": ["Set", "Count"] });
    let parts = stage.peer.done(&bulk(&set["server"]));
    assert!(parts["parts"][0].is_number() && parts["parts"][1].is_number(), "{parts}");
    let parts = stage.peer.done(&bulk(&json!(99)));
    assert!(parts["parts"][1].as_str().is_some_and(|why| why.contains("99")), "{parts}");

    stage.close("values");
    let sessions = stage.peer.done(&json!({ "do": "sessions", "gateway": "near" }));
    assert_eq!(sessions["sessions"], json!([]));
}

fn a_value_has_every_time_that_it_came_with(stage: &mut Stage) {
    /// In the year 2023: whatever else has noted the value has done so since.
    const WRITTEN: u64 = 1_700_000_000_000;

    stage.stream("times");
    let mut set = stage.advise("times", "Set");
    let first = stage.take("times", 1)[0]["change"].take();
    let is_of_now = |time: &Value| time.as_u64().is_some_and(|time| time > WRITTEN);
    assert!(["source", "server", "received"].iter().all(|name| is_of_now(&first[name])), "{first}");
    (set["do"], set["session"], set["value"], set["at"]) = (json!("write"), json!("times"), json!(8.5), json!(WRITTEN));
    stage.peer.done(&set);
    let change = stage.take("times", 1)[0]["change"].take();
    let reading = stage.peer.done(&json!({ "do": "read", "session": "times", "items": ["Set"] }))["readings"][0].take();
    for sample in [change, reading] {
        assert!(sample["value"] == 8.5 && sample["source"] == WRITTEN && sample["time"] == WRITTEN, "{sample}");
        assert!(is_of_now(&sample["server"]) && is_of_now(&sample["received"]), "{sample}");
    }
    stage.close("times");
}

fn a_write_may_be_waited_for(stage: &mut Stage) {
    let options = r#"{"slow_write_ms":300,"tags":{"Set":{"wave":"memory","value":1.5},"Count":{"wave":"counter"}}}"#;
    stage.open_with("slow writes", options);
    let read = json!({ "do": "read", "session": "slow writes", "items": ["Set"] });
    let mut write = stage.advise("slow writes", "Set");
    (write["do"], write["session"], write["value"]) = (json!("write_until_complete"), json!("slow writes"), json!(7.5));
    assert_eq!(stage.peer.done(&write)["repeated"], false);
    assert_eq!(stage.peer.done(&read)["readings"][0]["value"], 7.5, "it is written when that is answered");
    // The connection goes while it is under way: the repetition waits for the same write.
    write["value"] = json!(8.5);
    stage.proxy.deafen();
    stage.peer.ask(&write);
    let watcher = &mut stage.watcher;
    wait_for("the value to be written", || watcher.done(&read)["readings"][0]["value"] == 8.5);
    stage.proxy.cut();
    assert_eq!(stage.peer.answer().unwrap()["repeated"], true);
    // The gateway goes: the next one finds in the journal how it went.
    write["value"] = json!(9.5);
    stage.proxy.deafen();
    stage.peer.ask(&write);
    let watcher = &mut stage.watcher;
    wait_for("the value to be written", || watcher.done(&read)["readings"][0]["value"] == 9.5);
    stage.kill(|stage| {
        stage.proxy.cut();
    });
    assert_eq!(stage.peer.answer().unwrap()["repeated"], true);
    let mut refused = stage.advise("slow writes", "Count");
    (refused["do"], refused["session"], refused["value"]) = (write["do"].clone(), write["session"].clone(), json!(1.0));
    stage.peer.ask(&refused);
    let (kind, code, _) = words(&stage.peer.answer().unwrap_err());
    assert_eq!((kind.as_str(), code.as_str()), ("failed", "FAILED_PRECONDITION"));
    stage.close("slow writes");
}

fn what_the_back_end_makes_of_an_item_is_told(stage: &mut Stage) {
    stage.stream("rates");
    let server = stage.peer.done(&json!({ "do": "register", "session": "rates", "name": "rates" }))["server"].take();
    let add = json!({ "do": "add_item", "session": "rates", "server": server, "item": "Set", "buffered": true });
    let handle = stage.peer.done(&add)["handle"].take();
    let advise = json!({ "do": "advise", "session": "rates", "server": server, "handle": handle });
    let advised = stage.peer.done(&advise)["revision"].take();
    // The plant has no sign of life and no end of what is advised, and says of neither.
    let rates = |publishing: f64| json!({ "sampling": 20.0, "queue": 1000, "publishing": publishing, "keep_alive": null, "lifetime": null });
    assert_eq!(advised, json!({ "requested": rates(1_000.0), "revised": rates(1_000.0) }));
    let pace = json!({ "do": "pace", "session": "rates", "server": server, "interval": 250 });
    assert_eq!(stage.peer.done(&pace)["interval"], 300);
    let told = loop {
        let mut item = stage.take("rates", 1).remove(0);
        if item["revised"].is_object() {
            break item["revised"].take();
        }
    };
    let revision = json!({ "requested": rates(250.0), "revised": rates(300.0) });
    assert_eq!((&told["handle"], &told["revision"]), (&handle, &revision));
    let held = stage.watcher.done(&json!({ "do": "worker", "session": "rates" }));
    assert_eq!(held["revisions"], json!([revision]));
    stage.close("rates");
}

fn a_cut_connection_costs_a_stream_nothing(stage: &mut Stage) {
    stage.stream("cut");
    stage.advise("cut", "Count");
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.extend(counts(&stage.take("cut", 20)));
        assert!(stage.proxy.cut() > 0);
    }
    seen.extend(counts(&stage.take("cut", 20)));
    assert!(seen.len() == 120 && is_dense(&seen), "{seen:?}");
    stage.close("cut");
}

fn a_stream_that_has_seen_nothing_goes_on_too(stage: &mut Stage) {
    stage.stream("fresh");
    stage.proxy.cut();
    stage.advise("fresh", "Count");
    stage.let_happen("fresh", 20);
    let seen = counts(&stage.take("fresh", 20));
    assert!(is_dense(&seen), "{seen:?}");
    stage.close("fresh");
}

fn a_stream_goes_on_from_a_position(stage: &mut Stage) {
    stage.stream("kept");
    stage.advise("kept", "Count");
    let mut seen = counts(&stage.take("kept", 10));
    let position = stage.peer.done(&json!({ "do": "position", "stream": "kept" }));
    stage.peer.done(&json!({ "do": "leave", "stream": "kept" }));
    stage.let_happen("kept", 20);
    // As another process would: with nothing but the position.
    let again = json!({ "do": "stream", "session": "kept", "stream": "kept", "after": position });
    let watcher = &mut stage.watcher;
    wait_for("the place to be free", || {
        watcher.ask(&again);
        watcher.answer().is_ok()
    });
    let taken = stage.watcher.done(&json!({ "do": "take", "stream": "kept", "count": 40 }));
    seen.extend(counts(taken["items"].as_array().unwrap()));
    assert!(seen.len() == 50 && is_dense(&seen), "{seen:?}");
    stage.watcher.done(&json!({ "do": "leave", "stream": "kept" }));
    stage.close("kept");
}

fn waiting_for_an_event_may_be_given_up(stage: &mut Stage) {
    stage.stream("patient");
    let next = json!({ "do": "next", "stream": "patient", "wait": 0.05 });
    assert_eq!(stage.peer.done(&next), json!({ "nothing": true }));
    stage.advise("patient", "Count");
    let hasty = json!({ "do": "next", "stream": "patient", "wait": 0.005 });
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let item = stage.peer.done(&hasty);
        seen.extend(item["change"]["value"].as_i64());
    }
    seen.extend(counts(&stage.take("patient", 5)));
    assert!(is_dense(&seen), "{seen:?}");
    stage.close("patient");
}

fn a_command_whose_answer_is_lost_is_carried_out_once(stage: &mut Stage) {
    stage.open("once");
    stage.proxy.deafen();
    stage.peer.ask(&json!({ "do": "invoke_register", "session": "once", "name": "one", "command": "once" }));
    wait_for("the command to be carried out", || stage.servers("once") == ["one"]);
    stage.proxy.cut();
    let answer = stage.peer.answer().unwrap();
    assert!(answer["repeated"] == true && answer["command"] == "once", "{answer}");
    assert_eq!(stage.servers("once"), ["one"], "it is not carried out again");
    stage.close("once");
}

fn what_has_no_name_is_not_repeated(stage: &mut Stage) {
    let list = json!({ "do": "sessions", "gateway": "near" });
    let attach = |id: &Value| json!({ "do": "attach", "gateway": "near", "session": "lost", "session_id": id });
    stage.proxy.deafen();
    stage.peer.ask(&json!({ "do": "open", "gateway": "near", "session": "lost", "options": PLANT }));
    let watcher = &mut stage.watcher;
    wait_for("the session to be opened", || {
        let sessions = watcher.done(&list);
        sessions["sessions"].get(0).is_some_and(|id| {
            watcher.done(&attach(id));
            watcher.done(&json!({ "do": "about", "session": "lost" }))["state"] == "READY"
        })
    });
    stage.proxy.cut();
    let error = stage.peer.answer().unwrap_err();
    assert!(words(&error).0 == "unknown" && error["command"].is_null(), "{error}");
    let there = stage.peer.done(&list)["sessions"].take();
    let there = there.as_array().unwrap();
    assert!(there.len() < 2, "it is opened twice");
    // A gateway that noticed the cut before it had answered has let go of the session.
    for id in there {
        stage.peer.done(&attach(id));
        let killed = stage.peer.done(&json!({ "do": "kill", "session": "lost", "reason": "nobody needs it" }));
        assert_eq!(killed["state"], "CLOSED");
    }
}

fn a_close_whose_answer_is_lost_has_closed(stage: &mut Stage) {
    stage.open("closing");
    stage.proxy.deafen();
    stage.peer.ask(&json!({ "do": "close", "session": "closing" }));
    let list = json!({ "do": "sessions", "gateway": "near" });
    let watcher = &mut stage.watcher;
    wait_for("the session to be closed", || watcher.done(&list)["sessions"] == json!([]));
    stage.proxy.cut();
    assert_eq!(stage.peer.answer().unwrap(), json!({ "state": "CLOSED", "already": true }));
}

fn a_command_that_takes_too_long_can_be_asked_for_again(stage: &mut Stage) {
    stage.open("slow");
    let worker = stage.watcher.done(&json!({ "do": "worker", "session": "slow" }))["pid"].as_i64().unwrap();
    let worker = Pid::from_raw(i32::try_from(worker).unwrap()).unwrap();
    kill_process(worker, Signal::STOP).unwrap();
    let mut ask =
        json!({ "do": "invoke_register", "session": "slow", "name": "slow", "command": "slow", "timeout": 0.3 });
    stage.peer.ask(&ask);
    let answer = stage.peer.answer();
    kill_process(worker, Signal::CONT).unwrap();
    let error = answer.unwrap_err();
    assert_eq!(words(&error), ("unknown".into(), "DEADLINE_EXCEEDED".into(), "COMMAND_TIMEOUT".into()));
    assert_eq!(error["command"], "slow");
    ask["timeout"] = Value::Null;
    stage.peer.done(&ask);
    assert_eq!(stage.servers("slow"), ["slow"], "it is carried out once");
    stage.close("slow");
}

fn what_makes_no_sense_is_refused_by_name(stage: &mut Stage) {
    stage.stream("refusals");
    let set = stage.advise("refusals", "Set");
    let created = stage.gateway().run(&["keys", "create", "--principal", "looker", "--scope", "observe_all"]);
    let looker = stdout(&created).trim().to_owned();
    let url = format!("http://{}", grpc(stage.gateway()));
    let nobody = "mlk_nobody";
    for (who, key) in [("looker", looker.as_str()), ("nobody", nobody)] {
        stage.peer.done(&json!({ "do": "connect", "gateway": who, "url": url, "key": key }));
    }
    let session = stage.peer.done(&json!({ "do": "sessions", "gateway": "looker" }))["sessions"][0].clone();
    let see = json!({ "do": "attach", "gateway": "looker", "session": "seen", "session_id": session });
    stage.peer.done(&see);
    let unknown = format!("session-{}", "0".repeat(32));
    for (question, expected) in [
        (json!({ "do": "connect", "gateway": "x", "url": url, "key": "" }), ("connect", "", "")),
        (json!({ "do": "connect", "gateway": "x", "url": "nonsense", "key": stage.key() }), ("connect", "", "")),
        (json!({ "do": "sessions", "gateway": "nobody" }), ("refused", "UNAUTHENTICATED", "UNAUTHENTICATED")),
        (
            json!({ "do": "open", "gateway": "looker", "session": "x", "options": "" }),
            ("refused", "PERMISSION_DENIED", ""),
        ),
        (
            json!({ "do": "register", "session": "seen", "name": "x" }),
            ("refused", "PERMISSION_DENIED", "PERMISSION_DENIED"),
        ),
        (
            json!({ "do": "attach", "gateway": "near", "session": "x", "session_id": unknown }),
            ("refused", "NOT_FOUND", "SESSION_NOT_FOUND"),
        ),
        (
            json!({ "do": "open", "gateway": "near", "session": "x", "options": "{", }),
            ("refused", "INVALID_ARGUMENT", "INVALID_REQUEST"),
        ),
        (
            json!({ "do": "open", "gateway": "near", "session": "x", "options": "", "backend": "nothing" }),
            ("refused", "INVALID_ARGUMENT", "INVALID_REQUEST"),
        ),
        (
            json!({ "do": "stream", "session": "refusals", "stream": "x" }),
            ("refused", "ALREADY_EXISTS", "EVENT_SUBSCRIBER_ALREADY_ACTIVE"),
        ),
        (
            json!({ "do": "add_item", "session": "refusals", "server": 99, "item": "Set" }),
            ("failed", "FAILED_PRECONDITION", "UNSPECIFIED"),
        ),
        (
            json!({ "do": "advise", "session": "refusals", "server": set["server"], "handle": 99 }),
            ("failed", "FAILED_PRECONDITION", "UNSPECIFIED"),
        ),
        (
            json!({ "do": "kill", "session": "refusals", "reason": " " }),
            ("refused", "INVALID_ARGUMENT", "INVALID_REQUEST"),
        ),
    ] {
        let (kind, code, reason) = stage.peer.refused(&question);
        let reason = if expected.2.is_empty() { String::new() } else { reason };
        assert_eq!((kind.as_str(), code.as_str(), reason.as_str()), expected, "{question}");
    }
    stage.close("refusals");
}

fn a_sessions_end_ends_its_stream(stage: &mut Stage) {
    stage.stream("ending");
    let next = json!({ "do": "next", "stream": "ending" });
    stage.peer.ask(&next);
    let closed = stage.watcher.done(&json!({ "do": "close", "session": "ending" }));
    assert_eq!(closed, json!({ "state": "CLOSED", "already": false }));
    assert_eq!(stage.peer.answer().unwrap(), json!({ "end": true }));
    assert_eq!(stage.peer.done(&next), json!({ "end": true }), "it stays at its end");
}

fn alarms_begin_anew_after_an_interruption(stage: &mut Stage) {
    stage.open("alarms");
    let next = json!({ "do": "next_alarm", "stream": "alarms" });
    stage.peer.done(&json!({ "do": "alarms", "session": "alarms", "stream": "alarms" }));
    // The plant raises it at its first tick, which may be before the snapshot or after it.
    let begun = [stage.peer.done(&next), stage.peer.done(&next)];
    let has = |name: &str| begun.iter().any(|told| !told[name].is_null());
    assert!(has("complete") && (has("active") || has("transition")), "{begun:?}");
    stage.proxy.cut();
    assert_eq!(stage.peer.done(&next), json!({ "interrupted": true }));
    let active = stage.peer.done(&next)["active"].take();
    assert_eq!(stage.peer.done(&next), json!({ "complete": true }));
    let acknowledge =
        |alarm: &Value| json!({ "do": "acknowledge", "session": "alarms", "alarm": alarm, "comment": "seen" });
    stage.peer.done(&acknowledge(&active["id"]));
    let told = stage.peer.done(&next)["transition"].take();
    assert!(told["id"] == active["id"] && told["acknowledged"] == true, "{told}");
    assert_eq!(stage.peer.refused(&acknowledge(&json!("Nothing.High"))).0, "failed");
    stage.close("alarms");
}

fn a_killed_gateway_costs_a_stream_nothing(stage: &mut Stage) {
    stage.stream("killed");
    stage.advise("killed", "Count");
    let mut seen = counts(&stage.take("killed", 20));
    stage.kill(|stage| stage.peer.ask(&json!({ "do": "take", "stream": "killed", "count": 100 })));
    let taken = stage.peer.answer().unwrap();
    seen.extend(counts(taken["items"].as_array().unwrap()));
    assert!(seen.len() == 120 && is_dense(&seen), "{seen:?}");
    stage.kill(|stage| stage.peer.ask(&json!({ "do": "register", "session": "killed", "name": "meanwhile" })));
    assert!(stage.peer.answer().unwrap()["server"].is_number(), "a command waits for the gateway");
    seen.extend(counts(&stage.take("killed", 20)));
    assert!(is_dense(&seen), "{seen:?}");
    stage.close("killed");
}

fn what_is_not_retained_is_told_as_a_gap(stage: &mut Stage) {
    /// A busy machine may stand still for as long as ten events take, and there is no second gap for it.
    const SLOW: &str = r#"{"tick_ms":100,"tags":{"Count":{"wave":"counter"}}}"#;

    stage.open_with("gap", SLOW);
    stage.peer.done(&json!({ "do": "stream", "session": "gap", "stream": "gap" }));
    stage.advise("gap", "Count");
    stage.take("gap", 5);
    stage.aim_nowhere();
    stage.proxy.cut();
    stage.let_happen("gap", 30);
    stage.proxy.aim(grpc(stage.gateway()));
    let mut before = Vec::new();
    let gap = loop {
        let item = stage.take("gap", 1).remove(0);
        if item["gap"].is_object() {
            break item["gap"].clone();
        }
        before.push(item["change"].clone());
    };
    assert_eq!(gap["cause"], "retention");
    if let Some(last) = before.last() {
        assert_eq!(gap["after"], last["sequence"], "the gap is told in its place");
    }
    let after = stage.take("gap", 20);
    assert!(after[0]["change"]["sequence"].as_u64() >= gap["oldest"].as_u64(), "{gap} {after:?}");
    assert!(is_dense(&counts(&after)), "{after:?}");
    stage.close("gap");
}
