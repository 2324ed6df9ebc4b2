//! The socket at which workers attach.
//!
//! The gateway's secret gives the key of every worker that this gateway or an earlier run of it has started, so every
//! one of them can prove itself. Whether it is let in is another question:
//!
//! | who | answer |
//! | --- | --- |
//! | another user, no proof, an unknown protocol | the connection is closed; nothing else happens |
//! | proven, and expected | attached, in the place of an older link of the same worker |
//! | proven and expected, but not the process that was started under that id | refused |
//! | proven, and not expected: its jobs have been told to have ended | told to end itself |
//!
//! A worker is let in only when its process is on record: the next start of the gateway must be able to find whoever
//! was given a job.

mod refusals;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use moorline_store::PutError;
use moorline_types::{Fence, ResolvedAgent, WorkerId};
use moorline_worker::Stream;
use moorline_worker::link::{AttachError, AttachParams, Candidate, accept};
use moorline_worker::message::GatewayEpoch;
use moorline_worker::peer::{self, PeerError};
use moorline_worker::secret::GatewaySecret;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::external::EnrolmentsError;
use crate::clock::Clock;
use crate::hold::{self, Point};
use crate::pool::{Pool, Whence};
use crate::sync::lock;
use crate::tasks::{TaskKind, Tasks};
use refusals::Refusals;

/// Handshakes that may be under way at once. More wait in the socket's backlog; a hundred workers that come back
/// together are served in two rounds of a millisecond each.
const HANDSHAKES: usize = 64;

/// How many fences one life of the gateway may give out: more attachments than a worker a millisecond for 49 days.
const FENCES_PER_GENERATION: u64 = 1 << 32;

/// Which attachment a fence names, in words.
pub(crate) fn attachment_in_words(fence: Fence) -> String {
    let (start, number) = (fence.get() / FENCES_PER_GENERATION, fence.get() % FENCES_PER_GENERATION);
    format!("attachment {number} since the gateway's start {start}")
}

/// Why workers cannot attach.
#[derive(Debug, thiserror::Error)]
pub enum OpenDoorError {
    /// The socket cannot be made.
    #[error("the worker socket {path} cannot be opened; check the directory's permissions and free space")]
    Bind {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why a peer at the worker socket was not let in.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// It belongs to somebody else.
    #[error("a stranger is at the worker socket")]
    Peer(#[source] PeerError),
    /// It did not get through the handshake.
    #[error("a peer at the worker socket was not attached")]
    Attach(#[source] AttachError),
    /// Its process is not on record.
    #[error("{worker} was not attached: its process could not be recorded in time")]
    NotRecorded {
        /// Who it is.
        worker: WorkerId,
    },
    /// Another process was started under its id.
    #[error("process {peer} has proven to be {worker}, which is process {started}: it is refused and left alone")]
    OtherProcess {
        /// Who it says it is.
        worker: WorkerId,
        /// Its process.
        peer: i32,
        /// The process that was started.
        started: i32,
    },
    /// Its link could not be encrypted.
    #[error(
        "a peer at {from} could not agree on encryption with this gateway; a worker must trust the certificate's issuer (--ca-cert)"
    )]
    Encryption {
        /// Where it is.
        from: IpAddr,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// It did not get through the handshake, from another machine.
    #[error(
        "a worker at {from} was not attached (one that goes away does not take this gateway for the one of its token)"
    )]
    External {
        /// Where it is.
        from: IpAddr,
        /// What went wrong.
        #[source]
        source: AttachError,
    },
    /// It is not enrolled, or not any more.
    #[error("{worker} is not enrolled: its token was revoked; enrol it anew with `moorline workers enroll`")]
    Revoked {
        /// Who it is.
        worker: WorkerId,
    },
    /// It offers what it was not enrolled for.
    #[error("{worker} ({name}) offers {agent}, for which it was not enrolled; enrol it anew with this agent")]
    NotAllowed {
        /// Who it is.
        worker: WorkerId,
        /// What the operator calls it.
        name: String,
        /// What it offers.
        agent: ResolvedAgent,
    },
    /// Another process has its token and is attached.
    #[error("another process is attached as {worker} ({name}); a token is for one worker: enrol a second one")]
    InUse {
        /// Who it is.
        worker: WorkerId,
        /// What the operator calls it.
        name: String,
    },
    /// Whether it is enrolled cannot be told.
    #[error("it cannot be told whether {worker} is enrolled")]
    Enrolments {
        /// Who it is.
        worker: WorkerId,
        /// Why not.
        #[source]
        source: EnrolmentsError,
    },
    /// What it offers cannot be written down.
    #[error("{worker} was not attached: what it offers cannot be written down")]
    NotWritten {
        /// Who it is.
        worker: WorkerId,
        /// Why not.
        #[source]
        source: PutError,
    },
    /// It has no business here any more.
    #[error("{worker} is not expected any more; it is told to end itself")]
    NotExpected {
        /// Who it is.
        worker: WorkerId,
    },
}

impl DoorError {
    /// Who it has proven to be.
    const fn worker(&self) -> Option<WorkerId> {
        match self {
            Self::NotRecorded { worker }
            | Self::OtherProcess { worker, .. }
            | Self::Revoked { worker }
            | Self::NotAllowed { worker, .. }
            | Self::InUse { worker, .. }
            | Self::Enrolments { worker, .. }
            | Self::NotWritten { worker, .. }
            | Self::NotExpected { worker } => Some(*worker),
            Self::Peer(_) | Self::Attach(_) | Self::Encryption { .. } | Self::External { .. } => None,
        }
    }
}

/// Attaches workers that the gateway knows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkerDoor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: Arc<Pool>,
    tasks: Tasks,
    params: AttachParams,
    secret: GatewaySecret,
    next_fence: AtomicU64,
    expected: Mutex<HashMap<WorkerId, Expected>>,
    refusals: Refusals,
}

/// A worker that may attach.
#[derive(Debug, Clone, Default)]
struct Expected {
    /// The process that was started, if it is a process.
    pid: Option<i32>,
    /// Cancelled when the worker is on record.
    recorded: CancellationToken,
}

impl WorkerDoor {
    /// A door into `pool`, in this life of the gateway, for workers whose secrets are derived from `secret`.
    pub fn new(pool: Arc<Pool>, tasks: Tasks, clock: Clock, generation: GatewayEpoch, secret: GatewaySecret) -> Self {
        let next_fence = AtomicU64::new(generation.get() * FENCES_PER_GENERATION + 1);
        let params = AttachParams::new(generation);
        let (expected, refusals) = (Mutex::default(), Refusals::new(clock));
        Self(Arc::new(Shared { pool, tasks, params, secret, next_fence, expected, refusals }))
    }

    /// Opens the socket. The caller holds the data directory, so a socket file that is there belongs to nobody.
    ///
    /// # Errors
    /// See [`OpenDoorError`].
    pub fn listen(&self, path: &Path) -> Result<(), OpenDoorError> {
        let failed = |source| OpenDoorError::Bind { path: path.to_owned(), source };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        self.0.tasks.spawn(TaskKind::WorkerDoor, self.clone().accept_all(listener));
        Ok(())
    }

    /// How the handshake is led.
    pub fn params(&self) -> AttachParams {
        self.0.params
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.0.pool
    }

    pub(crate) fn secret(&self) -> &GatewaySecret {
        &self.0.secret
    }

    /// Expects a worker. It is let in when it is on record.
    pub(crate) fn expect(&self, worker: WorkerId) {
        lock(&self.0.expected).insert(worker, Expected::default());
    }

    /// The worker is on record, as the process with this number if it is one.
    pub(crate) fn record(&self, worker: WorkerId, pid: Option<i32>) {
        if let Some(expected) = lock(&self.0.expected).get_mut(&worker) {
            expected.pid = pid;
            expected.recorded.cancel();
        }
    }

    /// Tells the operator that somebody was not let in, at a bounded rate.
    pub(crate) fn tell(&self, refusal: &DoorError, from: Option<IpAddr>) {
        if self.0.refusals.tell(refusal) {
            self.0.pool.record_refusal(&chain(refusal), refusal.worker(), from);
        }
    }

    /// Names an attachment.
    pub(crate) fn next_fence(&self) -> Fence {
        Fence::new(self.0.next_fence.fetch_add(1, Ordering::Relaxed))
    }

    /// Stops expecting a worker: it is gone.
    pub(crate) fn forget(&self, worker: WorkerId) {
        lock(&self.0.expected).remove(&worker);
    }

    /// Takes a worker of this process, and serves it in a task of its own.
    pub(crate) async fn admit(&self, candidate: Candidate, whence: Option<Whence>) -> Result<(), AttachError> {
        let fence = self.next_fence();
        let committed = self.0.pool.committed(&candidate.info().held);
        let link = candidate.admit(fence, committed).await?;
        let pool = Arc::clone(&self.0.pool);
        self.0.tasks.spawn(TaskKind::WorkerLink, async move { pool.serve(link, whence).await });
        Ok(())
    }

    /// Leads a worker at the other end of `stream` through the handshake and lets it in, or does not. `peer` is its
    /// process as the kernel tells it, where it does.
    ///
    /// # Errors
    /// See [`DoorError`].
    pub async fn attach(&self, stream: impl Stream, peer: Option<i32>) -> Result<(), DoorError> {
        let key = |worker: WorkerId| std::future::ready(Some(self.0.secret.worker_secret(worker).key()));
        let candidate = accept(stream, key, self.0.params).await.map_err(DoorError::Attach)?;
        let worker = candidate.info().worker;
        let Some(expected) = lock(&self.0.expected).get(&worker).cloned() else {
            let reason = "this worker is not expected any more; its jobs have ended".to_owned();
            candidate.refuse(reason, true).await.map_err(DoorError::Attach)?;
            return Err(DoorError::NotExpected { worker });
        };
        let recorded = tokio::time::timeout(self.0.params.deadline, expected.recorded.cancelled()).await;
        recorded.map_err(|_| DoorError::NotRecorded { worker })?;
        // Read again: the number came with the record.
        let started = lock(&self.0.expected).get(&worker).and_then(|expected| expected.pid);
        if let (Some(started), Some(peer)) = (started, peer)
            && started != peer
        {
            let reason = "another process was started under this worker's id".to_owned();
            candidate.refuse(reason, false).await.map_err(DoorError::Attach)?;
            return Err(DoorError::OtherProcess { worker, peer, started });
        }
        hold::reached(Point::Admitting).await;
        self.admit(candidate, None).await.map_err(DoorError::Attach)?;
        hold::reached(Point::Admitted).await;
        Ok(())
    }

    async fn accept_all(self, listener: UnixListener) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        let stopping = self.0.tasks.stopping().clone();
        loop {
            let Ok(room) = Arc::clone(&handshakes).acquire_owned().await else { return };
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "a worker's connection was not accepted");
                        continue;
                    }
                },
                () = stopping.cancelled() => return,
            };
            let door = self.clone();
            self.0.tasks.spawn(TaskKind::WorkerLink, async move {
                if let Err(error) = door.attach_peer(stream).await {
                    door.tell(&error, None);
                }
                drop(room);
            });
        }
    }

    async fn attach_peer(&self, stream: UnixStream) -> Result<(), DoorError> {
        let peer = peer::check_same_user(&stream).map_err(DoorError::Peer)?;
        hold::reached(Point::Hello).await;
        self.attach(stream, peer).await
    }
}

/// An error with everything that led to it.
fn chain(error: &DoorError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
