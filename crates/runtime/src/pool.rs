//! The workers that are attached, and which of them has which job.
//!
//! A job that is accepted waits here until a worker has room ([`Dispatcher`]), is started there, and is given back
//! when it is over. What a worker reports goes to the job's own task; what the task decides comes back as a message to
//! the worker. Nothing waits: a worker that does not take its messages, or sends more than its window allows, loses its
//! link, and nobody else notices.
//!
//! When a link ends its jobs end with it, as `WorkerLost`, and a worker that comes back is told to drop them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use moorline_core::dispatch::{Assignment, Dispatcher};
use moorline_core::job::Job;
use moorline_core::record::{Cause, Output};
use moorline_types::{EventKind, Fence, JobId, Json, Millis, Timestamp, WorkerId, WorkerSeq};
use moorline_worker::link::{LinkReceiver, LinkSender, SendError, WorkerLink};
use moorline_worker::message::{self, FailureCode, FromWorker, StartJob, StartRefusal, ToWorker};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::mailbox::Mailbox;
use crate::options::CheckEvent;
use crate::registry::{JobInput, Registry};
use crate::sync::lock;

/// See the module's documentation.
#[derive(Debug)]
pub struct Pool {
    registry: Arc<Registry>,
    clock: Clock,
    check_event: CheckEvent,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    dispatcher: Dispatcher,
    links: BTreeMap<Fence, Attached>,
    jobs: HashMap<JobId, Placed>,
    /// The grace for workers that attach although they are to leave.
    leaving: Option<Millis>,
}

/// A worker that is attached.
#[derive(Debug)]
struct Attached {
    worker: WorkerId,
    mailbox: Arc<Mailbox>,
    dropped: CancellationToken,
}

/// A job that waits for a worker, or has one.
#[derive(Debug)]
struct Placed {
    start: StartJob,
    max_runtime: Option<Millis>,
    on: Option<Fence>,
    started: bool,
}

impl Pool {
    pub(crate) fn new(registry: Arc<Registry>, clock: Clock, check_event: CheckEvent) -> Self {
        Self { registry, clock, check_event, state: Mutex::default() }
    }

    /// How many workers are attached.
    pub fn workers(&self) -> usize {
        lock(&self.state).links.len()
    }

    /// Finds a worker for a job that was accepted.
    pub(crate) fn enqueue(&self, job: &Job) {
        let Some(agent) = job.agent() else {
            tracing::error!(job = %job.id(), "the job's record names no valid agent");
            return;
        };
        let accepted = job.accepted();
        let start = StartJob {
            job: job.id(),
            agent: agent.clone(),
            input: accepted.input.clone(),
            lease: accepted.lease.clone(),
            trace_id: accepted.trace_id,
            deadline: None,
            accepted_at: job.accepted_at(),
        };
        let max_runtime = accepted.max_runtime_sec.map(Millis::from_secs);
        let mut state = lock(&self.state);
        state.jobs.insert(job.id(), Placed { start, max_runtime, on: None, started: false });
        state.dispatcher.handle_job(job.id(), agent);
        state.dispatch(self.clock.now());
    }

    /// A job is over.
    pub(crate) fn release(&self, job: JobId) {
        let mut state = lock(&self.state);
        state.jobs.remove(&job);
        state.dispatcher.handle_job_ended(job);
        state.dispatch(self.clock.now());
    }

    pub(crate) fn acknowledge(&self, fence: Fence, job: JobId, seq: WorkerSeq) {
        self.send(fence, ToWorker::Ack { job, seq });
    }

    pub(crate) fn cancel(&self, fence: Fence, job: JobId, reason: String, grace: Millis) {
        self.send(fence, ToWorker::Cancel { job, reason, grace });
    }

    pub(crate) fn kill(&self, fence: Fence, job: JobId) {
        self.send(fence, ToWorker::Kill { job });
    }

    /// Ends a link whose worker does not keep to the protocol.
    pub(crate) fn drop_link(&self, fence: Fence) {
        if let Some(link) = lock(&self.state).links.get(&fence) {
            link.dropped.cancel();
        }
    }

    /// Asks every worker to end, its jobs within the grace; also those that attach from here on.
    pub fn shut_down_workers(&self, grace: Millis) {
        let mut state = lock(&self.state);
        state.leaving = Some(grace);
        for link in state.links.values() {
            link.send(ToWorker::Shutdown { grace });
        }
    }

    fn send(&self, fence: Fence, message: ToWorker) {
        if let Some(link) = lock(&self.state).links.get(&fence) {
            link.send(message);
        }
    }

    /// Serves a worker until its link ends. At shutdown the worker is told to leave, which ends the link.
    #[tracing::instrument(name = "worker", skip_all, fields(worker = %link.info.worker, fence = %link.sender.fence()))]
    pub async fn serve(&self, link: WorkerLink) {
        let WorkerLink { info, sender, mut receiver } = link;
        let (worker, fence) = (info.worker, sender.fence());
        let mailbox = Arc::new(Mailbox::default());
        let attached = Attached { worker, mailbox: Arc::clone(&mailbox), dropped: CancellationToken::new() };
        let dropped = attached.dropped.clone();
        tracing::info!(pid = info.pid, sdk = %info.sdk, "a worker is attached");
        for held in &info.held {
            tracing::warn!(job = %held.job, "the worker holds a job that has ended; it is told to drop it");
            attached.send(ToWorker::Kill { job: held.job });
        }
        {
            let mut state = lock(&self.state);
            if let Some(grace) = state.leaving {
                attached.send(ToWorker::Shutdown { grace });
            }
            state.links.insert(fence, attached);
            let offers = info.offers.into_iter().map(|offer| (offer.agent, offer.capacity as usize));
            state.dispatcher.handle_worker(fence, offers);
            state.dispatch(self.clock.now());
        }
        tokio::select! {
            () = self.receive(&mut receiver, worker, fence) => {}
            () = deliver(&mailbox, &sender) => {}
            () = dropped.cancelled() => tracing::warn!("the worker's link is dropped"),
        }
        self.detach(fence);
        tracing::info!("the worker is detached");
    }

    async fn receive(&self, receiver: &mut LinkReceiver, worker: WorkerId, fence: Fence) {
        loop {
            match receiver.recv().await {
                Ok(message) => self.handle(worker, fence, message),
                Err(end) => {
                    tracing::info!(reason = %end, "the worker's link has ended");
                    return;
                }
            }
        }
    }

    fn handle(&self, worker: WorkerId, fence: Fence, message: FromWorker) {
        match message {
            FromWorker::Started { job } => {
                if let Some(placed) = lock(&self.state).jobs.get_mut(&job)
                    && placed.on == Some(fence)
                {
                    placed.started = true;
                }
                if !self.tell(job, JobInput::Started { worker, fence }) {
                    self.kill(fence, job);
                }
            }
            FromWorker::Refused { job, reason } => self.handle_refused(fence, job, reason),
            FromWorker::Report { job, seq, at, report } => {
                let report = self.report(at, report);
                if !self.tell(job, JobInput::Report { fence, worker_seq: seq, report }) {
                    // The job is over: the worker need not keep what it says about it.
                    self.acknowledge(fence, job, seq);
                }
            }
        }
    }

    fn handle_refused(&self, fence: Fence, job: JobId, reason: StartRefusal) {
        tracing::info!(%job, %reason, "the worker does not take the job up; it waits for another");
        let mut state = lock(&self.state);
        if let Some(placed) = state.jobs.get_mut(&job)
            && placed.on == Some(fence)
        {
            placed.on = None;
            state.dispatcher.handle_refused(job);
            state.dispatch(self.clock.now());
        }
    }

    /// Hands a job its input. Answers whether there is such a job.
    fn tell(&self, job: JobId, input: JobInput) -> bool {
        let Some(handle) = self.registry.get(job) else { return false };
        match handle.inbox.try_send(input) {
            Ok(()) => true,
            Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) => false,
            Err(tokio::sync::mpsc::error::TrySendError::Full(input)) => {
                let fence = match input {
                    JobInput::Started { fence, .. }
                    | JobInput::Report { fence, .. }
                    | JobInput::WorkerLost { fence } => Some(fence),
                    JobInput::Cancel { .. } | JobInput::Abandon { .. } => None,
                };
                tracing::warn!(%job, "the worker reports more than its window allows");
                if let Some(fence) = fence {
                    self.drop_link(fence);
                }
                true
            }
        }
    }

    /// The report as the job takes it. An event that is not of its kind's shape is replaced by a log line that says
    /// so, under the same number: nothing else is lost for it.
    fn report(&self, at: Timestamp, report: message::Report) -> moorline_core::job::Report {
        use moorline_core::job::Report;
        match report {
            message::Report::Event { kind, body } => match (self.check_event)(&kind, &body) {
                Ok(()) => Report::Event { kind, ts: at, body },
                Err(problem) => Report::Event { kind: EventKind::Log, ts: at, body: dropped_event(&kind, &problem) },
            },
            message::Report::Result { output, summary } => {
                let output = match output {
                    message::Output::Inline(json) => Output::Inline(json),
                    message::Output::Streamed { result_id, result_size } => Output::Streamed { result_id, result_size },
                };
                Report::Result { output, summary }
            }
            message::Report::Failure(message::Failure { code, message, retryable, details }) => {
                Report::Failure { cause: cause(code), message, retryable, details }
            }
        }
    }

    /// A link has ended: jobs that its worker had taken up are lost with it, the others wait again.
    fn detach(&self, fence: Fence) {
        let lost: Vec<JobId> = {
            let mut state = lock(&self.state);
            state.links.remove(&fence);
            state.dispatcher.handle_worker_gone(fence);
            let (started, waiting): (Vec<_>, Vec<_>) = state
                .jobs
                .iter_mut()
                .filter(|(_, placed)| placed.on == Some(fence))
                .map(|(job, placed)| {
                    placed.on = None;
                    (*job, placed.start.agent.clone(), placed.started)
                })
                .partition(|(_, _, started)| *started);
            for (job, agent, _) in waiting {
                state.dispatcher.handle_job(job, agent);
            }
            state.dispatch(self.clock.now());
            started.into_iter().map(|(job, _, _)| job).collect()
        };
        for job in lost {
            self.tell(job, JobInput::WorkerLost { fence });
        }
    }
}

impl State {
    /// Starts every job that has a worker now.
    fn dispatch(&mut self, now: Timestamp) {
        while let Some(Assignment { job, fence }) = self.dispatcher.poll() {
            let (Some(link), Some(placed)) = (self.links.get(&fence), self.jobs.get_mut(&job)) else {
                self.dispatcher.handle_job_ended(job);
                continue;
            };
            placed.on = Some(fence);
            placed.started = false;
            let deadline = placed.max_runtime.map(|length| now + length);
            tracing::debug!(%job, worker = %link.worker, "the job is given to a worker");
            link.send(ToWorker::Start(StartJob { deadline, ..placed.start.clone() }));
        }
    }
}

impl Attached {
    /// Hands a message to the link; a link that takes no more is dropped.
    fn send(&self, message: ToWorker) {
        if let Err(error) = self.mailbox.put(message) {
            tracing::warn!(worker = %self.worker, %error, "the worker does not take its messages");
            self.dropped.cancel();
        }
    }
}

/// Sends what is put into the mailbox until the link closes.
async fn deliver(mailbox: &Mailbox, sender: &LinkSender) {
    loop {
        match sender.send(mailbox.take().await).await {
            Ok(()) => {}
            Err(SendError::Closed) => return,
            // Its job waits for a worker until it is ended for that.
            Err(error @ SendError::TooLong { .. }) => tracing::error!(%error, "a message to the worker is not sent"),
        }
    }
}

const fn cause(code: FailureCode) -> Cause {
    match code {
        FailureCode::Cancelled => Cause::Cancelled,
        FailureCode::InvalidRequest => Cause::InvalidRequest,
        FailureCode::PermissionDenied => Cause::PermissionDenied,
        FailureCode::LeaseExpired => Cause::LeaseExpired,
        FailureCode::BudgetExhausted => Cause::BudgetExhausted,
        FailureCode::InternalError => Cause::Agent,
    }
}

/// What is recorded in the place of an event that is not of its kind's shape.
fn dropped_event(kind: &EventKind, problem: &str) -> Json {
    let message = format!("an event of kind {kind} was dropped: {problem}");
    Json::of(&serde_json::json!({ "level": "warn", "message": message })).unwrap_or_else(|_| Json::null())
}
