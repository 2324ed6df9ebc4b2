//! Gateway sessions: [`moorline_core::backend_session`] over jobs, workers and the journal.
//!
//! ```text
//!  a client ──▶ SessionHandle ──▶ machine ──▶ its driver ──▶ the job, the worker
//!       ▲                           ▲             ▲
//!       │                           └─────────────┤ records, attachments, time
//!       └── EventStream ◀── the store ◀───────────┘
//! ```
//!
//! A session is a job of an agent version that only its own worker offers, so no other job can come to that worker and no
//! other worker can take the session. Its id is the job's: `session-` and the 128 bits of the job's id in hexadecimal.
//! What there is of a session after a restart is read from the job's records: who opened it and how, which items it has,
//! which events can be replayed, whether it was being closed.
//!
//! The driver reads the same records as every subscriber and is told nothing else: an answer is an answer, and an event
//! an event, when it is committed.
//!
//! Deliberately absent: the API's messages and its status codes, which are the server's; a queue for a subscriber, who
//! reads the journal.

mod completions;
mod drive;
mod error;
mod guard;
mod id;
mod invoke;
mod kept;
mod open;
mod options;
mod shared;
mod stream;
mod trim;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use moorline_core::access::{Action, Relation, authorise};
use moorline_core::backend_session::{CloseReason, Retention, SessionOptions, State};
use moorline_core::record::Accepted;
use moorline_types::{Epoch, JobId, Millis, Principal, PrincipalId, Tag, Timestamp, WorkerId, WorkerSeq};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::gateway::{Gateway, JobSummary, RecoverJobsError};
use crate::metrics::{GatewayMetrics, signed};
use crate::sync::lock;
use drive::Worker;
use kept::Kept;
use shared::Session;

pub use completions::Completion;
pub use error::SessionError;
pub use id::GatewaySessionId;
pub use invoke::Invoked;
pub use open::OpenRequest;
pub use stream::{EventStream, StreamItem, StreamedEvent, SubscribeFrom};
pub use workers::{OpenerFor, SessionWorkers, SpecFor};

/// What the operator decides about gateway sessions.
#[derive(Debug, Clone)]
pub struct BackendOptions {
    /// About each session.
    pub session: SessionOptions,
    /// How many there may be at once.
    pub max_sessions: usize,
    /// What of their events can be replayed.
    pub retention: Retention,
    /// How long the worker of one that is closed may take to end it.
    pub shutdown_timeout: Millis,
    /// The back ends that there are; the first is meant when none is named.
    pub backends: Vec<&'static str>,
}

/// See the module's documentation. Cheap to clone; clones are the same sessions.
#[derive(Debug, Clone)]
pub struct BackendSessions(Arc<Sessions>);

#[derive(Debug)]
struct Sessions {
    gateway: Gateway,
    workers: SessionWorkers,
    options: BackendOptions,
    kept: Kept,
    /// Those that there are, and places that are taken for those to come.
    slots: Mutex<Slots>,
    /// Of some session much is in the journal that is not needed.
    much: Notify,
    /// Cancelled when the gateway ends and its workers with it.
    ending: CancellationToken,
}

#[derive(Debug, Default)]
struct Slots {
    sessions: BTreeMap<JobId, Arc<Session>>,
    opening: usize,
}

/// A session, for somebody who may look at it.
#[derive(Debug, Clone)]
pub struct SessionHandle {
    sessions: BackendSessions,
    session: Arc<Session>,
    principal: Principal,
}

/// What there is to know of a session.
#[derive(Debug, Clone)]
pub struct SessionSummary {
    /// Its id.
    pub id: GatewaySessionId,
    /// Where it stands.
    pub state: State,
    /// Which back end it is with.
    pub backend: String,
    /// Who opened it.
    pub owner: PrincipalId,
    /// What it is marked with.
    pub tag: Option<Tag>,
    /// What its client calls it.
    pub client_session_name: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When a client last did something in it.
    pub last_activity: Timestamp,
    /// When its lease ends.
    pub lease_expires: Timestamp,
    /// Since when no client streams its events.
    pub detached: Option<Timestamp>,
    /// Clients that stream its events.
    pub subscribers: usize,
    /// Commands that are not answered.
    pub pending_commands: usize,
    /// The highest number of an event or an answer.
    pub last_worker_seq: WorkerSeq,
    /// The oldest event that a stream can begin with.
    pub oldest_worker_seq: WorkerSeq,
    /// How long a command may take.
    pub command_timeout: Millis,
    /// Its worker, once there is one.
    pub worker: Option<WorkerId>,
    /// Whether this start of the gateway has taken it over.
    pub adopted: bool,
}

impl BackendSessions {
    /// Gateway sessions over the jobs of `gateway`, run by `workers`.
    pub fn new(gateway: Gateway, workers: SessionWorkers, options: BackendOptions) -> Self {
        let kept = Kept::new(Arc::clone(gateway.store()));
        let (slots, much, ending) = (Mutex::default(), Notify::new(), CancellationToken::new());
        Self(Arc::new(Sessions { gateway, workers, options, kept, slots, much, ending }))
    }

    /// What the operator decided.
    pub fn options(&self) -> &BackendOptions {
        &self.0.options
    }

    /// The journal's lineage, which all numbers are of.
    pub fn epoch(&self) -> Epoch {
        self.0.gateway.epoch()
    }

    /// Takes over the sessions of the last run, also those that have faulted and that nobody has closed. To be called
    /// after [`Gateway::recover`] and before anybody is let in.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn recover(&self) -> Result<(), RecoverJobsError> {
        let gateway = &self.0.gateway;
        for (job, handle) in gateway.all_open_jobs() {
            if id::backend_of(&handle.accepted).is_some() {
                self.adopt(job, &handle.accepted, handle.accepted_at);
            }
        }
        for job in self.0.kept.all().await? {
            if lock(&self.0.slots).sessions.contains_key(&job) {
                continue;
            }
            match gateway.ended_job(job).await? {
                // Its driver reads how it ended, and forgets it if that was no fault.
                Some(JobSummary { accepted, accepted_at, .. }) => self.adopt(job, &accepted, accepted_at),
                // All that was known of it is removed.
                None => self.0.kept.remove(job).await,
            }
        }
        self.start_trimming();
        self.start_counting();
        Ok(())
    }

    fn adopt(&self, job: JobId, accepted: &Accepted, accepted_at: Timestamp) {
        tracing::info!(session = %GatewaySessionId::of(job), "a gateway session of the last run is taken over");
        let session = Session::adopt(self.0.gateway.now(), job, accepted, accepted_at, &self.0.options);
        lock(&self.0.slots).sessions.insert(job, Arc::clone(&session));
        let attached = id::worker_of(accepted).and_then(|worker| self.0.gateway.pool().watch_known_worker(worker));
        self.drive(session, Worker::Adopted(attached));
    }

    /// Closes the sessions of the last run of a gateway that has no session gateway any more. To be called after
    /// [`Gateway::recover`].
    pub async fn close_leftovers(gateway: &Gateway) {
        for (job, handle) in gateway.all_open_jobs() {
            if id::backend_of(&handle.accepted).is_some() {
                tracing::warn!(session = %GatewaySessionId::of(job), "there is no session gateway any more; its session is closed");
                gateway.end_job(job, None, CloseReason::GatewayShutdown.as_str()).await;
            }
        }
    }

    /// Has every session closed in order, because the gateway ends and its workers with it; those too that are being
    /// opened. One that has faulted stays, to be shown by the next start.
    pub fn close_all(&self) {
        self.0.ending.cancel();
    }

    /// Returns when every session that there is has ended, and those who stream its events can see that.
    pub async fn all_closed(&self) {
        let all: Vec<_> = lock(&self.0.slots).sessions.values().cloned().collect();
        for session in all {
            let over = |state: &State| matches!(state, State::Closed(_) | State::Faulted(_));
            // The session has what tells of its state, so that cannot be gone.
            drop(session.state.subscribe().wait_for(over).await);
        }
    }

    /// The session, for somebody who wants to look at it.
    ///
    /// # Errors
    /// If there is none that this principal may know of.
    pub fn get(&self, principal: &Principal, id: &str) -> Result<SessionHandle, SessionError> {
        self.find(principal, id, Action::Observe)
    }

    /// The session, for somebody who wants to use or end it.
    ///
    /// # Errors
    /// If there is none that this principal may know of, or it may only look at it.
    pub fn control(&self, principal: &Principal, id: &str) -> Result<SessionHandle, SessionError> {
        self.find(principal, id, Action::Use)
    }

    /// The sessions that somebody may look at, the oldest first.
    pub fn list(&self, principal: &Principal) -> Vec<SessionSummary> {
        let all: Vec<_> = lock(&self.0.slots).sessions.values().cloned().collect();
        let now = self.0.gateway.now();
        let visible = all.iter().filter(|session| decide(principal, session, Action::Observe).is_ok());
        visible.map(|session| session.summary(now)).collect()
    }

    fn find(&self, principal: &Principal, id: &str, action: Action) -> Result<SessionHandle, SessionError> {
        let not_found = || SessionError::NotFound { session: id.chars().take(GatewaySessionId::TEXT_BYTES).collect() };
        let job = id.parse::<GatewaySessionId>().map_err(|_| not_found())?.job();
        let session = lock(&self.0.slots).sessions.get(&job).cloned().ok_or_else(not_found)?;
        match decide(principal, &session, action) {
            Ok(()) => Ok(SessionHandle { sessions: self.clone(), session, principal: principal.clone() }),
            Err(denial) if denial.visible => Err(SessionError::Denied { needs: denial.needs }),
            Err(_) => Err(not_found()),
        }
    }

    /// From here on it can be asked how many sessions there are, and what waits in them.
    fn start_counting(&self) {
        let (sessions, metrics) = (Arc::downgrade(&self.0), self.0.gateway.metrics().gateway().clone());
        self.0.gateway.metrics().look_by(move || {
            let Some(sessions) = sessions.upgrade() else { return };
            let all: Vec<_> = lock(&sessions.slots).sessions.values().cloned().collect();
            let (mut pending, mut behind) = (0, 0);
            for session in &all {
                let inner = session.lock();
                pending += inner.machine.pending_commands();
                behind += inner.machine.queue_depth();
            }
            metrics.sessions_open.set(signed(all.len()));
            metrics.pending_commands.set(signed(pending));
            metrics.stream_queue_depth.set(signed(behind));
        });
    }

    fn metrics(&self) -> &GatewayMetrics {
        self.0.gateway.metrics().gateway()
    }

    /// A session is over and is forgotten, and its place is free.
    async fn remove(&self, job: JobId) {
        self.free(job);
        self.0.kept.remove(job).await;
    }

    fn free(&self, job: JobId) {
        lock(&self.0.slots).sessions.remove(&job);
    }
}

fn decide(principal: &Principal, session: &Session, action: Action) -> Result<(), moorline_core::access::Denial> {
    let tags: BTreeSet<Tag> = session.about.tag.iter().cloned().collect();
    authorise(principal, action, Relation::of(principal, &session.about.owner, &tags)).map(drop)
}

impl SessionHandle {
    /// What there is to know of it.
    pub fn summary(&self) -> SessionSummary {
        self.session.summary(self.sessions.0.gateway.now())
    }
}
