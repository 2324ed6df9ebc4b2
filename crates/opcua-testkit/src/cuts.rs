//! A back end on one side, a server on the other, and a network between them that fails again and again.

use std::fmt;
use std::time::Duration;

use moorline_backend::contract::{
    Command, CommandResult, Done, Event, EventBody, ItemAt, ServerHandle, UserHandle, Value, Write,
};
use moorline_backend::{Backend, BackendFault};
use serde::Serialize;

use crate::clock;
use crate::tags;
use crate::{Counts, Proxy, Schedule, Tally};

/// How long anything may take that has to happen: a client that comes back waits some seconds between two attempts, and a
/// machine that does other things takes its time.
const PATIENCE: Duration = Duration::from_secs(90);

/// A back end that is told a tag's values while its network fails.
pub struct Trial<'a> {
    backend: &'a mut dyn Backend,
    network: &'a Proxy,
    tally: Tally,
    /// What the back end said of gaps, the first few.
    gaps: Vec<String>,
    commands: u64,
    server: ServerHandle,
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
    /// Connections that the back end made.
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
    /// A trial of a back end that is open through this network.
    pub fn new(backend: &'a mut dyn Backend, network: &'a Proxy) -> Self {
        let server = ServerHandle::default();
        Self { backend, network, tally: Tally::default(), gaps: Vec::new(), commands: 0, server }
    }

    /// Advises the counting tag, lets the network fail as scheduled, and counts what came.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn run(mut self, schedule: Schedule) -> Result<Outcome, Failure> {
        let done = self.command("register", Command::Register { client: "cuts".to_owned() }).await?;
        if let Done::Server(server) = done {
            self.server = server;
        }
        let counter = self.add(tags::COUNTER).await?;
        let control = self.add(tags::COUNTING).await?;
        self.command("advise", Command::Advise { at: control, supervisory: false }).await?;
        self.command("advise", Command::Advise { at: counter, supervisory: false }).await?;
        self.until(0, "the first value").await?;
        self.control(control, true).await?;
        self.until(1, "the first count").await?;

        let seed = schedule.seed();
        let (mut cuts, mut cut_for, mut slowest) = (0, Duration::ZERO, Duration::ZERO);
        for outage in schedule {
            self.pass(outage.pause).await?;
            self.network.cut(outage.cut);
            self.pass(outage.lasts).await?;
            self.network.heal();
            let healed = clock::now();
            let next = self.tally.highest().unwrap_or(0) + 1;
            self.until(next, "values after a cut").await?;
            cuts += 1;
            cut_for += outage.lasts;
            slowest = slowest.max(clock::now() - healed);
        }

        let last = self.stop(control).await?;
        self.until(last, "the last value").await?;
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

    async fn add(&mut self, tag: &str) -> Result<ItemAt, Failure> {
        let server = self.server;
        let add = Command::AddItem { server, item: tags::item(tag), context: String::new(), buffered: false };
        let done = self.command("add item", add).await?;
        if let Done::Item { server, item, .. } = done {
            return Ok(ItemAt { server, item });
        }
        Err(Failure::Refused { command: "add item", message: format!("it answers {done:?}") })
    }

    async fn control(&mut self, at: ItemAt, on: bool) -> Result<(), Failure> {
        let value = Value::Bool(on);
        let write = Write { at, value, user: UserHandle::default(), verifier: None, source_time: None };
        self.command("write", Command::Write(write)).await.map(drop)
    }

    /// Stops the counter; what it says when it has stopped: the same twice. Values may come that were on their way before
    /// the last cut, so there may be no connection yet; that the counter is told twice to stop does no harm.
    async fn stop(&mut self, control: ItemAt) -> Result<i64, Failure> {
        let patience = clock::now() + PATIENCE;
        let mut before = None;
        while clock::now() < patience {
            let told = self.control(control, false).await.is_ok();
            let read = Command::Read { items: vec![tags::item(tags::COUNTER)] };
            let read = self.command("read", read).await;
            let now = read.ok().filter(|_| told).and_then(|done| value_read(&done));
            if let Some(last) = now.filter(|_| now == before) {
                return Ok(last);
            }
            before = now;
            self.pass(RETRY).await?;
        }
        Err(self.silent("the counter to stand still"))
    }

    async fn command(&mut self, name: &'static str, command: Command) -> Result<Done, Failure> {
        self.commands += 1;
        let id = format!("trial-{}", self.commands);
        let CommandResult { success, message, done, .. } = self.backend.execute(&id, None, &command).await;
        if success { Ok(done) } else { Err(Failure::Refused { command: name, message }) }
    }

    /// Listens for a while.
    async fn pass(&mut self, length: Duration) -> Result<(), Failure> {
        let over = tokio::time::sleep(length);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Ok(()),
                event = self.backend.next_event() => self.note(event?),
            }
        }
    }

    /// Listens until a value has come that is as high.
    async fn until(&mut self, value: i64, what: &str) -> Result<(), Failure> {
        let over = tokio::time::sleep(PATIENCE);
        tokio::pin!(over);
        while self.tally.highest() < Some(value) {
            tokio::select! {
                () = &mut over => return Err(self.silent(what)),
                event = self.backend.next_event() => self.note(event?),
            }
        }
        Ok(())
    }

    fn note(&mut self, event: Event) {
        let counter = event.name.as_deref() == Some(tags::item(tags::COUNTER).as_str());
        match event.said {
            EventBody::DataChange(sample) if counter && sample.quality.is_good() => {
                if let Value::Integer(value) = sample.value {
                    self.tally.saw(value);
                }
            }
            EventBody::BackendGap { reason } => {
                self.tally.saw_gap();
                if self.gaps.len() < MAX_GAPS {
                    self.gaps.push(reason);
                }
            }
            EventBody::DataChange(_)
            | EventBody::Opened
            | EventBody::BufferedDataChange(_)
            | EventBody::WriteComplete { .. }
            | EventBody::OperationComplete { .. }
            | EventBody::Alarm(_)
            | EventBody::AlarmSnapshotComplete => {}
        }
    }

    fn silent(&self, what: &str) -> Failure {
        Failure::Silent { what: what.to_owned(), last: self.tally.highest() }
    }
}

/// The number that was read.
fn value_read(done: &Done) -> Option<i64> {
    let Done::Readings(readings) = done else { return None };
    match readings.first()?.sample.as_ref()?.value {
        Value::Integer(value) => Some(value),
        Value::Null | Value::Bool(_) | Value::Double(_) | Value::Text(_) => None,
    }
}
