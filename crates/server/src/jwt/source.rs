//! Which keys there are at the moment, and where they come from.
//!
//! - A file is read at the start, whenever it has changed, and on SIGHUP.
//! - An address is asked at the start, every few minutes, and sooner if a token names a key that is not known: issuers
//!   sign with a new key as soon as they have published it. However many such tokens come, it is asked at a bounded rate
//!   and by one task.
//! - What cannot be used leaves the keys as they are.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};

use super::fetch::{FetchError, Fetcher};
use super::key_set::{KeySet, KeySetError};
use crate::config::JwtKeys;
use crate::tls::TlsError;

/// The largest file with keys. Ten keys with their certificates are a tenth of it.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// How often a file is looked at. Who cannot wait sends SIGHUP.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// How often an address is asked: issuers publish a key hours before it is the only one, and withdraw one that was
/// stolen at once.
const ASK_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How soon an address is asked again that has not answered.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// The least time between two requests, whoever presents what.
const LEAST_INTERVAL: Duration = Duration::from_secs(2);

/// How long a client waits for keys that are asked for because of its token: the least interval and an answer.
const PATIENCE: Duration = Duration::from_secs(7);

/// Why tokens cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    /// The file with the keys cannot be read.
    #[error("cannot read {}: {source}; correct auth.jwt.keys, or make the file readable for the gateway", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file with the keys is too large to be one.
    #[error("{} is larger than {MAX_FILE_BYTES} bytes; auth.jwt.keys must name a file with public keys", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file has no keys.
    #[error("{} {source}; auth.jwt.keys must name a file with the issuer's public keys", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeySetError,
    },
    /// The file with the authority of the issuer's certificate cannot be used.
    #[error(transparent)]
    Authority(#[from] TlsError),
}

/// What shows that a file is another one than it was.
type Stamp = Option<(SystemTime, u64)>;

#[derive(Debug)]
enum Origin {
    File { path: PathBuf, seen: Mutex<Stamp> },
    Address(Fetcher),
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Source {
    origin: Origin,
    keys: RwLock<Arc<KeySet>>,
    /// How often the address has been asked.
    asked: watch::Sender<u64>,
    /// Somebody has a token with a key that is not known.
    wanted: Notify,
}

impl Source {
    pub(super) fn load(keys: &JwtKeys) -> Result<Self, JwtError> {
        let (origin, keys) = match keys {
            JwtKeys::File(path) => {
                // Before it is read: who writes it in between is seen at the next look.
                let seen = Mutex::new(stamp(path));
                let keys = read(path)?;
                (Origin::File { path: path.clone(), seen }, keys)
            }
            JwtKeys::Address { url, authority } => {
                (Origin::Address(Fetcher::new(url.clone(), authority.as_deref())?), KeySet::default())
            }
        };
        let keys = RwLock::new(Arc::new(keys));
        Ok(Self { origin, keys, asked: watch::channel(0).0, wanted: Notify::new() })
    }

    pub(super) fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What [`Self::fetched`] waits with.
    pub(super) fn coming(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// Has the address asked for keys, and answers whether it was since `coming` was taken. A file is not asked.
    pub(super) async fn fetched(&self, mut coming: watch::Receiver<u64>) -> bool {
        if matches!(self.origin, Origin::File { .. }) {
            return false;
        }
        self.wanted.notify_one();
        matches!(tokio::time::timeout(PATIENCE, coming.changed()).await, Ok(Ok(())))
    }

    /// Reads the keys anew, as soon as that may be. Answers whether they could be used if that is known by then.
    pub(super) fn reload(&self) -> Option<bool> {
        match &self.origin {
            Origin::File { path, seen } => Some(self.reload_file(path, seen)),
            Origin::Address(_) => {
                self.wanted.notify_one();
                None
            }
        }
    }

    pub(super) async fn watch(&self, told: impl Fn(bool)) {
        match &self.origin {
            Origin::File { path, seen } => loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                let has_changed = *seen.lock().unwrap_or_else(PoisonError::into_inner) != stamp(path);
                if has_changed {
                    told(self.reload_file(path, seen));
                }
            },
            Origin::Address(fetcher) => loop {
                let next = if self.ask(fetcher).await { ASK_INTERVAL } else { RETRY_INTERVAL };
                self.asked.send_modify(|times| *times += 1);
                tokio::time::sleep(LEAST_INTERVAL).await;
                tokio::select! {
                    () = tokio::time::sleep(next) => {}
                    () = self.wanted.notified() => {}
                }
            },
        }
    }

    fn reload_file(&self, path: &Path, seen: &Mutex<Stamp>) -> bool {
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = stamp(path);
        match read(path) {
            Ok(keys) => {
                self.put(keys);
                tracing::info!(path = %path.display(), "the keys of tokens are loaded anew");
                true
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the keys of tokens are not loaded anew; those of before stay");
                false
            }
        }
    }

    async fn ask(&self, fetcher: &Fetcher) -> bool {
        let fetched = async { Ok::<_, FetchError>(KeySet::parse(&fetcher.fetch().await?)?) };
        match fetched.await {
            Ok(keys) => {
                if self.put(keys) {
                    tracing::info!(url = %fetcher.url(), "the issuer of tokens has other keys than before");
                }
                true
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, url = %fetcher.url(), "the keys of tokens are not fetched; those of before stay");
                false
            }
        }
    }

    /// Answers whether these are others.
    fn put(&self, keys: KeySet) -> bool {
        let mut current = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let are_others = **current != keys;
        *current = Arc::new(keys);
        are_others
    }
}

fn stamp(path: &Path) -> Stamp {
    fs::metadata(path).and_then(|found| Ok((found.modified()?, found.len()))).ok()
}

fn read(path: &Path) -> Result<KeySet, JwtError> {
    let unreadable = |source| JwtError::Read { path: path.to_owned(), source };
    let mut text = Vec::new();
    File::open(path).map_err(unreadable)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(JwtError::TooLarge { path: path.to_owned() });
    }
    KeySet::parse(&text).map_err(|source| JwtError::Keys { path: path.to_owned(), source })
}
