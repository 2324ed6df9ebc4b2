//! Reaching the gateway.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::UnixStream;

use crate::limits::{LOCAL_RECONNECT_CAP, RECONNECT_CAP};
use crate::peer;
use crate::stream::Stream;

/// Opens a transport to the gateway, each time anew.
#[async_trait]
pub trait Dial: Send + Sync {
    /// The longest wait between two attempts.
    const LONGEST_WAIT: Duration = RECONNECT_CAP;

    /// One attempt.
    async fn dial(&self) -> io::Result<Box<dyn Stream>>;
}

/// The gateway's Unix socket. A socket that another user listens on is as good as none.
#[derive(Debug, Clone)]
pub struct UnixDial {
    /// Where it is.
    pub path: PathBuf,
}

#[async_trait]
impl Dial for UnixDial {
    const LONGEST_WAIT: Duration = LOCAL_RECONNECT_CAP;

    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        let stream = UnixStream::connect(&self.path).await?;
        peer::check_same_user(&stream).map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error))?;
        Ok(Box::new(stream))
    }
}
