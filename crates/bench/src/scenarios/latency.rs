//! How long an event is on its way, from where the agent makes it to where its subscriber has read it, while the gateway
//! carries a tenth of what it can.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::firehose;
use crate::clock;
use crate::context::Context;
use crate::gateway::{Gateway, Place};
use crate::samples::{Lengths, Samples, number, rate};
use crate::session::Session;

/// Part of the events that are read before it is measured.
const WARM_UP: u64 = 5;

pub(super) async fn run(context: &Context) -> Result<Samples> {
    let mut samples = Samples::default();
    for (place, name) in [(Place::Inside, "inside"), (Place::Worker, "worker")] {
        let gateway = Gateway::start(context, place, &[]).await?;
        let mut session = gateway.session().await?;
        let events = context.scale.of(200_000, 50_000, 200);
        firehose::stream(&mut session, events / 5).await?;
        let begun = clock::now();
        firehose::stream(&mut session, events).await?;
        let capacity = rate(events, begun.elapsed());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is a positive number")]
        let tenth = (capacity / 10.0).max(100.0) as u64;
        let seconds = context.scale.of(Duration::from_secs(3), Duration::from_secs(1), Duration::from_millis(100));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count is a positive number")]
        let events = (number(tenth) * seconds.as_secs_f64()) as u64;
        let mut lengths = watch(&mut session, events, tenth).await?;
        session.check()?;
        samples.put(format!("latency.{name}_rate"), number(tenth));
        samples.put(format!("latency.{name}_p50"), lengths.percentile(0.5));
        samples.put(format!("latency.{name}_p99"), lengths.percentile(0.99));
        samples.put(format!("latency.{name}_p999"), lengths.percentile(0.999));
        gateway.end().await?;
    }
    Ok(samples)
}

/// Submits a job at this rate and notes how long each of its events was on its way, but for the first ones.
async fn watch(session: &mut Session, events: u64, rate: u64) -> Result<Lengths> {
    session.submit("load", &json!({ "events": events, "rate": rate })).await?;
    let mut lengths = Lengths::default();
    let mut read = 0;
    loop {
        let event = session.event().await?;
        if event.is_terminal() {
            break;
        }
        read += 1;
        if let Some(stamp) = event.stamp().filter(|stamp| stamp.number > events / WARM_UP) {
            lengths.note(clock::unix_nanos().saturating_sub(stamp.unix_nanos));
        }
    }
    ensure!(read == events, "{read} events of {events}");
    Ok(lengths)
}
