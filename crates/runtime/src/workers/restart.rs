//! When a worker that has ended is started again.

use std::time::Duration;

use moorline_types::{Millis, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// The first wait before a worker that has ended is started again.
const FIRST: Duration = Duration::from_millis(200);

/// The longest wait: a worker that cannot start costs a process twice a minute, and one whose cause is mended is back
/// within half a minute.
const CAP: Duration = Duration::from_secs(30);

/// A worker that ran for this long has not failed at its start: the next wait is the first again.
const FORGET: Millis = Millis::from_secs(60);

/// The growing wait between the lives of one worker.
#[derive(Debug)]
pub(super) struct Restart {
    clock: Clock,
    began: Timestamp,
    next: Duration,
}

impl Restart {
    pub(super) fn new(clock: Clock) -> Self {
        Self { began: clock.now(), clock, next: FIRST }
    }

    /// A life begins.
    pub(super) fn begin(&mut self) {
        self.began = self.clock.now();
    }

    /// How long the wait is that follows this life.
    pub(super) fn length(&self) -> Duration {
        match self.clock.now().since(self.began) >= FORGET {
            true => FIRST,
            false => self.next,
        }
    }

    /// A life has ended: waits until the next may begin, or the gateway stops.
    pub(super) async fn wait(&mut self, stopping: &CancellationToken) {
        let length = self.length();
        tokio::select! {
            () = tokio::time::sleep(length) => {}
            () = stopping.cancelled() => {}
        }
        self.next = (length * 2).min(CAP);
    }
}
