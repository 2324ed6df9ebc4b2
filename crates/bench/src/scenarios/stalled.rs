//! Subscribers that stop reading, and what the others notice of it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::json;

use crate::clock;
use crate::context::Context;
use crate::gateway::{Gateway, Place};
use crate::samples::{Lengths, Samples, rate};
use crate::session::{Manner, Session};

/// Subscribers of which one in ten stops.
const SUBSCRIBERS: usize = 10;

/// Subscribers that stop beside a single one that reads.
const CROWD: usize = 100;

/// How long a job waits for everybody to subscribe, and how long for a crowd to stand still.
const DELAY_MS: u64 = 300;
const STILL_DELAY_MS: u64 = 2_000;

/// Events of the job whose history makes a subscriber stand still: more bytes than the system takes in for a connection.
const FILLING: u64 = 20_000;

/// Events a second when it is looked at how long each is on its way.
const RATE: u64 = 5_000;

/// How little a connection takes in that is not read, so that its subscriber stands still soon.
const RECEIVE_BUFFER: u32 = 16 * 1024;

pub(super) async fn run(context: &Context) -> Result<Samples> {
    let mut samples = Samples::default();
    let gateway = Gateway::start(context, Place::Inside, &[]).await?;
    let events = context.scale.of(100_000, 40_000, 100);
    let mut session = gateway.session().await?;
    let filling = session.submit("load", &json!({ "events": FILLING })).await?;
    while !session.event().await?.is_terminal() {}
    let timed = context.scale.of(3 * RATE, 3 * RATE, 100);

    Watch { readers: 1, still: 0, events: events / 5, rate: None }.measure(&gateway, &filling).await?;
    for (name, still) in [("alone", 0), ("beside", context.scale.of(CROWD, CROWD, 5))] {
        let (rate, _) = Watch { readers: 1, still, events, rate: None }.measure(&gateway, &filling).await?;
        samples.put(format!("stalled.append_{name}"), rate);
    }
    for (name, still) in [("without", 0), ("with", 1)] {
        let all = Watch { readers: SUBSCRIBERS - still, still, events, rate: None };
        let (rate, _) = all.measure(&gateway, &filling).await?;
        samples.put(format!("stalled.rate_{name}"), rate);
        let (_, mut lengths) = Watch { events: timed, rate: Some(RATE), ..all }.measure(&gateway, &filling).await?;
        samples.put(format!("stalled.p99_{name}"), lengths.percentile(0.99));
    }
    gateway.end().await?;
    Ok(samples)
}

/// One job and who watches it.
struct Watch {
    readers: usize,
    still: usize,
    events: u64,
    rate: Option<u64>,
}

impl Watch {
    /// How many events a second every reader got, and how long they were on their way.
    async fn measure(&self, gateway: &Gateway, filling: &str) -> Result<(f64, Lengths)> {
        let manner = Manner { receive_buffer: Some(RECEIVE_BUFFER), ..Manner::default() };
        let mut readers = try_join_all((0..self.readers).map(|_| gateway.session())).await?;
        let mut still = try_join_all((0..self.still).map(|_| Session::open(gateway.endpoint(), manner))).await?;
        let delay = if self.still > 0 { STILL_DELAY_MS } else { DELAY_MS };
        let input = json!({ "events": self.events, "rate": self.rate, "delay_ms": delay });
        let (first, others) = readers.split_first_mut().context("nobody reads")?;
        let job = first.submit("load", &input).await?;
        for session in others.iter_mut().chain(&mut still) {
            session.subscribe(&job, true).await?;
        }
        for session in &mut still {
            session.ask_for_history(filling).await?;
        }
        let read = try_join_all(readers.iter_mut().map(|reader| read(reader, self.events))).await?;
        let mut lengths = Lengths::default();
        read.iter().flat_map(|(_, noted)| noted).for_each(|nanos| lengths.note(*nanos));
        let slowest = read.iter().map(|(took, _)| *took).max().unwrap_or_default();
        Ok((rate(self.events, slowest), lengths))
    }
}

/// Reads a job to its end. How long it took from the first event on, and how long each event was on its way.
async fn read(session: &mut Session, events: u64) -> Result<(Duration, Vec<u64>)> {
    let mut lengths = Vec::new();
    let mut begun = None;
    loop {
        let event = session.event().await?;
        if event.is_terminal() {
            break;
        }
        begun.get_or_insert_with(clock::now);
        if let Some(stamp) = event.stamp() {
            lengths.push(clock::unix_nanos().saturating_sub(stamp.unix_nanos));
        }
    }
    session.check()?;
    ensure!(session.seen() == events + 1, "{} messages of {events} events and a result", session.seen());
    Ok((begun.map_or(Duration::ZERO, |begun| begun.elapsed()), lengths))
}
