//! Short jobs: submitted, accepted, one event, a result. One after the other, and many at once.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::clock;
use crate::context::Context;
use crate::gateway::{Gateway, Place};
use crate::samples::{Lengths, Samples, rate};
use crate::session::Session;

/// Jobs that are under way at once.
const IN_FLIGHT: u64 = 64;

pub(super) async fn run(context: &Context) -> Result<Samples> {
    let mut samples = Samples::default();
    for (place, name) in [(Place::Inside, "inside"), (Place::Worker, "worker")] {
        let gateway = Gateway::start(context, place, &[]).await?;
        let mut session = gateway.session().await?;
        let jobs = context.scale.of(2_000, 500, 10);
        one_by_one(&mut session, jobs / 10).await?;
        let mut lengths = one_by_one(&mut session, jobs).await?;
        samples.put(format!("short.{name}_p50"), lengths.percentile(0.5));
        samples.put(format!("short.{name}_p99"), lengths.percentile(0.99));
        let jobs = context.scale.of(10_000, 4_000, 100);
        let begun = clock::now();
        at_once(&mut session, jobs).await?;
        samples.put(format!("short.{name}_at_once"), rate(jobs, begun.elapsed()));
        session.check()?;
        gateway.end().await?;
    }
    Ok(samples)
}

fn input() -> Value {
    json!({ "events": 1 })
}

async fn one_by_one(session: &mut Session, jobs: u64) -> Result<Lengths> {
    let mut lengths = Lengths::default();
    for _ in 0..jobs {
        let before = session.seen();
        let begun = clock::now();
        session.submit("load", &input()).await?;
        while !session.event().await?.is_terminal() {}
        lengths.note(u64::try_from(begun.elapsed().as_nanos())?);
        ensure!(session.seen() - before == 2, "a job has an event and a result");
    }
    Ok(lengths)
}

async fn at_once(session: &mut Session, jobs: u64) -> Result<()> {
    let before = session.seen();
    let mut asked = 0;
    let mut ended = 0;
    while ended < jobs {
        while asked < jobs && asked - ended < IN_FLIGHT {
            session.ask("load", &input()).await?;
            asked += 1;
        }
        if session.event().await?.is_terminal() {
            ended += 1;
        }
    }
    let seen = session.seen() - before;
    ensure!(seen == 2 * jobs, "{seen} messages of {jobs} jobs");
    Ok(())
}
