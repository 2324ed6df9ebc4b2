//! The address at which workers of other machines attach.
//!
//! Whoever connects has a handshake of bounded length and number, in all and from one address; a worker that is let in
//! counts no more, since each enrolled worker has one link at most.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use moorline_runtime::workers::{DoorError, ExternalWorkers};
use moorline_runtime::{TaskKind, Tasks};

use crate::accept::{Accepted, Acceptor};
use crate::admission::Admission;
use crate::tls::Certificates;

/// Handshakes at once; further connections wait to be accepted. Each has at most a few kilobytes before it has proven
/// anything.
const HANDSHAKES: usize = 128;

/// Handshakes at once from one address: a machine with as many workers, or a network behind one address, that all come
/// back together. The others try again within a second.
const HANDSHAKES_PER_ADDRESS: usize = 32;

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for workers on {address}: {source}; choose another address with --workers-listen")]
pub struct ListenForWorkersError {
    /// The address.
    pub address: SocketAddr,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// An address that is listened on.
#[derive(Debug)]
pub(crate) struct WorkerListener(Acceptor);

impl WorkerListener {
    /// Listens. Nobody is let in yet.
    pub(crate) async fn bind(
        address: SocketAddr,
        tls: Option<Arc<Certificates>>,
    ) -> Result<Self, ListenForWorkersError> {
        let bound = Acceptor::bind(address, tls).await;
        bound.map(Self).map_err(|source| ListenForWorkersError { address, source })
    }

    /// Where.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Lets workers in until the tasks are stopped.
    pub(crate) fn serve(self, workers: ExternalWorkers, tasks: Tasks) {
        let admission = Admission::new(HANDSHAKES, HANDSHAKES_PER_ADDRESS);
        let serve = move |accepted| {
            let workers = workers.clone();
            async move { attach(accepted, &workers).await }
        };
        tasks.spawn(TaskKind::WorkerDoor, self.0.accept_all(admission, tasks.clone(), TaskKind::WorkerLink, serve));
    }
}

async fn attach(Accepted { stream, from, place }: Accepted, workers: &ExternalWorkers) {
    let attached = match stream {
        Ok(stream) => workers.attach(stream, from).await,
        Err(source) => Err(DoorError::Encryption { from, source }),
    };
    if let Err(refusal) = attached {
        workers.tell(&refusal, from);
    }
    drop(place);
}
