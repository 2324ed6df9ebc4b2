//! `load`: emits as many events as it is told to, of the size and at the rate that it is told. Made to measure with.
//!
//! Input: `{"events"?: 0, "bytes"?: 200, "rate"?: 1000, "delay_ms"?: 0, "result_bytes"?: 0}`. Each event is a `log` whose message has
//! `bytes` bytes: the event's number from 1, the nanoseconds since 1970 at which it was made, and filling, with a space
//! between them. Whoever reads it on the same machine can tell how long it was on its way. With `rate`, so many events a
//! second are made, spread over time in steps of a millisecond, or of a quarter of one where a step would have several
//! events; without it, as many as back-pressure lets through. What a rate is behind by is made up for at once. With `delay_ms` the first event waits so long, at most an hour. With `result_bytes` the result is streamed, as text of that size; otherwise
//! it is `{"events": n}`.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use moorline_types::{Json, ResolvedAgent};
use moorline_worker::sdk::{Agent, AgentDescription, Encoding, Failure, JobContext, Level, Outcome};
use serde::Deserialize;

use crate::clock;

mod steps;

use steps::Steps;

/// Jobs at once: what one worker may hold. A load test is about many.
const CAPACITY: u32 = 1_024;

/// The most events that one job emits: a quarter of an hour at a hundred thousand a second.
const MAX_EVENTS: u64 = 100_000_000;

/// The largest message. Its event is still far from the bound of an event's body.
const MAX_BYTES: usize = 512 * 1024;

/// The most events a second that can be asked for; more than any gateway carries.
const MAX_RATE: u32 = 10_000_000;

/// The largest streamed result.
const MAX_RESULT_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// The message's size unless it is said: with its envelope the event is a frame of about 470 bytes.
const BYTES: usize = 200;

/// The longest wait before the first event, in milliseconds.
const MAX_DELAY_MS: u64 = 3_600_000;

/// How much of a result is written at once.
const RESULT_PIECE: u64 = 256 * 1024;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Load {
    agent: ResolvedAgent,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    #[serde(default)]
    events: u64,
    #[serde(default = "default_bytes")]
    bytes: usize,
    #[serde(default)]
    rate: Option<u32>,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    result_bytes: u64,
}

const fn default_bytes() -> usize {
    BYTES
}

impl Load {
    /// The agent under this name and version.
    pub const fn new(agent: ResolvedAgent) -> Self {
        Self { agent }
    }
}

#[async_trait]
impl Agent for Load {
    fn describe(&self) -> AgentDescription {
        AgentDescription {
            agent: self.agent.clone(),
            description: "emits events of a given number, size and rate, to measure with".to_owned(),
            capacity: CAPACITY,
            is_default: true,
        }
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        let input = input(&job)?;
        if input.delay_ms > 0 {
            pause(&job, Duration::from_millis(input.delay_ms)).await?;
        }
        let filling = "x".repeat(input.bytes);
        match input.rate {
            None => {
                for number in 1..=input.events {
                    emit(&job, number, &filling).await?;
                }
            }
            Some(rate) => emit_at(&job, &input, rate, &filling).await?,
        }
        if input.result_bytes == 0 {
            return Ok(Outcome::inline(result(input.events))?);
        }
        stream(&job, input.result_bytes).await
    }
}

fn input(job: &JobContext) -> Result<Input, Failure> {
    let input: Input = job.input().map_err(|error| error.into_failure())?;
    let bytes = u64::try_from(input.bytes).unwrap_or(u64::MAX);
    for (field, value, max) in [
        ("events", input.events, MAX_EVENTS),
        ("bytes", bytes, MAX_BYTES as u64),
        ("rate", input.rate.unwrap_or(1).into(), MAX_RATE.into()),
        ("delay_ms", input.delay_ms, MAX_DELAY_MS),
        ("result_bytes", input.result_bytes, MAX_RESULT_BYTES),
    ] {
        if value > max {
            return Err(Failure::invalid_request(format!("input: {field} must be at most {max}")));
        }
    }
    if input.rate == Some(0) {
        return Err(Failure::invalid_request("input: rate must be at least 1; leave it out for as many as possible"));
    }
    Ok(input)
}

/// Emits one event. The numbers come first, so a message is no shorter than they are.
async fn emit(job: &JobContext, number: u64, filling: &str) -> Result<(), Failure> {
    if job.is_cancelled() {
        return Err(Failure::cancelled());
    }
    let mut message = String::with_capacity(filling.len().max(48));
    for number in [number, clock::unix_nanos()] {
        message.push_str(itoa::Buffer::new().format(number));
        message.push(' ');
    }
    message.push_str(filling.get(message.len()..).unwrap_or_default());
    Ok(job.log(Level::Info, message).await?)
}

async fn emit_at(job: &JobContext, input: &Input, rate: u32, filling: &str) -> Result<(), Failure> {
    let begun = clock::instant();
    let mut emitted = 0;
    let mut steps = Steps::of(rate);
    while emitted < input.events {
        tokio::select! {
            () = steps.next() => {}
            () = job.cancelled() => return Err(Failure::cancelled()),
        }
        let due = due(begun, clock::instant(), rate).min(input.events);
        while emitted < due {
            emitted += 1;
            emit(job, emitted, filling).await?;
        }
    }
    Ok(())
}

/// How many events are due. The first is due at once.
fn due(begun: Instant, now: Instant, rate: u32) -> u64 {
    let events = now.duration_since(begun).as_nanos() * u128::from(rate) / NANOS_PER_SECOND;
    u64::try_from(events).map_or(u64::MAX, |events| events.saturating_add(1))
}

async fn pause(job: &JobContext, length: Duration) -> Result<(), Failure> {
    tokio::select! {
        () = tokio::time::sleep(length) => Ok(()),
        () = job.cancelled() => Err(Failure::cancelled()),
    }
}

async fn stream(job: &JobContext, bytes: u64) -> Result<Outcome, Failure> {
    let mut result = job.result_stream(Encoding::Utf8)?;
    let piece = "0123456789abcdef".repeat(usize::try_from(RESULT_PIECE / 16).unwrap_or_default());
    let mut left = bytes;
    while left > 0 {
        if job.is_cancelled() {
            return Err(Failure::cancelled());
        }
        let now = usize::try_from(left.min(RESULT_PIECE)).unwrap_or_default();
        result.write_text(piece.get(..now).unwrap_or_default()).await?;
        left -= left.min(RESULT_PIECE);
    }
    Ok(result.finish(format!("{bytes} bytes")).await?)
}

fn result(events: u64) -> Json {
    // An object with a number always has a JSON form.
    Json::of(&serde_json::json!({ "events": events })).unwrap_or_else(|_| Json::null())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_spread_over_time() {
        let begun = clock::instant();
        for (millis, rate, expected) in [(0, 1, 1), (999, 1, 1), (1_000, 1, 2), (1, 5_000, 6), (10, 100_000, 1_001)] {
            assert_eq!(due(begun, begun + Duration::from_millis(millis), rate), expected, "{millis} ms at {rate}");
        }
    }
}
