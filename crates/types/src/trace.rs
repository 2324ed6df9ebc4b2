//! W3C Trace Context (spec 11): which trace something belongs to, and below which span.
//!
//! Parsing is strict, as W3C asks: a `traceparent` with a mistake in it is none, and a `tracestate` with one is left out
//! without touching the `traceparent`. What is lenient is decided where peers are read (`moorline-wire`).
//!
//! Identifiers are not drawn here: those of a job and of a session are functions of their ids
//! ([`TraceId::of_job`], [`SpanId::of_job`]), so they are the same after a restart, and in a record that never held them.

use std::fmt;
use std::str::FromStr;

use crate::limits::{MAX_TRACE_STATE_BYTES, MAX_TRACE_STATE_MEMBERS};
use crate::{JobId, SessionId};

/// Why a text is no part of a trace context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// It is no trace id.
    #[error("a trace id is 32 lower-case hexadecimal digits, not all zero")]
    Trace,
    /// It is no span id.
    #[error("a span id is 16 lower-case hexadecimal digits, not all zero")]
    Span,
    /// It is no `traceparent`.
    #[error("a traceparent is 00-<trace id>-<span id>-<flags>, in 32, 16 and 2 lower-case hexadecimal digits")]
    Parent,
    /// It is no `tracestate`.
    #[error(
        "a tracestate is at most {MAX_TRACE_STATE_MEMBERS} key=value pairs with commas between them, each key once"
    )]
    State,
}

/// A W3C trace id: 32 lower-case hexadecimal digits, not all zero.
///
/// Peers put either the bare id or a whole `traceparent` where one belongs; both are read ([`TraceRef`] keeps the rest
/// of it), the bare id is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 32]);

impl TraceId {
    /// The trace of a job whose submitter names none: the bits of its id, of which the last 80 are random.
    pub fn of_job(job: JobId) -> Self {
        Self::from_bits(job.to_bytes())
    }

    /// The trace of a session: the bits of its id.
    pub fn of_session(session: SessionId) -> Self {
        Self::from_bits(session.to_bytes())
    }

    fn from_bits(mut bits: [u8; 16]) -> Self {
        // Only a made-up identifier is all zero, and a trace id must not be.
        if bits == [0; 16] {
            bits[15] = 1;
        }
        Self(hex(bits))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The text, for who copies it: it is ASCII.
    pub const fn as_ascii(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 128 bits.
    pub fn to_bytes(&self) -> [u8; 16] {
        bits(&self.0)
    }
}

impl FromStr for TraceId {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        text.parse().map(|read: TraceRef| read.trace_id())
    }
}

/// A W3C span id (`parent-id`): 16 lower-case hexadecimal digits, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 16]);

impl SpanId {
    /// The span with these bits. All zero is not an id, so one is set.
    pub fn from_bytes(mut bits: [u8; 8]) -> Self {
        if bits == [0; 8] {
            bits[7] = 1;
        }
        Self(hex(bits))
    }

    /// The span of a job: the last 64 bits of its id, all random.
    pub fn of_job(job: JobId) -> Self {
        Self::from_bytes(tail(job.to_bytes()))
    }

    /// The span of a session: the last 64 bits of its id, all random.
    pub fn of_session(session: SessionId) -> Self {
        Self::from_bytes(tail(session.to_bytes()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The 64 bits.
    pub fn to_bytes(&self) -> [u8; 8] {
        bits(&self.0)
    }
}

impl FromStr for SpanId {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        digits(text).map(Self).ok_or(TraceError::Span)
    }
}

/// The flags of a trace context. Those that are not known are handed on as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TraceFlags(u8);

impl TraceFlags {
    const SAMPLED: u8 = 1;

    /// Whether the trace is recorded by whoever came before, or is to be.
    pub const fn of(sampled: bool) -> Self {
        Self(sampled as u8)
    }

    /// The flags with these bits.
    pub const fn new(bits: u8) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Whether the trace is recorded by whoever came before, or is to be.
    pub const fn is_sampled(self) -> bool {
        self.0 & Self::SAMPLED != 0
    }
}

/// What tracing systems hand on beside the ids: `tracestate`, at most [`MAX_TRACE_STATE_BYTES`] long. Nothing in it means
/// anything to us.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TraceState(Box<str>);

impl TraceState {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TraceState {
    type Err = TraceError;

    /// Members that find no room are left out, from the right, as W3C has it.
    fn from_str(text: &str) -> Result<Self, TraceError> {
        let mut kept = String::new();
        let mut keys = Vec::new();
        for member in text.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty())
        {
            let (key, value) = member.split_once('=').ok_or(TraceError::State)?;
            if !is_state_key(key) || !is_state_value(value) || keys.contains(&key) {
                return Err(TraceError::State);
            }
            keys.push(key);
            if kept.len() + 1 + member.len() <= MAX_TRACE_STATE_BYTES {
                kept.push_str(if kept.is_empty() { "" } else { "," });
                kept.push_str(member);
            }
        }
        match keys.len() {
            1..=MAX_TRACE_STATE_MEMBERS => Ok(Self(kept.into())),
            _ => Err(TraceError::State),
        }
    }
}

/// The longest key and the longest value of a `tracestate`, by W3C's grammar.
const MAX_STATE_PART_BYTES: usize = 256;

fn is_state_key(key: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    key.len() <= MAX_STATE_PART_BYTES
        && key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && key.bytes().all(is_part)
}

fn is_state_value(value: &str) -> bool {
    let is_part = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    value.len() <= MAX_STATE_PART_BYTES && value.bytes().all(is_part)
}

/// A place in a trace: below this span is whatever follows from here. Its text is a `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span that caused what follows.
    pub span: SpanId,
    /// Whether the trace is recorded.
    pub flags: TraceFlags,
    /// What tracing systems hand on.
    pub state: Option<TraceState>,
}

/// How long a `traceparent` of version 00 is.
const PARENT_LENGTH: usize = 55;

impl FromStr for TraceContext {
    type Err = TraceError;

    /// Of a later version than 00 what it begins with is read, as W3C asks.
    fn from_str(text: &str) -> Result<Self, TraceError> {
        let (known, rest) = text.split_at_checked(PARENT_LENGTH).ok_or(TraceError::Parent)?;
        let [version, trace, span, flags] =
            <[&str; 4]>::try_from(known.split('-').collect::<Vec<_>>()).map_err(|_| TraceError::Parent)?;
        let is_known = match (lower_hex::<2>(version).as_ref(), rest) {
            (None | Some(b"ff"), _) => false,
            (Some(b"00"), rest) => rest.is_empty(),
            (Some(_), rest) => rest.is_empty() || rest.starts_with('-'),
        };
        let trace = digits(trace).map(TraceId);
        let span = digits(span).map(SpanId);
        let flags =
            lower_hex::<2>(flags).and_then(|flags| u8::from_str_radix(std::str::from_utf8(&flags).ok()?, 16).ok());
        match (is_known, trace, span, flags) {
            (true, Some(trace), Some(span), Some(flags)) => {
                Ok(Self { trace, span, flags: TraceFlags(flags), state: None })
            }
            _ => Err(TraceError::Parent),
        }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags: TraceFlags(flags), .. } = self;
        write!(f, "00-{trace}-{span}-{flags:02x}")
    }
}

/// What somebody says of the trace of a request: which trace it is, or below which span of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TraceRef {
    /// The trace alone.
    Id(TraceId),
    /// The caller's place in it.
    Parent(TraceContext),
}

impl TraceRef {
    /// The trace.
    pub const fn trace_id(&self) -> TraceId {
        match self {
            Self::Id(trace) | Self::Parent(TraceContext { trace, .. }) => *trace,
        }
    }

    /// The caller's place in the trace, if it says so.
    pub fn into_parent(self) -> Option<TraceContext> {
        match self {
            Self::Id(_) => None,
            Self::Parent(context) => Some(context),
        }
    }
}

impl FromStr for TraceRef {
    type Err = TraceError;

    fn from_str(text: &str) -> Result<Self, TraceError> {
        if text.contains('-') {
            return text.parse().map(Self::Parent);
        }
        digits(text).map(|trace| Self::Id(TraceId(trace))).ok_or(TraceError::Trace)
    }
}

/// Lower-case hexadecimal digits, as many as are asked for.
fn lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = <[u8; N]>::try_from(text.as_bytes()).ok()?;
    digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(digits)
}

/// The same, not all zero.
fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    lower_hex(text).filter(|digits| digits.iter().any(|byte| *byte != b'0'))
}

fn hex<const N: usize, const DIGITS: usize>(bits: [u8; N]) -> [u8; DIGITS] {
    const ALPHABET: [u8; 16] = *b"0123456789abcdef";
    let mut text = [b'0'; DIGITS];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bits) {
        pair[0] = ALPHABET[usize::from(byte >> 4)];
        pair[1] = ALPHABET[usize::from(byte & 15)];
    }
    text
}

fn bits<const N: usize>(text: &[u8]) -> [u8; N] {
    let value = |digit: u8| if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 };
    let mut bits = [0; N];
    for (byte, pair) in bits.iter_mut().zip(text.chunks_exact(2)) {
        *byte = value(pair[0]) << 4 | value(pair[1]);
    }
    bits
}

fn tail(bits: [u8; 16]) -> [u8; 8] {
    let mut tail = [0; 8];
    tail.copy_from_slice(&bits[8..]);
    tail
}

macro_rules! texts {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <std::borrow::Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

texts!(TraceId, SpanId, TraceState);

impl serde::Serialize for TraceFlags {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }
}

impl<'de> serde::Deserialize<'de> for TraceFlags {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_trace_id_is_read_bare_or_out_of_a_traceparent() {
        for text in [TRACE.to_owned(), format!("00-{TRACE}-{SPAN}-01")] {
            assert_eq!(text.parse::<TraceId>().unwrap().as_str(), TRACE);
        }
        for bad in ["", "0", &"0".repeat(32), &"A".repeat(32), "00-4bf9-00-01"] {
            assert!(bad.parse::<TraceId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_traceparent_reads_back_as_it_was_written() {
        for flags in ["00", "01", "03"] {
            let text = format!("00-{TRACE}-{SPAN}-{flags}");
            let context: TraceContext = text.parse().unwrap();
            assert_eq!(context.to_string(), text);
            assert_eq!(context.flags.is_sampled(), flags != "00", "{text}");
        }
    }

    #[test]
    fn of_a_later_version_of_traceparent_the_known_part_is_read() {
        for text in [format!("cc-{TRACE}-{SPAN}-01"), format!("cc-{TRACE}-{SPAN}-01-what-comes-later")] {
            assert_eq!(text.parse::<TraceContext>().unwrap().to_string(), format!("00-{TRACE}-{SPAN}-01"));
        }
    }

    #[test]
    fn what_w3c_calls_invalid_is_no_traceparent() {
        let zero_trace = "0".repeat(32);
        let zero_span = "0".repeat(16);
        for bad in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("cc-{TRACE}-{SPAN}-01.more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{zero_trace}-{SPAN}-01"),
            format!("00-{TRACE}-{zero_span}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00_{TRACE}_{SPAN}_01"),
            format!("00-{TRACE}-{SPAN}-+1"),
            format!("00-{TRACE}-{SPAN}-0\u{e9}"),
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(TraceError::Parent), "{bad:?}");
        }
    }

    #[test]
    fn a_tracestate_is_kept_as_far_as_there_is_room() {
        let long = |key: &str| format!("{key}={}", "x".repeat(200));
        for (text, kept) in [
            ("a=1".to_owned(), Some("a=1".to_owned())),
            (" a=1 ,, tenant@system=b c,".to_owned(), Some("a=1,tenant@system=b c".to_owned())),
            (format!("{},{},{}", long("a"), long("b"), long("c")), Some(format!("{},{}", long("a"), long("b")))),
            (String::new(), None),
            ("a".to_owned(), None),
            ("A=1".to_owned(), None),
            ("a=1,a=2".to_owned(), None),
            ("a=b=c".to_owned(), None),
            ("a=\u{e9}".to_owned(), None),
            ((0..33).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(","), None),
        ] {
            let read = text.parse::<TraceState>().ok().map(|state| state.to_string());
            assert_eq!(read, kept, "{text:?}");
        }
    }

    #[test]
    fn ids_of_a_job_are_the_same_every_time_and_never_zero() {
        let job = JobId::mint(Timestamp::from_unix_millis(1_700_000_000_000), [7; 10]);
        assert_eq!(TraceId::of_job(job).to_bytes(), job.to_bytes());
        assert_eq!(SpanId::of_job(job).to_bytes(), [7; 8]);
        let zero = JobId::from_bytes([0; 16]);
        assert!(TraceId::of_job(zero).as_str().parse::<TraceId>().is_ok());
        assert!(SpanId::of_job(zero).as_str().parse::<SpanId>().is_ok());
    }
}
