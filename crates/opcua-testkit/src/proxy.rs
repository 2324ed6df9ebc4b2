//! A network that fails on command.
//!
//! Every connection that is open when it fails is lost; how its ends learn of that is what the kinds of [`Cut`] are about.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::tasks::Task;
use crate::way;

/// How connections are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Both ends are told at once, and whoever connects is refused: a process that was killed.
    Reset,
    /// Nobody is told, and what is sent is swallowed: a cable that was pulled. When the network is there again, both ends
    /// are told, as by a router that does not know their connection; who has tried to connect meanwhile gets through.
    BlackHole,
    /// The client is told and refused; the server believes the connection to be open until the network is there again,
    /// and what it sends is swallowed.
    HalfOpen,
}

impl Cut {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Reset, Self::BlackHole, Self::HalfOpen];
}

/// A proxy between clients and a server. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    opened: Arc<AtomicUsize>,
    _accepting: Task,
}

/// The state of the network.
#[derive(Debug, Clone, Copy)]
struct Network {
    /// How often it was cut: a connection whose task has slept through a whole cut is lost all the same.
    cuts: u64,
    /// How it was cut last.
    last: Cut,
    /// Whether it is.
    down: bool,
}

impl Proxy {
    /// A proxy to a server, on a free port of this machine.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn to(server: SocketAddr) -> io::Result<Self> {
        let network = watch::Sender::new(Network { cuts: 0, last: Cut::Reset, down: false });
        let opened = Arc::new(AtomicUsize::new(0));
        let (state, counter) = (network.subscribe(), Arc::clone(&opened));
        let carried = move |client| carry(client, server, state.clone(), Arc::clone(&counter));
        let (address, accepting) = way::listen(Ipv4Addr::LOCALHOST, carried).await?;
        Ok(Self { address, network, opened, _accepting: accepting })
    }

    /// Where clients connect to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection, and lets none through until [`Proxy::heal`].
    pub fn cut(&self, cut: Cut) {
        self.network.send_modify(|network| *network = Network { cuts: network.cuts + 1, last: cut, down: true });
    }

    /// Lets connections through again.
    pub fn heal(&self) {
        self.network.send_modify(|network| network.down = false);
    }

    /// How many connections have been made to the server.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

/// Carries one connection until it ends or is cut.
async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    mut network: watch::Receiver<Network>,
    opened: Arc<AtomicUsize>,
) {
    let mut state = *network.borrow_and_update();
    if state.down && state.last != Cut::BlackHole {
        return reset(&client);
    }
    if state.down {
        healed(&mut network).await;
        state = *network.borrow_and_update();
    }
    let Ok(mut server) = way::connect(&client, server).await else { return reset(&client) };
    opened.fetch_add(1, Ordering::SeqCst);
    let mine = state.cuts;
    let cut = tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => return,
        cut = network.wait_for(|network| network.cuts != mine) => match cut {
            Ok(network) => network.last,
            Err(_) => return,
        },
    };
    match cut {
        Cut::Reset => {}
        Cut::BlackHole => tokio::select! {
            () = healed(&mut network) => {}
            _ = drain(&mut client) => {}
            _ = drain(&mut server) => {}
        },
        Cut::HalfOpen => {
            reset(&client);
            drop(client);
            tokio::select! {
                () = healed(&mut network) => {}
                _ = drain(&mut server) => {}
            }
            return reset(&server);
        }
    }
    reset(&client);
    reset(&server);
}

/// Waits until the network is there again.
async fn healed(network: &mut watch::Receiver<Network>) {
    // A network that is gone ends the connection too.
    drop(network.wait_for(|network| !network.down).await);
}

/// Reads and forgets for ever, whatever the end does.
async fn drain(end: &mut (impl AsyncRead + Unpin)) -> std::convert::Infallible {
    let mut buffer = [0; 4096];
    while let Ok(1..) = end.read(&mut buffer).await {}
    std::future::pending().await
}

/// Lets the other end be told, once the socket is dropped, that there is no such connection.
fn reset(socket: &TcpStream) {
    // Of a socket that is gone already there is nothing to be told.
    set_socket_linger(socket, Some(Duration::ZERO)).unwrap_or_default();
}
