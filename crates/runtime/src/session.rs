//! One session as its connection uses it: what it asks for, and what it sees.
//!
//! The handle is the session's only writer while it lives. Everything that another connection would need to continue
//! the session is in the journal; the handle holds positions.

use std::collections::{BTreeSet, VecDeque};

use moorline_core::Refusal;
use moorline_core::record::{Accepted, Attached, Closed, Detached, Fact, History};
use moorline_core::session::Session;
use moorline_types::{
    AgentRef, Batch, EventSeq, JobId, Json, Offset, Principal, Record, RecordKind, SessionId, StreamSeq, Timestamp,
    TraceId, limits,
};

use crate::gateway::{Gateway, JobSummary, SessionPlace};
use crate::view::{Delivery, ViewError, ViewReader};

/// Records of a job's history that are attached at once. Between two stretches the session's other jobs get their
/// turn, so the number bounds how long a request for a million old events holds up a live one.
const STRETCH: u64 = 1024;

/// What a client asks to be done (spec 7.1), checked as far as its form goes.
#[derive(Debug, Clone)]
pub struct SubmitRequest {
    /// By whom.
    pub agent: AgentRef,
    /// What the agent is given.
    pub input: Json,
    /// What the job may do.
    pub lease: Json,
    /// After how many seconds of running it is to be ended.
    pub max_runtime_sec: Option<u64>,
    /// The trace that it belongs to.
    pub trace_id: Option<TraceId>,
}

/// What a session sees of a job from its subscription on.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The job.
    pub job: JobSummary,
    /// The number of the session's last record before the subscription: what follows has higher ones.
    pub subscribed_from: EventSeq,
    /// Whether history is part of what follows.
    pub replayed: bool,
}

/// A job's history that is not attached yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    job: JobId,
    next: StreamSeq,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct SessionHandle {
    gateway: Gateway,
    session: Session,
    reader: ViewReader,
    history: VecDeque<Pending>,
    /// The jobs that the session sees, or will see once its records are read back, and whose end it has not seen.
    watching: BTreeSet<JobId>,
    /// The session's last record.
    written: Offset,
    _place: SessionPlace,
}

impl SessionHandle {
    pub(crate) fn new(gateway: Gateway, session: Session, reader: ViewReader, place: SessionPlace) -> Self {
        let (history, watching, written) = (VecDeque::new(), BTreeSet::new(), Offset::ZERO);
        Self { gateway, session, reader, history, watching, written, _place: place }
    }

    /// The session's id.
    pub const fn id(&self) -> SessionId {
        self.session.id()
    }

    /// Whose it is.
    pub const fn principal(&self) -> &Principal {
        self.session.principal()
    }

    /// Writes down what the session is to see next, if that is due. To be awaited to its end before every
    /// [`SessionHandle::next`].
    ///
    /// # Errors
    /// If the journal cannot be read or written.
    pub async fn prepare(&mut self) -> Result<(), ViewError> {
        while self.is_history_due() {
            self.attach_more().await?;
        }
        Ok(())
    }

    /// The next records that the session sees; waits until there are some. None, if there is something to
    /// [`SessionHandle::prepare`] first. Dropping the future loses nothing.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn next(&mut self) -> Result<Vec<Delivery>, ViewError> {
        while !self.is_history_due() {
            let deliveries = self.reader.read().await?;
            for delivery in &deliveries {
                if matches!(delivery.record.kind, RecordKind::JobResult | RecordKind::JobError) {
                    self.watching.remove(&delivery.job);
                }
            }
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
        }
        Ok(Vec::new())
    }

    /// The number of the last record that the session was shown.
    pub fn event_seq(&self) -> EventSeq {
        self.reader.event_seq()
    }

    /// Shows again what followed the record with this number, for a client that comes back (spec 6.3).
    ///
    /// # Errors
    /// If the journal cannot be read; the session is where it was.
    pub async fn rewind(&mut self, to: EventSeq) -> Result<(), ViewError> {
        self.reader.rewind(to).await?;
        // Jobs whose end is shown again are watched until then.
        self.watching.extend(self.reader.jobs());
        Ok(())
    }

    /// Submits a job; the session sees it from its first record on.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn submit(&mut self, request: SubmitRequest) -> Result<JobSummary, Refusal> {
        self.check_room()?;
        let agent = self.gateway.inventory().resolve(&request.agent)?;
        let accepted = Accepted {
            session: self.id(),
            principal: self.principal().id.clone(),
            agent: agent.name.to_string(),
            version: agent.version.to_string(),
            input: request.input,
            lease: request.lease,
            max_runtime_sec: request.max_runtime_sec.or(self.gateway.options().default_max_runtime_sec),
            trace_id: request.trace_id,
        };
        let session = &self.session;
        let attach = |now: Timestamp, job: JobId| session.record(now, 0, &Fact::Attached(Attached { job, from: None }));
        let summary = self.gateway.accept(accepted, attach).await?;
        self.session.handle_committed(1);
        self.watching.insert(summary.job);
        Ok(summary)
    }

    /// Asks for a job's end. Answers when the request is durable.
    ///
    /// # Errors
    /// If there is no such job for this principal, or it is over.
    pub async fn cancel(&self, job: &str, reason: Option<String>) -> Result<JobId, Refusal> {
        self.gateway.cancel(self.principal(), job, reason).await
    }

    /// Watches a job from here on, with its history if that is asked for.
    ///
    /// # Errors
    /// If there is no such job for this principal, or the session watches too many.
    pub async fn subscribe(&mut self, job: &str, history: bool) -> Result<Subscription, Refusal> {
        self.check_room()?;
        let summary = self.gateway.find(self.principal(), job).await?;
        let subscribed_from = self.reader.event_seq();
        let job = summary.job;
        if self.watching.contains(&job) {
            return Ok(Subscription { job: summary, subscribed_from, replayed: false });
        }
        if history {
            self.history.push_back(Pending { job, next: StreamSeq::FIRST });
            self.watching.insert(job);
        } else if !summary.status.is_terminal() {
            self.append([Fact::Attached(Attached { job, from: None })]).await?;
            self.watching.insert(job);
        }
        Ok(Subscription { job: summary, subscribed_from, replayed: history })
    }

    /// Stops watching a job. One that is not watched is no error.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub async fn unsubscribe(&mut self, job: &str) -> Result<(), Refusal> {
        let Ok(job) = job.parse::<JobId>() else { return Ok(()) };
        if self.watching.contains(&job) {
            self.append([Fact::Detached(Detached { job })]).await?;
            self.history.retain(|pending| pending.job != job);
            self.watching.remove(&job);
        }
        Ok(())
    }

    /// Whether there are jobs whose end the session has not been shown.
    pub fn is_watching(&self) -> bool {
        !self.watching.is_empty()
    }

    /// Takes note of that the client has closed the session. Its jobs go on.
    pub async fn close(&mut self, reason: Option<String>) {
        if let Err(refusal) = self.append([Fact::Closed(Closed { reason })]).await {
            tracing::warn!(session = %self.id(), %refusal, "the session's end is not recorded");
        }
    }

    fn check_room(&self) -> Result<(), Refusal> {
        let limit = limits::MAX_WATCHED_JOBS;
        if self.watching.len() >= limit { Err(Refusal::TooManyWatched { limit }) } else { Ok(()) }
    }

    /// Whether a stretch is to be attached: the one before it has been read.
    fn is_history_due(&self) -> bool {
        !self.history.is_empty() && !self.reader.is_in_history() && self.reader.position() >= self.written
    }

    /// Attaches the next stretch of the history that is due.
    async fn attach_more(&mut self) -> Result<(), ViewError> {
        let Some(Pending { job, next }) = self.history.pop_front() else { return Ok(()) };
        let head = self.gateway.head_of(job).await?;
        let fact = if head.since(next) < STRETCH {
            Fact::Attached(Attached { job, from: Some(next) })
        } else {
            let to = StreamSeq::new(next.get() + STRETCH - 1);
            self.history.push_back(Pending { job, next: to.next() });
            Fact::History(History { job, from: next, to })
        };
        self.append([fact]).await.map_err(ViewError::Append)
    }

    async fn append<const N: usize>(&mut self, facts: [Fact; N]) -> Result<(), Refusal> {
        let now = self.gateway.now();
        let records: Vec<Record> =
            facts.iter().zip(0..).map(|(fact, earlier)| self.session.record(now, earlier, fact)).collect();
        let committed = self.gateway.append(Batch::from(records)).await?;
        self.written = committed.last_offset().unwrap_or(self.written);
        self.session.handle_committed(N as u64);
        Ok(())
    }
}
