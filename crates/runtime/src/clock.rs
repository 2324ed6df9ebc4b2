//! The one place where a clock is read.
//!
//! Time is the wall clock's, held back from ever going backwards: a step back of the machine's clock makes our time
//! stand still until it has caught up. In tests the time is tokio's, so that pausing it pauses everything.
#![expect(clippy::disallowed_methods, reason = "this is where the clock is read")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use moorline_core::span::Moment;
use moorline_types::Timestamp;

/// Tells the time. Cheap to clone; clones agree.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    /// The latest time that was told.
    Wall(Arc<AtomicU64>),
    /// What the time was at an instant of tokio's.
    Tokio(Timestamp, tokio::time::Instant),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::Wall(Arc::default()))
    }

    /// Tokio's clock, which shows `now` at this moment. Must be called in a runtime.
    pub fn tokio(now: Timestamp) -> Self {
        Self(Source::Tokio(now, tokio::time::Instant::now()))
    }

    /// The time. Never earlier than the last time that was told.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::Wall(latest) => {
                let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let wall = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
                Timestamp::from_unix_millis(latest.fetch_max(wall, Ordering::Relaxed).max(wall))
            }
            Source::Tokio(then, started) => *then + started.elapsed().into(),
        }
    }

    /// The time to the nanosecond, for what is told of how long something took. It may go back with the machine's clock.
    pub fn moment(&self) -> Moment {
        match &self.0 {
            Source::Wall(_) => {
                let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Moment::from_nanos(u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX))
            }
            Source::Tokio(..) => self.now().into(),
        }
    }

    /// Waits until the time is `at`; for ever if there is no such time.
    pub async fn sleep_until(&self, at: Option<Timestamp>) {
        let Some(at) = at else { return std::future::pending().await };
        loop {
            let now = self.now();
            if now >= at {
                return;
            }
            tokio::time::sleep(at.since(now).as_duration()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use moorline_types::Millis;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sleep_ends_when_the_time_has_come() {
        let clock = Clock::tokio(Timestamp::from_unix_millis(1_000));
        let at = clock.now() + Millis::from_secs(3_600);
        clock.sleep_until(Some(at)).await;
        assert_eq!(clock.now(), at);
    }

    #[test]
    fn the_machines_time_never_goes_back() {
        let Clock(Source::Wall(latest)) = Clock::system() else { unreachable!() };
        let future = Timestamp::from_unix_millis(4_000_000_000_000);
        latest.store(future.as_unix_millis(), Ordering::Relaxed);
        assert_eq!(Clock(Source::Wall(latest)).now(), future);
    }
}
