//! What is loaded at the moment.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::{Loaded, TlsError, TlsFiles, load};

/// What is spoken inside where HTTP/2 is.
const HTTP2: &[u8] = b"h2";

/// How often the files are looked at. Certificates are renewed days before they expire; who cannot wait sends SIGHUP.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The certificate and key of an address, and the files that they come from.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    /// Whether HTTP/2 is spoken inside, and not HTTP/1.1.
    is_http2: bool,
    loaded: RwLock<Loaded>,
    /// The files as they were when they were read last, whether that went well or not.
    seen: Mutex<Vec<Stamp>>,
}

/// What shows that a file is another one than it was.
type Stamp = Option<(SystemTime, u64)>;

impl Certificates {
    /// Loads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        // Before they are read: who writes them in between is seen at the next look.
        let seen = Mutex::new(stamps(&files));
        let loaded = RwLock::new(load(&files)?);
        Ok(Self { files, is_http2: false, loaded, seen })
    }

    /// The same for an address where HTTP/2 is spoken: gRPC.
    #[must_use]
    pub const fn speaking_http2(mut self) -> Self {
        self.is_http2 = true;
        self
    }

    /// Begins encrypted connections, with what is loaded now.
    pub fn acceptor(&self) -> TlsAcceptor {
        let config = self.loaded().config;
        if !self.is_http2 {
            return TlsAcceptor::from(config);
        }
        let mut config = ServerConfig::clone(&config);
        config.alpn_protocols = vec![HTTP2.to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// The host names for which the certificate stands, in lower case. One may begin with `*.`.
    pub fn hosts(&self) -> Arc<[String]> {
        self.loaded().hosts
    }

    /// Loads the files anew, and answers whether they could be used. If not, everything stays as it is; that is said in
    /// the log.
    pub fn reload(&self) -> bool {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamps(&self.files);
        match load(&self.files) {
            Ok(loaded) => {
                *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
                tracing::info!(cert = %self.files.cert.display(), "the certificate is loaded anew");
                true
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the certificate is not loaded anew; connections go on with the one of before");
                false
            }
        }
    }

    /// Loads the files anew whenever they have changed, and tells whether they could be used. Never returns.
    pub async fn watch(&self, told: impl Fn(bool)) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let has_changed = *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != stamps(&self.files);
            if has_changed {
                told(self.reload());
            }
        }
    }

    fn loaded(&self) -> Loaded {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn stamps(files: &TlsFiles) -> Vec<Stamp> {
    let authority = files.clients.iter().map(|clients| &clients.authority);
    let stamp = |path: &PathBuf| fs::metadata(path).and_then(|found| Ok((found.modified()?, found.len()))).ok();
    [&files.cert, &files.key].into_iter().chain(authority).map(stamp).collect()
}
