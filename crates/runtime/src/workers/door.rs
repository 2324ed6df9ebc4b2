//! The socket at which workers attach.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use moorline_types::{Fence, WorkerId};
use moorline_worker::link::{AttachError, AttachParams, Candidate, accept};
use moorline_worker::message::GatewayEpoch;
use moorline_worker::peer;
use moorline_worker::secret::WorkerKey;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::pool::Pool;
use crate::sync::lock;
use crate::tasks::{TaskKind, Tasks};

/// Handshakes that may be under way at once. More wait in the socket's backlog; a hundred workers that come back
/// together are served in two rounds of a millisecond each.
const HANDSHAKES: usize = 64;

/// How many fences one life of the gateway may give out: more attachments than a worker a millisecond for 49 days.
const FENCES_PER_GENERATION: u64 = 1 << 32;

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

/// Attaches workers that the gateway knows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkerDoor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: Arc<Pool>,
    tasks: Tasks,
    params: AttachParams,
    next_fence: AtomicU64,
    expected: Mutex<HashMap<WorkerId, WorkerKey>>,
}

impl WorkerDoor {
    /// A door into `pool`, in this life of the gateway.
    pub fn new(pool: Arc<Pool>, tasks: Tasks, generation: GatewayEpoch) -> Self {
        let next_fence = AtomicU64::new(generation.get() * FENCES_PER_GENERATION + 1);
        let params = AttachParams::new(generation);
        Self(Arc::new(Shared { pool, tasks, params, next_fence, expected: Mutex::default() }))
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

    /// Expects a worker that will prove itself with this key.
    pub(crate) fn expect(&self, worker: WorkerId, key: WorkerKey) {
        lock(&self.0.expected).insert(worker, key);
    }

    /// Stops expecting a worker: its process is gone.
    pub(crate) fn forget(&self, worker: WorkerId) {
        lock(&self.0.expected).remove(&worker);
    }

    /// Takes a worker that has proven itself, and serves it in a task of its own.
    pub(crate) async fn admit(&self, candidate: Candidate) -> Result<(), AttachError> {
        let fence = Fence::new(self.0.next_fence.fetch_add(1, Ordering::Relaxed));
        let link = candidate.admit(fence, []).await?;
        let pool = Arc::clone(&self.0.pool);
        self.0.tasks.spawn(TaskKind::WorkerLink, async move { pool.serve(link).await });
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
                if let Err(error) = door.attach(stream).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a worker was not attached");
                }
                drop(room);
            });
        }
    }

    async fn attach(&self, stream: UnixStream) -> Result<(), AttachError> {
        if let Err(error) = peer::check_same_user(&stream) {
            tracing::warn!(%error, "a connection to the worker socket is refused");
            return Ok(());
        }
        let expected = |worker: WorkerId| {
            let key = lock(&self.0.expected).get(&worker).cloned();
            std::future::ready(key)
        };
        let candidate = accept(stream, expected, self.0.params).await?;
        self.admit(candidate).await
    }
}
