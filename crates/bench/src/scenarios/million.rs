//! Much of everything: one job with a million events, and ten thousand jobs with a hundred each. What is looked at is the
//! gateway's memory, which must not grow with them.

use anyhow::{Result, ensure};
use serde_json::json;

use super::firehose;
use crate::clock;
use crate::context::Context;
use crate::gateway::{Gateway, Place};
use crate::samples::{Samples, mebibytes, rate};
use crate::session::Session;

/// Jobs that are under way at once.
const IN_FLIGHT: u64 = 64;

/// Events of each of many jobs.
const EVENTS: u64 = 100;

pub(super) async fn run(context: &Context) -> Result<Samples> {
    let mut samples = Samples::default();
    let events = context.scale.of(1_000_000, 200_000, 400);
    let gateway = Gateway::start(context, Place::Inside, &[]).await?;
    let mut session = gateway.session().await?;
    firehose::stream(&mut session, events / 4).await?;
    samples.put("million.one_quarter", mebibytes(gateway.own_usage().peak));
    firehose::stream(&mut session, events).await?;
    samples.put("million.one", mebibytes(gateway.own_usage().peak));
    session.check()?;
    gateway.end().await?;

    let jobs = context.scale.of(10_000, 2_000, 20);
    let gateway = Gateway::start(context, Place::Inside, &[]).await?;
    let mut session = gateway.session().await?;
    many(&mut session, jobs / 4).await?;
    samples.put("million.many_quarter", mebibytes(gateway.own_usage().peak));
    let begun = clock::now();
    many(&mut session, jobs - jobs / 4).await?;
    samples.put("million.many_rate", rate((jobs - jobs / 4) * EVENTS, begun.elapsed()));
    samples.put("million.many", mebibytes(gateway.own_usage().peak));
    session.check()?;
    gateway.end().await?;
    Ok(samples)
}

async fn many(session: &mut Session, jobs: u64) -> Result<()> {
    let before = session.seen();
    let (mut asked, mut ended) = (0, 0);
    while ended < jobs {
        while asked < jobs && asked - ended < IN_FLIGHT {
            session.ask("load", &json!({ "events": EVENTS })).await?;
            asked += 1;
        }
        if session.event().await?.is_terminal() {
            ended += 1;
        }
    }
    let seen = session.seen() - before;
    ensure!(seen == jobs * (EVENTS + 1), "{seen} messages of {jobs} jobs");
    Ok(())
}
