//! What a job may do, and what it has cost (spec 9).
//!
//! The gateway keeps the account and answers; nothing is decided here.

use std::future::Future;

use moorline_types::limits::MAX_LEASE_TARGET_BYTES;
use moorline_types::{Capability, EventKind, Json, JsonError, Units};

use super::{EmitError, Failure, FailureCode, Flaw, InvalidEvent, JobContext, ToolAnswer, ToolError};
use crate::message::{Answer, Ask};

/// Why an operation may not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizeError {
    /// The job's authority does not allow it: `PERMISSION_DENIED`, `LEASE_EXPIRED` or `BUDGET_EXHAUSTED`. The job goes on.
    #[error("{}: {}", .0.code, .0.message)]
    Denied(Failure),
    /// The job is over: it has ended, or it was killed. Stop working on it.
    #[error("the job is over")]
    Ended,
}

impl JobContext {
    /// Calls a tool, if the job may: what is called, and what it answered, are events of the job. If it may not,
    /// nothing is called, and the answer says why; the agent can go on with something else.
    ///
    /// # Errors
    /// If the job is over, or the call cannot be an event.
    pub async fn call_tool<C, A>(&self, tool: &str, args: Json, call: C) -> Result<ToolAnswer, EmitError>
    where
        C: FnOnce() -> A + Send,
        A: Future<Output = ToolAnswer> + Send,
    {
        let id = self.tool_call(tool, args).await?;
        let answer = match self.authorize(Capability::ToolCall, tool).await {
            Ok(()) => call().await,
            Err(AuthorizeError::Denied(denial)) => ToolAnswer::Error(ToolError::from(&denial)),
            Err(AuthorizeError::Ended) => return Err(EmitError::Ended),
        };
        self.tool_result(&id, answer.clone()).await?;
        Ok(answer)
    }

    /// Asks the gateway whether the job may do this at this moment (spec 9.3): whether its lease lasts, covers the target,
    /// and something is left of every budget. Ask before each operation; costs that were reported before are counted.
    /// Waits while no gateway is there.
    ///
    /// # Errors
    /// If it may not. Do not do it then; the job may go on with something else. With `?` the job ends with the denial.
    pub async fn authorize(
        &self,
        capability: Capability,
        target: impl Into<String> + Send,
    ) -> Result<(), AuthorizeError> {
        let target = target.into();
        if target.len() > MAX_LEASE_TARGET_BYTES {
            let message = format!("the target must have at most {MAX_LEASE_TARGET_BYTES} bytes");
            return Err(AuthorizeError::Denied(Failure::new(FailureCode::PermissionDenied, message)));
        }
        match self.ask(Ask::Authorize { capability, target }).await {
            Some(Answer::Verdict(verdict)) => verdict.map_err(AuthorizeError::Denied),
            Some(Answer::Delegation(_)) | None => Err(AuthorizeError::Ended),
        }
    }

    /// Something has cost so much: the metric `cost.<what>`, which is taken off the job's budget in that currency (spec
    /// 9.6). The amount is exact. Say it as soon as it is known, and before the next [`Self::authorize`].
    pub async fn cost(&self, what: &str, amount: Units, currency: &str) -> Result<(), EmitError> {
        let name = serde_json::to_string(&format!("cost.{what}")).unwrap_or_default();
        let unit = serde_json::to_string(currency).unwrap_or_default();
        let body = Json::parse(&format!(r#"{{"name":{name},"value":{amount},"unit":{unit}}}"#));
        let flaw = |error: JsonError| Flaw::Shape { reason: error.to_string() };
        let body = body.map_err(|error| InvalidEvent { kind: EventKind::Metric, flaw: flaw(error) })?;
        self.emit_checked(EventKind::Metric, body).await
    }

    /// The upstream has refused an operation because what its key may spend is spent: the metric
    /// `cost.budget.exhausted`. Nothing is left of the job's budget in that currency from here on, whatever was reported.
    /// Answers the error that the operation failed with (spec 9.6): tell it as the tool's answer and go on with what costs
    /// nothing, or end with it.
    pub async fn budget_exhausted(&self, currency: &str) -> Result<Failure, EmitError> {
        let unit = serde_json::to_string(currency).unwrap_or_default();
        let body = Json::parse(&format!(r#"{{"name":"cost.budget.exhausted","value":0,"unit":{unit}}}"#));
        let flaw = |error: JsonError| Flaw::Shape { reason: error.to_string() };
        let body = body.map_err(|error| InvalidEvent { kind: EventKind::Metric, flaw: flaw(error) })?;
        self.emit_checked(EventKind::Metric, body).await?;
        let message = format!("the upstream says that nothing is left of the job's budget in {currency}");
        Ok(Failure::new(FailureCode::BudgetExhausted, message))
    }
}
