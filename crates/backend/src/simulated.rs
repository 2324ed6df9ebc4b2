//! The simulated back end: a plant whose tags move by the clock and can be written, with alarms, slow writes and faults
//! on demand. Its name is `simulated`, and every answer says so.
//!
//! What it does is decided by [`Plant`], which is a function of what it is told and when; here it is only given the time.
//! A plant that was not asked for a while, because what it says was not taken, catches up tick by tick: values are
//! late, not lost. Where that would be too much it says that there is a gap.

mod alarms;
mod options;
mod plant;
mod wave;

use std::time::Duration;

use async_trait::async_trait;
use moorline_types::Json;

use crate::clock::Steady;
use crate::contract::{Command, CommandResult, Event};
use crate::{Backend, BackendFault, BackendInfo, OpenError, Opened, Opener};

pub use options::{Fault, FaultKind, PASSWORD, PlantOptions, TagOptions};
pub use plant::Plant;
pub use wave::Wave;

/// What the simulated back end is called.
pub const NAME: &str = "simulated";

/// Opens simulated plants.
#[derive(Debug, Clone, Copy, Default)]
pub struct Simulated;

#[async_trait]
impl Opener for Simulated {
    fn info(&self) -> BackendInfo {
        BackendInfo { name: NAME, version: env!("CARGO_PKG_VERSION") }
    }

    async fn open(&self, options: Option<&Json>) -> Result<Opened, OpenError> {
        let options = options.map_or_else(|| Ok(PlantOptions::default()), Json::to);
        let options = options.map_err(|error| OpenError::Options { reason: error.to_string() })?;
        let (clock, slow_close) = (Steady::start(), Duration::from_millis(options.slow_close_ms));
        Ok(Box::new(Running { plant: Plant::new(clock.now(), options)?, clock, slow_close }))
    }
}

struct Running {
    plant: Plant,
    clock: Steady,
    slow_close: Duration,
}

#[async_trait]
impl Backend for Running {
    async fn execute(&mut self, id: &str, by: Option<&str>, command: &Command) -> CommandResult {
        self.plant.execute(self.clock.now(), id, by, command)
    }

    async fn next_event(&mut self) -> Result<Event, BackendFault> {
        loop {
            if let Some(event) = self.plant.poll_event() {
                return event;
            }
            let now = self.clock.now();
            let due = self.plant.poll_timeout();
            if due <= now {
                self.plant.handle_timeout(now);
            } else {
                tokio::time::sleep(Duration::from_millis(due.since(now).get())).await;
            }
        }
    }

    async fn close(&mut self) {
        tokio::time::sleep(self.slow_close).await;
    }
}
