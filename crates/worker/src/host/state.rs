//! The jobs that a worker holds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use moorline_types::{JobId, ResolvedAgent, Timestamp, WorkerSeq};
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};

use super::asks::Asks;
use crate::credential::{Credential, Held};
use crate::limits::{MAX_NOTICES, REPORTS_PER_TURN, WRITE_BATCH, WRITE_BATCH_BYTES};
use crate::message::{Answer, Ask, AskId, Command, Failure, FailureCode, FromWorker, HeldJob, Report};
use crate::outbox::spill::SpillRoom;
use crate::outbox::{LinkState, Outbox, Refused};
use crate::sdk::{Cancel, CancelRequest, Commands, PushError, Pushed};
use crate::tasks::Task;

#[derive(Debug, Default)]
pub(super) struct State {
    jobs: BTreeMap<JobId, Slot>,
    /// Jobs that have something to say, each once, in the order in which they will say one thing.
    ready: VecDeque<JobId>,
    /// Answers to the gateway of the present link.
    notices: VecDeque<FromWorker>,
    link: LinkState,
    closed: bool,
}

/// One job. Dropping it stops its agent and wakes whoever waits to report about it.
#[derive(Debug)]
pub(super) struct Slot {
    job: JobId,
    agent: ResolvedAgent,
    outbox: Outbox,
    asks: Asks,
    cancel: Cancel,
    commands: Commands,
    credentials: Held,
    room: Arc<Notify>,
    is_ready: bool,
    _task: Task<()>,
}

impl Slot {
    pub(super) fn new(
        job: JobId,
        agent: ResolvedAgent,
        (cancel, commands, credentials): (Cancel, Commands, Held),
        task: Task<()>,
        spill: Option<SpillRoom>,
    ) -> Self {
        let (outbox, asks, room) = (Outbox::new(job, spill), Asks::default(), Arc::default());
        Self { job, agent, outbox, asks, cancel, commands, credentials, room, is_ready: false, _task: task }
    }

    /// Whether it has something to say: a question is said as soon as the reports before it are.
    fn has_next(&self, link: LinkState) -> bool {
        self.outbox.has_next(link.window()) || link.answers() && self.asks.has_next(self.outbox.said())
    }

    fn next(&mut self, link: LinkState) -> Option<FromWorker> {
        let ask = if link.answers() { self.asks.next(self.job, self.outbox.said()) } else { None };
        ask.or_else(|| self.outbox.next(link.window()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.room.notify_waiters();
    }
}

impl State {
    pub(super) fn holds(&self, job: JobId) -> bool {
        self.jobs.contains_key(&job)
    }

    pub(super) fn insert(&mut self, job: JobId, slot: Slot) {
        self.jobs.insert(job, slot);
    }

    pub(super) fn remove(&mut self, job: JobId) -> Option<Slot> {
        self.ready.retain(|ready| *ready != job);
        self.jobs.remove(&job)
    }

    pub(super) fn clear(&mut self) -> Vec<Slot> {
        self.ready.clear();
        std::mem::take(&mut self.jobs).into_values().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.jobs.len()
    }

    /// How many jobs of an agent have not ended.
    pub(super) fn running(&self, agent: &ResolvedAgent) -> usize {
        self.jobs.values().filter(|slot| slot.agent == *agent && !slot.outbox.is_finished()).count()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.jobs.values().all(|slot| slot.outbox.is_finished())
    }

    pub(super) fn is_settled(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn close(&mut self, request: &CancelRequest) {
        self.closed = true;
        for slot in self.jobs.values() {
            slot.cancel.request(request.clone());
        }
    }

    pub(super) fn cancel(&self, job: JobId, request: &CancelRequest) {
        if let Some(slot) = self.jobs.get(&job) {
            slot.cancel.request(request.clone());
        }
    }

    /// The job's credentials are these now.
    pub(super) fn refresh(&self, job: JobId, credentials: Vec<Credential>) {
        if let Some(slot) = self.jobs.get(&job) {
            slot.credentials.set(credentials);
        }
    }

    /// Hands a command to a job, if it is held; `false` if too many wait.
    pub(super) fn command(&self, job: JobId, command: Command) -> bool {
        self.jobs.get(&job).is_none_or(|slot| slot.commands.push(command))
    }

    /// Takes a report in.
    pub(super) fn push(&mut self, job: JobId, at: Timestamp, report: Report) -> Result<Pushed, PushError> {
        let slot = self.jobs.get_mut(&job).ok_or(PushError)?;
        match slot.outbox.push(at, report, self.link) {
            Err(Refused::Finished) => Err(PushError),
            Err(Refused::Full(report)) => Ok(Pushed::Full { report, room: slot.room.clone() }),
            Ok(()) => {
                if !slot.is_ready && slot.has_next(self.link) {
                    slot.is_ready = true;
                    self.ready.push_back(job);
                }
                Ok(Pushed::Taken)
            }
        }
    }

    /// Takes a question in.
    pub(super) fn ask(
        &mut self,
        job: JobId,
        ask: Ask,
        room: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Answer>, PushError> {
        let slot = self.jobs.get_mut(&job).filter(|slot| !slot.outbox.is_finished()).ok_or(PushError)?;
        let answered = slot.asks.push(ask, slot.outbox.last(), room);
        if let LinkState::Attached { answers: false, .. } = self.link {
            slot.asks.answer_all(&not_answered());
        }
        if !slot.is_ready && slot.has_next(self.link) {
            slot.is_ready = true;
            self.ready.push_back(job);
        }
        Ok(answered)
    }

    pub(super) fn answer(&mut self, job: JobId, id: AskId, answer: Answer) {
        if let Some(slot) = self.jobs.get_mut(&job) {
            slot.asks.answer(id, answer);
        }
    }

    /// Whether a gateway is attached. Agents that wait for room may have some when none is.
    pub(super) fn set_link(&mut self, link: LinkState) {
        self.link = link;
        for (job, slot) in &mut self.jobs {
            slot.room.notify_waiters();
            if let LinkState::Attached { answers: false, .. } = link {
                slot.asks.answer_all(&not_answered());
            }
            // A link with a wider window than the one before takes more.
            if !slot.is_ready && slot.has_next(link) {
                slot.is_ready = true;
                self.ready.push_back(*job);
            }
        }
    }

    /// Takes out everything that is not acknowledged, by job.
    pub(super) fn outboxes(&mut self) -> impl Iterator<Item = (JobId, &mut Outbox)> {
        self.jobs.iter_mut().map(|(job, slot)| (*job, &mut slot.outbox))
    }

    /// Forgets what is committed; returns the job if nothing of it is left.
    pub(super) fn acknowledge(&mut self, job: JobId, seq: WorkerSeq) -> Option<Slot> {
        let slot = self.jobs.get_mut(&job)?;
        slot.outbox.acknowledge(seq);
        slot.room.notify_waiters();
        if !slot.is_ready && slot.has_next(self.link) {
            slot.is_ready = true;
            self.ready.push_back(job);
        }
        if slot.outbox.is_settled() { self.remove(job) } else { None }
    }

    /// Keeps an answer; `false` if there are too many.
    pub(super) fn notice(&mut self, notice: FromWorker) -> bool {
        let fits = self.notices.len() < MAX_NOTICES;
        if fits {
            self.notices.push_back(notice);
        }
        fits
    }

    /// Takes out what is to be said, up to the bounds of one batch: answers first, then some reports of each job in
    /// turn.
    pub(super) fn take_some(&mut self) -> Vec<FromWorker> {
        let answers = self.notices.len().min(WRITE_BATCH);
        let mut some: Vec<_> = self.notices.drain(..answers).collect();
        let (mut bytes, link) = (0, self.link);
        while some.len() < WRITE_BATCH
            && bytes < WRITE_BATCH_BYTES
            && let Some(job) = self.ready.pop_front()
        {
            let Some(slot) = self.jobs.get_mut(&job) else { continue };
            let turn = REPORTS_PER_TURN.min(WRITE_BATCH - some.len());
            for report in std::iter::from_fn(|| slot.next(link)).take(turn) {
                bytes += report.carried_bytes();
                some.push(report);
                if bytes >= WRITE_BATCH_BYTES {
                    break;
                }
            }
            slot.is_ready = slot.has_next(link);
            if slot.is_ready {
                self.ready.push_back(job);
            }
        }
        some
    }

    /// A new link begins. Answers belonged to the old one: what they said is in what this returns.
    pub(super) fn rewind(&mut self) -> Vec<HeldJob> {
        self.notices.clear();
        self.ready.clear();
        for (job, slot) in &mut self.jobs {
            slot.outbox.rewind();
            slot.asks.rewind();
            slot.is_ready = slot.has_next(self.link);
            if slot.is_ready {
                self.ready.push_back(*job);
            }
        }
        self.jobs.values().map(|slot| slot.outbox.held()).collect()
    }
}

/// What every question is answered while the gateway is one that answers none.
fn not_answered() -> Answer {
    let message = "the gateway is of an earlier version and cannot say whether this is allowed; update it";
    Answer::Verdict(Err(Failure::new(FailureCode::PermissionDenied, message)))
}
