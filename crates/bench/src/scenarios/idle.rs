//! Sessions that do nothing: with a connection and heartbeats, and parked, without a connection.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::context::Context;
use crate::crowd;
use crate::gateway::{Gateway, Place};
use crate::samples::{Samples, number, rate};

/// How often a connection is to be heard: three times as often as by default, so that each is heard while it is watched.
const HEARTBEAT: &str = "--session-heartbeat-interval=10s";

/// Waves in which sessions are opened and parked again. The first makes the gateway take the memory that connections
/// need, which the others use again: what is left is what the parked sessions need.
const WAVES: usize = 10;

/// How long a gateway may take to notice that connections have ended.
const SETTLE: Duration = Duration::from_millis(500);

pub(super) async fn run(context: &Context) -> Result<Samples> {
    let mut samples = Samples::default();
    let count = context.scale.of(10_000, 2_000, 20);
    let watched = context.scale.of(Duration::from_secs(10), Duration::from_secs(10), Duration::from_millis(100));
    crowd::allow(count)?;
    let gateway = Gateway::start(context, Place::Inside, &[HEARTBEAT]).await?;
    let before = gateway.own_usage();
    let mut sessions = crowd::open(gateway.endpoint(), count / 10, true).await?;
    let tenth = gateway.own_usage();
    samples.put("idle.memory_tenth", each(before.resident, tenth.resident, count / 10));
    let begun = clock::now();
    sessions.extend(crowd::open(gateway.endpoint(), count - count / 10, true).await?);
    samples.put("idle.opened", rate(count - count / 10, begun.elapsed()));
    let open = gateway.own_usage();
    let alive = join_all(sessions.iter_mut().map(|session| async {
        let ended = timeout(watched, async {
            while session.next().await?.is_some() {}
            anyhow::Ok(())
        })
        .await;
        ended.is_err()
    }));
    let alive = alive.await;
    let after = gateway.own_usage();
    ensure!(alive.iter().all(|alive| *alive), "connections have ended");
    samples.put("idle.memory", each(before.resident, after.resident, count));
    samples.put("idle.cpu", (after.cpu - open.cpu).as_secs_f64() / watched.as_secs_f64() * 100.0);
    gateway.end().await?;
    parked(context, count / 2, &mut samples).await?;
    Ok(samples)
}

/// What each of so many needs, in KiB.
fn each(before: u64, after: u64, count: usize) -> f64 {
    number(after.saturating_sub(before)) / 1024.0 / number(count)
}

async fn parked(context: &Context, count: usize, samples: &mut Samples) -> Result<()> {
    let gateway = Gateway::start(context, Place::Inside, &[]).await?;
    let wave = count / WAVES;
    let mut resident = Vec::new();
    for _ in 0..WAVES {
        drop(crowd::open(gateway.endpoint(), wave, false).await?);
        sleep(SETTLE).await;
        resident.push(gateway.own_usage().resident);
    }
    if let [first, second, .., last] = resident.as_slice() {
        samples.put("idle.parked_tenth", each(*first, *second, wave));
        samples.put("idle.parked", each(*first, *last, wave * (WAVES - 1)));
    }
    gateway.end().await
}
