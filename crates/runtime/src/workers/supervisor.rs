//! Keeping a managed worker running: started, watched, started again after a growing wait when it ends.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use moorline_types::{Millis, WorkerId};
use moorline_worker::in_process::in_process;
use moorline_worker::launch::{Assignment, AssignmentKind, LaunchSpec, Launched, launch};
use moorline_worker::limits::DEFAULT_ORPHAN_LIFETIME;
use moorline_worker::process::{Process, Signal};
use moorline_worker::sdk::Agent;
use moorline_worker::secret::WorkerSecret;
use tokio_util::sync::CancellationToken;

use super::WorkerDoor;
use crate::clock::Clock;
use crate::mint;
use crate::tasks::{TaskKind, Tasks};

/// The first wait before a worker that has ended is started again.
const RESTART_FIRST: Duration = Duration::from_millis(200);

/// The longest wait: a worker that cannot start costs a process twice a minute, and one whose cause is mended is back
/// within half a minute.
const RESTART_CAP: Duration = Duration::from_secs(30);

/// A worker that ran for this long has not failed at its start: the next wait is the first again.
const RESTART_FORGET: Millis = Millis::from_secs(60);

/// How long a worker has to leave after it was told to over its link, and then after a SIGTERM.
const LEAVE_GRACE: Duration = Duration::from_secs(3);

/// A worker that the gateway keeps running.
#[derive(Debug, Clone)]
pub struct WorkerSpec {
    /// For people: the agent that it hosts.
    pub name: String,
    /// Where it runs.
    pub host: Host,
}

/// Where a managed worker runs.
#[derive(Clone)]
pub enum Host {
    /// In a process of its own.
    Process(ProcessHost),
    /// Inside the gateway's process, for embedding and tests.
    InProcess(Vec<Arc<dyn Agent>>),
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(process) => f.debug_tuple("Process").field(process).finish(),
            Self::InProcess(agents) => f.debug_tuple("InProcess").field(&agents.len()).finish(),
        }
    }
}

/// How a worker's process is started.
#[derive(Clone)]
pub struct ProcessHost {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its environment, beyond the few variables that every worker gets.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Where the logs are; a worker's is named after its id.
    pub logs: PathBuf,
    /// The gateway's worker socket.
    pub socket: PathBuf,
    /// What the worker is to host, for the worker itself to read.
    pub assignment: serde_json::Value,
}

impl fmt::Debug for ProcessHost {
    /// Without environment and assignment: both may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessHost").field("program", &self.program).field("args", &self.args).finish_non_exhaustive()
    }
}

/// Keeps a worker running until the gateway stops.
pub fn supervise(spec: WorkerSpec, door: WorkerDoor, clock: Clock, tasks: &Tasks) {
    let stopping = tasks.stopping().clone();
    let task = async move { Supervisor { spec, door, clock, stopping }.run().await };
    tasks.spawn(TaskKind::WorkerProcess, task);
}

struct Supervisor {
    spec: WorkerSpec,
    door: WorkerDoor,
    clock: Clock,
    stopping: CancellationToken,
}

impl Supervisor {
    #[tracing::instrument(name = "supervisor", skip_all, fields(worker_name = %self.spec.name))]
    async fn run(self) {
        let mut wait = RESTART_FIRST;
        while !self.stopping.is_cancelled() {
            let started = self.clock.now();
            match mint::worker_id(started) {
                Ok(worker) => self.run_once(worker).await,
                Err(error) => tracing::error!(%error, "no worker can be named"),
            }
            if self.clock.now().since(started) >= RESTART_FORGET {
                wait = RESTART_FIRST;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stopping.cancelled() => return,
            }
            wait = (wait * 2).min(RESTART_CAP);
        }
    }

    async fn run_once(&self, worker: WorkerId) {
        match &self.spec.host {
            Host::Process(host) => self.run_process(worker, host).await,
            Host::InProcess(agents) => self.run_in_process(worker, agents.clone()).await,
        }
        self.door.forget(worker);
    }

    async fn run_process(&self, worker: WorkerId, host: &ProcessHost) {
        let secret = match mint::random() {
            Ok(secret) => WorkerSecret::new(secret),
            Err(error) => return tracing::error!(%error, "no secret can be made"),
        };
        // Expected before it runs, so that it cannot be faster than we are.
        self.door.expect(worker, secret.key());
        let log_path = host.logs.join(format!("{worker}.log"));
        let spec = LaunchSpec {
            program: host.program.clone(),
            args: host.args.clone(),
            env: host.env.clone(),
            cwd: host.cwd.clone(),
            log_path: log_path.clone(),
            assignment: Assignment {
                socket: host.socket.clone(),
                worker_id: worker,
                secret,
                orphan_lifetime_ms: DEFAULT_ORPHAN_LIFETIME.into(),
                spec: AssignmentKind(host.assignment.clone()),
            },
        };
        match launch(spec).await {
            Ok(launched) => {
                let pid = launched.identity.pid;
                tracing::info!(%worker, pid, log = %log_path.display(), "a worker is started");
                self.watch(worker, launched).await;
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the worker cannot be started");
            }
        }
    }

    /// Waits for the process to end, makes it when the gateway stops, and ends whatever it has left running.
    async fn watch(&self, worker: WorkerId, launched: Launched) {
        let Launched { process, mut child, .. } = launched;
        let stopping = tokio::select! {
            // Watched without reaping it, so that its session can still be told by its number.
            ended = process.exited() => {
                if let Err(error) = ended {
                    tracing::error!(%worker, %error, "the worker's end cannot be told from its process");
                }
                false
            }
            () = self.stopping.cancelled() => {
                see_off(worker, &process).await;
                true
            }
        };
        match process.kill_session() {
            Ok(0) => {}
            Ok(left) => tracing::warn!(%worker, left, "processes that the worker has left running were killed"),
            Err(error) => tracing::error!(%worker, %error, "what the worker has left running cannot be ended"),
        }
        match child.wait().await {
            Ok(status) if stopping => tracing::debug!(%worker, %status, "the worker has ended"),
            Ok(status) => tracing::warn!(%worker, %status, "the worker has ended and will be started again"),
            Err(error) => tracing::error!(%worker, %error, "the worker cannot be waited for"),
        }
    }

    async fn run_in_process(&self, worker: WorkerId, agents: Vec<Arc<dyn Agent>>) {
        let (candidate, mut host) = match in_process(worker, agents, self.door.params()).await {
            Ok(started) => started,
            Err(error) => {
                return tracing::error!(error = &error as &dyn std::error::Error, "the agents cannot be started");
            }
        };
        if let Err(error) = self.door.admit(candidate).await {
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

/// Waits for a worker that was told to leave, and makes it if it does not.
async fn see_off(worker: WorkerId, process: &Process) {
    for signal in [Signal::Terminate, Signal::Kill] {
        if tokio::time::timeout(LEAVE_GRACE, process.exited()).await.is_ok() {
            return;
        }
        tracing::warn!(%worker, ?signal, "the worker has not left by itself");
        if let Err(error) = process.signal(signal) {
            tracing::error!(%worker, %error, "the worker cannot be signalled");
        }
    }
    if let Err(error) = process.exited().await {
        tracing::error!(%worker, %error, "the worker's end cannot be told from its process");
    }
}
