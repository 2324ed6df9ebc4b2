//! One job emits as fast as back-pressure lets it, to the session that submitted it.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::clock;
use crate::context::Context;
use crate::gateway::{Gateway, Place};
use crate::samples::{Samples, mebibytes, number, rate};
use crate::session::Session;

pub(super) async fn run(context: &Context) -> Result<Samples> {
    let mut samples = Samples::default();
    let events = context.scale.of(400_000, 60_000, 500);
    for (place, name) in [(Place::Inside, "inside"), (Place::Worker, "worker")] {
        let gateway = Gateway::start(context, place, &[]).await?;
        let mut session = gateway.session().await?;
        stream(&mut session, events / 5).await?;
        let before = gateway.usage().cpu;
        let begun = clock::now();
        stream(&mut session, events).await?;
        let took = begun.elapsed();
        let usage = gateway.usage();
        session.check()?;
        let cpu = (usage.cpu - before).as_secs_f64() * 1e6 / number(events);
        samples.put(format!("firehose.{name}"), rate(events, took));
        samples.put(format!("firehose.{name}_cpu"), cpu);
        samples.put(format!("firehose.{name}_peak"), mebibytes(usage.peak));
        gateway.end().await?;
    }
    Ok(samples)
}

/// Submits a job that emits so many events, and reads them all.
pub(crate) async fn stream(session: &mut Session, events: u64) -> Result<()> {
    let before = session.seen();
    session.submit("load", &json!({ "events": events })).await?;
    while !session.event().await?.is_terminal() {}
    let seen = session.seen() - before;
    ensure!(seen == events + 1, "{seen} messages of {events} events and a result");
    Ok(())
}
