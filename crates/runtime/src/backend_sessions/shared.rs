//! A session, as everybody who has to do with it shares it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use moorline_backend::SessionInput;
use moorline_backend::contract::{Answer, Invocation, ItemHandle, ServerHandle};
use moorline_core::backend_session::{
    BackendSession, CommandNumber, Disconnect, ReplayWindow, SessionOptions, State, SubscriberId,
};
use moorline_core::record::Accepted;
use moorline_types::{JobId, Millis, PrincipalId, StreamSeq, Tag, Timestamp, WorkerId, WorkerSeq};
use tokio::sync::{Notify, oneshot, watch};

use super::completions::{Awaited, Completion, Completions};
use super::{BackendOptions, GatewaySessionId, SessionError, SessionSummary, id};
use crate::sync::lock;

/// What does not change of a session.
#[derive(Debug)]
pub(super) struct About {
    pub(super) job: JobId,
    pub(super) backend: String,
    pub(super) owner: PrincipalId,
    pub(super) tag: Option<Tag>,
    pub(super) client_session_name: String,
    pub(super) command_timeout: Millis,
    pub(super) opened_at: Timestamp,
    pub(super) adopted: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) about: About,
    inner: Mutex<Inner>,
    /// The machine was told something: its driver has a look.
    pub(super) changed: Notify,
    /// Where the session stands, for those who wait for that.
    pub(super) state: watch::Sender<State>,
}

/// What changes, under one lock that nobody holds over an await.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) machine: BackendSession,
    pub(super) window: ReplayWindow,
    /// The highest number of an event or an answer.
    pub(super) highest: WorkerSeq,
    /// Whether the back end is known to have been opened.
    pub(super) is_open: bool,
    /// The oldest of its records in the journal.
    pub(super) journal_from: StreamSeq,
    /// How large they are together, in bytes.
    pub(super) journal_bytes: usize,
    /// What each subscriber is to read next.
    pub(super) cursors: HashMap<SubscriberId, StreamSeq>,
    /// Commands that wait for their answers.
    pub(super) waiting: HashMap<CommandNumber, Waiting>,
    /// How the last writes and operations have ended.
    pub(super) completions: Completions,
    /// What ends the streams of those who are disconnected.
    pub(super) streams: HashMap<SubscriberId, watch::Sender<Option<Disconnect>>>,
    /// What items are called, by which is judged who may write them.
    pub(super) items: BTreeMap<(ServerHandle, ItemHandle), Box<str>>,
    pub(super) worker: Option<WorkerId>,
    /// On whose behalf it is closed.
    pub(super) closed_by: Option<PrincipalId>,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) invocation: Invocation,
    pub(super) reply: oneshot::Sender<Result<Replied, SessionError>>,
    /// What it waits for beside its answer, if it does.
    pub(super) awaited: Option<Awaited>,
}

/// What whoever asked is told.
#[derive(Debug)]
pub(super) struct Replied {
    pub(super) answer: Answer,
    pub(super) worker_seq: WorkerSeq,
    pub(super) completions: Vec<Completion>,
}

impl Session {
    /// A session whose job was just accepted, and whose worker is being started.
    pub(super) fn open(
        now: Timestamp,
        job: JobId,
        accepted: &Accepted,
        accepted_at: Timestamp,
        worker: WorkerId,
        options: &BackendOptions,
    ) -> Arc<Self> {
        let session = Self::new(job, accepted, accepted_at, options, |options| BackendSession::open(now, options));
        session.with(|inner| inner.worker = Some(worker));
        session
    }

    /// A session that an earlier gateway has opened.
    pub(super) fn adopt(
        now: Timestamp,
        job: JobId,
        accepted: &Accepted,
        accepted_at: Timestamp,
        options: &BackendOptions,
    ) -> Arc<Self> {
        Self::new(job, accepted, accepted_at, options, |options| BackendSession::adopt(now, options))
    }

    fn new(
        job: JobId,
        accepted: &Accepted,
        opened_at: Timestamp,
        options: &BackendOptions,
        machine: impl FnOnce(SessionOptions) -> BackendSession,
    ) -> Arc<Self> {
        let input = accepted.input.to::<SessionInput>().ok();
        let (name, timeout) =
            input.map(|input| (input.client_session_name, input.command_timeout_ms)).unwrap_or_default();
        let command_timeout = timeout.map_or(options.session.command_timeout, Millis::new);
        let machine = machine(SessionOptions { command_timeout, ..options.session });
        let about = About {
            job,
            backend: id::backend_of(accepted).unwrap_or_default().to_owned(),
            owner: accepted.principal.clone(),
            tag: accepted.tags.first().cloned(),
            client_session_name: name,
            command_timeout,
            opened_at,
            adopted: *machine.state() == State::Reattaching,
        };
        let state = watch::Sender::new(machine.state().clone());
        let inner = Inner {
            machine,
            window: ReplayWindow::new(options.retention),
            highest: WorkerSeq::ZERO,
            is_open: false,
            journal_from: StreamSeq::FIRST,
            journal_bytes: 0,
            cursors: HashMap::new(),
            waiting: HashMap::new(),
            completions: Completions::default(),
            streams: HashMap::new(),
            items: BTreeMap::new(),
            worker: None,
            closed_by: None,
        };
        Arc::new(Self { about, inner: Mutex::new(inner), changed: Notify::new(), state })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Does something under the lock. For the driver, and for what leaves it nothing to do.
    pub(super) fn with<T>(&self, does: impl FnOnce(&mut Inner) -> T) -> T {
        does(&mut self.lock())
    }

    /// Tells the machine something, and its driver that there may be something to do.
    pub(super) fn tell<T>(&self, told: impl FnOnce(&mut Inner) -> T) -> T {
        let answer = self.with(told);
        self.changed.notify_one();
        answer
    }

    /// What there is to know of it.
    pub(super) fn summary(&self, now: Timestamp) -> SessionSummary {
        let mut inner = self.lock();
        inner.window.evict(now);
        let about = &self.about;
        SessionSummary {
            id: GatewaySessionId::of(about.job),
            state: inner.machine.state().clone(),
            backend: about.backend.clone(),
            owner: about.owner.clone(),
            tag: about.tag.clone(),
            client_session_name: about.client_session_name.clone(),
            opened_at: about.opened_at,
            last_activity: inner.machine.last_activity(),
            lease_expires: inner.machine.lease_expires(),
            detached: inner.machine.detached(),
            subscribers: inner.machine.external_subscribers(),
            pending_commands: inner.machine.pending_commands(),
            last_worker_seq: inner.highest,
            oldest_worker_seq: inner.window.oldest(),
            command_timeout: about.command_timeout,
            worker: inner.worker,
            adopted: about.adopted,
        }
    }
}
