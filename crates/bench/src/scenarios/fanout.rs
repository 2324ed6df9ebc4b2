//! One job, and many sessions that watch it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::json;

use crate::clock;
use crate::context::Context;
use crate::gateway::{Gateway, Place};
use crate::samples::{Samples, number, rate};
use crate::session::Session;

/// How long the job waits for everybody to subscribe.
const DELAY_MS: u64 = 300;

pub(super) async fn run(context: &Context) -> Result<Samples> {
    let mut samples = Samples::default();
    let gateway = Gateway::start(context, Place::Inside, &[]).await?;
    for (subscribers, deliveries) in [(1, 300_000), (10, 1_500_000), (100, 3_000_000)] {
        let events = context.scale.of(deliveries, deliveries / 5, subscribers * 20) / subscribers;
        let mut sessions = Vec::new();
        for _ in 0..subscribers {
            sessions.push(gateway.session().await?);
        }
        // The first time warms up.
        measure(&mut sessions, events / 5).await?;
        let before = gateway.own_usage().cpu;
        let took = measure(&mut sessions, events).await?;
        let cpu = gateway.own_usage().cpu - before;
        let deliveries = subscribers * events;
        samples.put(format!("fanout.{subscribers}"), rate(deliveries, took));
        samples.put(format!("fanout.cpu_{subscribers}"), cpu.as_secs_f64() * 1e6 / number(deliveries));
        sessions.iter().try_for_each(Session::check)?;
    }
    gateway.end().await?;
    Ok(samples)
}

/// Lets all sessions watch one job; how long it took from where the first event is made to the last one's end.
async fn measure(sessions: &mut [Session], events: u64) -> Result<Duration> {
    let Some((first, others)) = sessions.split_first_mut() else { return Ok(Duration::ZERO) };
    let job = first.submit("load", &json!({ "events": events, "delay_ms": DELAY_MS })).await?;
    for other in others {
        other.subscribe(&job, true).await?;
    }
    let read = try_join_all(sessions.iter_mut().map(|session| read(session, events))).await?;
    let made = read.iter().map(|(made, _)| *made).min().unwrap_or_default();
    let ended = read.iter().map(|(_, ended)| *ended).max().unwrap_or(made);
    Ok(Duration::from_nanos(ended.saturating_sub(made)))
}

/// Reads a job to its end: when its first event was made, and when its end was read, in nanoseconds since 1970.
async fn read(session: &mut Session, events: u64) -> Result<(u64, u64)> {
    let before = session.seen();
    let made = session.event().await?.stamp().context("not an event of the agent")?.unix_nanos;
    while !session.event().await?.is_terminal() {}
    let seen = session.seen() - before;
    ensure!(seen == events + 1, "{seen} messages of {events} events and a result");
    Ok((made, clock::unix_nanos()))
}
