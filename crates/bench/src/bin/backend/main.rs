//! `moorline-bench-backend`: the worker of a gateway session whose back end says as much as it is told to.
//!
//! A gateway starts it as the program of a back end, as it starts any that is a program of its own. The session's options
//! are its rounds, and each `Advise` begins the next of them. Every event is a value of the one item: the nanoseconds
//! since 1970 at which it was made, with the event's number from 1 as the raw status, so that whoever reads it can tell
//! how long it was on its way and whether one is missing. A round without a rate is as fast as back-pressure lets it.
//!
//! Deliberately absent: steps finer than the runtime's timers, so a rate is at most one event in a millisecond.

#![forbid(unsafe_code)]

mod clock;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::process::ExitCode;
use std::time::Duration;

use async_trait::async_trait;
use moorline_backend::contract::{
    Command, CommandResult, Done, Event, EventBody, ItemAt, ItemHandle, Quality, Sample, ServerHandle, Status, Times,
    Value,
};
use moorline_backend::{Backend, BackendFault, BackendInfo, OpenError, Opened, Opener, host};
use moorline_types::{Json, Timestamp};
use serde::Deserialize;
use tokio::time::{Interval, interval};

const NAME: &str = "load";

/// The one client session and the one item that there are.
const AT: ItemAt = ItemAt { server: ServerHandle(1), item: ItemHandle(1) };

/// The most events a second that can be asked for: what the runtime's timers can do without a burst.
const MAX_RATE: u32 = 1_000;

fn main() -> ExitCode {
    host(|_| Ok::<_, Infallible>(Load))
}

/// The options of a session.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    rounds: VecDeque<Round>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Round {
    events: u64,
    /// Events a second; as many as possible without it.
    #[serde(default)]
    rate: Option<u32>,
}

struct Load;

#[async_trait]
impl Opener for Load {
    fn info(&self) -> BackendInfo {
        BackendInfo { name: NAME, version: env!("CARGO_PKG_VERSION") }
    }

    async fn open(&self, options: Option<&Json>) -> Result<Opened, OpenError> {
        let bad = |reason: String| OpenError::Options { reason };
        let options: Options =
            options.map_or_else(|| Ok(Options::default()), Json::to).map_err(|e| bad(e.to_string()))?;
        let rates = || options.rounds.iter().filter_map(|round| round.rate);
        if rates().any(|rate| !(1..=MAX_RATE).contains(&rate)) {
            return Err(bad(format!("a rate is from 1 to {MAX_RATE} events a second")));
        }
        Ok(Box::new(Running { rounds: options.rounds, left: 0, number: 0, steps: None }))
    }
}

struct Running {
    rounds: VecDeque<Round>,
    /// What is still to be said of the round that runs.
    left: u64,
    number: u32,
    steps: Option<Interval>,
}

impl Running {
    fn begin_round(&mut self) -> CommandResult {
        if self.left > 0 {
            return CommandResult::invalid("a round is not over");
        }
        let Some(Round { events, rate }) = self.rounds.pop_front() else {
            return CommandResult::invalid("there is no round left");
        };
        self.left = events;
        self.steps = rate.map(|rate| interval(Duration::from_secs(1) / rate));
        CommandResult::done(Done::Nothing)
    }
}

#[async_trait]
impl Backend for Running {
    async fn execute(&mut self, _id: &str, _by: Option<&str>, command: &Command) -> CommandResult {
        match command {
            Command::Register { .. } => CommandResult::done(Done::Server(AT.server)),
            Command::AddItem { item, .. } => {
                CommandResult::done(Done::Item { server: AT.server, item: AT.item, name: item.clone() })
            }
            Command::Advise { .. } => self.begin_round(),
            Command::Unregister { .. }
            | Command::RemoveItem(_)
            | Command::UnAdvise(_)
            | Command::Suspend(_)
            | Command::Activate(_)
            | Command::Write(_)
            | Command::AuthenticateUser { .. }
            | Command::SetBufferedUpdateInterval { .. }
            | Command::Read { .. }
            | Command::SubscribeAlarms { .. }
            | Command::RefreshAlarms
            | Command::AcknowledgeAlarm { .. }
            | Command::SessionState
            | Command::WorkerInfo
            | Command::Bulk { .. }
            | Command::Refused { .. } => {
                CommandResult::invalid("a load has one item that can be advised, and nothing else")
            }
        }
    }

    async fn next_event(&mut self) -> Result<Event, BackendFault> {
        if self.left == 0 {
            return pending().await;
        }
        if let Some(steps) = &mut self.steps {
            steps.tick().await;
        }
        self.left -= 1;
        self.number = self.number.wrapping_add(1);
        let nanos = clock::unix_nanos();
        let (value, now) = (i64::try_from(nanos).unwrap_or(i64::MAX), Timestamp::from_unix_millis(nanos / 1_000_000));
        let times = Times { source: Some(now), server: None, received: now };
        let said = EventBody::DataChange(Sample::new(Value::Integer(value), Quality::GOOD, times, self.number));
        Ok(Event { at: Some(AT), name: Some(NAME.into()), statuses: vec![Status::OK], said })
    }

    async fn close(&mut self) {}
}
