//! The worker processes of a gateway, over all of its starts.
//!
//! ```text
//!  start ──▶ manifest ──▶ process gone ─────────────────▶ what it left is taken in, its jobs end, entry removed
//!                    ├──▶ not to be adopted ────────────▶ ended, its jobs end, entry removed
//!                    ├──▶ configured as it was ─────────▶ adopted in the place of a new one
//!                    └──▶ configured otherwise, or not ─▶ retires: finishes its jobs, then leaves
//! ```
//!
//! A process is known by its identity ([`moorline_worker::process`]) and signalled through it, so no other can be hit.
//! An adopted worker is no child of this process: how it ended cannot be told, that it ended can.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline_core::job::Lost;
use moorline_store::{ReadError, Store};
use moorline_types::{ResolvedAgent, WorkerId};
use moorline_worker::process::{Process, ProcessError};
use moorline_worker::{leftover, peer};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::WorkerDoor;
use super::keeper::Keeper;
use super::manifest::{Entry, Manifest, Offer};
use crate::clock::Clock;
use crate::hold::{self, Point};
use crate::sync::lock;
use crate::tasks::{TaskKind, Tasks};

/// What the operator decides about worker processes.
#[derive(Debug, Clone, Copy)]
pub struct CrewOptions {
    /// Whether workers of the last run are adopted.
    pub reattach: bool,
    /// How long a worker may be away before it counts as lost.
    pub adoption_window: Duration,
    /// How long a worker lives without a gateway.
    pub orphan_lifetime: Duration,
}

/// A worker process that is kept running.
#[derive(Clone)]
pub struct ProcessSpec {
    /// For people: the agent that it hosts.
    pub name: String,
    /// What it hosts, and how many jobs of each it runs at once.
    pub agents: Vec<(ResolvedAgent, u32)>,
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
    /// How long the worker lives without a gateway, where that is not as long as every other.
    pub orphan_lifetime: Option<Duration>,
    /// What the worker is to host, for the worker itself to read.
    pub assignment: serde_json::Value,
}

impl fmt::Debug for ProcessSpec {
    /// Without environment and assignment: both may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessSpec").field("name", &self.name).field("program", &self.program).finish_non_exhaustive()
    }
}

/// Why the workers of the last run cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum RecoverWorkersError {
    /// The manifest cannot be read.
    #[error("the workers of the last run cannot be read")]
    Read(#[from] ReadError),
    /// A process cannot be looked at, so nobody knows whether it lives.
    #[error("a worker of the last run cannot be looked at")]
    Process(#[from] ProcessError),
}

/// See the module's documentation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Crew(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) door: WorkerDoor,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) manifest: Manifest,
    pub(super) options: CrewOptions,
    /// Those that are watched, to be killed by.
    pub(super) kills: Kills,
}

/// The workers that are watched, each with what has it killed.
#[derive(Debug, Default)]
pub(super) struct Kills(Mutex<HashMap<WorkerId, CancellationToken>>);

impl Kills {
    /// A worker is watched from here on. What is returned is cancelled when it is to be killed.
    pub(super) fn watch(&self, worker: WorkerId) -> CancellationToken {
        lock(&self.0).entry(worker).or_default().clone()
    }

    /// A worker is not watched any more.
    pub(super) fn forget(&self, worker: WorkerId) {
        lock(&self.0).remove(&worker);
    }
}

/// What there is of a worker of the last run.
#[derive(Debug)]
enum Found {
    /// Its process.
    Alive(Process),
    /// Nothing but what it may have left.
    Ended,
    /// Nothing that concerns this gateway.
    Nothing,
}

/// A worker of the last run that lives.
#[derive(Debug)]
pub(super) struct Survivor {
    pub(super) worker: WorkerId,
    pub(super) entry: Entry,
    pub(super) process: Process,
}

/// The workers of the last run, from [`Crew::recover`].
#[derive(Debug)]
pub struct Survivors {
    /// Those that stand for a configured worker, by what that is started with.
    adopted: HashMap<String, Survivor>,
    /// Those that are not configured as they were started.
    retiring: Vec<Survivor>,
    /// Those that have ended, and may have left something to be taken in.
    ended: Vec<(WorkerId, Entry)>,
}

impl Survivors {
    /// Where they log.
    pub fn logs(&self) -> impl Iterator<Item = &std::path::Path> {
        self.adopted.values().chain(&self.retiring).map(|survivor| survivor.entry.log.as_path())
    }
}

impl Crew {
    /// The workers that attach at `door` and are written down in `store`.
    pub fn new(door: WorkerDoor, clock: Clock, tasks: Tasks, store: Arc<dyn Store>, options: CrewOptions) -> Self {
        let (manifest, kills) = (Manifest::new(store), Kills::default());
        Self(Arc::new(Shared { door, clock, tasks, manifest, options, kills }))
    }

    /// Finds the workers of the last run, and expects those that are to be adopted: in the place of one of `specs`, or
    /// until their jobs are finished. To be called before [`crate::Gateway::recover`] and before the door is opened.
    ///
    /// # Errors
    /// See [`RecoverWorkersError`].
    pub async fn recover(&self, specs: &[ProcessSpec]) -> Result<Survivors, RecoverWorkersError> {
        let (mut alive, mut unwanted, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for (worker, entry) in self.0.manifest.all().await? {
            match self.find(worker, &entry)? {
                Found::Alive(process) if self.0.options.reattach => alive.push(Survivor { worker, entry, process }),
                Found::Alive(process) => unwanted.push(Survivor { worker, entry, process }),
                Found::Ended => ended.push((worker, entry)),
                Found::Nothing => self.remove(worker, &entry).await,
            }
        }
        self.dismiss(unwanted).await;
        for (worker, entry) in &ended {
            let _attachment = self.0.door.pool().await_worker(*worker, entry.agents());
        }
        for Survivor { worker, entry, process } in &alive {
            let _attachment = self.0.door.pool().await_worker(*worker, entry.agents());
            self.0.door.expect(*worker);
            self.0.door.record(*worker, Some(process.identity().pid));
        }
        let wanted: HashSet<_> = specs.iter().map(|spec| self.fingerprint(spec)).collect();
        let mut survivors = Survivors { adopted: HashMap::new(), retiring: Vec::new(), ended };
        for survivor in alive {
            let fingerprint = survivor.entry.fingerprint.clone();
            if wanted.contains(&fingerprint) && !survivors.adopted.contains_key(&fingerprint) {
                survivors.adopted.insert(fingerprint, survivor);
            } else {
                let (worker, name) = (survivor.worker, &survivor.entry.name);
                tracing::info!(%worker, name, "a worker of the last run is not configured any more; it finishes its jobs");
                self.0.door.pool().retire(worker);
                survivors.retiring.push(survivor);
            }
        }
        Ok(survivors)
    }

    /// What there is of an entry.
    fn find(&self, worker: WorkerId, entry: &Entry) -> Result<Found, RecoverWorkersError> {
        let Some(identity) = &entry.process else {
            tracing::warn!(%worker, name = %entry.name, "a worker was being started when the gateway ended; it had no job");
            return Ok(Found::Nothing);
        };
        if entry.user != peer::our_user() {
            tracing::error!(%worker, name = %entry.name, user = entry.user, "a worker belongs to another user and is left alone");
            self.0.door.pool().found_gone(worker, Lost::NotAdopted);
            return Ok(Found::Nothing);
        }
        if let Some(process) = identity.find()? {
            return Ok(Found::Alive(process));
        }
        tracing::warn!(%worker, name = %entry.name, pid = identity.pid, "a worker has ended while no gateway was there");
        Ok(Found::Ended)
    }

    /// Ends workers that are not to be adopted, all at once.
    async fn dismiss(&self, unwanted: Vec<Survivor>) {
        let ending = unwanted.into_iter().map(|Survivor { worker, entry, process }| async move {
            tracing::warn!(%worker, name = %entry.name, pid = process.identity().pid, "a worker of the last run is ended");
            self.0.door.pool().found_gone(worker, Lost::NotAdopted);
            super::process::end(worker, &process).await;
            self.remove(worker, &entry).await;
        });
        futures_util::future::join_all(ending).await;
    }

    /// Keeps a worker running for each of `specs`, which are those that [`Self::recover`] was given: one of the last run
    /// that was started in the same way, or a new one.
    pub fn keep(&self, specs: Vec<ProcessSpec>, Survivors { mut adopted, retiring, ended }: Survivors) {
        for (worker, entry) in ended {
            let crew = self.clone();
            self.0.tasks.spawn(TaskKind::WorkerProcess, async move { crew.bury(worker, &entry, Lost::Ended).await });
        }
        for spec in specs {
            let fingerprint = self.fingerprint(&spec);
            let adopted = adopted.remove(&fingerprint);
            let keeper = Keeper::new(self.clone(), spec, fingerprint);
            self.0.tasks.spawn(TaskKind::WorkerProcess, async move { keeper.run(adopted).await });
        }
        for survivor in retiring {
            let crew = self.clone();
            self.0.tasks.spawn(TaskKind::WorkerProcess, async move { crew.watch_retiring(survivor).await });
        }
    }

    /// Starts a worker that is not started again when it ends, under this id. Resolves when it is gone, or if it cannot
    /// be started.
    pub fn hire(&self, worker: WorkerId, spec: ProcessSpec) -> oneshot::Receiver<()> {
        let (ended, gone) = oneshot::channel();
        let fingerprint = self.fingerprint(&spec);
        let keeper = Keeper::new(self.clone(), spec, fingerprint);
        self.0.tasks.spawn(TaskKind::WorkerProcess, async move {
            keeper.run_once(worker).await;
            // Whoever has hired it may not wait for it any more.
            ended.send(()).unwrap_or_default();
        });
        gone
    }

    /// Ends the process of a worker at once, with all that it has started.
    pub fn kill(&self, worker: WorkerId) {
        if let Some(kill) = lock(&self.0.kills.0).get(&worker) {
            kill.cancel();
        }
    }

    async fn watch_retiring(&self, survivor: Survivor) {
        let attachment = self.0.door.pool().watch_worker(survivor.worker);
        super::process::watch(self, survivor.worker, &survivor.entry, &survivor.process, attachment).await;
    }

    /// A worker has ended: takes in what it has left, ends the jobs that it did not finish, and forgets it.
    pub(super) async fn bury(&self, worker: WorkerId, entry: &Entry, lost: Lost) {
        hold::reached(Point::Gone).await;
        let pool = self.0.door.pool();
        let leftovers = leftover::find(&entry.outbox).unwrap_or_else(|error| {
            tracing::error!(%worker, %error, "what the worker has left cannot be read");
            Vec::new()
        });
        if !leftovers.is_empty() && !pool.take_in(worker, self.0.door.next_fence(), leftovers).await {
            return;
        }
        self.0.door.forget(worker);
        pool.worker_gone(worker, lost);
        self.remove(worker, entry).await;
    }

    /// Removes what is kept about a worker that is gone.
    async fn remove(&self, worker: WorkerId, entry: &Entry) {
        if let Err(error) = leftover::remove(&entry.outbox) {
            tracing::warn!(%worker, %error, "the outbox of a worker that is gone stays behind");
        }
        hold::reached(Point::Removing).await;
        self.0.manifest.remove(worker).await;
        tracing::info!(%worker, "a worker has ended, and nothing is left of it");
    }

    /// What a worker is started with, as far as a change of it needs another worker.
    pub(super) fn fingerprint(&self, spec: &ProcessSpec) -> String {
        let ProcessSpec { name, agents, program, args, env, cwd, socket, assignment, logs: _, orphan_lifetime } = spec;
        let said =
            format!("{:?}", (name, agents, program, args, env, cwd, socket, orphan_lifetime, assignment.to_string()));
        self.0.door.secret().fingerprint(said.as_bytes())
    }

    pub(super) fn entry(&self, worker: WorkerId, spec: &ProcessSpec, fingerprint: &str) -> Entry {
        let offer = |(agent, capacity): &(ResolvedAgent, u32)| Offer { agent: agent.to_string(), capacity: *capacity };
        Entry {
            name: spec.name.clone(),
            agents: spec.agents.iter().map(offer).collect(),
            fingerprint: fingerprint.to_owned(),
            socket: spec.socket.clone(),
            log: spec.logs.join(format!("{worker}.log")),
            outbox: spec.logs.join(format!("{worker}.outbox")),
            user: peer::our_user(),
            started: self.0.clock.now(),
            process: None,
        }
    }
}
