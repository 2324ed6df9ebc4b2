//! Accepting connections: one loop for every address that is listened on.
//!
//! A connection is counted before it is accepted, its address's share is looked at before it is served, and its TLS
//! handshake has a deadline. What follows is its server's.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use moorline_runtime::{TaskKind, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::admission::{Admission, Place};
use crate::tls::Certificates;

/// How long a TLS handshake may take: the same as a hello, which is one round trip more.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// How long accepting pauses when the machine has no descriptors left: long enough for a connection to end, short
/// enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The bytes of a connection, decrypted if they were encrypted.
pub(crate) type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Its bytes; an error if its TLS handshake failed.
    pub(crate) stream: io::Result<Stream>,
    /// Where it comes from.
    pub(crate) from: IpAddr,
    /// Its room, for as long as this lives.
    pub(crate) place: Arc<Place>,
}

/// An address that is listened on. Nobody is accepted yet.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Certificates>>,
}

impl Acceptor {
    /// Listens.
    ///
    /// # Errors
    /// If the address is in use, not this machine's, or not ours to use.
    pub(crate) async fn bind(address: SocketAddr, tls: Option<Arc<Certificates>>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { address: listener.local_addr()?, listener, tls })
    }

    /// Where.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether connections are encrypted.
    pub(crate) const fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Accepts until the tasks are stopped, and serves each connection in a task of this kind.
    pub(crate) async fn accept_all<S, F>(self, admission: Arc<Admission>, tasks: Tasks, kind: TaskKind, serve: S)
    where
        S: Fn(Accepted) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send,
    {
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
                    let (serve, tls) = (serve.clone(), self.tls.clone());
                    tasks.spawn(kind, async move {
                        let stream = begin(stream, tls).await;
                        serve(Accepted { stream, from: from.ip(), place }).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, address = %self.address, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn begin(stream: TcpStream, tls: Option<Arc<Certificates>>) -> io::Result<Stream> {
    // What is written is written whole; waiting for more to send would only delay it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the connection keeps its delay");
    }
    let Some(tls) = tls else { return Ok(Either::Left(stream)) };
    match tokio::time::timeout(HANDSHAKE_DEADLINE, tls.acceptor().accept(stream)).await {
        Ok(encrypted) => encrypted.map(Either::Right),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
