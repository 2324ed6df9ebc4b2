//! Making failures.

use std::any::Any;
use std::error::Error;

use moorline_types::Json;
use moorline_types::limits::{MAX_JSON_DEPTH, MAX_REASON_BYTES};
use serde::Serialize;

use super::{AuthorizeError, DelegationError, EmitError};
use crate::json;
use crate::limits::MAX_DETAILS_BYTES;
use crate::message::{Failure, FailureCode};
use crate::text::clip;

impl Failure {
    /// A failure with this code, retryable as the spec has it for the code.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        let retryable = code == FailureCode::InternalError;
        Self { code, message: clip(message.into(), MAX_REASON_BYTES), retryable, details: None }
    }

    /// The agent stopped because it was asked to.
    pub fn cancelled() -> Self {
        Self::new(FailureCode::Cancelled, "the job was cancelled")
    }

    /// The agent cannot work with its input. Name the field and what it must be.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(FailureCode::InvalidRequest, message)
    }

    /// Something failed that the submitter can do nothing about. The message is the error's, with its causes.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self::new(FailureCode::InternalError, message)
    }

    /// The same, retryable or not. `CANCELLED` and errors of authority never are.
    #[must_use]
    pub const fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// The same with an object that a program can read. Something else than an object, and one that is too large, is
    /// left out: the failure matters more.
    #[must_use]
    pub fn details(mut self, details: &impl Serialize) -> Self {
        self.details = Json::of(details).ok().filter(|details| {
            json::is_object(details)
                && details.get().len() <= MAX_DETAILS_BYTES
                && json::depth_within(details.get(), MAX_JSON_DEPTH)
        });
        self
    }
}

/// So that `?` works in [`super::Agent::run`]. An emit that found the job over is the job's cancellation, a denial is
/// itself, and so is a delegation that was refused; everything else is internal.
impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        match (&error as &dyn Any).downcast_ref::<AuthorizeError>() {
            Some(AuthorizeError::Denied(denial)) => return denial.clone(),
            Some(AuthorizeError::Ended) => return Self::cancelled(),
            None => {}
        }
        match (&error as &dyn Any).downcast_ref::<DelegationError>() {
            Some(DelegationError::Refused(refused)) => return refused.clone().into(),
            Some(DelegationError::Ended) => return Self::cancelled(),
            None => {}
        }
        match (&error as &dyn Any).downcast_ref::<EmitError>() {
            Some(EmitError::Ended) => Self::cancelled(),
            Some(EmitError::Invalid(_)) | None => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_becomes_an_internal_failure_with_its_causes() {
        let number = "x".parse::<u8>().unwrap_err();
        let failure = Failure::from(number.clone());
        assert_eq!((failure.code, failure.retryable), (FailureCode::InternalError, true));
        assert_eq!(failure.message, number.to_string());
    }

    #[test]
    fn an_emit_after_the_end_is_a_cancellation() {
        assert_eq!(Failure::from(EmitError::Ended).code, FailureCode::Cancelled);
    }

    #[test]
    fn details_that_are_no_small_object_are_left_out() {
        let failure = || Failure::invalid_request("no");
        assert!(failure().details(&[1]).details.is_none());
        assert!(failure().details(&serde_json::json!({"a": "x".repeat(MAX_DETAILS_BYTES)})).details.is_none());
        assert!(failure().details(&serde_json::json!({"a": 1})).details.is_some());
    }
}
