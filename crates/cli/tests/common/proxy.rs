//! A TCP proxy whose connections can be cut, as a network would.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Bytes that are passed on at once.
const BUFFER: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    target: SocketAddr,
}

impl Proxy {
    /// A proxy in front of the gateway with this URL.
    pub(crate) fn start(url: &str) -> Self {
        let target: SocketAddr = url.trim_start_matches("ws://").trim_end_matches("/arcp").parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&open);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(target) else { continue };
                kept.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                let (back, forth) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                thread::spawn(move || pass(near, forth));
                thread::spawn(move || pass(far, back));
            }
        });
        Self { address, open, target }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/arcp", self.address)
    }

    /// Where the gateway listens.
    pub(crate) fn target(&self) -> String {
        self.target.to_string()
    }

    /// Cuts every connection; answers how many there were.
    pub(crate) fn cut(&self) -> usize {
        let cut: Vec<_> = self.open.lock().unwrap().drain(..).collect();
        for stream in &cut {
            // One that is over already is cut too.
            stream.shutdown(Shutdown::Both).unwrap_or_default();
        }
        cut.len() / 2
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; BUFFER];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Both).unwrap_or_default();
}
