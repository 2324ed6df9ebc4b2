//! A line between the client and the gateway that can be cut.
//!
//! The client connects here and is passed on to whatever gateway runs at the moment. Cutting breaks every connection,
//! as a network that fails does: nobody is told anything.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// See the module's documentation. It passes bytes on while [`Relay::serve`] is polled.
pub(super) struct Relay {
    listener: TcpListener,
    url: String,
    gateway: watch::Sender<SocketAddr>,
    /// Raised to break what is connected.
    cuts: watch::Sender<u32>,
}

impl Relay {
    /// A line to the gateway at this address, `ws://127.0.0.1:PORT/…`.
    pub(super) async fn to(gateway: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port is free")?;
        let port = listener.local_addr().context("a listener has no address")?.port();
        let url = format!("ws://127.0.0.1:{port}/arcp");
        Ok(Self { listener, url, gateway: watch::Sender::new(address(gateway)?), cuts: watch::Sender::new(0) })
    }

    /// Where the client connects to.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Passes later connections on to another gateway.
    pub(super) fn aim(&self, gateway: &str) -> Result<()> {
        self.gateway.send_replace(address(gateway)?);
        Ok(())
    }

    /// Breaks every connection.
    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Passes everything on. Does not return.
    pub(super) async fn serve(&self) -> Infallible {
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    if let Ok((client, _)) = accepted {
                        connections.push(self.pass_on(client));
                    }
                }
                // A connection that broke is the client's to notice.
                Some(_) = connections.next() => {}
            }
        }
    }

    async fn pass_on(&self, mut client: TcpStream) -> io::Result<()> {
        let mut cuts = self.cuts.subscribe();
        let gateway = *self.gateway.borrow();
        let mut gateway = TcpStream::connect(gateway).await?;
        tokio::select! {
            passed = tokio::io::copy_bidirectional(&mut client, &mut gateway) => passed.map(drop),
            _ = cuts.changed() => Ok(()),
        }
    }
}

fn address(url: &str) -> Result<SocketAddr> {
    let address = url.trim_start_matches("ws://").split('/').next().unwrap_or_default();
    address.parse().with_context(|| format!("{url} is no address of a gateway"))
}
