//! The gateway: everything that sessions, jobs and workers share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use moorline_core::Refusal;
use moorline_core::access::Action;
use moorline_core::job::{Job, JobLimits, RecoverError, Recovery, Status};
use moorline_core::record::{Accepted, Fact};
use moorline_store::{
    AppendError, Change, CommittedBatch, PutError, ReadError, ReadLimit, Store, StoreFault, WriteError,
};
use moorline_types::{
    Batch, EventKind, JobId, Principal, PrincipalId, Quotas, Record, RecordKind, ResolvedAgent, SessionId, StreamId,
    StreamSeq, Timestamp,
};
use tokio::sync::{RwLock, RwLockReadGuard, oneshot};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::agents::Agents;
use crate::audit::Audit;
use crate::claims::Claims;
use crate::clock::Clock;
use crate::credentials::{Credentials, ISSUE_PATIENCE};
use crate::ended::Ended;
use crate::events::JobEvents;
use crate::job_index::{End, JobIndex};
use crate::job_lists;
use crate::jobs::Jobs;
use crate::last_seen::LastSeen;
use crate::metrics::Metrics;
use crate::mint::NoEntropy;
use crate::open_jobs::OpenJobs;
use crate::options::RuntimeOptions;
use crate::pool::Pool;
use crate::prologue::Prologue;
use crate::recent::RecentJobs;
use crate::registry::{JobInput, Registry};
use crate::ruled::Ruled;
use crate::sessions::Sessions;
use crate::spans::{FinishedSpans, SessionSpans, Spans};
use crate::stored::StoredBytes;
use crate::tasks::Tasks;
use crate::view::Delivery;

mod accept;
mod backend;
mod budget;
mod delegate;
mod gc;
mod list;
mod repeat;
pub(crate) mod retention;
mod rotate;
mod sessions;
pub(crate) mod shorten;
mod usage;

pub(crate) use accept::Candidate;
pub use gc::{GcRequest, GcStep};
pub use list::{JobPage, JobQuery, ListedJob};
pub(crate) use repeat::Submission;
use retention::Turns;

/// How long the end of one job may take to be recorded at shutdown. A commit takes milliseconds; a store that refuses
/// for longer than this will not recover before the process is to be gone.
const ABANDON_PATIENCE: Duration = Duration::from_secs(3);

/// How long a request to cancel may take to become durable before its sender is told that it has not yet. Its
/// connection does nothing else meanwhile, and a heartbeat interval is not shorter.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(5);

/// Jobs of the last run that are read at once: one for each thread that reads the store, one that is taken in, and one
/// that waits. Each has a page of records in memory.
const RECOVERED_AT_ONCE: usize = 4;

/// See the module's documentation. Cheap to clone; clones are the same gateway.
#[derive(Debug, Clone)]
pub struct Gateway(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    clock: Clock,
    options: RuntimeOptions,
    agents: Arc<Agents>,
    registry: Arc<Registry>,
    pool: Arc<Pool>,
    jobs: Arc<Jobs>,
    open_jobs: OpenJobs,
    index: JobIndex,
    ended: Ended,
    /// The jobs that are being removed. A job may be subscribed to under this lock only.
    going: RwLock<BTreeSet<JobId>>,
    audit: Audit,
    claims: Claims,
    credentials: Credentials,
    last_seen: LastSeen,
    metrics: Metrics,
    sessions: Arc<Sessions>,
    stored: StoredBytes,
    admission: Admission,
    retaining: Turns,
    tasks: Tasks,
    draining: CancellationToken,
}

/// What is known about a job.
#[derive(Debug, Clone)]
pub struct JobSummary {
    /// Its id.
    pub job: JobId,
    /// What was asked for.
    pub accepted: Arc<Accepted>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Where it stands, as far as it is committed.
    pub status: Status,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum RecoverJobsError {
    /// The store cannot be read.
    #[error("the jobs and sessions of the last run cannot be read")]
    Read(#[from] ReadError),
}

impl Gateway {
    /// A gateway over `store`, with these agents. Call [`Gateway::recover`] before the doors open.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        options: RuntimeOptions,
        agents: impl IntoIterator<Item = (ResolvedAgent, bool)>,
        tasks: Tasks,
    ) -> Self {
        let credentials = Credentials::new(Arc::clone(&store), clock.clone(), None, None);
        Self::with_credentials(store, clock, options, agents, tasks, credentials)
    }

    /// The same, whose jobs are given credentials for an upstream. They are in the same store.
    pub fn with_credentials(
        store: Arc<dyn Store>,
        clock: Clock,
        options: RuntimeOptions,
        agents: impl IntoIterator<Item = (ResolvedAgent, bool)>,
        tasks: Tasks,
        credentials: Credentials,
    ) -> Self {
        let agents = Arc::new(Agents::new(agents));
        let registry = Arc::new(Registry::default());
        let open_jobs = OpenJobs::new(Arc::clone(&store));
        let stored = StoredBytes::default();
        let spans = Spans::default();
        let told = SessionSpans { spans: spans.clone(), participation: options.tracing };
        let sessions = Arc::new(Sessions::new(Arc::clone(&store), options.resume_window, stored.clone(), told));
        let index = JobIndex::start(Arc::clone(&store), &tasks);
        let ended = Ended::new(Arc::clone(&store));
        let claims = Claims::new(Arc::clone(&store));
        let admission = Admission::of_this_machine(clock.steady());
        let audit = Audit::start(Arc::clone(&store), clock.clone(), &tasks);
        let check = options.check_event;
        let (watched, given) = (audit.clone(), credentials.clone());
        let pool = Arc::new(Pool::new(Arc::clone(&registry), clock.clone(), check, tasks.clone(), watched, given));
        let draining = CancellationToken::new();
        let jobs = Arc::new(Jobs {
            store: Arc::clone(&store),
            clock: clock.clone(),
            agents: Arc::clone(&agents),
            registry: Arc::clone(&registry),
            recent: RecentJobs::default(),
            pool: Arc::clone(&pool),
            index: index.clone(),
            credentials: credentials.clone(),
            limits: job_limits(&options),
            quotas: options.quotas,
            stored: stored.clone(),
            spans,
            tasks: tasks.clone(),
            draining: draining.clone(),
        });
        Self(Arc::new(Shared {
            store,
            clock,
            options,
            agents,
            registry,
            pool,
            jobs,
            open_jobs,
            index,
            ended,
            going: RwLock::default(),
            audit,
            claims,
            credentials,
            last_seen: LastSeen::default(),
            metrics: Metrics::new(),
            sessions,
            stored,
            admission,
            retaining: Turns::default(),
            tasks,
            draining,
        }))
    }

    /// The agents.
    pub fn agents(&self) -> &Arc<Agents> {
        &self.0.agents
    }

    /// What the operator decided.
    pub fn options(&self) -> &RuntimeOptions {
        &self.0.options
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The workers.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.0.pool
    }

    /// The credentials of jobs.
    pub fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }

    /// Where tasks are spawned.
    pub fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// Cancelled when the gateway takes no new work.
    pub fn draining(&self) -> &CancellationToken {
        &self.0.draining
    }

    /// Has finished spans kept for an exporter from here on. `None` if there is one already.
    pub fn export_spans(&self) -> Option<FinishedSpans> {
        self.0.jobs.spans.export()
    }

    /// How many jobs have not ended.
    pub fn open_jobs(&self) -> usize {
        self.0.registry.len()
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// What is counted, in the text form of OpenMetrics.
    pub fn metrics_text(&self) -> String {
        self.0.metrics.text(self.open_jobs(), self.0.sessions.all().len())
    }

    /// Whether the store can commit.
    pub async fn is_ready(&self) -> bool {
        !self.0.draining.is_cancelled() && self.0.store.probe().await.is_ok()
    }

    fn count_submit(&self, principal: &PrincipalId, per_sec: Option<u64>) -> Result<(), Refusal> {
        if let Some(per_sec) = per_sec {
            self.0.registry.count_submit(self.now(), principal, per_sec)?;
        }
        Ok(())
    }

    /// How much the principal may have.
    pub(crate) fn quotas_of(&self, principal: &Principal) -> Quotas {
        principal.grants.quotas.or(self.0.options.quotas)
    }

    /// Asks for a job's end. Answers when the request is durable.
    pub(crate) async fn cancel(
        &self,
        principal: &Principal,
        job: &str,
        reason: Option<String>,
        ruled: &Ruled,
    ) -> Result<JobId, Refusal> {
        let summary = self.find(principal, Action::Cancel, job, ruled).await?;
        let id = summary.job;
        let ended = || Refusal::JobEnded { status: summary.status };
        let Some(handle) = self.0.registry.get(id) else { return Err(ended()) };
        let (confirmed, confirmation) = oneshot::channel();
        let input = JobInput::Cancel { by: Some(principal.id.clone()), reason, confirmed };
        if handle.inbox.send(input).await.is_err() {
            return Err(self
                .find(principal, Action::Cancel, job, ruled)
                .await
                .map_or_else(|refusal| refusal, |summary| Refusal::JobEnded { status: summary.status }));
        }
        match tokio::time::timeout(CONFIRM_PATIENCE, confirmation).await {
            Ok(Ok(answer)) => answer.map(|()| id),
            // The job ended between the two.
            Ok(Err(_)) => {
                Err(Refusal::JobEnded { status: self.find(principal, Action::Cancel, job, ruled).await?.status })
            }
            Err(_) => Err(Refusal::StoreUnavailable { reason: "the request is kept and carried out when it can be" }),
        }
    }

    /// The job, if it exists for this principal and it may do this to it.
    pub(crate) async fn find(
        &self,
        principal: &Principal,
        action: Action,
        job: &str,
        ruled: &Ruled,
    ) -> Result<JobSummary, Refusal> {
        let not_found = || Refusal::JobNotFound { job: job.to_owned() };
        let id: JobId = job.parse().map_err(|_| not_found())?;
        let summary = self.summary(id).await.map_err(unavailable)?.ok_or_else(not_found)?;
        ruled.decide(principal, action, Some(&summary.accepted)).map_err(|denial| denial.of_job(job))?;
        Ok(summary)
    }

    /// The job as [`Gateway::find`] finds it, kept from being removed until the guard is dropped.
    pub(crate) async fn find_and_keep(
        &self,
        principal: &Principal,
        action: Action,
        job: &str,
        ruled: &Ruled,
    ) -> Result<(JobSummary, RwLockReadGuard<'_, BTreeSet<JobId>>), Refusal> {
        let going = self.0.going.read().await;
        let summary = self.find(principal, action, job, ruled).await?;
        if going.contains(&summary.job) {
            return Err(Refusal::JobNotFound { job: job.to_owned() });
        }
        Ok((summary, going))
    }

    /// What is known about a job, whoever's it is.
    async fn summary(&self, job: JobId) -> Result<Option<JobSummary>, ReadError> {
        let driven = self.0.registry.get(job).filter(|handle| !handle.inbox.is_closed());
        let Some(handle) = driven else {
            return match self.0.jobs.recent.get(job) {
                Some(known) => Ok(Some(known)),
                None => self.read_summary(job).await,
            };
        };
        let status = handle.status();
        Ok(Some(JobSummary { job, accepted: handle.accepted, accepted_at: handle.accepted_at, status }))
    }

    /// What the journal knows about a job that nobody drives.
    async fn read_summary(&self, job: JobId) -> Result<Option<JobSummary>, ReadError> {
        let stream = StreamId::Job(job);
        let one = ReadLimit::new(1, 1);
        let head = self.0.store.stream_head(stream).await?;
        let first = self.0.store.read_stream(stream, StreamSeq::FIRST, one).await?;
        let last = self.0.store.read_stream(stream, head, one).await?;
        let (Some(first), Some(last)) = (first.first(), last.first()) else { return Ok(None) };
        let mut first = Record::clone(first.get());
        if first.seq > StreamSeq::FIRST
            && let Some(prologue) = Prologue::load(self.0.store.as_ref(), job).await?
        {
            first = prologue.records(job).next().unwrap_or(first);
        }
        let Ok(Fact::Accepted(accepted)) = Fact::decode(&first) else {
            tracing::error!(%job, "a job's first record does not accept it");
            return Ok(None);
        };
        let status = ending(last.get()).unwrap_or(Status::Pending);
        Ok(Some(JobSummary { job, accepted: Arc::new(accepted), accepted_at: first.at, status }))
    }

    /// The last committed record of a job.
    pub(crate) async fn head_of(&self, job: JobId) -> Result<StreamSeq, ReadError> {
        self.stream_head(StreamId::Job(job)).await
    }

    /// The position of a stream's last record.
    async fn stream_head(&self, stream: StreamId) -> Result<StreamSeq, ReadError> {
        match self.0.store.tail().stream_head(stream) {
            Some(head) => Ok(head),
            None => self.0.store.stream_head(stream).await,
        }
    }

    /// The events of one kind of a job.
    pub(crate) fn events(&self, job: JobId, kind: EventKind) -> JobEvents {
        JobEvents::new(Arc::clone(&self.0.store), job, kind)
    }

    /// The session was given these records.
    pub(crate) fn note_seen(&self, session: SessionId, deliveries: &[Delivery]) {
        self.0.last_seen.note(session, deliveries);
        for delivery in deliveries {
            if let Some(status) = ending(delivery.record.get()) {
                self.0.registry.note_ended(delivery.job, status);
            }
        }
    }

    /// Appends a batch of a session's own.
    pub(crate) async fn append(
        &self,
        session: SessionId,
        owner: &PrincipalId,
        batch: Batch,
    ) -> Result<CommittedBatch, Refusal> {
        let committed = self.append_with(batch, Vec::new()).await?;
        let bytes = committed.body_bytes() as u64;
        self.0.stored.of(owner).add(bytes);
        self.0.sessions.note_bytes(session, bytes);
        Ok(committed)
    }

    async fn append_with(&self, batch: Batch, changes: Vec<Change>) -> Result<CommittedBatch, Refusal> {
        self.0.store.append_with(batch, changes).await.map_err(|error| {
            tracing::warn!(%error, "a batch was not appended");
            Refusal::StoreUnavailable { reason: append_reason(&error) }
        })
    }

    fn job_limits(&self) -> JobLimits {
        self.0.jobs.limits
    }

    /// Takes up what the last run of the gateway left unfinished. A job that a worker runs goes on when that worker is
    /// attached again, if it is awaited ([`crate::workers::Crew::recover`], to be called before this), and ends if it
    /// is not; a job that no worker runs waits for one.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn recover(&self) -> Result<(), RecoverJobsError> {
        job_lists::complete(&self.0.store).await?;
        self.count_ended().await?;
        self.0.sessions.recover(self.now()).await?;
        self.0.credentials.recover().await?;
        let mut recovered = 0_usize;
        let mut families = Vec::new();
        let ids = self.0.open_jobs.all().await?;
        // In order, and so that one is read while another is taken in.
        let mut jobs = stream::iter(ids).map(async |id| (id, self.recover_job(id).await)).buffered(RECOVERED_AT_ONCE);
        while let Some((id, job)) = jobs.next().await {
            let Some(job) = job? else {
                self.settle(id).await?;
                continue;
            };
            let stored = self.count_job(id, job.owner()).await?;
            let place = self.0.registry.reserve_again(job.owner());
            self.0.pool.recover(&job);
            if job.has_family() {
                families.push((job.id(), job.open_children().collect::<Vec<_>>()));
            }
            self.0.jobs.start(job, place, stored);
            recovered += 1;
        }
        self.0.index.settle().await;
        // Before anything is issued for children that are to be: what there is of them was issued for the last run.
        self.0.credentials.settle(|job| self.0.registry.get(job).is_some());
        self.reunite(families).await?;
        self.0.pool.finish_recovery();
        self.0.credentials.start(&self.0.tasks);
        if recovered > 0 {
            tracing::info!(jobs = recovered, "jobs of the last run are taken up");
        }
        self.start_sweeping();
        self.start_retaining();
        Ok(())
    }

    /// Tells parents of children that have ended, which they may not have been told before, and lets them tell those that
    /// have not.
    async fn reunite(&self, families: Vec<(JobId, Vec<JobId>)>) -> Result<(), ReadError> {
        for (parent, children) in families {
            for child in children {
                // One that has a task tells its end itself.
                if self.0.registry.get(child).is_none() {
                    let ending = self.read_job(child).await?.and_then(|job| job.ending());
                    let ended = |ending| JobInput::ChildEnded { ending: Box::new(ending) };
                    self.tell(parent, ending.map_or(JobInput::ChildMissing { child }, ended)).await;
                }
            }
            self.tell(parent, JobInput::FamilyRecovered).await;
        }
        Ok(())
    }

    /// Finishes what a crash left of a job that never began or is over.
    async fn settle(&self, id: JobId) -> Result<(), ReadError> {
        match self.read_summary(id).await? {
            Some(JobSummary { accepted, status, .. }) if status.is_terminal() => {
                let stored = self.count_job(id, &accepted.principal).await?;
                self.0.index.note_begun(id, Arc::clone(&accepted));
                // What was left of its budget is asked for seldom, and read from its records then.
                let end = End { status, remaining: BTreeMap::new(), bytes: stored };
                self.0.index.note_ended(self.now(), id, &accepted, end);
                return Ok(());
            }
            Some(JobSummary { accepted, .. }) => {
                self.count_job(id, &accepted.principal).await?;
            }
            None => {
                if let Some(owner) = self.0.open_jobs.owner(id).await? {
                    self.0.index.remove(id, &owner).await;
                }
            }
        }
        self.0.open_jobs.remove(id).await;
        Ok(())
    }

    /// The job from its records; `None` if it never began or is over.
    async fn recover_job(&self, id: JobId) -> Result<Option<Job>, ReadError> {
        let job = self.read_job(id).await?;
        Ok(job.filter(|job| !(job.status().is_terminal() && job.is_settled())))
    }

    /// The job from its records; `None` if there are none or they make no job. No more than a page of them is in memory.
    async fn read_job(&self, id: JobId) -> Result<Option<Job>, ReadError> {
        const PAGE: ReadLimit = ReadLimit::new(4096, 1024 * 1024);
        let mut recovery = None;
        let mut next = StreamSeq::FIRST;
        if let Some(prologue) = Prologue::load(self.0.store.as_ref(), id).await? {
            next = prologue.through().next();
            let records: Vec<_> = prologue.records(id).collect();
            if let Err(error) = self.replay(id, &mut recovery, records.iter()) {
                tracing::error!(job = %id, %error, "a job of the last run cannot be recovered and stays as it is");
                return Ok(None);
            }
            if let Some(recovery) = &mut recovery {
                recovery.pass_over(prologue.through(), prologue.reported());
            }
            // What a crash has left of what was to go.
            if let Err(error) = self.0.store.trim_stream(StreamId::Job(id), next).await {
                tracing::warn!(job = %id, %error, "records that are not needed any more stay for now");
            }
        }
        loop {
            let page = self.0.store.read_stream(StreamId::Job(id), next, PAGE).await?;
            let Some(last) = page.last() else { break };
            next = last.seq.next();
            if let Err(error) = self.replay(id, &mut recovery, page.iter().map(|record| record.get().as_ref())) {
                tracing::error!(job = %id, %error, "a job of the last run cannot be recovered and stays as it is");
                return Ok(None);
            }
        }
        Ok(recovery.map(|recovery| recovery.finish(self.now())))
    }

    fn replay<'a>(
        &self,
        id: JobId,
        recovery: &mut Option<Recovery>,
        records: impl Iterator<Item = &'a Record>,
    ) -> Result<(), RecoverError> {
        for record in records {
            match recovery {
                Some(recovery) => recovery.replay(record)?,
                None => *recovery = Some(Recovery::begin(id, record, self.job_limits())?),
            }
        }
        Ok(())
    }

    async fn tell(&self, job: JobId, input: JobInput) {
        if let Some(handle) = self.0.registry.get(job)
            && handle.inbox.send(input).await.is_err()
        {
            tracing::debug!(%job, "the job was over before it could be told");
        }
    }

    /// Takes no new work from here on.
    pub fn close(&self) {
        self.0.draining.cancel();
    }

    /// Takes no new work, and waits until every job has ended, but not past `deadline`. Jobs that have not ended then
    /// are ended, honestly.
    pub async fn drain(&self, deadline: Timestamp) {
        self.close();
        let clock = self.0.clock.clone();
        let patience = clock.sleep_until(Some(deadline));
        tokio::pin!(patience);
        for (job, handle) in self.0.registry.all() {
            tokio::select! {
                () = handle.inbox.closed() => {}
                () = &mut patience => {
                    tracing::warn!(%job, "the job has not ended within the grace of the shutdown");
                    break;
                }
            }
        }
        // Children before those that delegated them, who wait for their end.
        for (job, handle) in self.0.registry.all().into_iter().rev() {
            let message = "the gateway was shut down while the job ran; submit it again".to_owned();
            self.tell(job, JobInput::Abandon { message }).await;
            if tokio::time::timeout(ABANDON_PATIENCE, handle.inbox.closed()).await.is_err() {
                tracing::error!(%job, "the job's end cannot be recorded; the next start does it");
            }
        }
    }

    /// The audit trail.
    pub fn audit(&self) -> &Audit {
        &self.0.audit
    }

    /// Ends every task and the store. The last thing that is done with a gateway. Jobs that have not ended stay open in
    /// the store, and workers that were not told to leave ([`Pool::shut_down_workers`]) go on with them.
    pub async fn stop(&self) {
        self.0.tasks.stop().await;
        self.0.index.settle().await;
        self.0.audit.finish().await;
        self.0.store.close().await;
    }
}

fn job_limits(options: &RuntimeOptions) -> JobLimits {
    let RuntimeOptions { cancel_grace, max_pending, delegation, tracing, .. } = *options;
    JobLimits { cancel_grace, max_pending, delegation, tracing }
}

/// How the job ended, if this is its last record.
fn ending(record: &Record) -> Option<Status> {
    if !matches!(record.kind, RecordKind::JobResult | RecordKind::JobError) {
        return None;
    }
    match Fact::decode(record) {
        Ok(Fact::Error(failure)) => Some(Status::of(failure.cause)),
        Ok(Fact::Result(_)) => Some(Status::Success),
        _ => None,
    }
}

pub(crate) fn no_entropy(error: NoEntropy) -> Refusal {
    tracing::error!(%error, "nothing can be named");
    Refusal::StoreUnavailable { reason: "the machine gives no randomness" }
}

pub(crate) fn unavailable(error: ReadError) -> Refusal {
    tracing::warn!(%error, "the journal was not read");
    Refusal::StoreUnavailable { reason: "it cannot be read" }
}

fn append_reason(error: &AppendError) -> &'static str {
    match error {
        AppendError::Conflict { .. } => "another connection continues the same session",
        AppendError::TooLarge { .. } => "the request is too large for one batch",
        AppendError::Document { .. } => "another request was first",
        AppendError::Closed => "the gateway is shutting down",
        AppendError::Store { kind, .. } => fault_reason(*kind),
    }
}

pub(crate) fn put_reason(error: &PutError) -> &'static str {
    match error {
        PutError::Conflict { .. } => "another request was first",
        PutError::TooLarge { .. } => "the request is too large",
        PutError::Closed => "the gateway is shutting down",
        PutError::Store { kind, .. } => fault_reason(*kind),
    }
}

fn write_reason(error: &WriteError) -> &'static str {
    match error {
        WriteError::Closed => "the gateway is shutting down",
        WriteError::Store { kind, .. } => fault_reason(*kind),
    }
}

const fn fault_reason(kind: StoreFault) -> &'static str {
    match kind {
        StoreFault::Full => "its disk is full",
        StoreFault::ReadOnly => "it is read-only",
        StoreFault::Corrupt | StoreFault::Io | StoreFault::Newer => "its disk fails",
    }
}
