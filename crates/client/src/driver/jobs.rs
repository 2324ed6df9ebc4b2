//! The jobs that are being watched, and their queues.

use std::collections::{HashMap, VecDeque};

use moorline_types::limits::MAX_WATCHED_JOBS;
use moorline_wire::JobRef;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::error::CallError;
use crate::job::JobUpdate;

/// Updates that one job may have waiting. A burst of a fast agent fits; at the largest frame they bound what one job
/// can hold in memory to some hundred megabytes.
const JOB_QUEUE: usize = 64;

/// Jobs by id. A job is known from its acceptance to its end, whether or not anybody holds its handle.
#[derive(Debug, Default)]
pub(super) struct WatchedJobs {
    jobs: HashMap<JobRef, Watched>,
    /// Updates whose queue was full, in order.
    stalled: VecDeque<(mpsc::Sender<JobUpdate>, JobUpdate)>,
}

#[derive(Debug)]
struct Watched {
    /// As a rule one; a submission that is repeated with its key gives the same job another handle.
    queues: Vec<mpsc::Sender<JobUpdate>>,
    /// Whether watching was asked for, so that it can be given up.
    subscribed: bool,
}

/// What became of an update.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It is in the queues, or waits for room in them.
    Queued,
    /// Nobody holds a handle of the job, which was subscribed to.
    Abandoned,
    /// The job is none that is known.
    Unknown,
}

impl WatchedJobs {
    pub(super) fn check_room(&self) -> Result<(), CallError> {
        let max = MAX_WATCHED_JOBS;
        if self.jobs.len() < max { Ok(()) } else { Err(CallError::TooManyJobs { max }) }
    }

    /// Begins to watch a job. One that was submitted may have several handles, one that is subscribed to has one.
    pub(super) fn open(&mut self, job: &JobRef, subscribed: bool) -> Result<mpsc::Receiver<JobUpdate>, CallError> {
        let held = |watched: &Watched| watched.queues.iter().any(|queue| !queue.is_closed());
        if subscribed && self.jobs.get(job).is_some_and(held) {
            return Err(CallError::AlreadyWatched { job: job.clone() });
        }
        if !self.jobs.contains_key(job) {
            self.check_room()?;
        }
        let (queue, updates) = mpsc::channel(JOB_QUEUE);
        let watched = self.jobs.entry(job.clone()).or_insert_with(|| Watched { queues: Vec::new(), subscribed });
        watched.queues.retain(|queue| !queue.is_closed());
        watched.queues.push(queue);
        Ok(updates)
    }

    /// Stops watching a job.
    pub(super) fn close(&mut self, job: &JobRef) {
        self.jobs.remove(job);
    }

    pub(super) fn is_known(&self, job: &JobRef) -> bool {
        self.jobs.contains_key(job)
    }

    /// Queues an update. The terminal one is the last; the job is forgotten with it.
    pub(super) fn push(&mut self, job: &JobRef, update: &JobUpdate) -> Delivery {
        let Some(watched) = self.jobs.get_mut(job) else { return Delivery::Unknown };
        watched.queues.retain(|queue| !queue.is_closed());
        let abandoned = watched.subscribed && watched.queues.is_empty();
        for queue in &watched.queues {
            offer(&mut self.stalled, queue, update.clone());
        }
        if abandoned || update.is_terminal() {
            self.jobs.remove(job);
        }
        if abandoned && !update.is_terminal() { Delivery::Abandoned } else { Delivery::Queued }
    }

    /// Queues an update for every job.
    pub(super) fn push_to_all(&mut self, update: &JobUpdate) {
        for queue in self.jobs.values().flat_map(|watched| &watched.queues) {
            offer(&mut self.stalled, queue, update.clone());
        }
    }

    /// Whether an update waits for room in its queue.
    pub(super) fn is_stalled(&self) -> bool {
        !self.stalled.is_empty()
    }

    /// Waits until the first of the stalled updates is in its queue, or its handle is gone. Cancel safe.
    pub(super) async fn deliver(&mut self) {
        let Some((queue, _)) = self.stalled.front() else { return };
        let room = queue.clone().reserve_owned().await;
        let update = self.stalled.pop_front();
        if let (Ok(room), Some((_, update))) = (room, update) {
            drop(room.send(update));
        }
    }

    /// Drops the updates of this job that wait for room in its queue; whether there were any.
    pub(super) fn drop_stalled_of(&mut self, job: &JobRef) -> bool {
        let Some(watched) = self.jobs.get(job) else { return false };
        let before = self.stalled.len();
        self.stalled.retain(|(queue, _)| !watched.queues.iter().any(|own| own.same_channel(queue)));
        self.stalled.len() < before
    }
}

/// Puts an update into a queue, or behind those that wait already: the order is never changed.
fn offer(
    stalled: &mut VecDeque<(mpsc::Sender<JobUpdate>, JobUpdate)>,
    queue: &mpsc::Sender<JobUpdate>,
    update: JobUpdate,
) {
    if !stalled.is_empty() {
        stalled.push_back((queue.clone(), update));
        return;
    }
    match queue.try_send(update) {
        Ok(()) | Err(TrySendError::Closed(_)) => {}
        Err(TrySendError::Full(update)) => stalled.push_back((queue.clone(), update)),
    }
}
