//! `echo`: the input is the result.
//!
//! If the input is an object with an object `echo`, that says what happens before: `events` (how many `log` events,
//! at most a million) and `delay_ms` (before each of them, or once if there are none; at most an hour). It is made to
//! try things out with, from a first job to a load test.

use std::time::Duration;

use async_trait::async_trait;
use moorline_types::ResolvedAgent;
use moorline_worker::sdk::{Agent, AgentDescription, Failure, JobContext, Level, Outcome};
use serde::Deserialize;

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
        Ok(Outcome::inline(job.input_json().clone())?)
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
