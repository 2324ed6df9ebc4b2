//! `echo`: the input is the result.
//!
//! If the input is an object with an object `echo`, that says what happens before: `events` (how many `log` events,
//! at most a million), `delay_ms` (before each of them, or once if there are none; at most an hour), and `delegate` (jobs
//! that are then delegated, all at once: `agent`, `input`, `lease`, `detached`). With those the result is what became of
//! each. It is made to try things out with, from a first job to a load test.

use std::time::Duration;

use async_trait::async_trait;
use moorline_types::{JobId, Json, ResolvedAgent};
use moorline_worker::sdk::{
    Agent, AgentDescription, ChildEnd, ChildFailure, Delegation, DelegationError, Failure, JobContext, Level, Outcome,
    Output,
};
use serde::{Deserialize, Serialize};

/// Jobs at once. An echo costs next to nothing; what bounds it is that somebody has to read all of it.
const CAPACITY: u32 = 256;

/// The most events that one job emits.
const MAX_EVENTS: u64 = 1_000_000;

/// The longest delay, in milliseconds.
const MAX_DELAY_MS: u64 = 3_600_000;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Echo {
    agent: ResolvedAgent,
}

#[derive(Debug, Default, Deserialize)]
struct Input {
    #[serde(default)]
    echo: Options,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    events: u64,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    delegate: Vec<Part>,
}

/// A job that is delegated.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    agent: String,
    #[serde(default = "Json::null")]
    input: Json,
    #[serde(default)]
    lease: Option<Json>,
    #[serde(default)]
    detached: Option<bool>,
}

/// What became of it.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    child_job_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Echo {
    /// The agent under this name and version.
    pub const fn new(agent: ResolvedAgent) -> Self {
        Self { agent }
    }
}

#[async_trait]
impl Agent for Echo {
    fn describe(&self) -> AgentDescription {
        AgentDescription {
            agent: self.agent.clone(),
            description: "returns its input".to_owned(),
            capacity: CAPACITY,
            is_default: true,
        }
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        let options = options(&job)?;
        let delay = Duration::from_millis(options.delay_ms);
        if options.events == 0 {
            pause(&job, delay).await?;
        }
        for number in 1..=options.events {
            pause(&job, delay).await?;
            job.log(Level::Info, format!("event {number} of {}", options.events)).await?;
        }
        if options.delegate.is_empty() {
            return Ok(Outcome::inline(job.input_json().clone())?);
        }
        Ok(Outcome::of(&delegate(&job, options.delegate).await?)?)
    }
}

/// Delegates all of it, and waits for all of it.
async fn delegate(job: &JobContext, parts: Vec<Part>) -> Result<Vec<Told>, Failure> {
    let mut delegated = Vec::new();
    for Part { agent, input, lease, detached } in parts {
        let agent = agent.parse().map_err(|error| Failure::invalid_request(format!("input: agent: {error}")))?;
        let delegation = Delegation { lease_request: lease, detached, ..Delegation::new(agent, input) };
        delegated.push(job.delegate(delegation).await?);
    }
    let mut told = Vec::new();
    for delegated in delegated {
        let ended = tokio::select! {
            ended = delegated.ended() => ended,
            () = job.cancelled() => return Err(Failure::cancelled()),
        };
        told.push(match ended {
            Ok(ChildEnd { child, outcome }) => Told::of(child, outcome),
            Err(error @ DelegationError::Refused(_)) => {
                Told { child_job_id: None, result: None, error: Some(error.to_string()) }
            }
            Err(DelegationError::Ended) => return Err(Failure::cancelled()),
        });
    }
    Ok(told)
}

impl Told {
    fn of(child: JobId, outcome: Result<Output, ChildFailure>) -> Self {
        let (result, error) = match outcome {
            Ok(Output::Inline(result)) => (Some(result), None),
            Ok(Output::Streamed { .. }) => (None, None),
            Err(failure) => (None, Some(format!("{}: {}", failure.code, failure.message))),
        };
        Self { child_job_id: Some(child.to_string()), result, error }
    }
}

fn options(job: &JobContext) -> Result<Options, Failure> {
    if !job.input_json().get().starts_with('{') {
        return Ok(Options::default());
    }
    let Input { echo } = job.input().map_err(|error| error.into_failure())?;
    for (field, value, max) in [("events", echo.events, MAX_EVENTS), ("delay_ms", echo.delay_ms, MAX_DELAY_MS)] {
        if value > max {
            return Err(Failure::invalid_request(format!("input: echo.{field} must be at most {max}")));
        }
    }
    Ok(echo)
}

async fn pause(job: &JobContext, delay: Duration) -> Result<(), Failure> {
    if delay.is_zero() {
        return if job.is_cancelled() { Err(Failure::cancelled()) } else { Ok(()) };
    }
    tokio::select! {
        () = tokio::time::sleep(delay) => Ok(()),
        () = job.cancelled() => Err(Failure::cancelled()),
    }
}
