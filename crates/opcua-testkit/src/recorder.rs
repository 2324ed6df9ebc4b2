//! Somebody who reads along.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::tasks::Task;
use crate::way;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 4_096;

/// How much is kept, in bytes: more than a test says in a session or two.
const MAX_BYTES: usize = 16 << 20;

/// A way to a server that keeps what goes over it. It ends when it is dropped.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    /// What has gone to the server, and what has come from it, of one connection after the other.
    carried: [Arc<Mutex<Vec<u8>>>; 2],
    _accepting: Task,
}

impl Recorder {
    /// A way to a server, from a free port of this machine.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn to(server: SocketAddr) -> io::Result<Self> {
        Self::at(Ipv4Addr::LOCALHOST, server).await
    }

    /// The same, under this address of the machine.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn at(host: Ipv4Addr, server: SocketAddr) -> io::Result<Self> {
        let carried: [Arc<Mutex<Vec<u8>>>; 2] = Default::default();
        let kept = carried.clone();
        let (address, accepting) = way::listen(host, move |client| carry(client, server, kept.clone())).await?;
        Ok(Self { address, carried, _accepting: accepting })
    }

    /// Where clients connect to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether these bytes have gone over it, in either direction.
    pub fn has_carried(&self, bytes: &[u8]) -> bool {
        self.carried.iter().any(|carried| {
            let carried = carried.lock().unwrap_or_else(PoisonError::into_inner);
            carried.windows(bytes.len()).any(|window| window == bytes)
        })
    }
}

async fn carry(client: TcpStream, server: SocketAddr, [to, from]: [Arc<Mutex<Vec<u8>>>; 2]) {
    let Ok(server) = way::connect(&client, server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        _ = copy(from_client, to_server, &to) => {}
        _ = copy(from_server, to_client, &from) => {}
    }
}

async fn copy(mut source: OwnedReadHalf, mut sink: OwnedWriteHalf, kept: &Mutex<Vec<u8>>) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = source.read(&mut buffer).await?;
        if read == 0 {
            return sink.shutdown().await;
        }
        {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() + read > MAX_BYTES {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            kept.extend_from_slice(&buffer[..read]);
        }
        sink.write_all(&buffer[..read]).await?;
    }
}
