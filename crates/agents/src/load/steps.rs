//! When an agent with a rate looks at what is due.
//!
//! The runtime's timers are no finer than a millisecond, in which a high rate makes a burst: at 70,000 a second, of 70
//! events. An agent in nature reports what happens when it happens. So a rate beyond one event in a millisecond goes by a
//! timer of the system, which the runtime waits for as for a socket.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Interval, MissedTickBehavior};

/// What the runtime's timers can do.
const COARSE: Duration = Duration::from_millis(1);

/// What the system's can do without waking the agent more often than it takes to make its events: a tenth of a processor
/// goes into wake-ups.
const FINE: Duration = Duration::from_micros(250);

/// Events a second beyond which the steps are fine.
const COARSE_RATE: u32 = 1_000;

/// See the module's documentation. Steps that nobody waited for are one.
#[derive(Debug)]
pub(super) enum Steps {
    /// By the runtime's timer.
    Coarse(Interval),
    /// By one of the system's.
    Fine(AsyncFd<OwnedFd>),
}

impl Steps {
    /// The first step is at once. Where the system has no timer to spare, the steps are coarse. Must be called in a runtime.
    pub(super) fn of(rate: u32) -> Self {
        let fine = if rate > COARSE_RATE { fine().ok() } else { None };
        fine.map_or_else(coarse, Self::Fine)
    }

    /// Waits for the next step. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) {
        match self {
            Self::Coarse(interval) => drop(interval.tick().await),
            Self::Fine(timer) => {
                if let Err(error) = expired(timer).await {
                    // A descriptor of our own that cannot be read is not worth an agent's failure.
                    debug_assert!(false, "the timer cannot be read: {error}");
                    *self = coarse();
                }
            }
        }
    }
}

fn coarse() -> Steps {
    // A pause after each step would make the steps longer than a tick, and what is due in each of them more.
    let mut ticks = tokio::time::interval(COARSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    Steps::Coarse(ticks)
}

fn fine() -> io::Result<AsyncFd<OwnedFd>> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    let length = |length: Duration| Timespec { tv_sec: 0, tv_nsec: length.subsec_nanos().into() };
    let times = Itimerspec { it_interval: length(FINE), it_value: length(Duration::from_nanos(1)) };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
    #[expect(
        deprecated,
        reason = "its replacement is unsafe, for the sake of types that close their descriptor early; an owned one stays open"
    )]
    AsyncFd::with_interest(timer, Interest::READABLE)
}

async fn expired(timer: &AsyncFd<OwnedFd>) -> io::Result<()> {
    loop {
        let mut ready = timer.readable().await?;
        // How often it has expired: what is due is asked of the clock.
        let read = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0_u8; 8])?));
        if let Ok(read) = read {
            return read.map(drop);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// Steps that are timed.
    const TIMED: u32 = 40;

    /// Of those, steps that may have been due when the first is waited for: the runtime's timer makes up for what is late
    /// by up to five of its ticks.
    const DUE: u32 = 7;

    #[tokio::test]
    async fn steps_are_no_shorter_than_they_should_be_and_those_that_were_missed_are_one() {
        for (rate, length) in [(1, COARSE), (COARSE_RATE, COARSE), (COARSE_RATE + 1, FINE), (u32::MAX, FINE)] {
            let mut steps = Steps::of(rate);
            assert_eq!(matches!(steps, Steps::Fine(_)), length == FINE, "{rate}");
            steps.next().await;
            for missed in [0, 2 * DUE] {
                // not a wait: the point is the steps that pass meanwhile.
                std::thread::sleep(length * missed);
                let begun = clock::instant();
                for _ in 0..TIMED {
                    steps.next().await;
                }
                assert!(begun.elapsed() > length * (TIMED - DUE), "{rate}, {missed}: {:?}", begun.elapsed());
            }
        }
    }
}
