//! A new session asks for the history of a job that is over: while the gateway still has it in memory, and from the disk,
//! after the gateway was killed and started again. The system's cache of the disk is warm.

use anyhow::{Result, ensure};

use crate::clock;
use crate::context::Context;
use crate::gateway::{Gateway, Place};
use crate::samples::{Samples, rate};
use serde_json::json;

/// Events that fit into the gateway's memory of recent records, with room.
const RECENT: u64 = 50_000;

/// Sessions that ask, one after the other.
const SESSIONS: u64 = 4;

pub(super) async fn run(context: &Context) -> Result<Samples> {
    let mut samples = Samples::default();
    let mut gateway = Gateway::start(context, Place::Inside, &[]).await?;
    let events = context.scale.of(RECENT, RECENT, 100);
    let job = job_of(&gateway, events).await?;
    samples.put("replay.memory", replay(&gateway, &job, events).await?);
    let events = context.scale.of(400_000, 100_000, 200);
    let job = job_of(&gateway, events).await?;
    gateway.kill().await?;
    gateway.start_again().await?;
    samples.put("replay.disk", replay(&gateway, &job, events).await?);
    gateway.end().await?;
    Ok(samples)
}

/// A job that has ended.
async fn job_of(gateway: &Gateway, events: u64) -> Result<String> {
    let mut session = gateway.session().await?;
    let job = session.submit("load", &json!({ "events": events })).await?;
    while !session.event().await?.is_terminal() {}
    Ok(job)
}

async fn replay(gateway: &Gateway, job: &str, events: u64) -> Result<f64> {
    let begun = clock::now();
    for _ in 0..SESSIONS {
        let mut session = gateway.session().await?;
        session.subscribe(job, true).await?;
        while !session.event().await?.is_terminal() {}
        session.check()?;
        ensure!(session.seen() == events + 1, "{} of {events} events and a result", session.seen());
    }
    Ok(rate(SESSIONS * events, begun.elapsed()))
}
