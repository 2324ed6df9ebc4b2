//! A real gateway among clients that mean it harm. Whatever they do costs them their connection; a client that keeps to
//! the rules gets its work done meanwhile, and the gateway's memory stays within a bound.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::raw::{Raw, TEXT, hello};
use common::{Gateway, peak, stderr};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

/// Attackers of each kind at once.
const ATTACKERS: u8 = 40;

/// What an attack may cost in memory, all in all: a frame of the largest size for each attacker would be three times as
/// much.
const MEMORY: u64 = 64 * 1024 * 1024;

/// What a connection that has said nothing may cost, its socket's buffers in the kernel not counted. Thrice what it does.
const MEMORY_PER_CONNECTION: u64 = 64 * 1024;

/// Connections that say nothing; the variable `MOORLINE_TEST_CONNECTIONS` asks for more.
const CONNECTIONS: u64 = 2_000;

/// The gateway does what a client that keeps to the rules asks for.
fn assert_serves(gateway: &Gateway, during: &str) {
    let output = gateway.run(&["submit", "echo", "--input", "{\"n\": 7}", "--follow", "--json"]);
    assert!(output.status.success(), "{during}: {}", stderr(&output));
}

/// What an attacker does once it is connected, and what must come of it.
type Attack = fn(&mut Raw);

fn refused(answer: Option<&Value>, code: &str) {
    assert_eq!(answer.map(|answer| &answer["payload"]["code"]), Some(&json!(code)), "{answer:?}");
}

const ATTACKS: &[(&str, Attack, Attack)] = &[
    ("silence", |_| {}, |raw| assert!(!raw.rest().contains("101"), "a head has a deadline")),
    (
        "half a head",
        |raw| raw.send(b"GET /arcp HTTP/1.1\r\nHost: localhost\r\nX-Slow: "),
        |raw| assert!(!raw.rest().contains("101"), "a head has a deadline"),
    ),
    (
        "a flood of headers",
        |raw| {
            raw.send(b"GET /arcp HTTP/1.1\r\nHost: localhost\r\n");
            (0..2_000).for_each(|number| raw.send(format!("X-{number}: {number}\r\n").as_bytes()));
        },
        |raw| assert!(!raw.rest().contains("101"), "it is turned away"),
    ),
    (
        "one long header",
        |raw| {
            raw.send(b"GET /arcp HTTP/1.1\r\nHost: localhost\r\nX-Long: ");
            raw.send(&vec![b'x'; 1 << 20]);
        },
        |raw| assert!(!raw.rest().contains("101"), "it is turned away"),
    ),
    (
        "no hello",
        |raw| assert!(raw.upgrade("").contains(" 101 ")),
        |raw| refused(raw.recv().as_ref(), "INVALID_REQUEST"),
    ),
    (
        "half a hello",
        |raw| {
            raw.upgrade("");
            raw.announce(TEXT, 10_000);
            raw.send(b"{\"arcp\":");
        },
        |raw| refused(raw.recv().as_ref(), "INVALID_REQUEST"),
    ),
    (
        "a giant frame that is announced",
        |raw| {
            raw.upgrade("");
            raw.announce(TEXT, 1 << 40);
        },
        |raw| refused(raw.recv().as_ref(), "INVALID_REQUEST"),
    ),
    (
        "a frame that only a session may send",
        |raw| {
            raw.upgrade("");
            raw.announce(TEXT, 1 << 20);
            raw.send(&vec![b' '; 1 << 20]);
        },
        |raw| drop(raw.rest()),
    ),
    (
        "a frame in many pieces",
        |raw| {
            raw.upgrade("");
            raw.frame(0x01, &[b' '; 10_000]);
            (0..100).for_each(|_| raw.frame(0x00, &[b' '; 10_000]));
        },
        |raw| drop(raw.rest()),
    ),
    (
        "compression, offered and then used",
        |raw| {
            let head = raw.upgrade("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n");
            assert!(head.contains(" 101 ") && !head.to_lowercase().contains("deflate"), "{head}");
            raw.frame(0xc1, &[0x4a; 100]);
        },
        |raw| drop(raw.rest()),
    ),
    (
        "deep JSON",
        |raw| {
            raw.upgrade("");
            raw.frame(TEXT, format!("{}{}", "[".repeat(7_000), "]".repeat(7_000)).as_bytes());
        },
        |raw| refused(raw.recv().as_ref(), "INVALID_REQUEST"),
    ),
    (
        "pings instead of a hello",
        |raw| {
            raw.upgrade("");
            (0..1_000).for_each(|_| raw.frame(0x89, &[b'p'; 100]));
        },
        |raw| drop(raw.rest()),
    ),
    (
        "a guessed token, and another one",
        |raw| {
            raw.upgrade("");
            raw.frame(TEXT, hello("mlk_guess-one").to_string().as_bytes());
            raw.frame(TEXT, hello("mlk_guess-two").to_string().as_bytes());
        },
        |raw| {
            refused(raw.recv().as_ref(), "UNAUTHENTICATED");
            assert!(raw.recv().is_none(), "one attempt for each connection");
        },
    ),
    (
        "work without a hello",
        |raw| {
            raw.upgrade("");
            let submit = json!({ "arcp": "1.1", "id": "m", "type": "job.submit", "payload": { "agent": "echo" } });
            raw.frame(TEXT, submit.to_string().as_bytes());
        },
        |raw| refused(raw.recv().as_ref(), "INVALID_REQUEST"),
    ),
];

#[test]
fn whatever_a_stranger_does_costs_its_connection_and_nobody_elses_time_or_memory() {
    let gateway = Gateway::with("", &["--session-hello-deadline=2s", "--limits-free-failures-per-address=1000"]);
    assert_serves(&gateway, "before");
    let before = peak(gateway.process.child.id()).unwrap();
    for (what, begin, end) in ATTACKS {
        let mut attackers: Vec<_> = (0..ATTACKERS).filter_map(|_| Raw::connect(&gateway.url, 2)).collect();
        assert_eq!(attackers.len(), usize::from(ATTACKERS), "{what}");
        attackers.iter_mut().for_each(begin);
        assert_serves(&gateway, what);
        attackers.iter_mut().for_each(end);
        let now = peak(gateway.process.child.id()).unwrap();
        assert!(now < before + MEMORY, "{what}: {before} bytes before, {now} at the most");
    }
    assert_serves(&gateway, "after");
    let log = gateway.log();
    assert!(!log.contains("guess") && !log.contains("X-Slow"), "nothing that they said is logged: {log}");
}

#[test]
fn thousands_of_connections_that_say_nothing_keep_nobody_out() {
    let asked = std::env::var("MOORLINE_TEST_CONNECTIONS").ok().and_then(|text| text.parse().ok());
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let connections = asked.unwrap_or(CONNECTIONS).min(descriptors.saturating_sub(200));
    let bounds = ["--limits-max-connections-per-address=200", "--limits-max-connections=20000"];
    let gateway = Gateway::with("", &[&bounds[..], &["--session-hello-deadline=5m"]].concat());
    assert_serves(&gateway, "before");
    let before = peak(gateway.process.child.id()).unwrap();
    let mut open = Vec::new();
    for number in 0..connections {
        let host = 2 + u8::try_from(number / 200).unwrap();
        let mut raw = Raw::connect(&gateway.url, host).unwrap();
        assert!(raw.upgrade("").contains(" 101 "), "connection {number}");
        open.push(raw);
    }
    assert_serves(&gateway, "meanwhile");
    let now = peak(gateway.process.child.id()).unwrap();
    assert!(
        now < before + MEMORY / 4 + connections * MEMORY_PER_CONNECTION,
        "{connections} connections: {before} bytes before, {now} at the most"
    );
    let mut beyond = Raw::connect(&gateway.url, 2).unwrap();
    assert!(!beyond.upgrade("").contains(" 101 "), "an address has its share and no more");
    assert!(open.iter_mut().all(Raw::is_open), "those that keep to the rules stay");
}

#[test]
fn who_guesses_tokens_has_to_wait_and_others_do_not() {
    let gateway = Gateway::with("", &["--limits-free-failures-per-address=5"]);
    let guess = || {
        let mut raw = Raw::connect(&gateway.url, 3).unwrap();
        let head = raw.upgrade("");
        raw.frame(TEXT, hello("mlk_guess").to_string().as_bytes());
        drop(raw.recv());
        head
    };
    let heads: Vec<_> = (0..40).map(|_| guess()).collect();
    let let_in = heads.iter().filter(|head| head.contains(" 101 ")).count();
    let shut_out = heads.iter().filter(|head| head.contains(" 429 ") && head.contains("retry-after: ")).count();
    assert!(let_in >= 6 && shut_out > 0 && let_in + shut_out == 40, "{let_in} let in, {shut_out} shut out");
    assert_serves(&gateway, "while another address waits");
}
