//! One job's task.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use moorline_types::{JobId, Timestamp};
use tokio::sync::Notify;

use super::Shared;
use super::conclude::conclude;
use super::state::Pushed;
use crate::message::{Report, StartJob};
use crate::sdk::{Agent, Cancel, JobContext, Port, PushError};
use crate::tasks::{self, Task};

/// Starts the job's agent. The host's lock is held, so the job is held before its agent can report.
pub(super) fn spawn(shared: &Arc<Shared>, agent: Arc<dyn Agent>, start: StartJob, cancel: Cancel) -> Task<()> {
    let port = HostPort { shared: Arc::downgrade(shared), job: start.job };
    let job = JobContext::new(start, cancel, Arc::new(port));
    tasks::spawn("job", async move {
        let ended = AssertUnwindSafe(async { agent.run(job.clone()).await }).catch_unwind().await;
        let last = conclude(&job, ended);
        // The only error is that the job was killed meanwhile: then nobody wants to know.
        job.push(last).await.unwrap_or_default();
    })
}

/// A job's way into its outbox.
struct HostPort {
    shared: Weak<Shared>,
    job: JobId,
}

#[async_trait]
impl Port for HostPort {
    async fn push(&self, at: Timestamp, report: Report) -> Result<(), PushError> {
        let Some((mut report, room)) = self.try_push(at, report)? else { return Ok(()) };
        loop {
            let mut freed = std::pin::pin!(room.notified());
            // Waiting begins before the next look, so room that comes in between is not missed.
            freed.as_mut().enable();
            match self.try_push(at, report)? {
                None => return Ok(()),
                Some((back, _)) => report = back,
            }
            freed.await;
        }
    }
}

impl HostPort {
    /// Takes the report in, or gives it back with what tells of room.
    fn try_push(&self, at: Timestamp, report: Report) -> Result<Option<(Report, Arc<Notify>)>, PushError> {
        let shared = self.shared.upgrade().ok_or(PushError)?;
        let is_last = report.is_terminal();
        let pushed = shared.lock().push(self.job, at, report);
        match pushed {
            Pushed::Ended => Err(PushError),
            Pushed::Full { report, room } => Ok(Some((report, room))),
            Pushed::Taken => {
                shared.changed.notify_one();
                if is_last {
                    shared.calmer.notify_waiters();
                }
                Ok(None)
            }
        }
    }
}
