//! `session.error` and `job.error` (spec 12).
//!
//! Both are made by constructors only, which keep what the spec demands of an error: a code of the table, a message
//! that is not empty, and the `retryable` flag that the code demands.

use moorline_types::limits::MAX_REASON_BYTES;
use moorline_types::{Json, MessageId, Timestamp};

use crate::{ErrorCode, FinalStatus, JobRef, Received, Text, de};

/// A request was refused, or the session cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SessionError {
    #[serde(default = "internal_error")]
    code: Received<ErrorCode>,
    #[serde(default, deserialize_with = "de::or_default")]
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    /// What a program may want to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Json>,
    /// The same as text, which is where one official peer looks.
    #[serde(default, deserialize_with = "de::text_if_text", skip_serializing_if = "Option::is_none")]
    pub detail: Option<Box<str>>,
    /// The envelope that is answered. Not in the spec; several peers correlate by it.
    #[serde(default, with = "de::maybe_text", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// The job that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobRef>,
}

impl SessionError {
    /// An error with the code's default for `retryable`.
    pub fn new(code: ErrorCode, message: &str) -> Self {
        Self {
            code: code.into(),
            message: said(code, message),
            retryable: Some(code.default_retryable()),
            details: None,
            detail: None,
            request_id: None,
            job_id: None,
        }
    }

    /// The same with another flag, as far as the code leaves a choice.
    #[must_use]
    pub fn retryable_if(mut self, wanted: bool) -> Self {
        self.retryable = Some(self.code.known().map_or(wanted, |code| code.retryable(wanted)));
        self
    }

    /// The code.
    pub const fn code(&self) -> &Received<ErrorCode> {
        &self.code
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same request may succeed later; the code's default if the peer did not say.
    pub fn is_retryable(&self) -> bool {
        retryable(&self.code, self.retryable)
    }
}

/// A job ended without a result.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct JobError {
    /// How the job ended.
    #[serde(default = "ended_with_error")]
    pub final_status: Received<FinalStatus>,
    #[serde(default = "internal_error")]
    code: Received<ErrorCode>,
    #[serde(default, deserialize_with = "de::or_default")]
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    /// What a program may want to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Json>,
    /// The same as text, which is where one official peer looks.
    #[serde(default, deserialize_with = "de::text_if_text", skip_serializing_if = "Option::is_none")]
    pub detail: Option<Box<str>>,
    /// The envelope that is answered, if this refuses a request and is no job's end.
    #[serde(default, with = "de::maybe_text", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// When the job ended. Always written; one official client needs it.
    #[serde(default, with = "de::lenient_text", skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

impl JobError {
    /// The end of a job. `retryable` counts as far as the code leaves a choice.
    pub fn new(status: FinalStatus, code: ErrorCode, message: &str, retryable: bool, completed_at: Timestamp) -> Self {
        Self {
            final_status: status.into(),
            code: code.into(),
            message: said(code, message),
            retryable: Some(code.retryable(retryable)),
            details: None,
            detail: None,
            request_id: None,
            completed_at: Some(completed_at),
        }
    }

    /// The code.
    pub const fn code(&self) -> &Received<ErrorCode> {
        &self.code
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same submission may succeed later; the code's default if the peer did not say.
    pub fn is_retryable(&self) -> bool {
        retryable(&self.code, self.retryable)
    }
}

fn said(code: ErrorCode, message: &str) -> String {
    Text::<MAX_REASON_BYTES>::cut(message).map_or_else(|| code.to_string(), |message| message.to_string())
}

fn retryable(code: &Received<ErrorCode>, said: Option<bool>) -> bool {
    said.or_else(|| code.known().map(ErrorCode::default_retryable)).unwrap_or(false)
}

const fn internal_error() -> Received<ErrorCode> {
    Received::Known(ErrorCode::InternalError)
}

const fn ended_with_error() -> Received<FinalStatus> {
    Received::Known(FinalStatus::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_obeys_the_spec_whatever_its_sender_wants() {
        let error = SessionError::new(ErrorCode::InternalError, "").retryable_if(false);
        assert_eq!(
            serde_json::to_string(&error).unwrap(),
            r#"{"code":"INTERNAL_ERROR","message":"INTERNAL_ERROR","retryable":true}"#
        );
        let now = Timestamp::from_unix_millis(0);
        let error = JobError::new(FinalStatus::Error, ErrorCode::LeaseExpired, &"x".repeat(10_000), true, now);
        assert!(!error.is_retryable());
        assert_eq!(error.message().len(), MAX_REASON_BYTES);
    }

    #[test]
    fn an_error_of_a_sloppy_peer_is_understood() {
        let error: SessionError = serde_json::from_str(r#"{"code":"TIMEOUT","message":null,"details":null}"#).unwrap();
        assert!(error.is_retryable());
        let error: SessionError = serde_json::from_str(r#"{"code":"TEAPOT","message":"m"}"#).unwrap();
        assert_eq!((error.code().as_str(), error.is_retryable()), ("TEAPOT", false));
    }
}
