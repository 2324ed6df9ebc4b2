//! A client comes back to a session that has missed ten thousand events.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use serde_json::json;

use super::firehose;
use crate::clock;
use crate::context::Context;
use crate::gateway::{Gateway, Place};
use crate::samples::Samples;
use crate::session::{Manner, Session};

/// Sessions that come back one after the other in each run, each to the same events.
const SESSIONS: usize = 5;

pub(super) async fn run(context: &Context) -> Result<Samples> {
    let mut samples = Samples::default();
    let missed = context.scale.of(10_000, 10_000, 100);
    let gateway = Gateway::start(context, Place::Inside, &[]).await?;
    firehose::stream(&mut gateway.session().await?, missed).await?;
    let mut sessions = try_join_all((0..SESSIONS).map(|_| gateway.session())).await?;
    let mut witness = gateway.session().await?;
    let job = witness.submit("load", &json!({ "events": missed, "delay_ms": 300 })).await?;
    for session in &mut sessions {
        session.subscribe(&job, false).await?;
    }
    let parked: Vec<_> = sessions.into_iter().map(Session::park).collect();
    while !witness.event().await?.is_terminal() {}
    for parked in parked {
        let begun = clock::now();
        let mut session = Session::resume(gateway.endpoint(), Manner::default(), &parked).await?;
        session.enlarge();
        while !session.event().await?.is_terminal() {}
        samples.put("resume.last", begun.elapsed().as_secs_f64() * 1e3);
        session.check()?;
        ensure!(session.seen() == missed + 1, "{} of {missed} events and a result", session.seen());
    }
    gateway.end().await?;
    Ok(samples)
}
