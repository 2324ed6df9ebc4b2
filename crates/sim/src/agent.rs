//! An agent that does what its input says.

use std::time::Duration;

use async_trait::async_trait;
use moorline_types::{Capability, Json, Units};
use moorline_worker::sdk::{
    Agent, AgentDescription, AuthorizeError, Delegation, Failure, FailureCode, JobContext, Level, Outcome,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What a simulated job does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Script {
    /// Log events, numbered from 1.
    pub(crate) events: u64,
    /// Milliseconds between them.
    pub(crate) delay_ms: u64,
    /// What each of them costs in cents, as far as the job may spend; nothing is asked for if it is nothing.
    pub(crate) price: u64,
    /// What it delegates before its first event, and waits for after its last.
    pub(crate) delegate: Vec<Part>,
    /// How it ends.
    pub(crate) end: End,
}

/// What a simulated job delegates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) script: Script,
    /// Cents of the parent's budget.
    pub(crate) cents: u64,
    /// Whether it asks for something that no simulated job may do.
    pub(crate) greedy: bool,
    pub(crate) detached: bool,
}

/// What a simulated job may do that has so many cents to spend. It may use models, so it is worth a credential.
pub(crate) fn lease(cents: u64, greedy: bool) -> Json {
    let budget = format!("USD:{}.{:02}", cents / 100, cents % 100);
    let tools = if greedy { ["work", "break"].as_slice() } else { &["work"] };
    let lease = json!({ "tool.call": tools, "agent.delegate": [AGENT_NAME], "model.use": ["small/*"],
        "cost.budget": [budget] });
    Json::of(&lease).expect("an object is JSON")
}

/// Cents that a simulated job has which nobody has delegated.
pub(crate) const BUDGET: u64 = 100;

/// How a simulated job ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    Result,
    Failure,
    Panic,
    /// When it is cancelled.
    Cancel,
    /// Never by itself.
    Never,
}

/// Spends so many cents if the job may.
async fn pay(job: &JobContext, price: u64) -> Result<(), Failure> {
    match job.authorize(Capability::ToolCall, "work").await {
        Ok(()) => {
            let price = Units::from_json_number(&format!("{price}e-2")).expect("an amount");
            job.cost("work", price, "USD").await.map_err(|_| Failure::cancelled())
        }
        Err(AuthorizeError::Denied(denial)) if denial.code == FailureCode::BudgetExhausted => Ok(()),
        Err(AuthorizeError::Denied(denial)) => Err(denial),
        Err(AuthorizeError::Ended) => Err(Failure::cancelled()),
    }
}

/// See the module's documentation.
pub(crate) struct Scripted;

pub(crate) const AGENT: &str = "scripted@1.0.0";

const AGENT_NAME: &str = "scripted";

#[async_trait]
impl Agent for Scripted {
    fn describe(&self) -> AgentDescription {
        AgentDescription {
            agent: AGENT.parse().expect("a valid name"),
            description: "does what its input says".to_owned(),
            capacity: 16,
            is_default: true,
        }
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        let script: Script = job.input().map_err(|error| error.into_failure())?;
        let mut delegated = Vec::new();
        for Part { script, cents, greedy, detached } in script.delegate {
            let input = Json::of(&script).map_err(|error| Failure::internal(&error))?;
            let delegation = Delegation::new(AGENT.parse().expect("a valid name"), input).lease(lease(cents, greedy));
            let delegation = Delegation { detached: Some(detached), ..delegation };
            let begun = job.delegate(delegation).await.map_err(|_| Failure::cancelled())?;
            delegated.extend((!detached).then_some(begun));
        }
        for n in 1..=script.events {
            job.log(Level::Info, n.to_string()).await.map_err(|_| Failure::cancelled())?;
            if script.price > 0 {
                pay(&job, script.price).await?;
            }
            tokio::time::sleep(Duration::from_millis(script.delay_ms)).await;
        }
        for child in delegated {
            tokio::select! {
                // How it ended, or that there was none, makes no difference here.
                ended = child.ended() => drop(ended),
                () = job.cancelled() => return Err(Failure::cancelled()),
            }
        }
        match script.end {
            End::Result => Outcome::of(&script.events).map_err(|error| Failure::internal(&error)),
            End::Failure => Err(Failure::new(FailureCode::InvalidRequest, "as the script says")),
            End::Panic => panic!("as the script says"),
            End::Cancel => {
                job.cancelled().await;
                Err(Failure::cancelled())
            }
            End::Never => std::future::pending().await,
        }
    }
}
