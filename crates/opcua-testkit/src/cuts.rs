//! A client on one side, a server on the other, and a network between them that fails again and again.

use std::fmt;
use std::time::Duration;

use moorline_backend::BackendFault;
use moorline_gateway_client::CallError;
use serde::Serialize;

use crate::clock;
use crate::watch::{Told, Watch};
use crate::{Counts, Proxy, Schedule, Tally};

/// How long anything may take that has to happen: a client that comes back waits some seconds between two attempts, and a
/// machine that does other things takes its time.
const PATIENCE: Duration = Duration::from_secs(90);

/// Somebody who is told a tag's values while a network fails.
pub struct Trial<'a> {
    watch: &'a mut dyn Watch,
    network: &'a Proxy,
    tally: Tally,
    /// What was said of gaps, the first few.
    gaps: Vec<String>,
}

impl fmt::Debug for Trial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("network", &self.network).field("tally", &self.tally).finish_non_exhaustive()
    }
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// What decided about the cuts.
    pub seed: u64,
    /// How often the network failed.
    pub cuts: usize,
    /// For how long in all, in seconds.
    pub cut_seconds: f64,
    /// How long it took until values came again after a cut, at most, in seconds.
    pub slowest_return_seconds: f64,
    /// Connections that were made to the server.
    pub connections: usize,
    /// What was lost and what came twice.
    pub counts: Counts,
    /// The first few gaps that were told.
    pub gaps: Vec<String>,
}

/// A trial that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The back end has given up.
    #[error("{0}")]
    Fault(#[from] BackendFault),
    /// A call of the gateway failed.
    #[error("{0}")]
    Call(#[from] CallError),
    /// The gateway tells nothing any more.
    #[error("the stream of events has ended")]
    Ended,
    /// A command failed.
    #[error("{command}: {message}")]
    Refused {
        /// Which.
        command: &'static str,
        /// What was said about it.
        message: String,
    },
    /// Something that had to come did not.
    #[error("waited {} s for {what}; the last value was {last:?}", PATIENCE.as_secs())]
    Silent {
        /// What.
        what: String,
        /// The last value that came.
        last: Option<i64>,
    },
}

/// How long is waited before something is tried or looked at again: some counts.
const RETRY: Duration = Duration::from_millis(200);

/// Gaps whose reasons are kept. A trial is to have none.
const MAX_GAPS: usize = 8;

impl<'a> Trial<'a> {
    /// A trial of somebody who is reached through this network.
    pub fn new(watch: &'a mut dyn Watch, network: &'a Proxy) -> Self {
        Self { watch, network, tally: Tally::default(), gaps: Vec::new() }
    }

    /// Watches the counting tag, lets the network fail as scheduled, and counts what came.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn run(mut self, schedule: Schedule) -> Result<Outcome, Failure> {
        self.watch.begin().await?;
        self.until(0, 0, "the first value").await?;
        self.watch.control(true).await?;
        self.until(1, 0, "the first count").await?;

        let seed = schedule.seed();
        let (mut cuts, mut cut_for, mut slowest) = (0, Duration::ZERO, Duration::ZERO);
        for outage in schedule {
            self.pass(outage.pause).await?;
            let opened = self.network.opened();
            self.network.cut(outage.cut);
            self.pass(outage.lasts).await?;
            self.network.heal();
            let healed = clock::now();
            // A value that comes now may have been on its way before the cut.
            let next = self.tally.highest().unwrap_or(0) + 1;
            self.until(next, opened + 1, "values after a cut").await?;
            cuts += 1;
            cut_for += outage.lasts;
            slowest = slowest.max(clock::now() - healed);
        }

        let last = self.stop().await?;
        self.until(last, 0, "the last value").await?;
        let (connections, counts) = (self.network.opened(), self.tally.counts(0, last));
        Ok(Outcome {
            seed,
            cuts,
            cut_seconds: cut_for.as_secs_f64(),
            slowest_return_seconds: slowest.as_secs_f64(),
            connections,
            counts,
            gaps: self.gaps,
        })
    }

    /// Stops the counter; what it says when it has stopped: the same twice. Values may come that were on their way before
    /// the last cut, so there may be no connection yet; that the counter is told twice to stop does no harm.
    async fn stop(&mut self) -> Result<i64, Failure> {
        let patience = clock::now() + PATIENCE;
        let mut before = None;
        while clock::now() < patience {
            let told = self.watch.control(false).await.is_ok();
            let now = self.watch.read().await.ok().filter(|_| told).flatten();
            if let Some(last) = now.filter(|_| now == before) {
                return Ok(last);
            }
            before = now;
            self.pass(RETRY).await?;
        }
        Err(self.silent("the counter to stand still"))
    }

    /// Listens for a while.
    async fn pass(&mut self, length: Duration) -> Result<(), Failure> {
        let over = tokio::time::sleep(length);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Ok(()),
                told = self.watch.next() => self.note(told?),
            }
        }
    }

    /// Listens until a value has come that is as high, and so many connections have been made to the server.
    async fn until(&mut self, value: i64, connections: usize, what: &str) -> Result<(), Failure> {
        let over = tokio::time::sleep(PATIENCE);
        tokio::pin!(over);
        while self.tally.highest() < Some(value) || self.network.opened() < connections {
            tokio::select! {
                () = &mut over => return Err(self.silent(what)),
                told = self.watch.next() => self.note(told?),
            }
        }
        Ok(())
    }

    fn note(&mut self, told: Told) {
        match told {
            Told::Count(value) => self.tally.saw(value),
            Told::Gap(reason) => {
                self.tally.saw_gap();
                if self.gaps.len() < MAX_GAPS {
                    self.gaps.push(reason);
                }
            }
            Told::Else => {}
        }
    }

    fn silent(&self, what: &str) -> Failure {
        Failure::Silent { what: what.to_owned(), last: self.tally.highest() }
    }
}
