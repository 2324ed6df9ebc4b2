//! Every task of the gateway, and what becomes of it.
//!
//! | kind | ends | at shutdown |
//! | --- | --- | --- |
//! | [`TaskKind::Job`] | when the job is over and settled | told to stop, waited for; what is committed stays |
//! | [`TaskKind::BackendSession`] | when the session is over | told to stop, waited for; what is committed stays |
//! | [`TaskKind::WorkerLink`] | with the link | its worker is told to leave, or left alone; waited for |
//! | [`TaskKind::WorkerProcess`] | never by itself | its process is ended, or left alone; waited for |
//! | [`TaskKind::WorkerDoor`] | never by itself | cancelled |
//! | [`TaskKind::Door`] | never by itself | cancelled |
//! | [`TaskKind::Audit`] | never by itself | told to stop, waited for; the rest of the trail is written after all tasks |
//! | [`TaskKind::JobIndex`] | never by itself | told to stop, waited for; what is not written yet is written after all tasks |
//! | [`TaskKind::Certificates`] | never by itself | cancelled |
//! | [`TaskKind::TokenKeys`] | never by itself | cancelled |
//! | [`TaskKind::Credentials`] | never by itself | told to stop, waited for; what is not withdrawn is found by the next start |
//! | [`TaskKind::Exporter`] | never by itself | told to stop after all other tasks, waited for some seconds |
//! | [`TaskKind::Sweep`] | never by itself | told to stop, waited for |
//! | [`TaskKind::Connection`] | with the connection | told to close, waited for |

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Drives one job, or waits to tell it something.
    Job,
    /// Drives one gateway session.
    BackendSession,
    /// Serves one attached worker.
    WorkerLink,
    /// Keeps one managed worker running.
    WorkerProcess,
    /// Accepts workers.
    WorkerDoor,
    /// Accepts clients.
    Door,
    /// Writes the audit trail.
    Audit,
    /// Writes what is noted of jobs into the index.
    JobIndex,
    /// Looks whether certificates were renewed.
    Certificates,
    /// Looks whether an issuer of tokens has other keys.
    TokenKeys,
    /// Withdraws credentials from upstreams.
    Credentials,
    /// Exports spans.
    Exporter,
    /// Removes what has outlived its use.
    Sweep,
    /// Serves one client's connection, or one half of it.
    Connection,
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Job => "job",
            Self::BackendSession => "backend_session",
            Self::WorkerLink => "worker_link",
            Self::WorkerProcess => "worker_process",
            Self::WorkerDoor => "worker_door",
            Self::Door => "door",
            Self::Audit => "audit",
            Self::JobIndex => "job_index",
            Self::Certificates => "certificates",
            Self::TokenKeys => "token_keys",
            Self::Credentials => "credentials",
            Self::Exporter => "exporter",
            Self::Sweep => "sweep",
            Self::Connection => "connection",
        })
    }
}

/// Spawns tasks and waits for them.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Starts a task that is waited for at shutdown.
    #[expect(clippy::disallowed_methods, reason = "this is where tasks are spawned")]
    pub fn spawn(&self, kind: TaskKind, task: impl Future<Output = ()> + Send + 'static) {
        let span = tracing::debug_span!("task", %kind);
        // The handle is not needed: the tracker waits for the task, and a panic is reported by the hook.
        drop(tokio::spawn(self.tracker.track_future(task.instrument(span))));
    }

    /// Something that comes to its end also if nobody waits for it any more: a task takes it over when it is dropped
    /// before. As long as somebody waits, it is no task and costs none.
    pub(crate) fn see_through<T: Send + 'static>(
        &self,
        kind: TaskKind,
        future: impl Future<Output = T> + Send + 'static,
    ) -> SeenThrough<T> {
        SeenThrough { tasks: self.clone(), kind, future: Some(Box::pin(future)) }
    }

    /// Cancelled when every task is to come to its end.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Tells every task to end, and waits until all have.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// See [`Tasks::see_through`].
pub(crate) struct SeenThrough<T: Send + 'static> {
    tasks: Tasks,
    kind: TaskKind,
    /// `None` when it has come to its end.
    future: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
}

impl<T: Send + 'static> Future for SeenThrough<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(future) = &mut self.future else { return Poll::Pending };
        let polled = future.as_mut().poll(context);
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for SeenThrough<T> {
    fn drop(&mut self) {
        // Where there is no runtime any more, nothing can be brought to its end.
        if let (Some(future), Ok(_)) = (self.future.take(), Handle::try_current()) {
            self.tasks.spawn(self.kind, async move { drop(future.await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_seen_through_ends_once_whether_or_not_somebody_waits() {
        for is_waited_for in [true, false] {
            let (tasks, go) = (Tasks::default(), Arc::new(Notify::new()));
            let (done, mut ended) = tokio::sync::mpsc::channel(2);
            let goes = Arc::clone(&go);
            let seen = tasks.see_through(TaskKind::Job, async move {
                goes.notified().await;
                done.try_send(()).unwrap();
            });
            if is_waited_for {
                go.notify_one();
                seen.await;
            } else {
                assert!(timeout(Duration::from_secs(1), seen).await.is_err());
                go.notify_one();
            }
            assert_eq!((ended.recv().await, ended.recv().await), (Some(()), None), "waited for: {is_waited_for}");
            tasks.stop().await;
        }
    }
}
