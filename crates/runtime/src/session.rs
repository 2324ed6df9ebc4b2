//! One session as its connection uses it: what it asks for, and what it sees.
//!
//! The handle is the session's only writer while it lives. Everything that another connection needs to continue the
//! session is in the store; the handle holds positions. It writes a checkpoint now and then, so that not much is read
//! again by whoever comes back.

use std::collections::BTreeMap;

use moorline_core::Refusal;
use moorline_core::access::{Action, Ruling};
use moorline_core::audit::AuditFilter;
use moorline_core::backlog::{Backlog, Missed};
use moorline_core::credential::Provisioned;
use moorline_core::record::{
    Attached as AttachedFact, Closed, CredentialRotated, Detached, Fact, History, Notice, Overflow, Subscribed,
};
use moorline_core::resume::ResumeState;
use moorline_core::session::Session;
use moorline_core::view::Awaited;
use moorline_types::{
    AgentRef, Batch, EventKind, EventSeq, JobId, Json, Offset, Principal, Record, SessionId, StreamSeq, Timestamp,
    TraceId, TraceRef, Units, limits,
};

use crate::audit::AuditPage;
use crate::claims::Idempotency;
use crate::credentials::Value;
use crate::events::JobEvents;
use crate::gateway::{Gateway, GcRequest, GcStep, JobPage, JobQuery, JobSummary, unavailable};
use crate::ruled::Ruled;
use crate::sessions::{Presence, StateText};
use crate::view::{Delivery, ViewError, ViewReader};

mod shown;
mod submission;

pub use submission::{Checked, Finished, Prepared};

/// Records of a job's history that are attached at once. Between two stretches the session's other jobs get their
/// turn, so the number bounds how long a request for a million old events holds up a live one.
const STRETCH: u64 = 1024;

/// Numbers between two checkpoints of a session that is connected. What a killed gateway's client costs at most is
/// reading this many records again; a document in so many records costs nothing.
const CHECKPOINT_EVERY: u64 = 8_192;

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
    /// When the lease is to end.
    pub expires_at: Option<Timestamp>,
    /// The trace that it belongs to, or the span below which it does.
    pub trace: Option<TraceRef>,
    /// Whether the client can be given credentials for upstreams (spec 9.8).
    pub takes_credentials: bool,
    /// What the client calls it, if it may be sent again.
    pub idempotency: Option<Idempotency>,
    /// What becomes of records that the session does not take in time.
    pub overflow: Overflow,
    /// The job that it is a part of, if there is one.
    pub parent: Option<SubmitParent>,
}

/// Below which job a submission is, as the client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitParent {
    /// The parent, as it was sent.
    pub job: String,
    /// What the parent is to call the delegation; without it, a name that there was never before.
    pub delegate_id: Option<String>,
}

/// What a client asks to be shown of a job (spec 7.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscribeRequest {
    /// Whether what has happened so far is wanted too, and after which number of the submitter's session.
    pub history: Option<EventSeq>,
    /// Whether it is to be said what is left of the job's budget.
    pub budget: bool,
    /// What becomes of records that the session does not take in time.
    pub overflow: Overflow,
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
    /// What is left of the job's budget, by currency, if that was asked for and it has one. What follows is later.
    pub remaining: BTreeMap<Box<str>, Units>,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct SessionHandle {
    gateway: Gateway,
    session: Session,
    reader: ViewReader,
    resume: ResumeState,
    /// The number at the last checkpoint.
    saved: EventSeq,
    /// The session's last record.
    written: Offset,
    /// Beyond what lag the client is told that it is slow; never, if it does not acknowledge.
    lag_limit: Option<u64>,
    /// Whether it has been told, and has not caught up since.
    lagging: bool,
    /// Whether the client can be told of what is left out; without that nothing is.
    takes_gaps: bool,
    /// What was there before the client came back: it cannot have been read in time.
    replayed_through: Offset,
    backlog: Backlog<Delivery>,
    overrun: Option<JobId>,
    missed: Option<Missed>,
    ruled: Ruled,
    presence: Presence,
}

impl SessionHandle {
    pub(crate) fn new(
        gateway: Gateway,
        session: Session,
        reader: ViewReader,
        resume: ResumeState,
        written: Offset,
        replayed_through: Offset,
        presence: Presence,
    ) -> Self {
        let saved = reader.event_seq();
        Self {
            gateway,
            session,
            reader,
            resume,
            saved,
            written,
            lag_limit: None,
            lagging: false,
            takes_gaps: false,
            replayed_through,
            backlog: Backlog::default(),
            overrun: None,
            missed: None,
            ruled: Ruled::default(),
            presence,
        }
    }

    /// The session's id.
    pub const fn id(&self) -> SessionId {
        self.session.id()
    }

    /// Whose it is.
    pub const fn principal(&self) -> &Principal {
        self.session.principal()
    }

    /// The decision about what was asked for last, if there was one. It is taken once.
    pub fn take_ruling(&self) -> Option<Ruling> {
        self.ruled.take()
    }

    /// Whether the session's principal may do something that concerns no job.
    ///
    /// # Errors
    /// If it has no scope for it.
    pub fn authorise(&self, action: Action) -> Result<(), Refusal> {
        Ok(self.ruled.decide(self.principal(), action, None)?)
    }

    /// Whether there is something to [`SessionHandle::prepare`].
    pub fn is_something_due(&self) -> bool {
        self.is_history_due() || self.is_lag_due() || self.is_checkpoint_due()
    }

    fn is_checkpoint_due(&self) -> bool {
        self.event_seq().since(self.saved) >= CHECKPOINT_EVERY
    }

    /// Whether a client that acknowledges has fallen behind, or has and may have caught up.
    fn is_lag_due(&self) -> bool {
        self.lag_limit.is_some_and(|limit| self.lagging || self.event_seq().since(self.resume.acknowledged()) > limit)
    }

    /// Writes down what the session is to see next, if that is due, and where it stands. To be awaited to its end
    /// before every [`SessionHandle::next`], if [`SessionHandle::is_something_due`].
    ///
    /// # Errors
    /// If the journal cannot be read or written.
    pub async fn prepare(&mut self) -> Result<(), ViewError> {
        while self.is_history_due() {
            self.attach_more().await?;
        }
        self.mind_the_lag().await;
        if self.is_checkpoint_due() {
            self.save().await;
        }
        Ok(())
    }

    /// The number of the last record that the session was shown.
    pub fn event_seq(&self) -> EventSeq {
        self.reader.event_seq()
    }

    /// The events of one kind of a job that the session sees, from its first.
    pub fn events(&self, job: JobId, kind: EventKind) -> JobEvents {
        self.gateway.events(job, kind)
    }

    /// The highest number that the session is known to have been given, on whatever connection.
    pub fn given(&self) -> EventSeq {
        self.resume.given().max(self.event_seq())
    }

    /// The client has sent a frame, so it has its current token: the one before is not good from here on.
    pub async fn confirm(&mut self) {
        if self.resume.confirm() {
            self.write_state().await;
        }
    }

    /// The client is told when it is more than the configured number of records behind with its acknowledgements.
    pub fn expect_acknowledgements(&mut self) {
        self.lag_limit = Some(self.gateway.options().back_pressure_lag);
    }

    /// The client has processed everything up to this number (spec 6.5).
    ///
    /// # Errors
    /// If it was not sent that much.
    pub fn acknowledge(&mut self, through: EventSeq) -> Result<(), Refusal> {
        let last = self.given();
        if through > last {
            return Err(Refusal::AckAhead { asked: through, last });
        }
        self.resume.acknowledge(through);
        Ok(())
    }

    /// The job's credentials with their values: for its submitter, while the job has them, and nobody else.
    pub fn credentials(&self, job: &JobSummary) -> Vec<(Provisioned, Value)> {
        self.gateway.credentials().for_submitter(&self.principal().id, job.job, &job.accepted.credentials)
    }

    /// The value that a job's credential was given by this replacement, if this is the job's submitter and the value has
    /// not been replaced since.
    pub fn rotated_value(&self, job: JobId, rotated: &CredentialRotated) -> Option<Value> {
        self.gateway.credentials().value_of(&self.principal().id, job, rotated.issue)
    }

    /// Asks for a job's end. Answers when the request is durable.
    ///
    /// # Errors
    /// If there is no such job for this principal, or it is over.
    pub async fn cancel(&self, job: &str, reason: Option<String>) -> Result<JobId, Refusal> {
        self.gateway.cancel(self.principal(), job, reason, &self.ruled).await
    }

    /// Watches a job from here on, with its history if that is asked for. A job that is watched already goes on as it
    /// is.
    ///
    /// # Errors
    /// If there is no such job for this principal, or the session watches too many.
    pub async fn subscribe(&mut self, job: &str, request: SubscribeRequest) -> Result<Subscription, Refusal> {
        self.check_room()?;
        let gateway = self.gateway.clone();
        let (summary, _kept) = gateway.find_and_keep(self.principal(), Action::Observe, job, &self.ruled).await?;
        let subscribed_from = self.reader.event_seq();
        let (job, overflow) = (summary.job, request.overflow);
        let remaining = if request.budget { gateway.remaining(&summary).await? } else { BTreeMap::new() };
        let subscription =
            |replayed| Subscription { job: summary.clone(), subscribed_from, replayed, remaining: remaining.clone() };
        if self.session.watching().contains(&job) {
            return Ok(subscription(false));
        }
        match request.history {
            Some(after) => {
                let from = self.gateway.first_after(&summary, after).await?;
                // A job that is over has nothing more to show to whoever has seen its end: there is no end to wait for.
                if summary.status.is_terminal() && from > self.gateway.head_of(job).await.map_err(unavailable)? {
                    return Ok(subscription(false));
                }
                self.append([Fact::Subscribed(Subscribed { job, from, overflow })]).await?;
            }
            None if summary.status.is_terminal() => {}
            None => self.append([Fact::Attached(AttachedFact { job, from: None, overflow })]).await?,
        }
        Ok(subscription(request.history.is_some()))
    }

    /// The trace of a job that the session sees, if it has one and can be found, and the decision that it may see it,
    /// unless it is the session that submitted it.
    pub async fn look_up(&self, job: JobId) -> (Option<TraceId>, Option<Ruling>) {
        let ruled = Ruled::default();
        let found = self.gateway.find(self.principal(), Action::Observe, &job.to_string(), &ruled).await;
        let Ok(JobSummary { accepted, .. }) = found else { return (None, None) };
        (accepted.trace_id, ruled.take().filter(|_| accepted.session != self.id()))
    }

    /// A page of the jobs of the session's principal, or of those that it may observe (spec 6.6).
    ///
    /// # Errors
    /// If the cursor is none of this list, or the store cannot be read.
    pub async fn list_jobs(&self, query: &JobQuery) -> Result<JobPage, Refusal> {
        self.authorise(Action::List)?;
        self.gateway.list_jobs(self.principal(), query).await
    }

    /// The next step of removing what is over, for an administrator.
    ///
    /// # Errors
    /// If the principal is no administrator, the cursor is none, or the store cannot be used.
    pub async fn collect(&self, request: GcRequest) -> Result<GcStep, Refusal> {
        self.authorise(Action::Administer)?;
        self.gateway.collect(self.principal(), request).await
    }

    /// What an administrator looks for in the audit trail.
    ///
    /// # Errors
    /// If the principal is no administrator, or the store cannot be read.
    pub async fn audit_page(
        &self,
        filter: &AuditFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<AuditPage, Refusal> {
        self.authorise(Action::Administer)?;
        self.gateway.audit().page(filter, cursor, limit).await.map_err(unavailable)
    }

    /// Sees a job with its history, unless it is seen already.
    async fn watch_from_start(&mut self, job: JobId, overflow: Overflow) -> Result<(), Refusal> {
        if self.session.watching().contains(&job) {
            return Ok(());
        }
        self.check_room()?;
        let gateway = self.gateway.clone();
        // A part of the submission, which was authorised: what is looked for here is whether the job is being removed.
        let _kept = gateway.find_and_keep(self.principal(), Action::Submit, &job.to_string(), &self.ruled).await?;
        let subscribed = Subscribed { job, from: StreamSeq::FIRST, overflow };
        self.append([Fact::Subscribed(subscribed)]).await
    }

    /// Stops watching a job. One that is not watched is no error.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub async fn unsubscribe(&mut self, job: &str) -> Result<(), Refusal> {
        let Ok(job) = job.parse::<JobId>() else { return Ok(()) };
        if self.session.watching().contains(&job) {
            self.append([Fact::Detached(Detached { job })]).await?;
        }
        Ok(())
    }

    /// The connection has ended: the session waits for its client to come back.
    pub async fn park(mut self) {
        let now = self.gateway.now();
        self.resume.park(now);
        let state = self.save().await;
        self.presence.leave(now, state);
    }

    /// The client has closed the session. Its jobs go on, and as long as it watches any it can come back to it
    /// (spec 6.7); a session without any is done.
    pub async fn close(mut self, reason: Option<String>) {
        if let Err(refusal) = self.append([Fact::Closed(Closed { reason })]).await {
            tracing::warn!(session = %self.id(), %refusal, "the session's end is not recorded");
        }
        if self.session.watching().is_empty() {
            let (now, id) = (self.gateway.now(), self.id());
            self.presence.sessions().close(now, id).await;
        } else {
            self.park().await;
        }
    }

    fn check_room(&self) -> Result<(), Refusal> {
        self.check_room_for(0)
    }

    /// Whether the session can watch one more job, beside so many that it is about to watch.
    fn check_room_for(&self, beside: usize) -> Result<(), Refusal> {
        let limit = limits::MAX_WATCHED_JOBS;
        if self.session.watching().len() + beside >= limit { Err(Refusal::TooManyWatched { limit }) } else { Ok(()) }
    }

    /// Whether a stretch is to be attached: the one before it has been read.
    fn is_history_due(&self) -> bool {
        let view = self.reader.view();
        !view.awaited().is_empty() && !view.is_in_history() && self.reader.position() >= self.written
    }

    /// Attaches the next stretch of the history that is due.
    async fn attach_more(&mut self) -> Result<(), ViewError> {
        let Some(Awaited { job, next, overflow }) = self.reader.view().awaited().front().copied() else {
            return Ok(());
        };
        let head = self.gateway.head_of(job).await?;
        let fact = if head.since(next) < STRETCH {
            Fact::Attached(AttachedFact { job, from: Some(next), overflow })
        } else {
            Fact::History(History { job, from: next, to: StreamSeq::new(next.get() + STRETCH - 1) })
        };
        self.append([fact]).await.map_err(ViewError::Append)
    }

    /// Tells a client that is behind with its acknowledgements, once until it has caught up by half (spec 6.5).
    async fn mind_the_lag(&mut self) {
        let Some(limit) = self.lag_limit else { return };
        let (current, last) = (self.event_seq(), self.resume.acknowledged());
        let lag = current.since(last);
        if self.lagging || lag <= limit {
            self.lagging &= lag > limit / 2;
            return;
        }
        // About a job that it still watches, or it would not look at it.
        let Some(job) = self.reader.view().live().keys().next_back().copied() else { return };
        let body = serde_json::json!({
            "phase": "back_pressure",
            "message": format!("{lag} events are not acknowledged; acknowledge what was processed, or read on"),
            "details": { "threshold": limit, "current_seq": current, "last_ack": last },
        });
        let Ok(body) = Json::of(&body) else { return };
        match self.append([Fact::Notice(Notice { job, kind: EventKind::Status, body })]).await {
            Ok(()) => self.lagging = true,
            Err(refusal) => tracing::debug!(session = %self.id(), %refusal, "a slow client is not told"),
        }
    }

    /// Writes down where the session stands. What of that is to be remembered while nobody has the session.
    async fn save(&mut self) -> Option<StateText> {
        self.resume.checkpoint(self.reader.view());
        self.saved = self.event_seq();
        self.write_state().await
    }

    async fn write_state(&mut self) -> Option<StateText> {
        let id = self.id();
        let (text, saved) = self.presence.sessions().save(id, &mut self.resume).await;
        match saved {
            Ok(()) => text.remembered(),
            Err(error) => {
                tracing::warn!(session = %id, %error, "where the session stands is not written down");
                Some(text)
            }
        }
    }

    async fn append<const N: usize>(&mut self, facts: [Fact; N]) -> Result<(), Refusal> {
        let now = self.gateway.now();
        let records: Vec<Record> =
            facts.iter().zip(0..).map(|(fact, earlier)| self.session.record(now, earlier, fact)).collect();
        let committed = self.gateway.append(self.id(), &self.principal().id, Batch::from(records)).await?;
        self.written = committed.last_offset().unwrap_or(self.written);
        self.session.handle_committed(&facts);
        Ok(())
    }
}

/// A session sees a job that it submits from its first record on.
const fn attached(job: JobId, overflow: Overflow) -> Fact {
    Fact::Attached(AttachedFact { job, from: None, overflow })
}
