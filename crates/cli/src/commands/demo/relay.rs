//! A line between the client and the gateway that can be cut.
//!
//! The client connects here and is passed on to whatever gateway runs at the moment. Cutting breaks every connection,
//! as a network that fails does: nobody is told anything. A line that is held takes no other connection either.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

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
    is_held: AtomicBool,
}

impl Relay {
    /// A line to the gateway at this address, such as `ws://127.0.0.1:PORT/…`. Its own is the same but for the port.
    pub(super) async fn to(gateway: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port is free")?;
        let (theirs, ours) = (address(gateway)?, listener.local_addr().context("a listener has no address")?);
        let url = gateway.replacen(&theirs.to_string(), &ours.to_string(), 1);
        let (gateway, cuts) = (watch::Sender::new(theirs), watch::Sender::new(0));
        Ok(Self { listener, url, gateway, cuts, is_held: AtomicBool::new(false) })
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

    /// Breaks every connection, and lets none through until it is let go.
    pub(super) fn hold(&self) {
        self.is_held.store(true, Ordering::Relaxed);
        self.cut();
    }

    /// Lets connections through.
    pub(super) fn let_go(&self) {
        self.is_held.store(false, Ordering::Relaxed);
    }

    /// Passes everything on. Does not return.
    pub(super) async fn serve(&self) -> Infallible {
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    if let Ok((client, _)) = accepted
                        && !self.is_held.load(Ordering::Relaxed)
                    {
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
    let (_, place) = url.split_once("://").unwrap_or_default();
    place.split('/').next().unwrap_or_default().parse().with_context(|| format!("{url} is no address of a gateway"))
}
