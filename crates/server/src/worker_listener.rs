//! The address at which workers of other machines attach.
//!
//! Whoever connects has a handshake of bounded length and number, in all and from one address; a worker that is let in
//! counts no more, since each enrolled worker has one link at most.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use moorline_runtime::workers::{DoorError, ExternalWorkers};
use moorline_runtime::{TaskKind, Tasks};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::http::Admission;

/// Handshakes at once; further connections wait to be accepted. Each has at most a few kilobytes before it has proven
/// anything.
const HANDSHAKES: usize = 128;

/// Handshakes at once from one address: a machine with as many workers, or a network behind one address, that all come
/// back together. The others try again within a second.
const HANDSHAKES_PER_ADDRESS: usize = 32;

/// How long a TLS handshake may take; the proof after it has its own deadline.
const TLS_DEADLINE: Duration = Duration::from_secs(10);

/// How long accepting pauses when the machine has no descriptors left: long enough for a connection to end, short
/// enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
pub(crate) struct WorkerListener {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
}

impl WorkerListener {
    /// Listens. Nobody is let in yet.
    pub(crate) async fn bind(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<Self, ListenForWorkersError> {
        let bound = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|source| ListenForWorkersError { address, source })?;
        Ok(Self { listener, address, tls })
    }

    /// Where.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets workers in until the tasks are stopped.
    pub(crate) fn serve(self, workers: ExternalWorkers, tasks: Tasks) {
        tasks.clone().spawn(TaskKind::WorkerDoor, self.accept_all(workers, tasks));
    }

    async fn accept_all(self, workers: ExternalWorkers, tasks: Tasks) {
        let admission = Admission::new(HANDSHAKES, HANDSHAKES_PER_ADDRESS);
        let tls = self.tls.map(TlsAcceptor::from);
        let stopping = tasks.stopping().clone();
        loop {
            let accepted = tokio::select! {
                room = admission.room() => match room {
                    Some(room) => tokio::select! {
                        accepted = self.listener.accept() => accepted.map(|(stream, from)| (room, stream, from)),
                        () = stopping.cancelled() => return,
                    },
                    None => return,
                },
                () = stopping.cancelled() => return,
            };
            match accepted {
                Ok((room, stream, from)) => {
                    let Some(place) = admission.admit(room, from.ip()) else { continue };
                    let (workers, tls) = (workers.clone(), tls.clone());
                    tasks.spawn(TaskKind::WorkerLink, async move {
                        if let Err(refusal) = attach(stream, from, &workers, tls).await {
                            workers.tell(&refusal).await;
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a worker's connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn attach(
    stream: TcpStream,
    from: SocketAddr,
    workers: &ExternalWorkers,
    tls: Option<TlsAcceptor>,
) -> Result<(), DoorError> {
    let from = from.ip();
    // Messages are written whole; waiting for more to send would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the link keeps its delay");
    }
    let Some(tls) = tls else { return workers.attach(stream, from).await };
    match tokio::time::timeout(TLS_DEADLINE, tls.accept(stream)).await {
        Ok(Ok(stream)) => workers.attach(stream, from).await,
        Ok(Err(source)) => Err(DoorError::Encryption { from, source }),
        Err(_) => Err(DoorError::Encryption { from, source: io::ErrorKind::TimedOut.into() }),
    }
}
