//! The jobs that are being watched, and their queues.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use moorline_types::limits::MAX_WATCHED_JOBS;
use moorline_wire::JobRef;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::Receipt;
use crate::error::{CallError, Ended};
use crate::gap::{Gap, GapCause, Missing};
use crate::job::{JobUpdate, Queued};
use crate::request::SubscribeRequest;

mod early;
mod held;
mod trail;

use early::Early;
use held::Held;
pub(crate) use held::Hold;
use trail::{Place, Trail};

/// Updates that one job may have waiting. A burst of a fast agent fits. What they may hold in memory has a bound of its
/// own.
const JOB_QUEUE: usize = 64;

/// Jobs by id. A job is known from its acceptance to its end, whether or not anybody holds its handle.
#[derive(Debug, Default)]
pub(super) struct WatchedJobs {
    jobs: HashMap<JobRef, Watched>,
    /// Updates of jobs that nobody knows yet, since the answer to their submission was lost.
    unknown: HashMap<JobRef, Early>,
    /// Updates whose queue was full, in order.
    stalled: VecDeque<(mpsc::Sender<Queued>, Queued)>,
    held: Held,
}

/// How a job came to be watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Submitted,
    Subscribed(SubscribeRequest),
}

#[derive(Debug)]
struct Watched {
    /// As a rule one; a submission that is repeated with its key gives the same job another handle.
    queues: Vec<mpsc::Sender<Queued>>,
    origin: Origin,
    /// What came before the subscription was confirmed; none once it is.
    early: Option<Early>,
    /// What was seen of the job.
    trail: Trail,
    /// Why it is replayed, while it is.
    replayed_for: GapCause,
}

impl Watched {
    fn new(origin: Origin) -> Self {
        let early = matches!(origin, Origin::Subscribed(_)).then(Early::default);
        Self { queues: Vec::new(), origin, early, trail: Trail::default(), replayed_for: GapCause::NewSession }
    }

    /// How to watch it again.
    fn request(&self, job: &JobRef) -> SubscribeRequest {
        match &self.origin {
            Origin::Submitted => SubscribeRequest::with_history(job.clone()),
            Origin::Subscribed(request) => request.clone(),
        }
    }

    fn is_held(&self) -> bool {
        self.queues.iter().any(|queue| !queue.is_closed())
    }
}

/// An update on its way to those who watch the job.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) update: JobUpdate,
    /// Whether the update has a number, and is one of the job's own records.
    pub(super) is_record: bool,
    pub(super) receipt: Option<Arc<Receipt>>,
    /// The size of its frame.
    pub(super) bytes: usize,
}

/// What became of an update.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It is in the queues, or waits for room in them.
    Queued,
    /// Nobody holds a handle of the job, which was subscribed to.
    Abandoned,
    /// The job's subscription is not confirmed, and more has come than can be held until it is.
    TooEarly,
    /// The job is none that is known.
    Unknown,
}

impl WatchedJobs {
    pub(super) fn check_room(&self) -> Result<(), CallError> {
        let max = MAX_WATCHED_JOBS;
        if self.jobs.len() < max { Ok(()) } else { Err(CallError::TooManyJobs { max }) }
    }

    /// Begins to watch a job. One that was submitted may have several handles, one that is subscribed to has one.
    pub(super) fn open(&mut self, job: &JobRef, origin: Origin) -> Result<mpsc::Receiver<Queued>, CallError> {
        if origin != Origin::Submitted && self.jobs.get(job).is_some_and(Watched::is_held) {
            return Err(CallError::AlreadyWatched { job: job.clone() });
        }
        if !self.jobs.contains_key(job) {
            self.check_room()?;
        }
        let (queue, updates) = mpsc::channel(JOB_QUEUE);
        let watched = self.jobs.entry(job.clone()).or_insert_with(|| Watched::new(origin));
        watched.queues.retain(|queue| !queue.is_closed());
        watched.queues.push(queue);
        if let Some(early) = self.unknown.remove(job) {
            self.release(job, early);
        }
        Ok(updates)
    }

    /// The job's subscription is confirmed: what came before is handed out.
    pub(super) fn confirm(&mut self, job: &JobRef) {
        if let Some(early) = self.jobs.get_mut(job).and_then(|watched| watched.early.take()) {
            self.release(job, early);
        }
    }

    fn release(&mut self, job: &JobRef, early: Early) {
        let lost = early.is_lost();
        for arrival in early.into_arrivals() {
            self.push(job, arrival);
        }
        if lost {
            self.tell(job, Gap { missing: Missing::Unknown, cause: GapCause::Numbering });
        }
    }

    /// Stops watching a job.
    pub(super) fn close(&mut self, job: &JobRef) {
        self.jobs.remove(job);
    }

    /// Stops watching a job, and says why to those who do.
    pub(super) fn give_up(&mut self, job: &JobRef, why: &Ended) {
        let Some(watched) = self.jobs.remove(job) else { return };
        for queue in &watched.queues {
            offer(&mut self.stalled, queue, Queued::end(why.clone()));
        }
    }

    pub(super) fn is_known(&self, job: &JobRef) -> bool {
        self.jobs.contains_key(job)
    }

    /// Queues an update. The terminal one is the last; the job is forgotten with it.
    pub(super) fn push(&mut self, job: &JobRef, arrival: Arrival) -> Delivery {
        let Some(watched) = self.jobs.get_mut(job) else { return Delivery::Unknown };
        watched.queues.retain(|queue| !queue.is_closed());
        let is_terminal = arrival.update.is_terminal();
        if matches!(watched.origin, Origin::Subscribed(_)) && watched.queues.is_empty() {
            self.jobs.remove(job);
            return if is_terminal { Delivery::Queued } else { Delivery::Abandoned };
        }
        if let Some(early) = &mut watched.early {
            return if early.push(arrival) { Delivery::Queued } else { Delivery::TooEarly };
        }
        let place = if arrival.is_record { watched.trail.follow(&arrival.update) } else { Place::New };
        let gap = match place {
            Place::New => None,
            Place::Seen => return Delivery::Queued,
            Place::Caught(missing) | Place::Short(missing) => {
                Some(Gap { missing, cause: watched.replayed_for.clone() })
            }
        };
        let hold = self.held.hold(arrival.bytes);
        for queue in &watched.queues {
            if let Some(gap) = &gap {
                offer(&mut self.stalled, queue, Queued::gap(gap));
            }
            if !matches!(place, Place::Caught(_)) {
                let (receipt, hold) = (arrival.receipt.clone(), Arc::clone(&hold));
                offer(&mut self.stalled, queue, Queued::update(arrival.update.clone(), receipt, hold));
            }
        }
        if is_terminal {
            self.jobs.remove(job);
        }
        Delivery::Queued
    }

    /// Keeps an update of a job that a submission may be about to name.
    pub(super) fn keep_unknown(&mut self, job: &JobRef, arrival: Arrival) {
        self.unknown.entry(job.clone()).or_default().push(arrival);
    }

    /// Forgets what was kept: no submission is left that could name a job.
    pub(super) fn forget_unknown(&mut self) {
        self.unknown.clear();
    }

    fn tell(&mut self, job: &JobRef, gap: Gap) {
        let Some(watched) = self.jobs.get(job) else { return };
        for queue in &watched.queues {
            offer(&mut self.stalled, queue, Queued::gap(&gap));
        }
    }

    /// Tells every job of a gap in the session's numbers.
    pub(super) fn tell_all(&mut self, gap: &Gap) {
        for queue in self.jobs.values().flat_map(|watched| &watched.queues) {
            offer(&mut self.stalled, queue, Queued::gap(gap));
        }
    }

    /// Prepares for a new session: which jobs it has to subscribe to, and how. Jobs that nobody holds are forgotten. A
    /// history that is not `whole` lacks what was reported while there was no session.
    pub(super) fn rejoin(&mut self, whole: bool) -> Vec<SubscribeRequest> {
        self.jobs.retain(|_, watched| watched.is_held());
        let mut requests = Vec::new();
        let mut untold = Vec::new();
        for (job, watched) in &mut self.jobs {
            let request = watched.request(job);
            watched.replayed_for = GapCause::NewSession;
            if !request.history {
                untold.push((job.clone(), Missing::Unknown));
            } else if !watched.trail.retrace(whole) {
                untold.push((job.clone(), if whole { Missing::Nothing } else { Missing::Unknown }));
            }
            requests.push(request);
        }
        for (job, missing) in untold {
            self.tell(&job, Gap { missing, cause: GapCause::NewSession });
        }
        requests
    }

    /// How to watch each job again whose handle somebody holds, and that is watched by now.
    pub(super) fn requests(&self) -> Vec<SubscribeRequest> {
        let watched = self.jobs.iter().filter(|(_, watched)| watched.is_held() && watched.early.is_none());
        watched.map(|(job, watched)| watched.request(job)).collect()
    }

    /// A replay of the job follows, from its beginning.
    pub(super) fn retrace(&mut self, job: &JobRef) {
        if let Some(watched) = self.jobs.get_mut(job) {
            watched.trail.retrace(true);
            watched.replayed_for = GapCause::ReadAgain;
        }
    }

    /// Whether the program has to take something before more should come.
    pub(super) fn is_stalled(&self) -> bool {
        !self.stalled.is_empty() || self.held.is_full()
    }

    /// Waits until the first of the stalled updates is in its queue, or its handle is gone, or there is room for more.
    /// Cancel safe.
    pub(super) async fn deliver(&mut self) {
        let Some((queue, _)) = self.stalled.front() else { return self.held.freed().await };
        let room = queue.clone().reserve_owned().await;
        let update = self.stalled.pop_front();
        if let (Ok(room), Some((_, update))) = (room, update) {
            drop(room.send(update));
        }
    }
}

/// Puts an update into a queue, or behind those that wait already: the order is never changed.
fn offer(stalled: &mut VecDeque<(mpsc::Sender<Queued>, Queued)>, queue: &mpsc::Sender<Queued>, update: Queued) {
    if !stalled.is_empty() {
        stalled.push_back((queue.clone(), update));
        return;
    }
    match queue.try_send(update) {
        Ok(()) | Err(TrySendError::Closed(_)) => {}
        Err(TrySendError::Full(update)) => stalled.push_back((queue.clone(), update)),
    }
}
