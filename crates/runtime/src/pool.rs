//! The workers that are attached, and which of them has which job.
//!
//! Who has what is decided by [`Placement`]; this carries it out. What a worker reports goes to the job's own task;
//! what the task decides comes back as a message to the worker. Nothing waits: a worker that does not take its
//! messages, or sends more than its window allows, loses its link, and nobody else notices.
//!
//! When a link ends its worker's jobs wait for its next one: the worker keeps what it has to report. That a worker is
//! gone is said by whoever watches its process ([`crate::workers`]).

mod delegation;
mod leftover;
mod report;
mod verdict;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use moorline_core::audit::{AuditAction, AuditEntry};
use moorline_core::credential::Provisioned;
use moorline_core::job::{Denied, Job, Lost, Report};
use moorline_core::placement::{Action, Placement};
use moorline_core::record::Accepted;
use moorline_types::{Capability, Fence, JobId, Millis, ResolvedAgent, Timestamp, WorkerId, WorkerSeq};
use moorline_worker::credential::Credential;
use moorline_worker::link::{LinkReceiver, LinkSender, SendError, WorkerLink};
use moorline_worker::message::{Answer, Ask, AskId, Command, FromWorker, HeldJob, StartJob, StartRefusal, ToWorker};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::intake::Load;
use crate::mailbox::{self, Mailbox};
use crate::options::CheckEvent;
use crate::registry::{JobHandle, JobInput, Registry};
use crate::sync::lock;
use crate::tasks::{TaskKind, Tasks};
use crate::workers::attachment_in_words;
pub(crate) use delegation::news;
use verdict::reason;
pub(crate) use verdict::verdict;

/// How long a worker that retires has to leave. It has no job any more.
const RETIRE_GRACE: Millis = Millis::from_secs(2);

/// See the module's documentation.
#[derive(Debug)]
pub struct Pool {
    registry: Arc<Registry>,
    clock: Clock,
    check_event: CheckEvent,
    tasks: Tasks,
    audit: Audit,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    placement: Placement,
    links: BTreeMap<Fence, Attached>,
    starts: HashMap<JobId, Start>,
    /// Where the values of jobs' credentials are.
    credentials: Option<Credentials>,
    /// Whether the worker is attached, for whoever keeps it.
    attachments: HashMap<WorkerId, watch::Sender<bool>>,
    /// The grace for workers that attach although they are to leave.
    leaving: Option<Millis>,
}

/// A worker that is attached.
#[derive(Debug)]
struct Attached {
    worker: WorkerId,
    /// Which process of it.
    instance: u64,
    sender: LinkSender,
    /// What waits to be sent to a worker that is not in this process.
    mailbox: Arc<Mailbox>,
    dropped: CancellationToken,
}

/// Where a worker of another machine is, and what the operator calls it.
#[derive(Debug, Clone)]
pub struct Whence {
    /// Its address.
    pub from: IpAddr,
    /// Its name.
    pub name: String,
}

/// What a worker is told when it is given a job.
#[derive(Debug)]
struct Start {
    start: StartJob,
    max_runtime: Option<Millis>,
    expires_at: Option<Timestamp>,
    /// The credentials that it was accepted with.
    provisioned: Vec<Provisioned>,
}

impl Pool {
    pub(crate) fn new(
        registry: Arc<Registry>,
        clock: Clock,
        check_event: CheckEvent,
        tasks: Tasks,
        audit: Audit,
        credentials: Credentials,
    ) -> Self {
        let state = Mutex::new(State { credentials: Some(credentials), ..State::default() });
        Self { registry, clock, check_event, tasks, audit, state }
    }

    /// Somebody was not let in as a worker, perhaps one that has proven to be this worker.
    pub(crate) fn record_refusal(&self, reason: &str, worker: Option<WorkerId>, from: Option<IpAddr>) {
        let entry = AuditEntry::refused(self.clock.now(), AuditAction::WorkerAttach, reason);
        let (who, from) = (worker.map(|worker| worker.to_string()), from.map(|from| from.to_string()));
        self.audit.note(AuditEntry { who, from, ..entry });
    }

    /// A job has ended because its lease did.
    pub(crate) fn record_expiry(&self, job: JobId, accepted: &Accepted) {
        let entry = AuditEntry::allowed(self.clock.now(), AuditAction::LeaseExpiry);
        let owner = Some(accepted.principal.to_string());
        let reason = accepted.expires_at.map(|at| format!("the lease ended at {at}"));
        let object = Some(job.to_string());
        self.audit.note(AuditEntry { object, owner, reason, trace_id: accepted.trace_id, ..entry });
    }

    /// A job was denied an operation.
    pub(crate) fn record_denial(&self, job: &Job, capability: &Capability, target: &str, denied: &Denied) {
        let entry = AuditEntry::refused(self.clock.now(), AuditAction::Operation, &reason(capability, target, denied));
        let owner = Some(job.owner().to_string());
        let (object, trace_id) = (Some(job.id().to_string()), job.accepted().trace_id);
        self.audit.note(AuditEntry { who: owner.clone(), owner, object, trace_id, ..entry });
    }

    /// How many workers are attached.
    pub fn workers(&self) -> usize {
        lock(&self.state).links.len()
    }

    /// How many workers of an earlier run are still awaited.
    pub fn awaited(&self) -> usize {
        lock(&self.state).placement.awaited()
    }

    /// Finds a worker for a job that was accepted.
    pub(crate) fn enqueue(&self, job: &Job) {
        let Some((start, agent)) = Start::of(job) else { return };
        let mut state = lock(&self.state);
        state.starts.insert(job.id(), start);
        state.placement.handle_job(job.id(), agent);
        self.perform(state);
    }

    /// Tells a worker the present values of its job's credentials: it is asked once more to run what it runs.
    pub(crate) fn tell_credentials(&self, fence: Fence, job: JobId) {
        let state = lock(&self.state);
        if let (Some(link), Some(Start { start, provisioned, .. })) = (state.links.get(&fence), state.starts.get(&job))
        {
            let credentials = state.credentials_of(job, provisioned);
            link.send(ToWorker::Start(StartJob { credentials, ..start.clone() }));
        }
    }

    /// Takes up a job of an earlier run.
    pub(crate) fn recover(&self, job: &Job) {
        let Some((start, agent)) = Start::of(job) else { return };
        let mut state = lock(&self.state);
        state.starts.insert(job.id(), start);
        state.placement.handle_recovered(job.id(), agent, job.worker());
    }

    /// Every job of the earlier run was taken up.
    pub(crate) fn finish_recovery(&self) {
        let mut state = lock(&self.state);
        state.placement.handle_recovery_done();
        self.perform(state);
    }

    /// A job is over.
    pub(crate) fn release(&self, job: JobId) {
        let mut state = lock(&self.state);
        state.starts.remove(&job);
        state.placement.handle_ended(job);
        self.perform(state);
    }

    pub(crate) fn acknowledge(&self, fence: Fence, job: JobId, seq: WorkerSeq) {
        self.send(fence, ToWorker::Ack { job, seq });
    }

    pub(crate) fn cancel(&self, fence: Fence, job: JobId, reason: String, grace: Millis) {
        self.send(fence, ToWorker::Cancel { job, reason, grace });
    }

    pub(crate) fn answer(&self, fence: Fence, job: JobId, id: AskId, answer: Answer) {
        self.send(fence, ToWorker::Answer { job, id, answer });
    }

    /// Hands a command to the agent of a job. One that does not arrive, because the link is lost, is for the next
    /// attachment: whoever sends it sees that there is one.
    pub(crate) fn command(&self, fence: Fence, job: JobId, command: Command) {
        self.send(fence, ToWorker::Command { job, command });
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

    /// Whether workers are to end with the gateway.
    pub(crate) fn is_ending_workers(&self) -> bool {
        lock(&self.state).leaving.is_some()
    }

    /// A worker of an earlier run is awaited. What is returned tells whether it is attached.
    pub(crate) fn await_worker(
        &self,
        worker: WorkerId,
        agents: impl IntoIterator<Item = ResolvedAgent>,
    ) -> watch::Receiver<bool> {
        let mut state = lock(&self.state);
        state.placement.handle_awaited(worker, agents);
        state.attachment(worker).subscribe()
    }

    /// A worker was started. What is returned tells whether it is attached.
    pub(crate) fn watch_worker(&self, worker: WorkerId) -> watch::Receiver<bool> {
        lock(&self.state).attachment(worker).subscribe()
    }

    /// The same of a worker that was started or is awaited; `None` if there is none of this name. Once it is gone there is
    /// nobody who would tell any more.
    pub(crate) fn watch_known_worker(&self, worker: WorkerId) -> Option<watch::Receiver<bool>> {
        lock(&self.state).attachments.get(&worker).map(watch::Sender::subscribe)
    }

    /// A worker takes no more jobs, and is told to leave when it has none.
    pub(crate) fn retire(&self, worker: WorkerId) {
        let mut state = lock(&self.state);
        state.placement.handle_retiring(worker);
        self.perform(state);
    }

    /// A worker will not come back.
    pub(crate) fn worker_gone(&self, worker: WorkerId, lost: Lost) {
        let mut state = lock(&self.state);
        state.attachments.remove(&worker);
        state.placement.handle_worker_gone(worker, lost);
        self.perform(state);
    }

    /// A worker is not wanted any more: its link is closed, and its jobs end.
    pub(crate) fn dismiss(&self, worker: WorkerId, lost: Lost) {
        for link in lock(&self.state).links.values().filter(|link| link.worker == worker) {
            link.dropped.cancel();
        }
        self.worker_gone(worker, lost);
    }

    /// Whether a worker is attached, and which process of it then is.
    pub(crate) fn instance_of(&self, worker: WorkerId) -> Option<u64> {
        lock(&self.state).links.values().find(|link| link.worker == worker).map(|link| link.instance)
    }

    /// A worker of an earlier run is gone, as is found before that run's jobs are taken up.
    pub(crate) fn found_gone(&self, worker: WorkerId, lost: Lost) {
        lock(&self.state).placement.handle_found_gone(worker, lost);
    }

    /// Which reports of the jobs that a worker holds are committed.
    pub(crate) fn committed(&self, held: &[HeldJob]) -> Vec<(JobId, WorkerSeq)> {
        let acknowledged = |held: &HeldJob| {
            let handle = self.registry.get(held.job)?;
            let acknowledged = handle.progress.borrow().acknowledged;
            Some((held.job, acknowledged))
        };
        held.iter().filter_map(acknowledged).collect()
    }

    fn send(&self, fence: Fence, message: ToWorker) {
        if let Some(link) = lock(&self.state).links.get(&fence) {
            link.send(message);
        }
    }

    /// Serves a worker until its link ends. At shutdown the worker is told to leave, which ends the link, or left
    /// alone.
    #[tracing::instrument(name = "worker", skip_all, fields(worker = %link.info.worker, fence = %link.sender.fence()))]
    pub async fn serve(&self, link: WorkerLink, whence: Option<Whence>) {
        let WorkerLink { info, sender, mut receiver } = link;
        let (worker, fence) = (info.worker, sender.fence());
        let mailbox = Arc::new(Mailbox::default());
        let attached = Attached {
            worker,
            instance: info.instance,
            sender: sender.clone(),
            mailbox: Arc::clone(&mailbox),
            dropped: CancellationToken::new(),
        };
        let dropped = attached.dropped.clone();
        tracing::info!(pid = info.pid, sdk = %info.sdk, holds = info.held.len(), "a worker is attached");
        let offers: Vec<_> = info.offers.iter().map(|offer| offer.agent.to_string()).collect();
        let (from, name) = whence.map(|Whence { from, name }| (from.to_string(), format!("{name}, "))).unzip();
        let reason = format!(
            "{}process {}, {}, {}, holding {} jobs, offering {}",
            name.unwrap_or_default(),
            info.pid,
            info.sdk,
            attachment_in_words(fence),
            info.held.len(),
            offers.join(", ")
        );
        {
            let mut state = lock(&self.state);
            if let Some(grace) = state.leaving {
                attached.send(ToWorker::Shutdown { grace });
            }
            state.links.insert(fence, attached);
            let offers = info.offers.into_iter().map(|offer| (offer.agent, offer.capacity as usize));
            let held: Vec<_> = info.held.iter().map(|held| held.job).collect();
            state.placement.handle_attached(worker, fence, offers, &held);
            state.attachment(worker).send_replace(true);
            self.perform(state);
        }
        let allowed = AuditEntry::allowed(self.clock.now(), AuditAction::WorkerAttach);
        let entry = AuditEntry { who: Some(worker.to_string()), from, ..allowed.because(&reason) };
        self.audit.note(entry);
        tokio::select! {
            () = self.receive(&mut receiver, worker, fence) => {}
            () = deliver(&mailbox, &sender) => {}
            () = dropped.cancelled() => tracing::warn!("the worker's link is closed by this side"),
            () = self.left_alone() => tracing::info!("the worker is left to the next start"),
        }
        self.detach(worker, fence);
        tracing::info!("the worker is detached");
    }

    /// Returns when the gateway stops without ending its workers.
    async fn left_alone(&self) {
        self.tasks.stopping().cancelled().await;
        if self.is_ending_workers() {
            std::future::pending().await
        }
    }

    async fn receive(&self, receiver: &mut LinkReceiver, worker: WorkerId, fence: Fence) {
        loop {
            match receiver.recv_all().await {
                Ok(messages) => self.handle(worker, fence, messages),
                Err(end) => {
                    tracing::info!(reason = %end, "the worker's link has ended");
                    return;
                }
            }
        }
    }

    fn handle(&self, worker: WorkerId, fence: Fence, messages: Vec<FromWorker>) {
        let mut messages = messages.into_iter().peekable();
        while let Some(message) = messages.next() {
            match message {
                FromWorker::Started { job } => self.handle_started(worker, fence, job),
                FromWorker::Refused { job, reason } => self.handle_refused(fence, job, reason),
                FromWorker::Ask { job, id, after, ask } => self.handle_ask(fence, job, (id, after, ask)),
                FromWorker::Report { job, seq, at, report } => {
                    let mut reports = vec![report::taken(self.check_event, at, report)];
                    let mut last = seq;
                    while let Some(FromWorker::Report { seq, at, report, .. }) =
                        messages.next_if(|next| follows(next, job, last))
                    {
                        reports.push(report::taken(self.check_event, at, report));
                        last = seq;
                    }
                    self.handle_reports(fence, job, seq, reports);
                }
            }
        }
    }

    fn handle_started(&self, worker: WorkerId, fence: Fence, job: JobId) {
        lock(&self.state).placement.handle_started(job, fence);
        if !self.tell(job, JobInput::Attached { worker, fence }) {
            self.kill(fence, job);
        }
    }

    /// A worker reports about a job, from the report with the number `first` on.
    fn handle_reports(&self, fence: Fence, job: JobId, first: WorkerSeq, reports: Vec<Report>) {
        let last = WorkerSeq::new(first.get() + reports.len() as u64 - 1);
        let Some(handle) = self.registry.get(job) else {
            // The job is over: the worker need not keep what it says about it.
            return self.acknowledge(fence, job, last);
        };
        let admitted = handle.intake.admit(Load::of(&reports));
        let input = JobInput::Reports { fence, first, reports };
        if admitted { self.put(job, &handle, input) } else { self.handle_overrun(job, &handle, input) }
    }

    /// A worker asks something about a job, behind its reports.
    fn handle_ask(&self, fence: Fence, job: JobId, (id, after, ask): (AskId, WorkerSeq, Ask)) {
        if !self.tell(job, JobInput::Ask { fence, id, after, ask }) {
            self.answer(fence, job, id, verdict::over());
        }
    }

    fn handle_refused(&self, fence: Fence, job: JobId, reason: StartRefusal) {
        tracing::info!(%job, %reason, "the worker does not take the job up; it waits for another");
        let mut state = lock(&self.state);
        state.placement.handle_refused(job, fence);
        self.perform(state);
    }

    /// Hands a job its input. Answers whether the job is open: not whether it was told, because one that this gateway
    /// does not drive any more is for the next start.
    fn tell(&self, job: JobId, input: JobInput) -> bool {
        let Some(handle) = self.registry.get(job) else { return false };
        self.put(job, &handle, input);
        true
    }

    fn put(&self, job: JobId, handle: &JobHandle, input: JobInput) {
        match handle.inbox.try_send(input) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(input)) => self.handle_overrun(job, handle, input),
        }
    }

    /// A job's inbox has room for twice the window of its worker's reports and some.
    fn handle_overrun(&self, job: JobId, handle: &JobHandle, input: JobInput) {
        match input {
            JobInput::Attached { fence, .. } | JobInput::Reports { fence, .. } | JobInput::Ask { fence, .. } => {
                tracing::warn!(%job, "the worker reports more than its window allows");
                self.drop_link(fence);
            }
            // Nobody says it again, so it waits for room.
            JobInput::WorkerLost { .. }
            | JobInput::Cancel { .. }
            | JobInput::Remaining { .. }
            | JobInput::Rotate { .. }
            | JobInput::Delegate { .. }
            | JobInput::CancelByParent
            | JobInput::ChildEnded { .. }
            | JobInput::ChildMissing { .. }
            | JobInput::FamilyRecovered
            | JobInput::Shortened { .. }
            | JobInput::Abandon { .. } => {
                let inbox = handle.inbox.clone();
                self.tasks.spawn(TaskKind::Job, async move {
                    if inbox.send(input).await.is_err() {
                        tracing::debug!(%job, "the job was over before it could be told");
                    }
                });
            }
        }
    }

    /// A link has ended.
    fn detach(&self, worker: WorkerId, fence: Fence) {
        let mut state = lock(&self.state);
        state.links.remove(&fence);
        if state.placement.worker_at(fence).is_some()
            && let Some(attachment) = state.attachments.get(&worker)
        {
            attachment.send_replace(false);
        }
        state.placement.handle_link_lost(fence);
        self.perform(state);
    }

    /// Carries out what the placement has decided. Jobs are told when the lock is given back.
    fn perform(&self, mut state: MutexGuard<'_, State>) {
        let now = self.clock.now();
        let mut told = Vec::new();
        while let Some(action) = state.placement.poll() {
            told.extend(state.perform(now, action));
        }
        drop(state);
        for (job, input) in told {
            self.tell(job, input);
        }
    }
}

impl State {
    fn attachment(&mut self, worker: WorkerId) -> &watch::Sender<bool> {
        self.attachments.entry(worker).or_insert_with(|| watch::Sender::new(false))
    }

    /// Carries an action out, but for telling a job, which is returned.
    fn perform(&mut self, now: Timestamp, action: Action) -> Option<(JobId, JobInput)> {
        match action {
            Action::Start { job, fence } => {
                if let (Some(link), Some(Start { start, max_runtime, expires_at, provisioned })) =
                    (self.links.get(&fence), self.starts.get(&job))
                {
                    tracing::debug!(%job, worker = %link.worker, "the job is given to a worker");
                    let runtime = max_runtime.map(|length| now + length);
                    let deadline = [runtime, *expires_at].into_iter().flatten().min();
                    let credentials = self.credentials_of(job, provisioned);
                    link.send(ToWorker::Start(StartJob { deadline, credentials, ..start.clone() }));
                }
                None
            }
            Action::Attach { job, worker, fence } => Some((job, JobInput::Attached { worker, fence })),
            Action::Lose { job, worker, lost } => {
                tracing::warn!(%job, %worker, ?lost, "the job's worker will not finish it");
                Some((job, JobInput::WorkerLost { worker, lost }))
            }
            Action::Drop { job, fence } => {
                tracing::info!(%job, %fence, "the worker holds a job that it is not to run; it is told to drop it");
                self.send(fence, ToWorker::Kill { job });
                None
            }
            Action::Leave { fence } => {
                tracing::info!(%fence, "a worker that is replaced has no job left; it is told to leave");
                self.send(fence, ToWorker::Shutdown { grace: RETIRE_GRACE });
                None
            }
            Action::Close { fence } => {
                if let Some(link) = self.links.get(&fence) {
                    link.dropped.cancel();
                }
                None
            }
        }
    }

    fn send(&self, fence: Fence, message: ToWorker) {
        if let Some(link) = self.links.get(&fence) {
            link.send(message);
        }
    }
}

impl State {
    /// The values of this moment: one may have been replaced while the job waited.
    fn credentials_of(&self, job: JobId, provisioned: &[Provisioned]) -> Vec<Credential> {
        self.credentials.as_ref().map(|given| given.for_agent(job, provisioned)).unwrap_or_default()
    }
}

impl Start {
    /// What is said about the job, and which agent runs it.
    fn of(job: &Job) -> Option<(Self, ResolvedAgent)> {
        let Some(agent) = job.agent() else {
            tracing::error!(job = %job.id(), "the job's record names no valid agent");
            return None;
        };
        let accepted = job.accepted();
        let start = StartJob {
            job: job.id(),
            agent: agent.clone(),
            input: accepted.input.clone(),
            lease: accepted.lease.clone(),
            trace: accepted.trace_context(job.id()),
            deadline: None,
            accepted_at: job.accepted_at(),
            credentials: Vec::new(),
        };
        let max_runtime = accepted.max_runtime_sec.map(Millis::from_secs);
        let (expires_at, provisioned) = (accepted.expires_at, accepted.credentials.clone());
        Some((Self { start, max_runtime, expires_at, provisioned }, agent))
    }
}

impl Attached {
    /// Hands a message over, or to the link; a link that takes no more is dropped.
    fn send(&self, message: ToWorker) {
        let sent = match self.sender.hand_over(message) {
            Ok(None) => return,
            Ok(Some(message)) => self.mailbox.put(message).map_err(NotSent::from),
            Err(error) => Err(NotSent::from(error)),
        };
        if let Err(error) = sent {
            tracing::warn!(worker = %self.worker, %error, "the worker does not take its messages");
            self.dropped.cancel();
        }
    }
}

/// Why a worker was not told something.
#[derive(Debug, thiserror::Error)]
enum NotSent {
    #[error(transparent)]
    Full(#[from] mailbox::Full),
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Whether a message is a report about `job`, and the one after `last`.
fn follows(message: &FromWorker, job: JobId, last: WorkerSeq) -> bool {
    matches!(message, FromWorker::Report { job: of, seq, .. } if *of == job && *seq == last.next())
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
