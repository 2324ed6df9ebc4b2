//! What the load generator looks at in a frame. It does not parse frames: it scans their beginnings, so that it is not
//! what limits a measurement.

use std::sync::LazyLock;

use memchr::memmem::Finder;

static TYPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"type\":"));
static EVENT_SEQ: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"event_seq\":"));
static JOB: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"job_id\":"));
static STAMP: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"message\":"));

/// Where a frame's header is. What a payload says is behind it.
const HEADER_BYTES: usize = 512;

/// One envelope as it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Envelope<'a>(pub(crate) &'a [u8]);

/// When the `load` agent made an event, and which of its events it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) number: u64,
    pub(crate) unix_nanos: u64,
}

impl<'a> Envelope<'a> {
    fn header(self) -> &'a [u8] {
        self.0.get(..HEADER_BYTES).unwrap_or(self.0)
    }

    /// The message's type.
    pub(crate) fn message_type(self) -> &'a [u8] {
        behind(self.header(), &TYPE).map_or(&[], text)
    }

    /// The number that the session gives it.
    pub(crate) fn event_seq(self) -> Option<u64> {
        behind(self.header(), &EVENT_SEQ).map(|rest| digits(rest).0)
    }

    /// The job that it is about.
    pub(crate) fn job(self) -> &'a [u8] {
        behind(self.header(), &JOB).map_or(&[], text)
    }

    /// Whether it is the last about its job.
    pub(crate) fn is_terminal(self) -> bool {
        matches!(self.message_type(), b"job.result" | b"job.error")
    }

    /// What the `load` agent wrote into it.
    pub(crate) fn stamp(self) -> Option<Stamp> {
        let (number, rest) = digits(text(behind(self.0, &STAMP)?));
        let (unix_nanos, _) = digits(rest.strip_prefix(b" ")?);
        Some(Stamp { number, unix_nanos })
    }

    /// The whole of it, for an error.
    pub(crate) fn text(self) -> String {
        String::from_utf8_lossy(self.0).into_owned()
    }
}

/// What follows a field's name. Some write a space before the value.
fn behind<'a>(text: &'a [u8], finder: &Finder<'_>) -> Option<&'a [u8]> {
    let rest = text.get(finder.find(text)? + finder.needle().len()..)?;
    Some(rest.strip_prefix(b" ").unwrap_or(rest))
}

/// What a value says that is a text.
fn text(value: &[u8]) -> &[u8] {
    let text = value.strip_prefix(b"\"").unwrap_or_default();
    text.get(..memchr::memchr(b'"', text).unwrap_or(text.len())).unwrap_or_default()
}

fn digits(text: &[u8]) -> (u64, &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    (number.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_is_found() {
        let event = Envelope(
            br#"{"arcp":"1.1","type":"job.event","job_id":"job_1","event_seq":17,"payload":{"kind":"log","body":{"level":"info","message":"16 1795278121334957749 xx"}}}"#,
        );
        assert_eq!(
            (event.message_type(), event.event_seq(), event.job()),
            (&b"job.event"[..], Some(17), &b"job_1"[..])
        );
        assert_eq!(event.stamp(), Some(Stamp { number: 16, unix_nanos: 1_795_278_121_334_957_749 }));
        assert!(!event.is_terminal());
        let other = Envelope(br#"{"type": "job.result", "event_seq": 18, "payload": {}}"#);
        assert!(other.is_terminal() && other.stamp().is_none() && other.event_seq() == Some(18));
        assert_eq!(Envelope(b"{}").event_seq(), None);
    }
}
