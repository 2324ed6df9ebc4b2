//! Metrics as a collector reads them: from a real gateway, over HTTP, with a key.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use common::plant::{LEAVE, TIDY};
use common::{Gateway, plant, wait_for};
use rustix::process::Signal;

const CONFIG: &str = "[gateway]\nlisten = \"127.0.0.1:0\"\n";

/// What the gateway answers: the whole response.
fn scrape(gateway: &Gateway, token: Option<&str>) -> String {
    let address = gateway.url.strip_prefix("ws://").unwrap().split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let key = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\n{key}Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn admin(gateway: &Gateway) -> String {
    std::fs::read_to_string(gateway.data_dir().join("admin.token")).unwrap().trim().to_owned()
}

/// The value of a series; zero while there is none.
fn value(text: &str, series: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

// The stream's end is sent while another thread waits for what comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_reads_what_has_happened_in_sessions() {
    let gateway = Gateway::with(CONFIG, LEAVE);
    let mut api = plant::api(&gateway).await;
    let session = plant::open(&mut api, 20).await.unwrap();
    plant::advise(&mut api, &session.session_id).await;
    let mut events = plant::stream(&mut api, &session, 0).await.unwrap();
    for _ in 0..5 {
        plant::next(&mut events).await.unwrap();
    }
    let text = scrape(&gateway, Some(&admin(&gateway)));
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("application/openmetrics-text"), "{text}");
    assert_eq!(value(&text, "gw_sessions_opened_total"), 1, "{text}");
    assert_eq!(value(&text, "gw_sessions_open"), 1, "{text}");
    assert_eq!(value(&text, "moorline_jobs_open"), 1, "{text}");
    assert!(value(&text, "gw_events_received_total{family=\"data_change\"}") >= 5, "{text}");
    assert!(!text.contains(&session.session_id), "no label names a session");
    drop(events);
    let left = "gw_stream_disconnects_total{reason=\"detached\"}";
    wait_for("the end of the stream is counted", || value(&scrape(&gateway, Some(&admin(&gateway))), left) == 1);

    let (home, _) = gateway.end(Signal::KILL);
    let gateway = Gateway::over(home, CONFIG, TIDY);
    let mut api = plant::api(&gateway).await;
    assert!(plant::is_ready(&mut api, &session.session_id).await);
    let adopted = "gw_adoptions_total{result=\"adopted\"}";
    wait_for("the adoption is counted", || value(&scrape(&gateway, Some(&admin(&gateway))), adopted) == 1);
    plant::close(&mut api, &session.session_id).await;
}

#[test]
fn who_may_not_observe_everything_is_told_no_numbers() {
    let gateway = Gateway::start();
    let key = gateway.run(&["keys", "create", "--principal", "ada"]);
    let token = common::stdout(&key).split_whitespace().find(|word| word.starts_with("mlk_")).map(str::to_owned);
    for (token, status) in [(None, "401"), (Some("mlk_nobody"), "401"), (token.as_deref(), "403")] {
        let answer = scrape(&gateway, token);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{token:?}: {answer}");
        assert!(!answer.contains("moorline_jobs_open"), "{answer}");
    }
}
