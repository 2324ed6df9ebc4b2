//! Which worker takes which job.
//!
//! Jobs wait in the order of their acceptance, per agent version. A worker that is attached takes as many jobs of an
//! agent as it has said it can; among several workers the one with the most room takes the next, and on a tie the one
//! that attached first. An assignment is only a proposal: the worker may refuse it, and the job then waits again, at
//! the front.

use std::collections::{BTreeMap, HashMap, VecDeque};

use moorline_types::{Fence, JobId, ResolvedAgent};

/// A job is to be started on a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The job.
    pub job: JobId,
    /// The worker, by its attachment.
    pub fence: Fence,
}

/// See the module's documentation. Drive it with `handle_*`, then take assignments with [`Dispatcher::poll`] until
/// there are none.
#[derive(Debug, Default)]
pub struct Dispatcher {
    queues: BTreeMap<ResolvedAgent, VecDeque<JobId>>,
    workers: BTreeMap<Fence, BTreeMap<ResolvedAgent, Room>>,
    placed: HashMap<JobId, (Fence, ResolvedAgent)>,
}

#[derive(Debug)]
struct Room {
    capacity: usize,
    taken: usize,
}

impl Room {
    const fn free(&self) -> usize {
        self.capacity.saturating_sub(self.taken)
    }
}

impl Dispatcher {
    /// A job waits for a worker.
    pub fn handle_job(&mut self, job: JobId, agent: ResolvedAgent) {
        self.queues.entry(agent).or_default().push_back(job);
    }

    /// A job that was with a worker waits again, before all others.
    pub fn handle_job_again(&mut self, job: JobId, agent: ResolvedAgent) {
        self.handle_job_ended(job);
        self.queues.entry(agent).or_default().push_front(job);
    }

    /// A worker has the job already. It counts towards the worker's room, even where there is none.
    pub fn handle_held(&mut self, job: JobId, agent: ResolvedAgent, fence: Fence) {
        self.handle_job_ended(job);
        if let Some(room) = self.workers.get_mut(&fence).and_then(|rooms| rooms.get_mut(&agent)) {
            room.taken += 1;
        }
        self.placed.insert(job, (fence, agent));
    }

    /// A worker takes no more jobs.
    pub fn handle_closed(&mut self, fence: Fence) {
        for room in self.workers.get_mut(&fence).into_iter().flat_map(BTreeMap::values_mut) {
            room.capacity = 0;
        }
    }

    /// A job needs no worker any more, or its worker is done with it.
    pub fn handle_job_ended(&mut self, job: JobId) {
        if let Some((fence, agent)) = self.placed.remove(&job) {
            self.release(fence, &agent);
            return;
        }
        for queue in self.queues.values_mut() {
            queue.retain(|waiting| *waiting != job);
        }
    }

    /// A worker offers room for so many jobs of each of these agents.
    pub fn handle_worker(&mut self, fence: Fence, agents: impl IntoIterator<Item = (ResolvedAgent, usize)>) {
        let rooms = agents.into_iter().map(|(agent, capacity)| (agent, Room { capacity, taken: 0 }));
        self.workers.insert(fence, rooms.collect());
    }

    /// A worker is gone. Its jobs are their machines' concern: they end, or they are handed in again.
    pub fn handle_worker_gone(&mut self, fence: Fence) {
        self.workers.remove(&fence);
        self.placed.retain(|_, (on, _)| *on != fence);
    }

    /// A worker did not take the job after all: it waits again, before all others, and the worker counts as full
    /// until one of its jobs ends.
    pub fn handle_refused(&mut self, job: JobId) {
        let Some((fence, agent)) = self.placed.remove(&job) else { return };
        if let Some(room) = self.workers.get_mut(&fence).and_then(|rooms| rooms.get_mut(&agent)) {
            room.taken = room.taken.saturating_sub(1);
            room.capacity = room.taken;
        }
        self.queues.entry(agent).or_default().push_front(job);
    }

    /// The next job that has a worker, if any.
    pub fn poll(&mut self) -> Option<Assignment> {
        let (agent, fence) = self.queues.iter().filter(|(_, queue)| !queue.is_empty()).find_map(|(agent, _)| {
            let roomiest = self
                .workers
                .iter()
                .filter_map(|(fence, rooms)| rooms.get(agent).map(|room| (room.free(), std::cmp::Reverse(*fence))))
                .max()?;
            (roomiest.0 > 0).then(|| (agent.clone(), roomiest.1.0))
        })?;
        let job = self.queues.get_mut(&agent)?.pop_front()?;
        if let Some(room) = self.workers.get_mut(&fence).and_then(|rooms| rooms.get_mut(&agent)) {
            room.taken += 1;
        }
        self.queues.retain(|_, queue| !queue.is_empty());
        self.placed.insert(job, (fence, agent));
        Some(Assignment { job, fence })
    }

    /// How many jobs wait for a worker.
    pub fn waiting(&self) -> usize {
        self.queues.values().map(VecDeque::len).sum()
    }

    fn release(&mut self, fence: Fence, agent: &ResolvedAgent) {
        if let Some(room) = self.workers.get_mut(&fence).and_then(|rooms| rooms.get_mut(agent)) {
            room.taken = room.taken.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use moorline_types::Timestamp;

    use super::*;

    fn job(n: u8) -> JobId {
        JobId::mint(Timestamp::from_unix_millis(u64::from(n)), [n; 10])
    }

    fn agent(text: &str) -> ResolvedAgent {
        text.parse().unwrap()
    }

    fn assignments(dispatcher: &mut Dispatcher) -> Vec<(JobId, u64)> {
        std::iter::from_fn(|| dispatcher.poll()).map(|to| (to.job, to.fence.get())).collect()
    }

    #[test]
    fn jobs_wait_until_a_worker_has_room_and_go_in_order() {
        let mut dispatcher = Dispatcher::default();
        for n in 1..=3 {
            dispatcher.handle_job(job(n), agent("echo@1"));
        }
        assert_eq!(assignments(&mut dispatcher), []);
        dispatcher.handle_worker(Fence::new(1), [(agent("echo@1"), 2)]);
        assert_eq!(assignments(&mut dispatcher), [(job(1), 1), (job(2), 1)]);
        dispatcher.handle_job_ended(job(1));
        assert_eq!(assignments(&mut dispatcher), [(job(3), 1)]);
        assert_eq!(dispatcher.waiting(), 0);
    }

    #[test]
    fn a_worker_takes_only_agents_that_it_hosts() {
        let mut dispatcher = Dispatcher::default();
        dispatcher.handle_job(job(1), agent("echo@2"));
        dispatcher.handle_worker(Fence::new(1), [(agent("echo@1"), 9)]);
        assert_eq!(assignments(&mut dispatcher), []);
    }

    #[test]
    fn the_worker_with_the_most_room_takes_the_next_job() {
        let mut dispatcher = Dispatcher::default();
        dispatcher.handle_worker(Fence::new(1), [(agent("echo@1"), 1)]);
        dispatcher.handle_worker(Fence::new(2), [(agent("echo@1"), 2)]);
        for n in 1..=3 {
            dispatcher.handle_job(job(n), agent("echo@1"));
        }
        assert_eq!(assignments(&mut dispatcher), [(job(1), 2), (job(2), 1), (job(3), 2)]);
    }

    #[test]
    fn a_refused_job_goes_to_another_worker_and_keeps_its_place() {
        let mut dispatcher = Dispatcher::default();
        dispatcher.handle_worker(Fence::new(1), [(agent("echo@1"), 1)]);
        dispatcher.handle_job(job(1), agent("echo@1"));
        dispatcher.handle_job(job(2), agent("echo@1"));
        assert_eq!(assignments(&mut dispatcher), [(job(1), 1)]);
        dispatcher.handle_refused(job(1));
        assert_eq!(assignments(&mut dispatcher), [], "the worker said that it is full");
        dispatcher.handle_worker(Fence::new(2), [(agent("echo@1"), 1)]);
        assert_eq!(assignments(&mut dispatcher), [(job(1), 2)]);
    }

    #[test]
    fn a_worker_that_is_gone_gets_nothing_and_a_waiting_job_may_end() {
        let mut dispatcher = Dispatcher::default();
        dispatcher.handle_worker(Fence::new(1), [(agent("echo@1"), 5)]);
        dispatcher.handle_worker_gone(Fence::new(1));
        dispatcher.handle_job(job(1), agent("echo@1"));
        assert_eq!(assignments(&mut dispatcher), []);
        dispatcher.handle_job_ended(job(1));
        dispatcher.handle_worker(Fence::new(2), [(agent("echo@1"), 5)]);
        assert_eq!(assignments(&mut dispatcher), []);
    }
}
