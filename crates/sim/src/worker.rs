//! The worker: a task that outlives every gateway, as a worker's process does.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use moorline_runtime::workers::WorkerDoor;
use moorline_runtime::{TaskKind, Tasks};
use moorline_types::{Timestamp, WorkerId};
use moorline_worker::Stream;
use moorline_worker::connect::{Dial, Identity, Stop, Worker};
use moorline_worker::secret::GatewaySecret;
use tokio_util::sync::CancellationToken;

use crate::agent::Scripted;

/// How long the worker lives without a gateway: for ever, as far as a history is concerned.
const LIFETIME: Duration = Duration::from_secs(365 * 86_400);

/// Bytes that the link holds in each direction.
const PIPE_BYTES: usize = 4 * 1024;

/// Where the worker finds the gateway of the moment, if there is one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<Option<(WorkerDoor, Tasks)>>>);

impl Gate {
    pub(crate) fn open(&self, door: WorkerDoor, tasks: Tasks) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((door, tasks));
    }

    pub(crate) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[async_trait]
impl Dial for Gate {
    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (door, tasks) = open.ok_or(io::ErrorKind::ConnectionRefused)?;
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        tasks.spawn(TaskKind::WorkerLink, async move {
            // A worker that died during its handshake, or a gateway that did.
            drop(door.attach(theirs, None).await);
        });
        Ok(Box::new(ours))
    }
}

/// A worker at work. Dropping it is its death.
#[derive(Debug)]
pub(crate) struct RunningWorker {
    dead: CancellationToken,
}

impl RunningWorker {
    pub(crate) fn start(gate: Gate) -> Self {
        let identity =
            Identity { worker: worker(), key: secret().worker_secret(worker()).key(), orphan_lifetime: LIFETIME };
        let agents: [Arc<dyn moorline_worker::sdk::Agent>; 1] = [Arc::new(Scripted)];
        let at_work = Worker::new(identity, gate, agents).expect("one agent can be hosted");
        let dead = CancellationToken::new();
        let dies = dead.clone();
        Tasks::default().spawn(TaskKind::WorkerProcess, async move {
            tokio::select! {
                biased;
                () = dies.cancelled() => {}
                ended = at_work.run(Stop::default()) => panic!("the worker has ended by itself: {ended:?}"),
            }
        });
        Self { dead }
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        self.dead.cancel();
    }
}

/// Who the worker is, in all of its lives.
pub(crate) fn worker() -> WorkerId {
    WorkerId::mint(Timestamp::from_unix_millis(1), [4; 10])
}

/// What every gateway of a history knows.
pub(crate) fn secret() -> GatewaySecret {
    GatewaySecret::new([5; 32])
}
