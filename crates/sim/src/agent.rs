//! An agent that does what its input says.

use std::time::Duration;

use async_trait::async_trait;
use moorline_worker::sdk::{Agent, AgentDescription, Failure, FailureCode, JobContext, Level, Outcome};
use serde::{Deserialize, Serialize};

/// What a simulated job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Script {
    /// Log events, numbered from 1.
    pub(crate) events: u64,
    /// Milliseconds between them.
    pub(crate) delay_ms: u64,
    /// How it ends.
    pub(crate) end: End,
}

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
