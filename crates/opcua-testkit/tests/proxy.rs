//! The network that fails, as two ends of it see it.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::io;
use std::time::Duration;

use moorline_opcua_testkit::{Cut, Proxy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// For how long nothing comes where nothing may come.
const QUIET: Duration = Duration::from_millis(200);

struct Ends {
    listener: TcpListener,
    proxy: Proxy,
    client: TcpStream,
    server: TcpStream,
}

impl Ends {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::to(listener.local_addr().unwrap()).await.unwrap();
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        let server = soon(listener.accept()).await.unwrap().0;
        let mut ends = Self { listener, proxy, client, server };
        ends.talk().await;
        ends
    }

    /// Something goes both ways.
    async fn talk(&mut self) {
        pass(&mut self.client, &mut self.server).await;
        pass(&mut self.server, &mut self.client).await;
    }

    async fn connect_again(&mut self) {
        self.client = TcpStream::connect(self.proxy.address()).await.unwrap();
        self.server = soon(self.listener.accept()).await.unwrap().0;
        self.talk().await;
    }
}

/// Something goes from one end to the other.
async fn pass(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"words").await.unwrap();
    let mut heard = [0; 5];
    soon(to.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"words");
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it takes too long")
}

async fn is_told(end: &mut TcpStream) -> bool {
    match soon(end.read(&mut [0; 8])).await {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

async fn hears_nothing(end: &mut TcpStream) -> bool {
    timeout(QUIET, end.read(&mut [0; 8])).await.is_err()
}

#[tokio::test]
async fn a_reset_is_told_to_both_and_refuses_whoever_comes() {
    let mut ends = Ends::new().await;
    ends.proxy.cut(Cut::Reset);
    assert!(is_told(&mut ends.client).await && is_told(&mut ends.server).await);
    let mut refused = TcpStream::connect(ends.proxy.address()).await.unwrap();
    assert!(is_told(&mut refused).await);
    ends.proxy.heal();
    ends.connect_again().await;
    assert_eq!(ends.proxy.opened(), 2);
}

#[tokio::test]
async fn a_black_hole_swallows_what_is_sent_and_lets_whoever_waits_through_in_the_end() {
    let mut ends = Ends::new().await;
    ends.proxy.cut(Cut::BlackHole);
    ends.client.write_all(b"lost").await.unwrap();
    ends.server.write_all(b"lost").await.unwrap();
    assert!(hears_nothing(&mut ends.client).await && hears_nothing(&mut ends.server).await);
    let waiting = TcpStream::connect(ends.proxy.address()).await.unwrap();
    assert!(timeout(QUIET, ends.listener.accept()).await.is_err(), "a connection got through");

    ends.proxy.heal();
    assert!(is_told(&mut ends.client).await && is_told(&mut ends.server).await);
    ends.server = soon(ends.listener.accept()).await.unwrap().0;
    ends.client = waiting;
    ends.talk().await;
}

#[tokio::test]
async fn of_a_connection_that_is_half_open_only_the_client_is_told() {
    let mut ends = Ends::new().await;
    ends.proxy.cut(Cut::HalfOpen);
    assert!(is_told(&mut ends.client).await);
    ends.server.write_all(b"lost").await.unwrap();
    assert!(hears_nothing(&mut ends.server).await);
    ends.proxy.heal();
    assert!(is_told(&mut ends.server).await);
    ends.connect_again().await;
}

#[tokio::test]
async fn a_cut_that_is_over_before_anybody_looks_cuts_all_the_same() {
    for cut in Cut::ALL {
        let mut ends = Ends::new().await;
        ends.proxy.cut(cut);
        ends.proxy.heal();
        assert!(is_told(&mut ends.client).await && is_told(&mut ends.server).await, "{cut:?}");
        ends.connect_again().await;
    }
}
