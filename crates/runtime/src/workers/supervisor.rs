//! Keeping workers that are no processes of their own attached: agents inside the gateway's process, and workers that
//! somebody else runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moorline_core::job::Lost;
use moorline_types::{Millis, WorkerId};
use moorline_worker::in_process::in_process;
use moorline_worker::sdk::Agent;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::WorkerDoor;
use super::restart::Restart;
use crate::clock::Clock;
use crate::mint;
use crate::tasks::{TaskKind, Tasks};

/// How long agents in this process have to leave after they were told to over their link.
const LEAVE_GRACE: Duration = Duration::from_secs(3);

/// A worker that the gateway keeps attached.
#[derive(Debug, Clone)]
pub struct WorkerSpec {
    /// For people: the agent that it hosts.
    pub name: String,
    /// Where it runs.
    pub host: Host,
}

/// Where a worker runs that is no process of ours.
#[derive(Clone)]
pub enum Host {
    /// Inside the gateway's process, for embedding and tests. Its jobs end with the gateway.
    InProcess(Vec<Arc<dyn Agent>>),
    /// Wherever whoever embeds the gateway runs it. It attaches by [`WorkerDoor::attach`].
    Elsewhere {
        /// Who it is.
        worker: WorkerId,
        /// How long it may be away before its jobs end.
        window: Millis,
    },
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InProcess(agents) => f.debug_tuple("InProcess").field(&agents.len()).finish(),
            Self::Elsewhere { worker, window } => {
                f.debug_struct("Elsewhere").field("worker", worker).field("window", window).finish()
            }
        }
    }
}

/// Keeps a worker attached until the gateway stops. One that runs elsewhere counts as awaited from here on, so call
/// this before [`crate::Gateway::recover`].
pub fn supervise(spec: WorkerSpec, door: WorkerDoor, clock: Clock, tasks: &Tasks) {
    let stopping = tasks.stopping().clone();
    let WorkerSpec { name, host } = spec;
    match host {
        Host::InProcess(agents) => {
            let supervisor = InProcess { name, agents, door, clock, stopping };
            tasks.spawn(TaskKind::WorkerProcess, async move { supervisor.run().await });
        }
        Host::Elsewhere { worker, window } => {
            let attachment = door.pool().await_worker(worker, []);
            door.expect(worker);
            door.record(worker, None);
            let task = async move { wait_for(worker, window.as_duration(), attachment, &door, &stopping).await };
            tasks.spawn(TaskKind::WorkerProcess, task);
        }
    }
}

/// Ends the jobs of a worker each time that it is away for longer than `window`. It may come back nevertheless.
pub(super) async fn wait_for(
    worker: WorkerId,
    window: Duration,
    mut attachment: watch::Receiver<bool>,
    door: &WorkerDoor,
    stopping: &CancellationToken,
) {
    loop {
        let is_away = !*attachment.borrow_and_update();
        tokio::select! {
            changed = attachment.changed() => if changed.is_err() { return },
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(window), if is_away => {
                tracing::error!(%worker, ?window, "the worker did not come back");
                door.pool().worker_gone(worker, Lost::Away);
                attachment = door.pool().watch_worker(worker);
                // It is not waited for again before it has been there.
                tokio::select! {
                    _ = attachment.wait_for(|is_attached| *is_attached) => {}
                    () = stopping.cancelled() => return,
                }
            }
        }
    }
}

struct InProcess {
    name: String,
    agents: Vec<Arc<dyn Agent>>,
    door: WorkerDoor,
    clock: Clock,
    stopping: CancellationToken,
}

impl InProcess {
    #[tracing::instrument(name = "supervisor", skip_all, fields(worker_name = %self.name))]
    async fn run(self) {
        let mut restart = Restart::new(self.clock.clone());
        while !self.stopping.is_cancelled() {
            restart.begin();
            match mint::worker_id(self.clock.now()) {
                Ok(worker) => {
                    self.run_once(worker).await;
                    self.door.pool().worker_gone(worker, Lost::Ended);
                }
                Err(error) => tracing::error!(%error, "no worker can be named"),
            }
            restart.wait(&self.stopping).await;
        }
    }

    async fn run_once(&self, worker: WorkerId) {
        let (candidate, mut host) = match in_process(worker, self.agents.clone()) {
            Ok(started) => started,
            Err(error) => {
                return tracing::error!(error = &error as &dyn std::error::Error, "the agents cannot be started");
            }
        };
        if let Err(error) = self.door.admit(candidate, None).await {
            return tracing::error!(error = &error as &dyn std::error::Error, "the agents were not attached");
        }
        tokio::select! {
            () = host.ended() => tracing::warn!(%worker, "the agents have ended and will be started again"),
            () = self.stopping.cancelled() => {
                if tokio::time::timeout(LEAVE_GRACE, host.ended()).await.is_err() {
                    tracing::warn!(%worker, "the agents have not ended by themselves");
                }
            }
        }
    }
}
