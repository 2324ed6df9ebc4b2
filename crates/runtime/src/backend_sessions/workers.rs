//! The workers of gateway sessions: one for each, started for it and gone with it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use moorline_core::job::Lost;
use moorline_types::{ResolvedAgent, WorkerId};
use moorline_worker::in_process::in_process;
use moorline_worker::sdk::Agent;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::sync::lock;
use crate::tasks::{TaskKind, Tasks};
use crate::workers::{Crew, ProcessSpec, WorkerDoor};

/// How a worker process that hosts this agent is started.
pub type SpecFor = Arc<dyn Fn(&ResolvedAgent) -> ProcessSpec + Send + Sync>;

/// The agent itself.
pub type OpenerFor = Arc<dyn Fn(&ResolvedAgent) -> Arc<dyn Agent> + Send + Sync>;

/// Where the workers run.
#[derive(Clone)]
pub enum SessionWorkers {
    /// In processes of their own, which outlive the gateway.
    Processes {
        /// Who starts and watches them.
        crew: Crew,
        /// How.
        spec: SpecFor,
    },
    /// Inside the gateway's process, for embedding and tests. Their sessions end with the gateway.
    InProcess {
        /// Where they attach.
        door: WorkerDoor,
        /// What they host.
        agent: OpenerFor,
        /// Where their tasks are spawned.
        tasks: Tasks,
        /// What ends them.
        running: Arc<Mutex<HashMap<WorkerId, CancellationToken>>>,
    },
}

impl fmt::Debug for SessionWorkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Processes { .. } => "Processes",
            Self::InProcess { .. } => "InProcess",
        })
    }
}

impl SessionWorkers {
    /// Workers inside the gateway's process.
    pub fn in_process(door: WorkerDoor, tasks: Tasks, agent: OpenerFor) -> Self {
        Self::InProcess { door, agent, tasks, running: Arc::default() }
    }

    /// Starts a worker that offers this agent, and resolves when it is gone or could not be started.
    pub(super) fn hire(&self, worker: WorkerId, agent: &ResolvedAgent) -> oneshot::Receiver<()> {
        match self {
            Self::Processes { crew, spec } => crew.hire(worker, spec(agent)),
            Self::InProcess { door, agent: agent_for, tasks, running } => {
                let (ended, gone) = oneshot::channel();
                let (door, hosted, running) = (door.clone(), agent_for(agent), Arc::clone(running));
                let killed = lock(&running).entry(worker).or_default().clone();
                tasks.spawn(TaskKind::WorkerProcess, async move {
                    host(&door, worker, hosted, &killed).await;
                    lock(&running).remove(&worker);
                    door.pool().worker_gone(worker, Lost::Ended);
                    ended.send(()).unwrap_or_default();
                });
                gone
            }
        }
    }

    /// Ends a worker at once.
    pub(super) fn kill(&self, worker: WorkerId) {
        match self {
            Self::Processes { crew, .. } => crew.kill(worker),
            Self::InProcess { running, .. } => {
                if let Some(killed) = lock(running).get(&worker) {
                    killed.cancel();
                }
            }
        }
    }
}

/// Runs an agent until its link ends or it is killed.
async fn host(door: &WorkerDoor, worker: WorkerId, agent: Arc<dyn Agent>, killed: &CancellationToken) {
    let (candidate, mut hosted) = match in_process(worker, [agent]) {
        Ok(started) => started,
        Err(error) => return tracing::error!(%worker, %error, "a session's worker cannot be started"),
    };
    if let Err(error) = door.admit(candidate, None).await {
        return tracing::error!(%worker, %error, "a session's worker was not attached");
    }
    tokio::select! {
        () = hosted.ended() => {}
        () = killed.cancelled() => {}
    }
}
