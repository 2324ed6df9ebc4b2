//! What web pages make browsers ask of the door.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use common::{Bench, http_options};
use moorline_server::config::Allowed;
use moorline_server::http::HttpOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Asks for a WebSocket with these headers, and returns the status and the text.
async fn ask(bench: &Bench, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let is_whole = |answer: &[u8]| match String::from_utf8_lossy(answer).split_once("\r\n\r\n") {
        Some((head, body)) => head.contains(" 101 ") || body.ends_with('\n'),
        None => false,
    };
    while !is_whole(&answer) {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
}

#[tokio::test]
async fn a_web_page_connects_only_from_an_origin_and_to_a_name_that_are_configured() {
    let bench = Bench::start().await;
    let here = bench.address.to_string();
    for (host, origin, status, remedy) in [
        (here.as_str(), None, 101, ""),
        ("localhost", None, 101, ""),
        ("Gateway.example.com:7707", None, 101, ""),
        ("localhost", Some("https://app.example.com"), 101, ""),
        ("rebound.example", None, 421, "http.allowed_hosts"),
        ("rebound.example", Some("http://rebound.example"), 421, "http.allowed_hosts"),
        (here.as_str(), Some("https://evil.example"), 403, "http.allowed_origins"),
        (here.as_str(), Some("null"), 403, "http.allowed_origins"),
        (here.as_str(), Some("http://localhost:3000"), 403, "http.allowed_origins"),
    ] {
        for path in ["/arcp", "/arcp/", "/"] {
            let headers: Vec<_> = [("Host", host)].into_iter().chain(origin.map(|origin| ("Origin", origin))).collect();
            let (answered, text) = ask(&bench, path, &headers).await;
            assert_eq!(answered, status, "{path} {headers:?}: {text}");
            assert!(text.contains(remedy), "{path} {headers:?}: {text}");
            assert!(!text.contains("evil") && !text.contains("rebound"), "nothing is repeated: {text}");
        }
    }
    assert_eq!(ask(&bench, "/arcp", &[]).await.0, 400, "without a host");
}

#[tokio::test]
async fn a_probe_may_ask_for_the_gateways_health_under_any_name() {
    let bench = Bench::start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(&bench, path, &[("Host", "probe.example")]).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn the_checks_are_off_only_if_that_is_configured() {
    let http = HttpOptions { allowed_origins: Allowed::Any, allowed_hosts: Allowed::Any, ..http_options() };
    let bench = Bench::behind(http).await;
    let headers = [("Host", "anything.example"), ("Origin", "https://anything.example")];
    assert_eq!(ask(&bench, "/arcp", &headers).await.0, 101);
}
