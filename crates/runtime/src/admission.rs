//! How many sessions are resumed at once, and how soon one after the other.
//!
//! After a restart everybody comes back. A client that is live meanwhile waits behind what is done for those, so they are let
//! in at a pace that leaves it most of the processors, and the first of them are done soon. Whoever would wait for longer
//! than clients do is told to come back later instead.

use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moorline_core::Refusal;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::clock::Steady;
use crate::fine_timer::FineTimer;

/// Resumes under way. Each step of a live delivery waits behind a step of each of these, so they are few. They are enough
/// to keep both threads busy that read the store, and to share their commits.
const AT_ONCE: usize = 8;

/// How much of one processor's time there is for each resume. It takes a third of that, from the connection's first byte
/// to what the client has missed, and the client on the same machine, if it is one, half as much again; the rest is for those
/// who are live. Ten thousand sessions are back after four seconds on two processors.
const BETWEEN: Duration = Duration::from_micros(800);

/// Resumes that may begin without a pause after some time in which there were none. Where only the runtime's timers pace
/// them, which count milliseconds, it is more than begin in two of them.
const AHEAD: u32 = 8;

/// How long a resume waits for its turn. Two official clients give a handshake five seconds; the resume itself and the
/// way there and back have the rest. Ten thousand that come in one instant have their turn in it, on two processors.
const PATIENCE: Duration = Duration::from_secs(4);

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    room: Arc<Semaphore>,
    /// Whoever has it is the next to begin.
    pace: Arc<Mutex<Pace>>,
}

/// When the next one may begin.
#[derive(Debug)]
struct Pace {
    between: Duration,
    /// When the next one would begin if each had begun as early as it may, and no earlier.
    due: Option<Instant>,
    steady: Steady,
    /// So that they begin one by one, and not several with each of the runtime's milliseconds.
    timer: Option<FineTimer>,
}

impl Admission {
    /// As many as this machine's processors take.
    pub(crate) fn of_this_machine(steady: Steady) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let between = BETWEEN / u32::try_from(processors).unwrap_or(u32::MAX);
        // Without one they begin a few at a time.
        let timer = if steady == Steady::Machine { FineTimer::new().ok() } else { None };
        Self::at_a_pace(Pace { between, due: None, steady, timer })
    }

    fn at_a_pace(pace: Pace) -> Self {
        Self { room: Arc::new(Semaphore::new(AT_ONCE)), pace: Arc::new(Mutex::new(pace)) }
    }

    /// Waits for a turn, which lasts until what is returned is dropped.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let turn = async {
            let room = Arc::clone(&self.room).acquire_owned().await.ok();
            let mut pace = self.pace.lock().await;
            while let Err(early) = pace.begin() {
                pace.pause(early).await;
            }
            room
        };
        tokio::time::timeout(PATIENCE, turn).await.ok().flatten().ok_or(Refusal::Crowded)
    }
}

impl Pace {
    /// One begins, or is too early by what is returned.
    fn begin(&mut self) -> Result<(), Duration> {
        let now = self.steady.now();
        let due = self.due.unwrap_or(now);
        let early = due.saturating_duration_since(now).saturating_sub(self.between * (AHEAD - 1));
        if early > Duration::ZERO {
            return Err(early);
        }
        self.due = Some(due.max(now) + self.between);
        Ok(())
    }

    async fn pause(&mut self, length: Duration) {
        if let Some(timer) = &mut self.timer {
            match timer.sleep(length).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "resumes are paced by the runtime's timers");
                    self.timer = None;
                }
            }
        }
        tokio::time::sleep(length).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the runtime's time, which the tests pause.
    fn paced(between: Duration) -> Admission {
        Admission::at_a_pace(Pace { between, due: None, steady: Steady::Tokio, timer: None })
    }

    /// Steps of a millisecond, as a runtime's timers take them.
    #[tokio::test(start_paused = true)]
    async fn resumes_begin_at_an_even_pace_and_a_few_at_once_after_a_pause() {
        let admission = paced(Duration::from_micros(400));
        for pause in [0, 1, 100] {
            // not a wait: what is left over of it is what the test is about
            tokio::time::sleep(Duration::from_secs(pause)).await;
            let begun = Steady::Tokio.now();
            let mut after = Vec::new();
            for _ in 0..1_000 {
                drop(admission.turn().await.unwrap());
                after.push(Steady::Tokio.now() - begun);
            }
            assert_eq!(after[AHEAD as usize - 1], Duration::ZERO, "after {pause} s");
            for (count, after) in (0..).zip(&after).skip(AHEAD as usize) {
                let due = Duration::from_micros(400) * (count - AHEAD + 1);
                let late = after.checked_sub(due).expect("none begins before its time");
                assert!(late < Duration::from_millis(2), "{count} begins {late:?} late");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_would_wait_too_long_is_told_to_come_back() {
        let admission = paced(Duration::ZERO);
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            turns.push(admission.turn().await.unwrap());
        }
        assert_eq!(admission.turn().await.unwrap_err(), Refusal::Crowded);
        let waiting = {
            let admission = admission.clone();
            async move { admission.turn().await }
        };
        let leaving = async move {
            // not a wait: the point is the time that passes
            tokio::time::sleep(PATIENCE / 2).await;
            drop(turns.pop());
            turns
        };
        let (turn, turns) = tokio::join!(waiting, leaving);
        assert!(turn.is_ok(), "a turn that comes free in time is taken");
        drop(turns);
    }
}
