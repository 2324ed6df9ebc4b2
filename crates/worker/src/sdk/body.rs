//! Bodies of events (spec 8.2), their fields and what must hold for them.
//!
//! Fields beside these are let through: peers send more than the spec has. `result_chunk` has no type here, because
//! [`super::ResultStream`] is the only thing that makes one.

use std::collections::BTreeMap;

use moorline_types::limits::MAX_EVENT_BODY_BYTES;
use moorline_types::limits::MAX_JSON_DEPTH;
use moorline_types::{EventKind, Json};
use serde::{Deserialize, Serialize};

use crate::json;
use crate::message::Failure;

/// A body that its kind does not allow. Nothing was emitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} event: {flaw}")]
pub struct InvalidEvent {
    /// The event's kind.
    pub kind: EventKind,
    /// What is wrong.
    pub flaw: Flaw,
}

/// What is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is no JSON object with the kind's fields.
    #[error("the body does not have the fields of its kind: {reason}")]
    Shape {
        /// The field and what was expected there, as the JSON reader says it.
        reason: String,
    },
    /// A text is empty that must say something.
    #[error("`{field}` must not be empty")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// Progress runs past its own total.
    #[error("`current` ({current}) must not be larger than `total` ({total})")]
    PastTotal {
        /// What is done.
        current: u64,
        /// What there is.
        total: u64,
    },
    /// Neither or both of a pair are there.
    #[error("exactly one of `result` and `error` must be there")]
    NotOne,
    /// The number is infinite or not a number, which JSON cannot say.
    #[error("`{field}` must be a finite number")]
    NotFinite {
        /// The field.
        field: &'static str,
    },
    /// The field must be an object.
    #[error("`{field}` must be an object")]
    NotObject {
        /// The field.
        field: &'static str,
    },
    /// The body is too large.
    #[error(
        "the body has {bytes} bytes, an event has at most {MAX_EVENT_BODY_BYTES}; write an artifact and refer to it"
    )]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// The body nests too deeply.
    #[error("the body nests deeper than {MAX_JSON_DEPTH}")]
    TooDeep,
    /// Not a kind that may be emitted in this way.
    #[error("this kind is made by the runtime, or has a method of its own")]
    Reserved,
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For whoever debugs the agent line by line.
    Trace,
    /// For whoever debugs the agent.
    Debug,
    /// The course of things.
    Info,
    /// Something is odd; the job goes on.
    Warn,
    /// Something failed; the job goes on.
    Error,
    /// Something failed that others depend on.
    Critical,
}

impl Level {
    /// As it is written.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Log {
    pub(super) level: Level,
    pub(super) message: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Thought {
    pub(super) text: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ToolCall {
    pub(super) tool: String,
    pub(super) args: Json,
    pub(super) call_id: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ToolResult {
    pub(super) call_id: String,
    #[serde(flatten)]
    pub(super) answer: ToolAnswerFields,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ToolAnswerFields {
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "present")]
    pub(super) result: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) error: Option<ToolError>,
}

/// A field that is there counts as there, even if it is `null`.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolAnswer {
    /// It worked.
    Result(serde_json::Value),
    /// It did not.
    Error(ToolError),
}

/// Why a tool did not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolError {
    /// The tool's own code, or one of the spec's.
    pub code: String,
    /// The same for people.
    pub message: String,
    /// Whether the same call may work later.
    #[serde(default)]
    pub retryable: bool,
    /// What a program may want to know.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub details: Option<serde_json::Value>,
}

impl From<&Failure> for ToolError {
    fn from(failure: &Failure) -> Self {
        let Failure { code, message, retryable, details } = failure;
        let details = details.as_ref().and_then(|details| details.to().ok());
        Self { code: code.to_string(), message: message.clone(), retryable: *retryable, details }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Status {
    pub(super) phase: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) message: Option<String>,
}

/// A measured number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: Number,
    /// In which unit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unit: Option<String>,
    /// Of what.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub dimensions: BTreeMap<String, String>,
}

/// A number that stays an integer if it is one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Number {
    /// A count.
    Count(u64),
    /// Any other number.
    Real(f64),
}

impl From<u64> for Number {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Number {
    fn from(real: f64) -> Self {
        Self::Real(real)
    }
}

impl Metric {
    /// A number without a unit.
    pub fn new(name: impl Into<String>, value: impl Into<Number>) -> Self {
        Self { name: name.into(), value: value.into(), unit: None, dimensions: BTreeMap::new() }
    }

    /// The same with a unit.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = Some(unit.into());
        self
    }
}

/// How far the work is, in whole steps. Several official clients read integers only; scale a fraction.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub current: u64,
    /// Steps there are, if that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total: Option<u64>,
    /// What a step is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub units: Option<String>,
    /// What is being done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
}

/// Something that was made and can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Where.
    pub uri: String,
    /// Of which media type.
    pub content_type: String,
    /// How large.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub byte_size: Option<u64>,
    /// Its SHA-256 in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Delegate {
    pub(super) delegate_id: String,
    pub(super) agent: String,
    #[serde(default = "Json::null")]
    pub(super) input: Json,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) lease_request: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) lease_constraints: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) max_runtime_sec: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) detached: Option<bool>,
}

/// What must hold beyond the shape.
pub(super) trait Check: Serialize {
    const KIND: EventKind;

    fn check(&self) -> Result<(), Flaw>;

    /// The body as JSON text, of kinds of which there are many, if that can be told without a look at each character.
    fn plain(&self) -> Option<String> {
        None
    }
}

/// An object of these fields, given as text before the last one's value, which is a text that stands in JSON as it is.
fn plain(before: [&str; 3], text: &str) -> Option<String> {
    const BEHIND: &str = "\"}";
    if !json::is_plain(text) {
        return None;
    }
    // No more room than it takes: what is left over would have to be given back.
    let bytes: usize = before.iter().map(|part| part.len()).sum();
    let mut object = String::with_capacity(bytes + text.len() + BEHIND.len());
    object.extend(before);
    object.push_str(text);
    object.push_str(BEHIND);
    Some(object)
}

fn said(field: &'static str, text: &str) -> Result<(), Flaw> {
    if text.is_empty() { Err(Flaw::Empty { field }) } else { Ok(()) }
}

macro_rules! check {
    ($($body:ty = $kind:ident, $this:ident => $check:expr $(, plain: $plain:expr)?;)*) => {
        $(impl Check for $body {
            const KIND: EventKind = EventKind::$kind;

            fn check(&self) -> Result<(), Flaw> {
                let $this = self;
                $check
            }

            $(fn plain(&self) -> Option<String> {
                let $this = self;
                $plain
            })?
        })*

        /// Whether `body` is one that an event of `kind` may have. `result_chunk` has rules of its own and is always
        /// refused here; a vendor's body only has to be an object within the bounds.
        pub fn check_body(kind: &EventKind, body: &Json) -> Result<(), InvalidEvent> {
            let flaw = |flaw| InvalidEvent { kind: kind.clone(), flaw };
            check_bounds(body).map_err(flaw)?;
            match kind {
                $(EventKind::$kind => read::<$body>(body).and_then(|body| body.check()).map_err(flaw),)*
                EventKind::ResultChunk => Err(flaw(Flaw::Reserved)),
                EventKind::Vendor(_) if json::is_object(body) => Ok(()),
                EventKind::Vendor(_) => Err(flaw(Flaw::NotObject { field: "body" })),
            }
        }
    };
}

check! {
    Log = Log, log => said("message", &log.message),
        plain: plain(["{\"level\":\"", log.level.as_str(), "\",\"message\":\""], &log.message);
    Thought = Thought, thought => said("text", &thought.text),
        plain: plain(["{\"text\":\"", "", ""], &thought.text);
    ToolCall = ToolCall, call => {
        said("tool", &call.tool)?;
        said("call_id", &call.call_id)?;
        if json::is_object(&call.args) { Ok(()) } else { Err(Flaw::NotObject { field: "args" }) }
    };
    ToolResult = ToolResult, result => {
        said("call_id", &result.call_id)?;
        if result.answer.result.is_some() == result.answer.error.is_some() { Err(Flaw::NotOne) } else { Ok(()) }
    };
    Status = Status, status => said("phase", &status.phase);
    Metric = Metric, metric => {
        said("name", &metric.name)?;
        match metric.value {
            Number::Real(real) if !real.is_finite() => Err(Flaw::NotFinite { field: "value" }),
            Number::Real(_) | Number::Count(_) => Ok(()),
        }
    };
    Artifact = ArtifactRef, artifact => {
        said("uri", &artifact.uri)?;
        said("content_type", &artifact.content_type)
    };
    Delegate = Delegate, delegate => {
        said("delegate_id", &delegate.delegate_id)?;
        said("agent", &delegate.agent)
    };
    Progress = Progress, progress => {
        said("units", progress.units.as_deref().unwrap_or("absent"))?;
        match progress.total {
            Some(total) if progress.current > total => Err(Flaw::PastTotal { current: progress.current, total }),
            Some(_) | None => Ok(()),
        }
    };
}

/// Checks a body and makes it JSON.
pub(super) fn encode<B: Check>(body: &B) -> Result<Json, InvalidEvent> {
    let flaw = |flaw| InvalidEvent { kind: B::KIND, flaw };
    body.check().map_err(flaw)?;
    let json = body.plain().map_or_else(|| Json::of(body), Json::owned);
    let json = json.map_err(|error| flaw(Flaw::Shape { reason: error.to_string() }))?;
    check_bounds(&json).map_err(flaw)?;
    Ok(json)
}

fn read<'a, B: Deserialize<'a>>(body: &'a Json) -> Result<B, Flaw> {
    body.to().map_err(|error| Flaw::Shape { reason: error.to_string() })
}

fn check_bounds(body: &Json) -> Result<(), Flaw> {
    let bytes = body.get().len();
    if bytes > MAX_EVENT_BODY_BYTES {
        Err(Flaw::TooLarge { bytes })
    } else if !json::depth_within(body.get(), MAX_JSON_DEPTH) {
        Err(Flaw::TooDeep)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_from_its_parts_is_what_would_have_been_written() {
        let levels = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Critical];
        for (text, is_plain) in [("m", true), ("{}[]:, \u{7f}ä", true), ("a\"b", false), ("\\", false), ("a\nb", false)]
        {
            for level in levels {
                let log = Log { level, message: text.to_owned() };
                assert_eq!(log.plain().is_some(), is_plain, "{text:?}");
                assert_eq!(encode(&log).unwrap().get(), serde_json::to_string(&log).unwrap());
            }
            let thought = Thought { text: text.to_owned() };
            assert_eq!(thought.plain().is_some(), is_plain, "{text:?}");
            assert_eq!(encode(&thought).unwrap().get(), serde_json::to_string(&thought).unwrap());
        }
    }

    /// What is wrong with the body; empty if nothing is.
    fn check(kind: &str, body: &str) -> String {
        let kind = kind.parse().unwrap();
        let checked = check_body(&kind, &Json::parse(body).unwrap());
        checked.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_body_that_its_kind_does_not_allow_is_refused_with_the_field() {
        for (kind, body, part) in [
            ("log", "[]", "fields of its kind"),
            ("log", r#"{"message":"m"}"#, "level"),
            ("log", r#"{"level":"LOUD","message":"m"}"#, "LOUD"),
            ("log", r#"{"level":"info","message":""}"#, "`message` must not be empty"),
            ("thought", "{}", "text"),
            ("tool_call", r#"{"tool":"t","args":[],"call_id":"c"}"#, "`args` must be an object"),
            ("tool_call", r#"{"tool":"","args":{},"call_id":"c"}"#, "`tool`"),
            ("tool_result", r#"{"call_id":"c"}"#, "exactly one"),
            ("tool_result", r#"{"call_id":"c","result":1,"error":{"code":"X","message":"m"}}"#, "exactly one"),
            ("status", r#"{"phase":""}"#, "`phase`"),
            ("metric", r#"{"name":"n","value":"1"}"#, "fields of its kind"),
            ("artifact_ref", r#"{"uri":"file:///x"}"#, "content_type"),
            ("progress", r#"{"current":-1}"#, "fields of its kind"),
            ("progress", r#"{"current":1.5}"#, "fields of its kind"),
            ("progress", r#"{"current":3,"total":2}"#, "must not be larger"),
            ("progress", r#"{"current":3,"units":""}"#, "`units`"),
            ("delegate", r#"{"agent":"a"}"#, "delegate_id"),
            ("result_chunk", "{}", "made by the runtime"),
            ("x-vendor.a.b", "[]", "`body` must be an object"),
        ] {
            let error = check(kind, body);
            assert!(error.contains(part), "{kind} {body}: {error}");
        }
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(MAX_JSON_DEPTH), "]".repeat(MAX_JSON_DEPTH));
        assert!(check("x-vendor.a.b", &deep).contains("nests deeper"));
        let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(MAX_EVENT_BODY_BYTES));
        assert!(check("thought", &large).contains("write an artifact"));
    }

    #[test]
    fn a_body_of_its_kind_is_let_through_with_fields_that_the_spec_does_not_have() {
        for (kind, body) in [
            ("log", r#"{"level":"info","message":"m","attributes":{"a":1}}"#),
            ("thought", r#"{"text":"t"}"#),
            ("tool_call", r#"{"tool":"t","args":{},"call_id":"c"}"#),
            ("tool_result", r#"{"call_id":"c","result":null}"#),
            ("tool_result", r#"{"call_id":"c","error":{"code":"X","message":"m"}}"#),
            ("status", r#"{"phase":"p"}"#),
            ("metric", r#"{"name":"n","value":-0.5,"unit":"s","dimensions":{"a":"b"}}"#),
            ("artifact_ref", r#"{"uri":"file:///x","content_type":"text/plain"}"#),
            ("progress", r#"{"current":0}"#),
            ("progress", r#"{"current":2,"total":2,"units":"files","message":"m"}"#),
            ("delegate", r#"{"delegate_id":"d","agent":"a","child_job_id":"j"}"#),
            ("x-vendor.a.b", "{}"),
        ] {
            assert_eq!(check(kind, body), "", "{kind} {body}");
        }
    }
}
