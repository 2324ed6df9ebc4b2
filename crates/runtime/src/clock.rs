//! The one place where a clock is read.
//!
//! Time is the wall clock's, held back from ever going backwards. When the machine's clock is set back, ours goes on at a
//! slower pace until it has been caught up with, so whatever is due in an hour is due within seventy minutes, however far
//! the machine's clock was ahead. When it is set forward, ours follows at once. In tests the time is tokio's, so that
//! pausing it pauses everything.
//!
//! A start goes on from the journal's last moment ([`Clock::take_up`]), so a step back is the same whether the gateway
//! ran or not: no lease lasts longer because of it (spec 14). The journal is believed up to a day ahead of the machine's clock: what
//! is further ahead is of a clock that was wrong.
#![expect(clippy::disallowed_methods, reason = "this is where the clock is read")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use moorline_core::span::Moment;
use moorline_store::{ReadError, Store};
use moorline_types::{Millis, Timestamp};

use crate::sync::lock;

/// How far our time goes in ten seconds in which it waits for the machine's clock. Slow enough that an hour is made good
/// in ten, fast enough that nobody's deadline is late by more than a ninth.
const SLOW_PACE: u32 = 9;

/// How far ahead of the machine's clock a start begins at most. A day holds whatever is set right by hand, a time zone
/// that was mistaken for another among it, and is caught up with in ten; without a bound, one record of a clock that was
/// years ahead would end every lease that is asked for from then on.
const MAX_AHEAD: Millis = Millis::from_secs(24 * 60 * 60);

/// By how much the machine's clock may be behind at a start without being told of: what setting it right takes.
const NOTED_STEP: Millis = Millis::from_secs(1);

/// Tells the time. Cheap to clone; clones agree.
#[derive(Debug, Clone)]
pub struct Clock {
    source: Source,
    told: Arc<Told>,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    /// The machine's.
    Wall,
    /// What the time was at an instant of tokio's.
    Tokio(Timestamp, tokio::time::Instant),
}

/// What was told of a clock that may be set back.
#[derive(Debug, Default)]
struct Told {
    /// The latest time that was told.
    latest: AtomicU64,
    /// While the machine's clock is behind: what was told when that was found out, and when that was.
    behind: Mutex<Option<(Timestamp, Instant)>>,
}

impl Told {
    /// The time, when the machine's clock says `wall` and its steady one `at`.
    fn tell(&self, wall: Timestamp, at: Instant) -> Timestamp {
        let latest = Timestamp::from_unix_millis(self.latest.fetch_max(wall.as_unix_millis(), Ordering::Relaxed));
        if wall >= latest {
            return wall;
        }
        let mut behind = lock(&self.behind);
        let slow = behind.map(|(told, since)| slowed(told, at.saturating_duration_since(since)));
        let now = match slow {
            Some(slow) if slow >= latest => slow,
            // It has been set back now, or once more after it had been caught up with.
            Some(_) | None => {
                *behind = Some((latest, at));
                latest
            }
        };
        Timestamp::from_unix_millis(self.latest.fetch_max(now.as_unix_millis(), Ordering::Relaxed)).max(now)
    }
}

/// What is told so long after `told`, at the slower pace.
fn slowed(told: Timestamp, elapsed: Duration) -> Timestamp {
    told + Millis::from(elapsed / 10 * SLOW_PACE)
}

impl Source {
    /// What it shows, and when that is by a clock that is never set.
    fn show(self) -> (Timestamp, Instant) {
        match self {
            Self::Wall => {
                let shown = u64::try_from(unix_time().as_millis()).unwrap_or(u64::MAX);
                (Timestamp::from_unix_millis(shown), Instant::now())
            }
            Self::Tokio(then, started) => {
                let at = tokio::time::Instant::now();
                (then + at.saturating_duration_since(started).into(), at.into_std())
            }
        }
    }
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { source: Source::Wall, told: Arc::default() }
    }

    /// Tokio's clock, which shows `now` at this moment. Must be called in a runtime.
    pub fn tokio(now: Timestamp) -> Self {
        Self { source: Source::Tokio(now, tokio::time::Instant::now()), told: Arc::default() }
    }

    /// The time. Never earlier than the last time that was told.
    pub fn now(&self) -> Timestamp {
        let (shown, at) = self.source.show();
        self.told.tell(shown, at)
    }

    /// The clock that paces what this one times.
    pub(crate) const fn steady(&self) -> Steady {
        match self.source {
            Source::Wall => Steady::Machine,
            Source::Tokio(..) => Steady::Tokio,
        }
    }

    /// Takes up the time where the last run left it in this store. To be called before anything is due by this clock.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn take_up(&self, store: &dyn Store) -> Result<(), ReadError> {
        let Some(last) = store.last_moment().await? else { return Ok(()) };
        let behind = self.go_on_from(last);
        if behind > NOTED_STEP {
            tracing::warn!(
                behind_sec = behind.get() / 1_000,
                journal = %last,
                "the machine's clock is behind the journal; the gateway's time is ahead of it until it has caught up"
            );
        }
        Ok(())
    }

    /// Goes on from `last`, the last moment of the run before, as if that had been told by this clock: what is earlier is
    /// not told any more, but for what is further ahead than [`MAX_AHEAD`]. Answers by how much the machine's clock is behind it.
    fn go_on_from(&self, last: Timestamp) -> Millis {
        let (shown, at) = self.source.show();
        self.told.tell(last.min(shown + MAX_AHEAD), at);
        last.since(shown)
    }

    /// The time to the nanosecond, for what is told of how long something took. It may go back with the machine's clock.
    pub fn moment(&self) -> Moment {
        match self.source {
            Source::Wall => Moment::from_nanos(u64::try_from(unix_time().as_nanos()).unwrap_or(u64::MAX)),
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

/// A clock that is never set and tells no time of day, for what is paced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Steady {
    /// The machine's.
    Machine,
    /// Tokio's, which tests pause.
    Tokio,
}

impl Steady {
    pub(crate) fn now(self) -> Instant {
        match self {
            Self::Machine => Instant::now(),
            Self::Tokio => tokio::time::Instant::now().into_std(),
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

    #[tokio::test(start_paused = true)]
    async fn a_start_goes_on_from_the_last_moment_of_the_run_before_as_far_as_that_can_be_believed() {
        let machine = Timestamp::from_unix_millis(1_000_000_000);
        let hour = Millis::from_secs(3_600);
        let year = Millis::from_secs(365 * 24 * 3_600);
        for (last, first) in [
            (Timestamp::from_unix_millis(0), machine),
            (machine, machine),
            (machine + hour, machine + hour),
            (machine + MAX_AHEAD, machine + MAX_AHEAD),
            (machine + year, machine + MAX_AHEAD),
        ] {
            let clock = Clock::tokio(machine);
            let behind = clock.go_on_from(last);
            assert_eq!((clock.now(), behind), (first, last.since(machine)), "{last}");
            // not a wait: how far the time goes in it is what the test is about
            tokio::time::sleep(Duration::from_secs(100)).await;
            let pace = if first > machine { 90 } else { 100 };
            assert_eq!(clock.clone().now(), first + Millis::from_secs(pace), "{last}");
        }
    }

    /// What is told, second by second, of a machine whose clock is set to these offsets for so many seconds each.
    fn told(offsets: &[(i64, u64)]) -> Vec<i64> {
        let (wall, started) = (Told::default(), Instant::now());
        let offsets = offsets.iter().flat_map(|(offset, seconds)| (0..*seconds).map(|_| *offset));
        let told = |(second, offset): (i64, i64)| {
            let machine = Timestamp::from_unix_millis(u64::try_from(1_000 * (100_000 + second + offset)).unwrap());
            let told = wall.tell(machine, started + Duration::from_secs(u64::try_from(second).unwrap()));
            i64::try_from(told.as_unix_millis() / 1_000).unwrap() - 100_000 - second
        };
        (0..).zip(offsets).map(told).collect()
    }

    #[test]
    fn the_machines_time_never_goes_back() {
        let ahead = told(&[(0, 10), (3_600, 100), (0, 100)]);
        assert_eq!(ahead[9..11], [0, 3_600], "a step forward is followed at once");
        assert!(ahead.windows(2).all(|two| two[1] >= two[0] - 1), "{ahead:?}");
    }

    /// A lease that is due in an hour is not put off by an hour when the machine's clock is set back by one.
    #[test]
    fn a_clock_that_is_set_back_puts_nothing_off_by_more_than_a_ninth() {
        for steps in [&[(100, 5), (0, 1_500)][..], &[(100, 5), (0, 1_500), (-100, 1_500), (100, 5), (0, 1_500)]] {
            let ahead = told(steps);
            let lost: Vec<_> = ahead.windows(11).map(|ten| ten[0] - ten[10]).collect();
            assert!(lost.iter().all(|lost| *lost <= 2), "ten seconds of ours never take more than twelve: {lost:?}");
            assert!(ahead[1_400..1_505].contains(&0), "it is caught up with");
        }
    }
}
