use std::io::Write;
use std::sync::{Arc, Mutex};

use moorline_types::Timestamp;

use super::*;
use crate::config::EnvValue;
use crate::keys::{ApiKey, KEY_ENTROPY_BYTES, KeyRing, create_admin};

/// Keeps what is written.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::Error::other("a test has failed while it wrote"))?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn captured(format: LogFormat, filter: &str, log: impl FnOnce()) -> String {
    let captured = Captured::default();
    let writer = captured.clone();
    let config = LogConfig { format, filter: filter.parse().unwrap() };
    tracing::subscriber::with_default(subscriber(&config, move || writer.clone(), false), log);
    captured.text()
}

#[test]
fn libraries_that_see_bytes_of_clients_log_none_of_them() {
    for format in [LogFormat::Human, LogFormat::Json] {
        let text = captured(format, "trace", || {
            tracing::trace!(target: "tungstenite::protocol", "received a secret");
            tracing::info!(target: "tungstenite::protocol", "something worth knowing");
            tracing::trace!(target: "moorline_server::connection", "a step");
        });
        assert!(!text.contains("a secret"), "{text}");
        assert!(text.contains("something worth knowing") && text.contains("a step"), "{text}");
    }
}

#[test]
fn a_filter_that_is_not_well_formed_is_refused() {
    for text in ["", "  ", "moorline=loud", "info,="] {
        assert!(text.parse::<LogFilter>().is_err(), "{text:?}");
    }
}

#[test]
fn a_json_line_is_one_object() {
    let text = captured(LogFormat::Json, "info", || tracing::info!(answer = 42, "hello"));
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!((&line["message"], &line["answer"], &line["level"]), (&"hello".into(), &42.into(), &"INFO".into()));
}

#[test]
fn a_line_for_people_is_plain_text_without_a_terminal() {
    let text = captured(LogFormat::Human, "info", || tracing::info!(answer = 42, "hello"));
    assert!(text.contains("INFO") && text.contains("hello") && text.contains("answer=42"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn the_filter_decides_what_is_written() {
    for (filter, expected) in [("warn", 0), ("info", 1), ("warn,moorline_server=debug", 2), ("off", 0)] {
        let text = captured(LogFormat::Json, filter, || {
            tracing::info!("one");
            tracing::debug!("two");
        });
        assert_eq!(text.lines().count(), expected, "{filter}: {text}");
    }
}

#[test]
fn a_key_that_authenticates_somebody_is_in_no_log_line() {
    let key = ApiKey::from_entropy([0xa5; KEY_ENTROPY_BYTES]);
    let secret = key.expose().to_owned();
    let text = captured(LogFormat::Json, "trace", || {
        let new = create_admin(key, Timestamp::from_unix_millis(0), [1; 10]).unwrap();
        let ring = KeyRing::new([new.record.clone()]);
        let span = tracing::info_span!("connection", ?ring);
        let principal = span.in_scope(|| ring.authenticate(&secret, Timestamp::from_unix_millis(1)));
        assert!(principal.is_some());
        tracing::info!(parent: &span, ?principal, ?new, key = ?new.key, record = ?new.record, "authenticated");
        tracing::warn!(error = %ApiKey::parse(&secret[1..]).unwrap_err(), "refused");
        tracing::info!(value = ?EnvValue::new(&secret), "environment");
    });
    let (_, random) = secret.split_once('_').unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("authenticated") && text.contains("admin") && text.contains("[redacted]"), "{text}");
    assert!(!text.contains(&random[..12]), "{text}");
}
