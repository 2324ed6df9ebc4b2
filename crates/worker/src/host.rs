//! Runs agents inside a worker.
//!
//! The host holds the jobs, links come and go. A link asks what is held ([`Host::held`]), hands in what the gateway
//! says ([`Host::handle`]) and takes out what is to be said ([`Host::next`]); it pulls, so nothing is copied into a
//! queue of a link that may be gone in the next moment, and an agent waits when its own window is full.
//!
//! A job has exactly one last report, whatever its agent does: return, fail, panic, or go on after it was told to
//! stop. A job that is killed has none.

mod asks;
mod conclude;
mod run;
mod state;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use moorline_types::{JobId, Millis, ResolvedAgent, WorkerSeq};
use tokio::sync::Notify;

use crate::credential::Held;
use crate::leftover;
use crate::limits::{MAX_HELD_JOBS, MAX_OFFERS};
use crate::message::{AgentOffer, FromWorker, HeldJob, StartJob, StartRefusal, ToWorker};
use crate::outbox::LinkState;
use crate::outbox::spill::SpillRoom;
use crate::random;
use crate::sdk::{Agent, Cancel, CancelCause, CancelRequest, Commands};
use state::{Slot, State};

/// See the module's documentation. Dropping it stops every job.
#[derive(Debug)]
pub(crate) struct Host(Arc<Shared>);

struct Shared {
    /// Tells this host from any other that says it is the same worker.
    instance: u64,
    agents: BTreeMap<ResolvedAgent, Hosted>,
    state: Mutex<State>,
    /// Where reports go that do not fit into memory.
    spill: OnceLock<SpillRoom>,
    /// Something is to be said. One link listens.
    changed: Notify,
    /// A job has ended, or everything of it is acknowledged.
    calmer: Notify,
}

struct Hosted {
    agent: Arc<dyn Agent>,
    offer: AgentOffer,
}

/// Why no host can be made of some agents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Two of them say that they are the same agent version.
    #[error("two agents say that they are {0}: give each its own name or version")]
    Twice(ResolvedAgent),
    /// There are too many.
    #[error("{count} agents are too many for one worker, which hosts at most {MAX_OFFERS}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// One of them takes no jobs.
    #[error("{0} has a capacity of 0: it must take at least one job")]
    NoCapacity(ResolvedAgent),
}

/// What a link has to do after it has handed a message in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handled {
    /// Nothing.
    Done,
    /// End the worker, giving its jobs this long.
    Shutdown { grace: Millis },
    /// Close the link: more was asked for than answers are kept.
    Overrun,
}

impl Host {
    pub(crate) fn new(agents: impl IntoIterator<Item = Arc<dyn Agent>>) -> Result<Self, HostError> {
        let mut hosted = BTreeMap::new();
        for agent in agents {
            let described = agent.describe();
            let key = described.agent.clone();
            if described.capacity == 0 {
                return Err(HostError::NoCapacity(key));
            }
            let offer = AgentOffer {
                agent: described.agent,
                is_default: described.is_default,
                description: described.description,
                capacity: described.capacity,
            };
            if hosted.insert(key.clone(), Hosted { agent, offer }).is_some() {
                return Err(HostError::Twice(key));
            }
        }
        if hosted.len() > MAX_OFFERS {
            return Err(HostError::TooMany { count: hosted.len() });
        }
        // Without chance, the process id tells most of them apart.
        let instance = random::draw().map_or_else(|_| u64::from(std::process::id()), u64::from_le_bytes);
        Ok(Self(Arc::new(Shared {
            instance,
            agents: hosted,
            state: Mutex::default(),
            spill: OnceLock::new(),
            changed: Notify::new(),
            calmer: Notify::new(),
        })))
    }

    /// Tells this host from any other that says it is the same worker.
    pub(crate) fn instance(&self) -> u64 {
        self.0.instance
    }

    /// What it can run.
    pub(crate) fn offers(&self) -> Vec<AgentOffer> {
        self.0.agents.values().map(|hosted| hosted.offer.clone()).collect()
    }

    /// What it holds. The links before this one are done: everything that is not acknowledged will be said again.
    pub(crate) fn held(&self) -> Vec<HeldJob> {
        self.0.lock().rewind()
    }

    /// Takes in what the gateway says.
    pub(crate) fn handle(&self, message: ToWorker) -> Handled {
        match message {
            ToWorker::Start(start) => return self.start(start),
            ToWorker::Cancel { job, reason, grace } => {
                self.0.lock().cancel(job, &CancelRequest { cause: CancelCause::Gateway, reason, grace });
            }
            ToWorker::Command { job, command } => {
                if !self.0.lock().command(job, command) {
                    return Handled::Overrun;
                }
            }
            // Dropped outside of the lock: what an agent does when it is dropped is its own affair.
            ToWorker::Kill { job } => {
                drop(self.0.take(job));
                // A job that never ran has not said that it was started.
                self.0.changed.notify_one();
                self.0.calmer.notify_waiters();
            }
            ToWorker::Ack { job, seq } => self.acknowledge(job, seq),
            ToWorker::Answer { job, id, answer } => self.0.lock().answer(job, id, answer),
            ToWorker::Shutdown { grace } => return Handled::Shutdown { grace },
        }
        Handled::Done
    }

    /// Reports up to this one are committed.
    pub(crate) fn acknowledge(&self, job: JobId, seq: WorkerSeq) {
        let settled = self.0.lock().acknowledge(job, seq);
        // What was on disk may have come into reach.
        self.0.changed.notify_one();
        if settled.is_some() {
            self.0.calmer.notify_waiters();
        }
    }

    /// Where reports go that do not fit into memory while no gateway is attached. To be said before the first job.
    pub(crate) fn spill_to(&self, directory: PathBuf) {
        self.0.spill.get_or_init(|| SpillRoom::new(directory));
    }

    /// A gateway is attached, or is not any more.
    pub(crate) fn set_link(&self, link: LinkState) {
        self.0.lock().set_link(link);
    }

    /// Writes down what is not acknowledged, for the gateway that comes after this worker.
    pub(crate) fn leave_reports(&self) {
        let Some(room) = self.0.spill.get() else { return };
        let mut state = self.0.lock();
        for (job, outbox) in state.outboxes() {
            let written = room.make().and_then(|()| leftover::write(room.directory(), job, outbox.drain()));
            match written {
                Ok(()) => tracing::info!(%job, "what is not reported is left for the next start"),
                Err(error) => tracing::error!(%job, %error, "what is not reported is lost"),
            }
        }
    }

    /// What is to be said next on the present link: one batch, at least one message. May be cancelled without loss.
    pub(crate) async fn next(&self) -> Vec<FromWorker> {
        loop {
            let some = self.0.lock().take_some();
            if !some.is_empty() {
                return some;
            }
            self.0.changed.notified().await;
        }
    }

    /// Takes no more jobs up and asks those that run to end.
    pub(crate) fn close(&self, grace: Millis) {
        let reason = "the worker is shutting down".to_owned();
        self.0.lock().close(&CancelRequest { cause: CancelCause::WorkerShutdown, reason, grace });
    }

    /// Whether no job is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_settled()
    }

    /// Returns when no job runs.
    pub(crate) async fn idle(&self) {
        self.until(State::is_idle).await;
    }

    /// Returns when no job runs and every report is acknowledged.
    pub(crate) async fn settled(&self) {
        self.until(State::is_settled).await;
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let mut calmer = std::pin::pin!(self.0.calmer.notified());
            // Listening begins before looking, so a change in between is not missed.
            calmer.as_mut().enable();
            if holds(&self.0.lock()) {
                return;
            }
            calmer.await;
        }
    }

    /// A job that is taken up says so with what its agent does first ([`run::spawn`]): a short one is then one batch,
    /// from the answer to its start to its end.
    fn start(&self, start: StartJob) -> Handled {
        let job = start.job;
        let mut state = self.0.lock();
        let (notice, is_said_later) = if state.holds(job) {
            state.refresh(job, start.credentials);
            (FromWorker::Started { job }, false)
        } else {
            match self.admit(&state, &start) {
                Err(reason) => (FromWorker::Refused { job, reason }, false),
                Ok(agent) => {
                    let (cancel, commands) = (Cancel::default(), Commands::default());
                    let credentials = Held::new(start.credentials.clone());
                    let given = (cancel.clone(), commands.clone(), credentials.clone());
                    let task = run::spawn(&self.0, agent, start.clone(), given);
                    let spill = self.0.spill.get().cloned();
                    state.insert(job, Slot::new(job, start.agent, (cancel, commands, credentials), task, spill));
                    (FromWorker::Started { job }, true)
                }
            }
        };
        let fits = state.notice(notice);
        drop(state);
        if !is_said_later {
            self.0.changed.notify_one();
        }
        if fits { Handled::Done } else { Handled::Overrun }
    }

    fn admit(&self, state: &State, start: &StartJob) -> Result<Arc<dyn Agent>, StartRefusal> {
        let hosted = self.0.agents.get(&start.agent).ok_or(StartRefusal::UnknownAgent)?;
        if state.is_closed() {
            Err(StartRefusal::ShuttingDown)
        } else if state.running(&start.agent) >= hosted.offer.capacity as usize || state.count() >= MAX_HELD_JOBS {
            Err(StartRefusal::AtCapacity)
        } else {
            Ok(hosted.agent.clone())
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Each job's task holds the host's state; without this they would keep each other alive.
        let slots = self.0.lock().clear();
        drop(slots);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that runs under this lock panics half-way through a change, so its state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, job: JobId) -> Option<Slot> {
        self.lock().remove(job)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("agents", &self.agents.keys()).finish_non_exhaustive()
    }
}
