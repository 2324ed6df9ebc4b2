//! What a job that succeeds ends with.

use moorline_types::limits::{MAX_INLINE_RESULT_BYTES, MAX_JSON_DEPTH, MAX_REASON_BYTES};
use moorline_types::{Json, JsonError};
use serde::Serialize;

use crate::json;
use crate::message::Output;
use crate::text::clip;

/// A result: inline, or the end of a [`super::ResultStream`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub(crate) output: Output,
    pub(crate) summary: Option<String>,
}

/// Why a value is no inline result.
#[derive(Debug, thiserror::Error)]
pub enum OutcomeError {
    /// It has no JSON form.
    #[error("the result has no JSON form")]
    Json(#[source] JsonError),
    /// It is too large.
    #[error(
        "the result has {bytes} bytes, an inline result has at most {MAX_INLINE_RESULT_BYTES}: use a result stream"
    )]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// It nests too deeply.
    #[error("the result nests deeper than {MAX_JSON_DEPTH}")]
    TooDeep,
}

impl Outcome {
    /// The JSON form of `value` as the result.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, OutcomeError> {
        Self::inline(Json::of(value).map_err(OutcomeError::Json)?)
    }

    /// This JSON as the result.
    pub fn inline(json: Json) -> Result<Self, OutcomeError> {
        let bytes = json.get().len();
        if bytes > MAX_INLINE_RESULT_BYTES {
            return Err(OutcomeError::TooLarge { bytes });
        }
        if !json::depth_within(json.get(), MAX_JSON_DEPTH) {
            return Err(OutcomeError::TooDeep);
        }
        Ok(Self { output: Output::Inline(json), summary: None })
    }

    /// The same with one line for people.
    #[must_use]
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = Some(clip(summary.into(), MAX_REASON_BYTES)).filter(|summary| !summary.is_empty());
        self
    }
}
