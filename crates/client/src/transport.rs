//! Byte streams to a runtime, and how to get one.

use std::fmt;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::connect::Address;

/// A byte stream in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for S {}

/// What [`Dial::dial`] returns.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn ByteStream>>> + Send + 'a>>;

/// Gets a byte stream to the runtime, again and again: a tunnel, a proxy, a socket of another kind.
pub trait Dial: Send + Sync {
    /// A new stream. TLS, if the URL asks for it, is done on top of it.
    fn dial(&self) -> Dialing<'_>;
}

impl fmt::Debug for dyn Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}

/// Dials the URL's own host over TCP.
#[derive(Debug)]
pub(crate) struct Tcp {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Dial for Tcp {
    fn dial(&self) -> Dialing<'_> {
        Box::pin(tcp(&self.host, self.port))
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<Box<dyn ByteStream>> {
    let stream = TcpStream::connect((host, port)).await?;
    // Frames are small and answers are waited for.
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

/// Dials the host of a URL over TCP: what a client does by itself, for a [`Dial`] that looks up where to.
///
/// # Errors
/// If the text is no URL of a runtime ([`io::ErrorKind::InvalidInput`]), or the host cannot be reached.
pub async fn dial_tcp(url: &str) -> io::Result<Box<dyn ByteStream>> {
    let Address { host, port, .. } =
        Address::parse(url).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    tcp(&host, port).await
}
