//! `moorline bench`: what a gateway that runs can carry, over the network that is between it and us, with the client that
//! any program would use.
//!
//! Jobs of the shipped agent `load` number their events and say when each was made. Every session has to see every number
//! of every job, once.

mod lengths;

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use futures_util::future::{try_join_all, try_join3};
use moorline_client::wire::payload::Submit;
use moorline_client::wire::{FinalStatus, JobRef};
use moorline_client::{Client, JobHandle, JobUpdate, SubscribeRequest};
use moorline_types::{EventKind, Json};
use serde_json::{Value, json};

use crate::args::{Bench, Connection};
use crate::clock;
use crate::connect::connect;
use crate::exit::{Exit, Stop};
use crate::output::Output;
use crate::signals::Signals;
use lengths::Lengths;

/// The agent that emits.
const AGENT: &str = "load";

pub(crate) async fn run(args: Bench, connection: &Connection, output: &Output) -> Result<Exit> {
    let mut signals = Signals::listen()?;
    let first = connect(connection).await?;
    if !first.welcome().capabilities.agents.iter().any(|agent| agent.name == AGENT) {
        let told = "the gateway does not offer the agent `load`, which makes the events; start it with \
                    --builtin-agents census,echo,load";
        return Err(anyhow!(told).context(Stop(Exit::Refused)));
    }
    let mut others = Vec::new();
    for _ in 1..args.subscribers {
        others.push(connect(connection).await?);
    }
    let submitted = RefCell::new(Vec::new());
    let begun = clock::now();
    let jobs = try_join_all((0..args.jobs).map(|_| job(&args, &first, &others, &submitted)));
    let seen = tokio::select! {
        jobs = jobs => jobs?,
        () = signals.next() => {
            let submitted = submitted.take();
            try_join_all(submitted.iter().map(|job| first.cancel(job, None))).await?;
            return Ok(Exit::Interrupted);
        }
    };
    let took = begun.elapsed();
    for client in others.into_iter().chain([first]) {
        client.close(None).await;
    }
    let found = Found { args, seen: seen.into_iter().fold(Seen::default(), Seen::and), took };
    if found.args.json {
        output.line(found.as_json());
    } else {
        found.lines().iter().for_each(|line| output.line(line));
    }
    Ok(if found.seen.lost == 0 && found.seen.twice == 0 { Exit::Success } else { Exit::JobError })
}

/// One job, from its submission until every session has read its end.
async fn job(args: &Bench, first: &Client, others: &[Client], submitted: &RefCell<Vec<JobRef>>) -> Result<Seen> {
    let input = json!({ "events": args.events, "bytes": args.bytes, "rate": args.rate });
    let handle = first.submit(Submit::new(AGENT.parse()?, Json::of(&input)?)).await?;
    let id = handle.id().clone();
    submitted.borrow_mut().push(id.clone());
    let watched = try_join_all(others.iter().map(|other| async {
        let handle = other.subscribe(SubscribeRequest::with_history(id.clone())).await?;
        read(handle, args).await
    }));
    let ((), own, watched) = try_join3(end(first, &id, args.duration), read(handle, args), watched).await?;
    Ok(watched.into_iter().fold(own, Seen::and))
}

/// Asks for the job's end when it is time.
async fn end(client: &Client, job: &JobRef, after: Option<Duration>) -> Result<()> {
    if let Some(after) = after {
        tokio::time::sleep(after).await;
        client.cancel(job, None).await?;
    }
    Ok(())
}

/// Reads a job to its end.
async fn read(mut handle: JobHandle, args: &Bench) -> Result<Seen> {
    let mut seen = Seen::default();
    while let Some(update) = handle.next().await {
        match update? {
            // The agent makes no other; what else comes is the gateway's, such as that we are far behind.
            JobUpdate::Event(event) if &*event.kind != EventKind::Log.as_str() => {}
            JobUpdate::Event(event) => {
                let (number, made) = stamp(&event.body).context("an event that the agent `load` does not make")?;
                seen.note(number, clock::unix_nanos().saturating_sub(made));
            }
            JobUpdate::Result { .. } => {
                seen.lost += args.events.saturating_sub(seen.last);
                return Ok(seen);
            }
            JobUpdate::Error { error, .. } => {
                let cancelled = error.final_status.known() == Some(FinalStatus::Cancelled);
                if args.duration.is_some() && cancelled {
                    return Ok(seen);
                }
                bail!("a job has ended with {}: {}", error.code().as_str(), error.message());
            }
            // What a gap leaves out is counted by its numbers.
            JobUpdate::CancelRequested { .. } | JobUpdate::Gap(_) => {}
            JobUpdate::Unreadable(error) => return Err(anyhow!(error).context("a message cannot be read")),
        }
    }
    bail!("a job's events have ended before the job")
}

/// An event's number and when it was made: what its message begins with.
fn stamp(body: &Json) -> Option<(u64, u64)> {
    let body: Value = body.to().ok()?;
    let mut words = body.get("message")?.as_str()?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// What was read.
#[derive(Debug, Default)]
struct Seen {
    events: u64,
    /// The highest number of the job.
    last: u64,
    lost: u64,
    twice: u64,
    lengths: Lengths,
}

impl Seen {
    fn note(&mut self, number: u64, nanos: u64) {
        self.events += 1;
        self.lengths.note(nanos);
        match number.checked_sub(self.last) {
            Some(0) | None => self.twice += 1,
            Some(ahead) => {
                self.lost += ahead - 1;
                self.last = number;
            }
        }
    }

    /// This and that of another job or session.
    fn and(mut self, other: Self) -> Self {
        self.events += other.events;
        self.last = 0;
        self.lost += other.lost;
        self.twice += other.twice;
        self.lengths.add(&other.lengths);
        self
    }
}

/// What came of it.
struct Found {
    args: Bench,
    seen: Seen,
    took: Duration,
}

/// The percentiles that are told.
const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

impl Found {
    /// Deliveries a second.
    fn rate(&self) -> u64 {
        let nanos = self.took.as_nanos().max(1);
        u64::try_from(u128::from(self.seen.events) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
    }

    fn as_json(&self) -> Value {
        let Seen { events, lost, twice, lengths, .. } = &self.seen;
        let mut latency: serde_json::Map<String, Value> =
            PERCENTILES.iter().map(|(name, share)| ((*name).to_owned(), json!(lengths.percentile(*share)))).collect();
        latency.insert("max".to_owned(), json!(lengths.most()));
        json!({
            "jobs": self.args.jobs, "subscribers": self.args.subscribers, "bytes": self.args.bytes,
            "rate": self.args.rate, "deliveries": events, "seconds": self.took.as_secs_f64(),
            "deliveries_per_second": self.rate(), "latency_us": latency, "lost": lost, "twice": twice,
        })
    }

    fn lines(&self) -> Vec<String> {
        let Seen { events, lost, twice, lengths, .. } = &self.seen;
        let latencies = PERCENTILES.iter().map(|(name, share)| format!("{name} {}", shown(lengths.percentile(*share))));
        let latencies: Vec<String> = latencies.chain([format!("max {}", shown(lengths.most()))]).collect();
        vec![
            format!("deliveries   {events} in {:.2} s", self.took.as_secs_f64()),
            format!("throughput   {} deliveries/s", self.rate()),
            format!("latency      {}", latencies.join(", ")),
            format!("lost         {lost}"),
            format!("twice        {twice}"),
        ]
    }
}

/// Microseconds, as a person reads them.
fn shown(micros: u64) -> String {
    if micros < 10_000 { format!("{micros} µs") } else { format!("{} ms", micros / 1_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_missing_or_come_twice_are_counted() {
        for (numbers, lost, twice) in [(&[1, 2, 3][..], 0, 0), (&[2, 3], 1, 0), (&[1, 1, 2], 0, 1), (&[5], 4, 0)] {
            let mut seen = Seen::default();
            numbers.iter().for_each(|number| seen.note(*number, 1));
            assert_eq!((seen.lost, seen.twice), (lost, twice), "{numbers:?}");
        }
    }

    #[test]
    fn an_event_says_its_number_and_when_it_was_made() {
        for (body, expected) in [
            (json!({"level": "info", "message": "7 12345 xxx"}), Some((7, 12_345))),
            (json!({"message": "hello"}), None),
            (json!([]), None),
        ] {
            assert_eq!(stamp(&Json::of(&body).unwrap()), expected);
        }
    }
}
