//! One job's task.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;

use futures_util::{FutureExt as _, poll};
use moorline_types::{JobId, Timestamp, TraceId};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::Instrument as _;

use super::Shared;
use super::conclude::conclude;
use crate::credential::Held;
use crate::message::{Answer, Ask, Report, StartJob};
use crate::sdk::{Agent, Cancel, Commands, JobContext, Port, PushError, Pushed};
use crate::tasks::{self, Task};

/// Starts the job's agent. The host's lock is held, so the job is held before its agent can report. That something is to
/// be said is said when the agent has come to where it waits for the first time.
pub(super) fn spawn(
    shared: &Arc<Shared>,
    agent: Arc<dyn Agent>,
    start: StartJob,
    (cancel, commands, credentials): (Cancel, Commands, Held),
) -> Task<()> {
    let port = HostPort { shared: Arc::downgrade(shared), job: start.job };
    let job = JobContext::new(start, cancel, commands, credentials, Arc::new(port));
    let trace_id = job.trace_id();
    let span = tracing::info_span!("job", job = %job.job_id(), trace_id = trace_id.as_ref().map(TraceId::as_str));
    let changed = Arc::downgrade(shared);
    let running = async move {
        let mut running = pin!(AssertUnwindSafe(async { agent.run(job.clone()).await }).catch_unwind());
        let ended = match poll!(&mut running) {
            Poll::Ready(ended) => ended,
            Poll::Pending => {
                changed.upgrade().iter().for_each(|shared| shared.changed.notify_one());
                running.await
            }
        };
        let last = conclude(&job, ended);
        // The only error is that the job was killed meanwhile: then nobody wants to know.
        job.push(last).await.unwrap_or_default();
    };
    tasks::spawn("job", running.instrument(span))
}

/// A job's way into its outbox.
struct HostPort {
    shared: Weak<Shared>,
    job: JobId,
}

impl Port for HostPort {
    fn push(&self, at: Timestamp, report: Report) -> Result<Pushed, PushError> {
        let shared = self.shared.upgrade().ok_or(PushError)?;
        let is_last = report.is_terminal();
        let pushed = shared.lock().push(self.job, at, report)?;
        if matches!(pushed, Pushed::Taken) {
            shared.changed.notify_one();
            if is_last {
                shared.calmer.notify_waiters();
            }
        }
        Ok(pushed)
    }

    fn ask(&self, ask: Ask, room: OwnedSemaphorePermit) -> Result<oneshot::Receiver<Answer>, PushError> {
        let shared = self.shared.upgrade().ok_or(PushError)?;
        let answered = shared.lock().ask(self.job, ask, room)?;
        shared.changed.notify_one();
        Ok(answered)
    }
}
