//! The task that drives one job: [`moorline_core::job::Job`] between its worker and the store.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use moorline_core::Refusal;
use moorline_core::job::{DeadlineReason, Effect, Job, Status};
use moorline_store::{AppendError, CommittedBatch, Store};
use moorline_types::{Batch, JobId, StreamSeq, TraceId, limits};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::intake::{Intake, Load};
use crate::job_index::JobIndex;
use crate::pool::Pool;
use crate::registry::{JobInput, Place, Progress, Registry};
use crate::stored::Account;

/// Inputs, and reports in them, that are taken in before the store is asked again. They share one append, so a burst
/// costs one commit.
const INPUTS_PER_APPEND: usize = limits::MAX_BATCH_RECORDS;

/// What a job's task needs.
#[derive(Debug)]
pub(crate) struct JobTask {
    pub(crate) job: Job,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) pool: Arc<Pool>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) index: JobIndex,
    pub(crate) inbox: mpsc::Receiver<JobInput>,
    pub(crate) intake: Arc<Intake>,
    /// What was taken in of it and is not committed.
    pub(crate) taken: Load,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) place: Place,
    /// Bytes of the job's committed records.
    pub(crate) stored: u64,
    /// Where its owner's are counted.
    pub(crate) account: Account,
    pub(crate) stopping: CancellationToken,
}

type Append = Pin<Box<dyn Future<Output = Result<CommittedBatch, AppendError>> + Send>>;

/// Requests that are confirmed once the record with this number is committed.
type Confirmations = VecDeque<(StreamSeq, oneshot::Sender<Result<(), Refusal>>)>;

impl JobTask {
    /// Drives the job to its end.
    #[tracing::instrument(name = "job", skip_all, fields(job = %self.job.id(), trace_id = self.trace()))]
    pub(crate) async fn run(mut self) {
        let mut append: Option<Append> = None;
        let mut confirmations = Confirmations::new();
        let over = loop {
            if append.is_none() {
                append = self.job.poll_append().map(|batch| start_append(&self.store, batch));
            }
            self.release_committed();
            if self.perform_effects() {
                break true;
            }
            self.publish(&mut confirmations);
            let deadline = self.job.poll_timeout();
            tokio::select! {
                result = appended(&mut append) => {
                    append = None;
                    if !self.handle_appended(result) {
                        break false;
                    }
                }
                Some(input) = self.inbox.recv() => self.handle_inputs(input, &mut confirmations),
                () = self.clock.sleep_until(deadline.map(|deadline| deadline.at)) => {
                    if deadline.is_some_and(|deadline| deadline.why == DeadlineReason::LeaseExpiry) {
                        self.pool.record_expiry(self.job.id(), self.job.accepted());
                    }
                    self.job.handle_timeout(self.clock.now());
                }
                // The job stays open in the store, and the next start takes it up.
                () = self.stopping.cancelled() => break false,
            }
        };
        self.publish(&mut confirmations);
        self.finish(over).await;
    }

    /// The job's trace, for log lines.
    fn trace(&self) -> Option<&str> {
        self.job.accepted().trace_id.as_ref().map(TraceId::as_str)
    }

    fn handle_inputs(&mut self, first: JobInput, confirmations: &mut Confirmations) {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(input) = next {
            taken += if let JobInput::Reports { reports, .. } = &input { reports.len() } else { 1 };
            self.handle_input(input, confirmations);
            next = if taken < INPUTS_PER_APPEND { self.inbox.try_recv().ok() } else { None };
        }
    }

    fn handle_input(&mut self, input: JobInput, confirmations: &mut Confirmations) {
        let now = self.clock.now();
        match input {
            JobInput::Attached { worker, fence } => self.job.handle_attached(now, worker, fence),
            JobInput::WorkerLost { worker, lost } => self.job.handle_worker_lost(now, worker, lost),
            JobInput::Abandon { message } => self.job.handle_abandoned(now, message),
            JobInput::Reports { fence, first, reports } => {
                self.taken += Load::of(&reports);
                let mut worker_seq = first;
                for report in reports {
                    if let Err(error) = self.job.handle_report(now, fence, worker_seq, report) {
                        tracing::warn!(%error, "a report was not taken in; its worker is dropped");
                        self.pool.drop_link(fence);
                        return;
                    }
                    worker_seq = worker_seq.next();
                }
            }
            JobInput::Cancel { by, reason, confirmed } => match self.job.handle_cancel(now, Some(by), reason) {
                Ok(at) => confirmations.push_back((at, confirmed)),
                Err(refusal) => answer(confirmed, Err(refusal)),
            },
        }
    }

    /// Takes the store's answer in. Answers whether the job can go on.
    fn handle_appended(&mut self, result: Result<CommittedBatch, AppendError>) -> bool {
        let now = self.clock.now();
        match result {
            Ok(committed) => {
                let bytes = committed.body_bytes() as u64;
                self.stored += bytes;
                self.account.add(bytes);
                self.job.handle_committed(now);
            }
            Err(
                AppendError::Conflict { .. }
                | AppendError::Document { .. }
                | AppendError::TooLarge { .. }
                | AppendError::Closed,
            ) => {
                // Another writer owns the job, or the store is gone: nothing this task could decide counts any more.
                tracing::error!("the journal takes no more records of this job from this gateway");
                return false;
            }
            Err(AppendError::Store { kind, source }) => {
                tracing::error!(%kind, %source, "records were not appended and will be offered again");
                self.job.handle_refused(now);
            }
        }
        true
    }

    /// Makes room for as many reports as are committed, or were dropped.
    fn release_committed(&mut self) {
        let (reports, bytes) = self.job.uncommitted();
        let done = self.taken.beyond(Load { reports, bytes });
        self.taken -= done;
        self.intake.release(done);
    }

    /// Performs what is due. Answers whether the job is over.
    fn perform_effects(&mut self) -> bool {
        let job = self.job.id();
        let mut over = false;
        while let Some(effect) = self.job.poll_effect() {
            match effect {
                Effect::Dispatch => self.pool.enqueue(&self.job),
                Effect::Acknowledge { fence, worker_seq } => self.pool.acknowledge(fence, job, worker_seq),
                Effect::Cancel { fence, reason, grace } => self.pool.cancel(fence, job, reason, grace),
                Effect::Kill { fence } => self.pool.kill(fence, job),
                // No job is given a credential yet.
                Effect::Rotate { .. } | Effect::RevokePrior { .. } => {}
                Effect::Revoke => self.job.handle_revoked(self.clock.now()),
                Effect::Release => over = true,
            }
        }
        over
    }

    /// Tells what is committed to those who wait for it.
    fn publish(&mut self, confirmations: &mut Confirmations) {
        let head = self.job.head();
        while confirmations.front().is_some_and(|(at, _)| *at <= head) {
            if let Some((_, confirmed)) = confirmations.pop_front() {
                answer(confirmed, Ok(()));
            }
        }
        // The status is told only with the record that brought it about.
        let status = if self.job.is_settled() { self.job.status() } else { self.progress.borrow().status };
        if status != Status::Pending {
            self.place.leave_queue();
        }
        let now = Progress { status, head, acknowledged: self.job.acknowledged() };
        self.progress.send_if_modified(|progress| std::mem::replace(progress, now) != now);
    }

    async fn finish(self, over: bool) {
        let Self { job, clock, registry, index, pool, place, inbox, stored, .. } = self;
        let id: JobId = job.id();
        // A job that is not over stays known: what its worker reports meanwhile is for the next start.
        if over {
            registry.remove(id);
            pool.release(id);
            if let Err(error) = index.end(clock.now(), id, job.accepted(), job.status(), stored).await {
                // As an open job it is found by the next start, which does it.
                tracing::warn!(%error, "the job's end is not in the index yet");
            }
            tracing::debug!(status = %job.status(), records = %job.head(), "the job is over");
        }
        drop((place, inbox));
    }
}

/// The store's answer, once there is an append under way.
async fn appended(append: &mut Option<Append>) -> Result<CommittedBatch, AppendError> {
    match append {
        Some(append) => append.await,
        None => std::future::pending().await,
    }
}

fn start_append(store: &Arc<dyn Store>, batch: Batch) -> Append {
    let store = Arc::clone(store);
    Box::pin(async move { store.append(batch).await })
}

fn answer(to: oneshot::Sender<Result<(), Refusal>>, answer: Result<(), Refusal>) {
    // Whoever asked may have stopped waiting; the request stands.
    if to.send(answer).is_err() {
        tracing::debug!("nobody waits for the confirmation");
    }
}
