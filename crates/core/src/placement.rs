//! Which worker has which job, over lost links, lost workers and restarts of the gateway.
//!
//! ```text
//!                    dispatched                    ended, or its worker is lost after it began
//!   queued ──────────────────────▶ on a worker ───────────────────────────────────────────────▶ over
//!     ▲  ◀──────────────────────────  │  ▲  │
//!     │     refused, or its worker    └──┘  link lost and regained: it stays
//!     │     is lost before it began
//!   withheld: recovered, and a worker that is awaited might have it
//! ```
//!
//! Rules:
//!
//! - A job that a worker may be running is given to no other. A worker that has lost its link keeps its jobs until its
//!   process has ended or it was away for too long, which is for the caller to say ([`Placement::handle_worker_gone`]).
//! - A job that was accepted by an earlier run of the gateway and is not known to have begun may have begun
//!   nevertheless: the gateway may have died before it could write that down. It waits until every worker of that run
//!   that hosts its agent has come back or is gone.
//! - What a worker says that it holds counts for what it has, what the journal says for whose it is: held jobs that are
//!   over, or another's, are dropped; jobs of a worker that it does not hold are lost if they had begun, and wait again
//!   if not.
//! - A worker that retires finishes what it has, takes nothing more, and is then told to leave.
//!
//! Deliberately absent: processes, links, time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use moorline_types::{Fence, JobId, ResolvedAgent, WorkerId};

use crate::dispatch::{Assignment, Dispatcher};
use crate::job::Lost;

/// What must happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Give the job to the worker.
    Start {
        /// The job.
        job: JobId,
        /// The worker, by its attachment.
        fence: Fence,
    },
    /// Tell the job that its worker is attached and has it.
    Attach {
        /// The job.
        job: JobId,
        /// The worker.
        worker: WorkerId,
        /// Its attachment.
        fence: Fence,
    },
    /// Tell the worker to drop a job that it should not have.
    Drop {
        /// The job.
        job: JobId,
        /// The worker, by its attachment.
        fence: Fence,
    },
    /// Tell the job that its worker will not finish it.
    Lose {
        /// The job.
        job: JobId,
        /// The worker.
        worker: WorkerId,
        /// Why.
        lost: Lost,
    },
    /// Tell the worker to leave: it retires and has no job left.
    Leave {
        /// The worker, by its attachment.
        fence: Fence,
    },
    /// Close a link that its worker has replaced by another.
    Close {
        /// The link.
        fence: Fence,
    },
}

/// See the module's documentation. Drive it with `handle_*`, then perform what [`Placement::poll`] says until there is
/// nothing.
#[derive(Debug, Default)]
pub struct Placement {
    dispatcher: Dispatcher,
    workers: BTreeMap<WorkerId, Worker>,
    fences: BTreeMap<Fence, WorkerId>,
    jobs: BTreeMap<JobId, Placed>,
    /// Workers of the last run that are gone, until recovery is done.
    gone: BTreeMap<WorkerId, Lost>,
    actions: VecDeque<Action>,
}

#[derive(Debug, Default)]
struct Worker {
    link: Option<Fence>,
    /// What it hosts, as far as that matters before it is attached.
    agents: BTreeSet<ResolvedAgent>,
    /// It comes from an earlier run of the gateway and has not been attached to this one.
    awaited: bool,
    retiring: bool,
}

#[derive(Debug)]
struct Placed {
    agent: ResolvedAgent,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It may have begun on a worker that is awaited.
    Withheld,
    /// It waits for a worker.
    Queued,
    /// A worker has it, or was told to.
    On { worker: WorkerId, begun: bool },
    /// Its worker is lost, and it is about to end.
    Lost,
}

impl Placement {
    /// A worker of an earlier run is awaited.
    pub fn handle_awaited(&mut self, worker: WorkerId, agents: impl IntoIterator<Item = ResolvedAgent>) {
        let known = self.workers.entry(worker).or_default();
        known.agents.extend(agents);
        known.awaited = true;
    }

    /// A worker takes no more jobs, and leaves when it has none.
    pub fn handle_retiring(&mut self, worker: WorkerId) {
        let known = self.workers.entry(worker).or_default();
        known.retiring = true;
        if let Some(fence) = known.link {
            self.dispatcher.handle_closed(fence);
        }
        self.settle_retiring(worker);
    }

    /// A job of an earlier run that has not ended, and the worker that runs it, if one is known to.
    pub fn handle_recovered(&mut self, job: JobId, agent: ResolvedAgent, on: Option<WorkerId>) {
        let place = on.map_or(Place::Withheld, |worker| Place::On { worker, begun: true });
        self.jobs.insert(job, Placed { agent, place });
    }

    /// Every awaited worker and every job of the earlier run was handed in.
    pub fn handle_recovery_done(&mut self) {
        let gone = std::mem::take(&mut self.gone);
        let jobs = self.jobs.iter_mut();
        for (job, placed) in jobs {
            if let Place::On { worker, .. } = placed.place
                && !self.workers.contains_key(&worker)
            {
                placed.place = Place::Lost;
                let lost = gone.get(&worker).copied().unwrap_or(Lost::Ended);
                self.actions.push_back(Action::Lose { job: *job, worker, lost });
            }
        }
        self.release_withheld();
        self.dispatch();
    }

    /// A job waits for a worker.
    pub fn handle_job(&mut self, job: JobId, agent: ResolvedAgent) {
        self.jobs.insert(job, Placed { agent: agent.clone(), place: Place::Queued });
        self.dispatcher.handle_job(job, agent);
        self.dispatch();
    }

    /// A worker is attached: how many jobs of which agents it takes, and which jobs it holds.
    pub fn handle_attached(
        &mut self,
        worker: WorkerId,
        fence: Fence,
        offers: impl IntoIterator<Item = (ResolvedAgent, usize)>,
        held: &[JobId],
    ) {
        let known = self.workers.entry(worker).or_default();
        let replaced = known.link.replace(fence);
        known.awaited = false;
        let retiring = known.retiring;
        if let Some(old) = replaced {
            self.fences.remove(&old);
            self.dispatcher.handle_worker_gone(old);
            self.actions.push_back(Action::Close { fence: old });
        }
        self.fences.insert(fence, worker);
        self.dispatcher.handle_worker(fence, offers);
        for job in held {
            self.take_held(*job, worker, fence);
        }
        if retiring {
            self.dispatcher.handle_closed(fence);
        }
        self.miss(worker, &held.iter().copied().collect());
        self.release_withheld();
        self.settle_retiring(worker);
        self.dispatch();
    }

    /// A worker says that it holds a job.
    fn take_held(&mut self, job: JobId, worker: WorkerId, fence: Fence) {
        let is_its = |placed: &&mut Placed| match placed.place {
            Place::Withheld | Place::Queued => true,
            Place::On { worker: on, .. } => on == worker,
            Place::Lost => false,
        };
        let Some(placed) = self.jobs.get_mut(&job).filter(is_its) else {
            return self.actions.push_back(Action::Drop { job, fence });
        };
        placed.place = Place::On { worker, begun: true };
        self.dispatcher.handle_held(job, placed.agent.clone(), fence);
        self.actions.push_back(Action::Attach { job, worker, fence });
    }

    /// Jobs that were with the worker and that it does not hold.
    fn miss(&mut self, worker: WorkerId, held: &BTreeSet<JobId>) {
        self.give_up(worker, Lost::Forgotten, |job| !held.contains(&job));
    }

    /// Takes jobs from a worker: those that have begun are lost, the others wait again, before all others.
    fn give_up(&mut self, worker: WorkerId, lost: Lost, which: impl Fn(JobId) -> bool) {
        for (job, placed) in self.jobs.iter_mut().rev() {
            match placed.place {
                Place::On { worker: on, begun: true } if on == worker && which(*job) => {
                    placed.place = Place::Lost;
                    self.actions.push_back(Action::Lose { job: *job, worker, lost });
                }
                Place::On { worker: on, begun: false } if on == worker && which(*job) => {
                    placed.place = Place::Queued;
                    self.dispatcher.handle_job_again(*job, placed.agent.clone());
                }
                Place::Withheld | Place::Queued | Place::On { .. } | Place::Lost => {}
            }
        }
    }

    /// A worker has taken a job up.
    pub fn handle_started(&mut self, job: JobId, fence: Fence) {
        let worker = self.fences.get(&fence);
        if let Some(Placed { place: Place::On { worker: on, begun }, .. }) = self.jobs.get_mut(&job)
            && worker == Some(on)
        {
            *begun = true;
        }
    }

    /// A worker does not take a job up.
    pub fn handle_refused(&mut self, job: JobId, fence: Fence) {
        let worker = self.fences.get(&fence);
        if let Some(placed) = self.jobs.get_mut(&job)
            && let Place::On { worker: on, .. } = placed.place
            && worker == Some(&on)
        {
            placed.place = Place::Queued;
            self.dispatcher.handle_refused(job);
            self.dispatch();
        }
    }

    /// A worker's link has ended. Its jobs wait for its next one.
    pub fn handle_link_lost(&mut self, fence: Fence) {
        self.dispatcher.handle_worker_gone(fence);
        if let Some(worker) = self.fences.remove(&fence)
            && let Some(known) = self.workers.get_mut(&worker)
            && known.link == Some(fence)
        {
            known.link = None;
        }
    }

    /// A worker will not come back.
    pub fn handle_worker_gone(&mut self, worker: WorkerId, lost: Lost) {
        if let Some(Worker { link: Some(fence), .. }) = self.workers.remove(&worker) {
            self.fences.remove(&fence);
            self.dispatcher.handle_worker_gone(fence);
        }
        self.give_up(worker, lost, |_| true);
        self.release_withheld();
        self.dispatch();
    }

    /// A worker of an earlier run is gone, as found before that run's jobs are handed in.
    pub fn handle_found_gone(&mut self, worker: WorkerId, lost: Lost) {
        self.gone.insert(worker, lost);
    }

    /// A job is over.
    pub fn handle_ended(&mut self, job: JobId) {
        let placed = self.jobs.remove(&job);
        self.dispatcher.handle_job_ended(job);
        if let Some(Placed { place: Place::On { worker, .. }, .. }) = placed {
            self.settle_retiring(worker);
        }
        self.dispatch();
    }

    /// What must happen next.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The worker that has this link, if it is the worker's present one.
    pub fn worker_at(&self, fence: Fence) -> Option<WorkerId> {
        self.fences.get(&fence).copied()
    }

    /// How many workers are awaited.
    pub fn awaited(&self) -> usize {
        self.workers.values().filter(|worker| worker.awaited).count()
    }

    /// Jobs that no awaited worker can have wait for any worker.
    fn release_withheld(&mut self) {
        let awaited: BTreeSet<_> =
            self.workers.values().filter(|worker| worker.awaited).flat_map(|worker| &worker.agents).collect();
        for (job, placed) in &mut self.jobs {
            if placed.place == Place::Withheld && !awaited.contains(&placed.agent) {
                placed.place = Place::Queued;
                self.dispatcher.handle_job(*job, placed.agent.clone());
            }
        }
    }

    fn settle_retiring(&mut self, worker: WorkerId) {
        let Some(Worker { link: Some(fence), retiring: true, .. }) = self.workers.get(&worker) else { return };
        let has_a_job =
            self.jobs.values().any(|placed| matches!(placed.place, Place::On { worker: on, .. } if on == worker));
        if !has_a_job {
            self.actions.push_back(Action::Leave { fence: *fence });
        }
    }

    fn dispatch(&mut self) {
        while let Some(Assignment { job, fence }) = self.dispatcher.poll() {
            let (Some(worker), Some(placed)) = (self.fences.get(&fence), self.jobs.get_mut(&job)) else {
                self.dispatcher.handle_job_ended(job);
                continue;
            };
            placed.place = Place::On { worker: *worker, begun: false };
            self.actions.push_back(Action::Start { job, fence });
        }
    }
}

#[cfg(test)]
mod tests;
