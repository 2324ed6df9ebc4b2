//! An agent that does what its input says.

use std::time::Duration;

use async_trait::async_trait;
use moorline_types::{Capability, Units};
use moorline_worker::sdk::{Agent, AgentDescription, AuthorizeError, Failure, FailureCode, JobContext, Level, Outcome};
use serde::{Deserialize, Serialize};

/// What a simulated job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Script {
    /// Log events, numbered from 1.
    pub(crate) events: u64,
    /// Milliseconds between them.
    pub(crate) delay_ms: u64,
    /// What each of them costs in cents, as far as the job may spend; nothing is asked for if it is nothing.
    pub(crate) price: u64,
    /// How it ends.
    pub(crate) end: End,
}

/// What a simulated job may do, and spend at most.
pub(crate) const LEASE: &str = r#"{"tool.call":["work"],"cost.budget":["USD:1"]}"#;

/// The budget of [`LEASE`], in cents.
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

#[async_trait]
impl Agent for Scripted {
    fn describe(&self) -> AgentDescription {
        AgentDescription {
            agent: AGENT.parse().expect("a valid name"),
            description: "does what its input says".to_owned(),
            capacity: 8,
            is_default: true,
        }
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        let script: Script = job.input().map_err(|error| error.into_failure())?;
        for n in 1..=script.events {
            job.log(Level::Info, n.to_string()).await.map_err(|_| Failure::cancelled())?;
            if script.price > 0 {
                pay(&job, script.price).await?;
            }
            tokio::time::sleep(Duration::from_millis(script.delay_ms)).await;
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
