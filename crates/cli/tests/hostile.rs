//! A real gateway among clients that mean it harm. Whatever they do costs them their connection; a client that keeps to
//! the rules gets its work done meanwhile, and the gateway's memory stays within a bound.
//!
//! What that client waits for a job is measured before and during each attack, and printed. `cargo xtask hostile` does it
//! with ten thousand connections and more jobs (`MOORLINE_HOSTILE_CONNECTIONS`, `MOORLINE_HOSTILE_JOBS`), and compares:
//! `MOORLINE_HOSTILE_MAX_RATIO` is how many times as long it may wait. Nothing is timed otherwise.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::raw::{Raw, TEXT, hello};
use common::{Gateway, peak, stderr};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

/// Attackers of each kind at once.
const ATTACKERS: u8 = 40;

/// What an attack may cost in memory, all in all: a frame of the largest size for each attacker would be three times as
/// much.
const MEMORY: u64 = 64 * 1024 * 1024;

/// What a connection that has said nothing may cost, its socket's buffers in the kernel not counted. Thrice what it does.
const MEMORY_PER_CONNECTION: u64 = 64 * 1024;

/// Connections that say nothing, unless more are asked for.
const CONNECTIONS: u64 = 2_000;

/// Jobs of the client that keeps to the rules during each attack, unless more are asked for.
const JOBS: u64 = 10;

/// Descriptors that are open beside those of the connections, of the test or of the gateway.
const OTHER_DESCRIPTORS: u64 = 200;

/// What the environment asks for.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// A client that keeps to the rules, and what it has waited for its jobs.
struct Healthy {
    raw: Raw,
    session: Value,
    /// The median before anybody did harm.
    usual: Duration,
}

impl Healthy {
    fn new(gateway: &Gateway) -> Self {
        let key = fs::read_to_string(gateway.data_dir().join("admin.token")).unwrap();
        let mut raw = Raw::connect(&gateway.url, 1).unwrap();
        raw.upgrade("");
        raw.frame(TEXT, hello(key.trim()).to_string().as_bytes());
        let session = raw.recv().unwrap()["session_id"].clone();
        let mut healthy = Self { raw, session, usual: Duration::ZERO };
        let nothing = AtomicBool::new(true);
        // The first jobs are not like the later ones.
        healthy.work(&nothing);
        healthy.usual = median(&healthy.work(&nothing));
        healthy
    }

    /// How long each job takes from its submission to its result, until this is over, and at least [`JOBS`] of them.
    #[expect(clippy::disallowed_methods, reason = "how long another process takes, which has no other clock")]
    fn work(&mut self, is_over: &AtomicBool) -> Vec<Duration> {
        let (mut taken, jobs) = (Vec::new(), asked("MOORLINE_HOSTILE_JOBS").unwrap_or(JOBS));
        while taken.len() as u64 <= jobs || !is_over.load(Ordering::Relaxed) {
            let submit = json!({ "arcp": "1.1", "id": "msg_job", "type": "job.submit", "session_id": self.session,
                "payload": { "agent": "echo", "input": { "n": 7 } } });
            let began = Instant::now();
            self.raw.frame(TEXT, submit.to_string().as_bytes());
            while self.raw.recv().expect("the session goes on")["type"] != "job.result" {}
            taken.push(began.elapsed());
        }
        taken
    }

    /// Works while this is done, and says what came of it.
    #[expect(clippy::print_stderr, reason = "what was measured is what is wanted of it")]
    fn works_during(&mut self, gateway: &Gateway, what: &str, harm: impl FnOnce()) {
        let is_over = AtomicBool::new(false);
        let mut taken = std::thread::scope(|threads| {
            let working = threads.spawn(|| self.work(&is_over));
            harm();
            is_over.store(true, Ordering::Relaxed);
            working.join().unwrap()
        });
        let (during, usual) = (median(&taken), self.usual);
        taken.sort_unstable();
        let slowest = taken[taken.len() * 99 / 100];
        let ratio = during.as_secs_f64() / usual.as_secs_f64();
        let memory = peak(gateway.process.child.id()).unwrap() / (1024 * 1024);
        eprintln!(
            "| {what} | {memory} MiB | {} | {usual:.1?} | {during:.1?} | {ratio:.1} | {slowest:.1?} |",
            taken.len()
        );
        if let Some(most) = asked("MOORLINE_HOSTILE_MAX_RATIO") {
            assert!(ratio <= most as f64, "{what}: a job takes {during:?}, and {usual:?} without");
        }
    }
}

fn median(taken: &[Duration]) -> Duration {
    let mut taken = taken.to_vec();
    taken.sort_unstable();
    taken[taken.len() / 2]
}

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
    let mut healthy = Healthy::new(&gateway);
    let before = peak(gateway.process.child.id()).unwrap();
    for (what, begin, end) in ATTACKS {
        let mut attackers: Vec<_> = (0..ATTACKERS).filter_map(|_| Raw::connect(&gateway.url, 2)).collect();
        assert_eq!(attackers.len(), usize::from(ATTACKERS), "{what}");
        healthy.works_during(&gateway, what, || attackers.iter_mut().for_each(begin));
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
    let connections = asked("MOORLINE_HOSTILE_CONNECTIONS").unwrap_or(CONNECTIONS);
    allow_descriptors(connections + OTHER_DESCRIPTORS);
    let bounds = ["--limits-max-connections-per-address=200", "--limits-max-connections=20000"];
    let gateway = Gateway::with("", &[&bounds[..], &["--session-hello-deadline=5m"]].concat());
    assert_serves(&gateway, "before");
    let mut healthy = Healthy::new(&gateway);
    let before = peak(gateway.process.child.id()).unwrap();
    let mut open = Vec::new();
    healthy.works_during(&gateway, &format!("{connections} connections are opened"), || {
        for number in 0..connections {
            let host = 2 + u8::try_from(number / 200).unwrap();
            let mut raw = Raw::connect(&gateway.url, host).unwrap();
            assert!(raw.upgrade("").contains(" 101 "), "connection {number}");
            open.push(raw);
        }
    });
    healthy.works_during(&gateway, &format!("{connections} connections are open"), || {});
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

/// Lets this process, and the gateway that it starts, have so many descriptors.
fn allow_descriptors(descriptors: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < descriptors) {
        limit.current = Some(descriptors);
        let raised = setrlimit(Resource::Nofile, limit);
        assert!(
            raised.is_ok(),
            "{descriptors} open files are needed and at most {:?} allowed: raise the limit with `ulimit -Hn {descriptors}` \
             as root, or ask for fewer connections",
            limit.maximum
        );
    }
}

#[test]
fn who_guesses_tokens_has_to_wait_and_others_do_not() {
    let gateway = Gateway::with("", &["--limits-free-failures-per-address=5"]);
    let mut healthy = Healthy::new(&gateway);
    let guess = || {
        let mut raw = Raw::connect(&gateway.url, 3).unwrap();
        let head = raw.upgrade("");
        raw.frame(TEXT, hello("mlk_guess").to_string().as_bytes());
        drop(raw.recv());
        head
    };
    let mut heads = Vec::new();
    healthy.works_during(&gateway, "guessing tokens", || heads.extend((0..40).map(|_| guess())));
    let let_in = heads.iter().filter(|head| head.contains(" 101 ")).count();
    let shut_out = heads.iter().filter(|head| head.contains(" 429 ") && head.contains("retry-after: ")).count();
    assert!(let_in >= 6 && shut_out > 0 && let_in + shut_out == 40, "{let_in} let in, {shut_out} shut out");
    assert_serves(&gateway, "while another address waits");
}
