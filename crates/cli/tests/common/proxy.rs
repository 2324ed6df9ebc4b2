//! A TCP proxy whose connections can be cut, as a network would.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Bytes that are passed on at once.
const BUFFER: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    is_deaf: Arc<AtomicBool>,
}

impl Proxy {
    /// A proxy in front of the gateway with this URL.
    pub(crate) fn start(url: &str) -> Self {
        Self::before(address(url))
    }

    /// A proxy in front of this address.
    pub(crate) fn before(target: SocketAddr) -> Self {
        let target = Arc::new(Mutex::new(target));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(Mutex::new(Vec::new()));
        let is_deaf = Arc::new(AtomicBool::new(false));
        let (kept, aimed, deaf) = (Arc::clone(&open), Arc::clone(&target), Arc::clone(&is_deaf));
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let target = *aimed.lock().unwrap();
                let Ok(far) = TcpStream::connect(target) else { continue };
                kept.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                let (back, forth) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let deaf = Arc::clone(&deaf);
                thread::spawn(move || pass(near, forth, &AtomicBool::new(false)));
                thread::spawn(move || pass(far, back, &deaf));
            }
        });
        Self { address, target, open, is_deaf }
    }

    /// Passes further connections on to this address.
    pub(crate) fn aim(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/arcp", self.address)
    }

    /// Passes further connections on to the gateway with this URL.
    pub(crate) fn aim_at(&self, url: &str) {
        self.aim(address(url));
    }

    /// What the gateway says is lost from here on, until the connections are cut.
    pub(crate) fn deafen(&self) {
        self.is_deaf.store(true, Ordering::SeqCst);
    }

    /// Cuts every connection; answers how many there were.
    pub(crate) fn cut(&self) -> usize {
        let cut: Vec<_> = self.open.lock().unwrap().drain(..).collect();
        for stream in &cut {
            // One that is over already is cut too.
            stream.shutdown(Shutdown::Both).unwrap_or_default();
        }
        self.is_deaf.store(false, Ordering::SeqCst);
        cut.len() / 2
    }
}

/// Where the gateway with this URL listens.
fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("ws://").trim_end_matches("/arcp").parse().unwrap()
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_deaf: &AtomicBool) {
    let mut buffer = [0; BUFFER];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if is_deaf.load(Ordering::SeqCst) {
            continue;
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Both).unwrap_or_default();
}
