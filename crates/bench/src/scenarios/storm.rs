//! The gateway is killed while many sessions watch one job and a client follows another, faster one. Both agents go on in
//! their worker. Everybody comes back to the next gateway and has to get exactly what it has missed.
//!
//! What is timed begins when the next gateway's process is started, and ends when the last session has read the end of
//! its job. The client that follows has a thread of its own, so that ten thousand sessions of this process do not keep
//! it from reading.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::json;
use tokio::time::sleep;

use crate::clock;
use crate::context::Context;
use crate::crowd;
use crate::gateway::{Gateway, Place};
use crate::samples::{Lengths, Samples, number, rate};
use crate::session::{Endpoint, Manner, Parked, Session};

/// Events of the job that everybody watches. The gateway is killed after half of them.
const EVENTS: u64 = 20;

/// How many of them are emitted a second.
const RATE: u64 = 5;

/// Events a second of the job that one client follows.
const FOLLOWED_RATE: u64 = 1_000;

/// How long a client waits before it tries again to reach a gateway that is not there.
const RETRY: Duration = Duration::from_millis(5);

/// How old an event is at the most, in nanoseconds, whose reader is up to date: it is read before the next one is made, so
/// nothing of what was missed is before it.
const FRESH_NANOS: u64 = 1_000_000_000 / FOLLOWED_RATE;

/// How long the client that follows is looked at, at the least, where few sessions come back in less.
const LEAST_WINDOW: Duration = Duration::from_millis(500);

pub(super) async fn run(context: &Context) -> Result<Samples> {
    let count = context.scale.of(10_000, 2_000, 20);
    crowd::allow(count)?;
    let mut gateway = Gateway::start(context, Place::Worker, &[]).await?;
    let endpoint = gateway.endpoint().clone();
    let stop = Arc::new(AtomicBool::new(false));
    let follower = {
        let (endpoint, stop) = (endpoint.clone(), Arc::clone(&stop));
        thread::spawn(move || follow_on_a_thread(&endpoint, &stop))
    };
    let mut sessions = crowd::open(&endpoint, count, false).await?;
    let calm_from = clock::unix_nanos();
    sleep(context.scale.of(Duration::from_secs(2), Duration::from_secs(1), Duration::from_millis(100))).await;
    let calm_until = clock::unix_nanos();

    let mut witness = gateway.session().await?;
    let input = json!({ "events": EVENTS, "rate": RATE, "delay_ms": context.scale.of(2_000, 500, 100) });
    let job = witness.submit("load", &input).await?;
    let mut watching = Vec::new();
    for mut session in sessions.drain(..) {
        session.subscribe(&job, true).await?;
        watching.push(session);
    }
    while witness.seen() < EVENTS / 2 {
        witness.event().await?;
    }
    gateway.kill().await?;
    let mut parked = Vec::new();
    for mut session in watching {
        while session.next().await?.is_some() {}
        session.check()?;
        parked.push(session.park());
    }
    // The rest is emitted while there is no gateway.
    sleep(Duration::from_millis(1_000 * EVENTS / 2 / RATE + 200)).await;
    let before = gateway.worker_usage();
    let (begun, begun_nanos) = (clock::now(), clock::unix_nanos());
    gateway.start_again().await?;
    let opened = clock::now();
    crowd::each(count, |at| come_back(&endpoint, at, parked.get(at))).await?;
    let (ended, ended_nanos) = (clock::now(), clock::unix_nanos());
    sleep(LEAST_WINDOW).await;
    stop.store(true, Ordering::Relaxed);
    let follower = follower.join().map_err(|_| anyhow!("the client that follows has failed"))??;

    let cpu = gateway.usage().cpu.saturating_sub(before.cpu).as_secs_f64();
    let took = ended - begun;
    let mut samples = Samples::default();
    samples.put("storm.caught_up", took.as_secs_f64());
    samples.put("storm.sessions", rate(count, ended - opened));
    samples.put("storm.cpu", cpu * 1e6 / number(count));
    samples.put("storm.p99_before", follower.percentile(calm_from, calm_until));
    let (back, during) = follower.after(begun_nanos, ended_nanos);
    samples.put("storm.follower_caught_up", back);
    samples.put("storm.p99_during", during);
    gateway.end().await?;
    Ok(samples)
}

/// Resumes a session, and reads the rest of its job.
async fn come_back(endpoint: &Endpoint, at: usize, parked: Option<&Parked>) -> Result<()> {
    let parked = parked.context("there is no such session")?;
    let mut session = Session::resume(endpoint, crowd::manner(at, false), parked).await?;
    while !session.event().await?.is_terminal() {}
    session.check()?;
    ensure!(session.seen() == EVENTS + 1, "{} messages of {EVENTS} events and a result", session.seen());
    Ok(())
}

/// What the client that follows has read.
struct Followed {
    /// When each event was made, and how many nanoseconds later it was read.
    events: Vec<(u64, u64)>,
    /// When it was welcomed back.
    back: u64,
}

impl Followed {
    /// The p99 of the events that were made in a span of time, in microseconds.
    fn percentile(&self, from: u64, until: u64) -> f64 {
        let mut lengths = Lengths::default();
        let made = self.events.iter().filter(|(made, _)| (from..until).contains(made));
        made.for_each(|(_, length)| lengths.note(*length));
        lengths.percentile(0.99)
    }

    /// How many milliseconds after `begun` it was up to date again, and the p99 of what was made from then on.
    fn after(&self, begun: u64, ended: u64) -> (f64, f64) {
        let fresh = self.events.iter().find(|(made, length)| *made > self.back && *length <= FRESH_NANOS);
        let caught_up = fresh.map_or(self.back, |(made, _)| *made);
        let least = caught_up + u64::try_from(LEAST_WINDOW.as_nanos()).unwrap_or_default();
        (number(caught_up.saturating_sub(begun)) / 1e6, self.percentile(caught_up, ended.max(least)))
    }
}

fn follow_on_a_thread(endpoint: &Endpoint, stop: &AtomicBool) -> Result<Followed> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(follow(endpoint, stop))
}

async fn follow(endpoint: &Endpoint, stop: &AtomicBool) -> Result<Followed> {
    let mut session = Session::open(endpoint, Manner::default()).await?;
    session.enlarge();
    session.submit("load", &json!({ "events": FOLLOWED_RATE * 600, "rate": FOLLOWED_RATE })).await?;
    let mut followed = Followed { events: Vec::new(), back: 0 };
    while !stop.load(Ordering::Relaxed) {
        match session.next().await? {
            Some(envelope) => {
                if let Some(stamp) = envelope.stamp() {
                    let length = clock::unix_nanos().saturating_sub(stamp.unix_nanos);
                    followed.events.push((stamp.unix_nanos, length));
                }
            }
            None => {
                session.check()?;
                let parked = session.park();
                session = loop {
                    if let Ok(session) = Session::resume(endpoint, Manner::default(), &parked).await {
                        break session;
                    }
                    sleep(RETRY).await;
                };
                session.enlarge();
                followed.back = clock::unix_nanos();
            }
        }
    }
    session.check()?;
    Ok(followed)
}
