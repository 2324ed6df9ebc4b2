//! The ten bodies of the spec, as types.

use std::fmt;

use moorline_types::Json;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, IgnoredAny, Visitor};
use serde_json::Number;

use crate::decode::{FieldError, Problem, object};
use crate::{JobRef, Received, Word, de};

words! {
    /// How much a log line matters.
    LogLevel {
        /// Of interest to whoever looks for a fault in the agent.
        Trace = "trace";
        /// Of interest to the agent's author.
        Debug = "debug";
        /// Of interest to whoever watches the job.
        Info = "info";
        /// Something to look at.
        Warn = "warn";
        /// Something failed.
        Error = "error";
        /// The job cannot go on.
        Critical = "critical";
    }
}

words! {
    /// How a chunk's data is written.
    ChunkEncoding {
        /// As text.
        Utf8 = "utf8";
        /// As bytes in standard base64 with padding.
        Base64 = "base64";
    }
}

/// The bodies as they are checked: what may be long is not kept.
pub(super) mod checked {
    use super::Length;
    pub(crate) use super::{ArtifactRef, Delegate, Metric, Progress, Status, ToolCall, ToolResult};

    pub(crate) type Log = super::Log<Length>;
    pub(crate) type Thought = super::Thought<Length>;
    pub(crate) type ResultChunk = super::ResultChunk<Length>;
}

/// The length of a text, in bytes, read without keeping the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Length(usize);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Measure;

        impl Visitor<'_> for Measure {
            type Value = Length;

            // As a text that is kept says it.
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Length, E> {
                Ok(Length(text.len()))
            }
        }

        deserializer.deserialize_str(Measure)
    }
}

/// `log`. `T` is how its line is kept.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Log<T = String> {
    /// How much it matters.
    pub level: Received<LogLevel>,
    /// The line.
    pub message: T,
    /// What a program may want to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Json>,
}

/// `thought`. `T` is how its text is kept.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Thought<T = String> {
    /// The reasoning.
    pub text: T,
}

/// `tool_call`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ToolCall {
    /// The tool.
    pub tool: String,
    /// What it is given.
    pub args: Json,
    /// What the result will name.
    pub call_id: String,
}

/// `tool_result`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ToolResult {
    /// The call that is answered.
    pub call_id: String,
    /// What the tool gave.
    #[serde(default, deserialize_with = "de::present", skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// Why it gave nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Json>,
}

/// What came of a tool call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ToolOutcome<'a> {
    /// It gave this.
    Result(&'a Json),
    /// It failed like this.
    Error(&'a Json),
}

impl ToolResult {
    /// What came of the call; `None` if the sender said neither. An error counts for more than a result.
    pub fn outcome(&self) -> Option<ToolOutcome<'_>> {
        let error = self.error.as_ref().map(ToolOutcome::Error);
        error.or_else(|| self.result.as_ref().map(ToolOutcome::Result))
    }
}

/// `status`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Status {
    /// What the job is doing.
    pub phase: String,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What a program may want to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Json>,
}

/// `metric`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Metric {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: Number,
    /// Of what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Under which circumstances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<Json>,
}

/// `artifact_ref`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ArtifactRef {
    /// Where it is.
    pub uri: String,
    /// Its media type.
    #[serde(default, deserialize_with = "de::or_default")]
    pub content_type: String,
    /// Its size, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byte_size: Option<u64>,
    /// Its SHA-256, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// `delegate`. The spec gives no shape; these are the fields that runtimes use.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Delegate {
    /// The agent that the work is given to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The job that does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child_job_id: Option<JobRef>,
    /// What the parent calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate_id: Option<String>,
    /// What the agent is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Json>,
}

/// `progress`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// How much is done.
    pub current: Number,
    /// How much there is; absent if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Number>,
    /// Of what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `result_chunk` (spec 8.4). `T` is how its data is kept.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ResultChunk<T = String> {
    /// Which chunks belong together.
    pub result_id: String,
    /// Which of them this is, from 0.
    pub chunk_seq: u64,
    /// The chunk.
    pub data: T,
    /// How it is written.
    pub encoding: ChunkEncoding,
    /// Whether another follows.
    pub more: bool,
}

/// Reads a body.
pub(super) fn read<T: DeserializeOwned>(body: &str) -> Result<T, FieldError> {
    object("body", body)
}

/// Whether a body, which is known to be JSON, is an object at all.
pub(super) fn check_object(body: &str) -> Result<(), FieldError> {
    if body.starts_with('{') {
        return Ok(());
    }
    object::<std::collections::HashMap<String, IgnoredAny>>("body", body).map(|_| ())
}

impl Log {
    /// How much it matters, also if the sender writes levels in capitals or by another usual name.
    pub fn severity(&self) -> Option<LogLevel> {
        let spelled = self.level.as_str().to_ascii_lowercase();
        LogLevel::read(match spelled.as_str() {
            "warning" => "warn",
            "fatal" => "critical",
            other => other,
        })
    }
}

impl checked::Log {
    pub(super) fn check(&self) -> Result<(), FieldError> {
        known("body.level", &self.level)?;
        measured("body.message", self.message)
    }
}

impl checked::Thought {
    pub(super) fn check(&self) -> Result<(), FieldError> {
        measured("body.text", self.text)
    }
}

impl ToolCall {
    pub(super) fn check(&self) -> Result<(), FieldError> {
        said("body.tool", &self.tool)?;
        said("body.call_id", &self.call_id)?;
        if self.args.get().starts_with('{') { Ok(()) } else { Err(rule("body.args", "must be an object")) }
    }
}

impl ToolResult {
    pub(super) fn check(&self) -> Result<(), FieldError> {
        said("body.call_id", &self.call_id)?;
        match (&self.result, &self.error) {
            (Some(_), None) | (None, Some(_)) => Ok(()),
            (None, None) => Err(rule("body", "must have a result or an error")),
            (Some(_), Some(_)) => Err(rule("body", "must not have both a result and an error")),
        }
    }
}

impl Status {
    pub(super) fn check(&self) -> Result<(), FieldError> {
        said("body.phase", &self.phase)?;
        maybe_said("body.message", self.message.as_deref())
    }
}

impl Metric {
    pub(super) fn check(&self) -> Result<(), FieldError> {
        said("body.name", &self.name)?;
        maybe_said("body.unit", self.unit.as_deref())
    }
}

impl ArtifactRef {
    pub(super) fn check(&self) -> Result<(), FieldError> {
        said("body.uri", &self.uri)?;
        said("body.content_type", &self.content_type)?;
        maybe_said("body.sha256", self.sha256.as_deref())
    }
}

impl Delegate {
    // The shape is open, so its types are all there is to check.
    pub(super) const fn check(&self) -> Result<(), FieldError> {
        Ok(())
    }
}

impl Progress {
    pub(super) fn check(&self) -> Result<(), FieldError> {
        let current = whole("body.current", &self.current)?;
        let total = self.total.as_ref().map(|total| whole("body.total", total)).transpose()?;
        if total.is_some_and(|total| current > total) {
            return Err(rule("body.current", "must not be greater than total"));
        }
        maybe_said("body.units", self.units.as_deref())?;
        maybe_said("body.message", self.message.as_deref())
    }
}

impl checked::ResultChunk {
    pub(super) fn check(&self) -> Result<(), FieldError> {
        said("body.result_id", &self.result_id)
    }
}

fn rule(path: &str, rule: &str) -> FieldError {
    FieldError::new(path, Problem::Rule(rule.into()))
}

fn said(path: &str, text: &str) -> Result<(), FieldError> {
    measured(path, Length(text.len()))
}

fn measured(path: &str, length: Length) -> Result<(), FieldError> {
    if length == Length(0) { Err(rule(path, "must not be empty")) } else { Ok(()) }
}

fn maybe_said(path: &str, text: Option<&str>) -> Result<(), FieldError> {
    text.map_or(Ok(()), |text| said(path, text))
}

fn known<T: Word>(path: &str, word: &Received<T>) -> Result<(), FieldError> {
    word.known().map(|_| ()).ok_or_else(|| rule(path, &format!("must be {}", T::EXPECTED)))
}

/// Three official clients read whole numbers only.
fn whole(path: &str, number: &Number) -> Result<u64, FieldError> {
    number.as_u64().ok_or_else(|| rule(path, "must be a whole number, 0 or more"))
}
