//! The gateway is killed and started again over a journal of a million records, while a hundred jobs run. It is timed
//! until each of them has delivered an event that its agent made after the start.

use std::collections::HashSet;

use anyhow::Result;
use serde_json::json;

use super::firehose;
use crate::clock;
use crate::context::Context;
use crate::gateway::{Gateway, Place};
use crate::samples::{Samples, mebibytes};
use crate::session::{Manner, Session};

/// Events a second of each job: often enough that waiting for one is not what is timed.
const RATE: u64 = 100;

pub(super) async fn run(context: &Context) -> Result<Samples> {
    let mut samples = Samples::default();
    let records = context.scale.of(1_000_000, 200_000, 500);
    let jobs = context.scale.of(100, 100, 5);
    let mut gateway = Gateway::start(context, Place::Worker, &[]).await?;
    firehose::stream(&mut gateway.session().await?, records).await?;
    let mut session = gateway.session().await?;
    for _ in 0..jobs {
        session.submit("load", &json!({ "events": 1_000_000, "rate": RATE })).await?;
    }
    streaming(&mut session, jobs, clock::unix_nanos()).await?;
    gateway.kill().await?;
    while session.next().await?.is_some() {}
    let parked = session.park();
    let (begun, begun_nanos) = (clock::now(), clock::unix_nanos());
    gateway.start_again().await?;
    samples.put("restart.open", begun.elapsed().as_secs_f64());
    let mut session = Session::resume(gateway.endpoint(), Manner::default(), &parked).await?;
    session.enlarge();
    streaming(&mut session, jobs, begun_nanos).await?;
    samples.put("restart.streaming", begun.elapsed().as_secs_f64());
    samples.put("restart.memory", mebibytes(gateway.own_usage().resident));
    session.check()?;
    drop(session);
    gateway.end().await?;
    Ok(samples)
}

/// Reads until each of so many jobs has delivered an event that was made later than `since`.
async fn streaming(session: &mut Session, jobs: usize, since: u64) -> Result<()> {
    let mut streaming: HashSet<Vec<u8>> = HashSet::new();
    while streaming.len() < jobs {
        let event = session.event().await?;
        if event.stamp().is_some_and(|stamp| stamp.unix_nanos > since) && !streaming.contains(event.job()) {
            streaming.insert(event.job().to_vec());
        }
    }
    Ok(())
}
