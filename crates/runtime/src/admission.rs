//! How many sessions are resumed at once.
//!
//! After a restart everybody comes back, and every resume reads the journal. With a bound the first are done soon and
//! live traffic has its share; whoever would wait for longer than clients do is told to come back later instead.

use std::sync::Arc;
use std::time::Duration;

use moorline_core::Refusal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Resumes under way. Each step of a live delivery waits behind a step of each of these, so they are few: with 64, the p99 of
/// a client that streams meanwhile is more than twice as long. They are enough to keep both threads busy that read the
/// store, and to share their commits.
const AT_ONCE: usize = 8;

/// How long a resume waits for its turn. Two official clients give a handshake five seconds; the resume itself and the
/// way there and back have the rest.
const PATIENCE: Duration = Duration::from_secs(3);

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Admission(Arc<Semaphore>);

impl Default for Admission {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Admission {
    /// Waits for a turn, which lasts until what is returned is dropped.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.0).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or(Refusal::Crowded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_would_wait_too_long_is_told_to_come_back() {
        let admission = Admission::default();
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
