//! Ways to a server: what listens on this machine, and carries whoever connects.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::tasks::{self, Task};

/// Listens on a free port of this address, and lets every connection be carried. All of it ends with the task.
///
/// # Errors
/// If there is no port.
pub(crate) async fn listen<F: Future<Output = ()> + Send + 'static>(
    host: Ipv4Addr,
    carry: impl Fn(TcpStream) -> F + Send + 'static,
) -> io::Result<(SocketAddr, Task)> {
    let listener = TcpListener::bind((host, 0)).await?;
    let address = listener.local_addr()?;
    let accepting = async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            while connections.try_join_next().is_some() {}
            connections.spawn(carry(client));
        }
    };
    Ok((address, tasks::spawn(accepting)))
}

/// Connects a client to its server. Nothing waits on either side: what collects small packets would delay what it is to
/// carry.
pub(crate) async fn connect(client: &TcpStream, server: SocketAddr) -> io::Result<TcpStream> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok(server)
}
