//! A timer for pauses shorter than a millisecond, which is as fine as the runtime's are.
//!
//! It is one of the system's, which the runtime waits for as for a socket. Nothing is armed while nobody waits.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct FineTimer(AsyncFd<OwnedFd>);

impl FineTimer {
    /// Must be called in a runtime.
    ///
    /// # Errors
    /// If the system has no timer or descriptor to spare.
    pub(crate) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its replacement is unsafe, for types that close their descriptor early; an owned one stays open"
        )]
        AsyncFd::with_interest(timer, Interest::READABLE).map(Self)
    }

    /// Waits for so long. Dropping the future ends the wait.
    ///
    /// # Errors
    /// If the timer fails.
    pub(crate) async fn sleep(&mut self, length: Duration) -> io::Result<()> {
        // A length of nothing would disarm it.
        let length = length.max(Duration::from_nanos(1));
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let tv_sec = i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
        let it_value = Timespec { tv_sec, tv_nsec: length.subsec_nanos().into() };
        // Also forgets that an earlier one has expired.
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: none, it_value })?;
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(read) = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0_u8; 8])?)) {
                return read.map(drop);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "how much time passes is what the test is about")]
    async fn a_pause_is_no_shorter_than_it_should_be_also_after_one_that_nobody_waited_for() {
        let mut timer = FineTimer::new().unwrap();
        for micros in [0, 1, 400, 1_500] {
            let length = Duration::from_micros(micros);
            let given_up = tokio::time::timeout(Duration::ZERO, timer.sleep(length)).await;
            // not a wait: the pause that was given up is over before the next one begins
            std::thread::sleep(length);
            let begun = Instant::now();
            timer.sleep(length).await.unwrap();
            assert!(begun.elapsed() >= length, "{micros} µs, {given_up:?} before");
        }
    }
}
