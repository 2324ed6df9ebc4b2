//! The data directory: everything of a gateway that outlives it.
//!
//! ```text
//! gateway.lock   held by the gateway that uses the directory; says its process id
//! VERSION        the format of everything here
//! journal.db     the journal (with SQLite's own files beside it)
//! admin.token    the API key that the first start made
//! gateway.json   where the running gateway is reached; absent after a clean stop
//! workers.key    the secret from which workers' secrets are derived
//! worker.sock    where workers attach (elsewhere if this path is too long for a socket)
//! enrolments/    which workers of other machines are let in, one file each
//! workers/       one log per worker, and what it cannot report yet
//! scratch/       working directories of agents
//! ```
//!
//! The directory belongs to the gateway's user, nobody else can write to it, and every file that is made here is
//! readable for that user only. One gateway uses it at a time: the lock is the kernel's and ends with the process,
//! however that ends, so a lock file that is merely there means nothing.

mod atomic;
mod endpoint;
mod error;
mod lock;
mod ownership;
mod socket;
mod version;

pub(crate) use atomic::write as write_private;
pub use endpoint::{Endpoint, EndpointError, MAX_ENDPOINT_BYTES};
pub use error::DataDirError;
pub use socket::MAX_SOCKET_PATH_BYTES;
pub use version::FORMAT_VERSION;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use moorline_types::WorkerId;
use moorline_worker::secret::GatewaySecret;

use crate::keys::ApiKey;

/// The mode of directories: for the owner only.
const DIRECTORY_MODE: u32 = 0o700;

/// The mode of files: for the owner only.
const FILE_MODE: u32 = 0o600;

/// A data directory that this process uses and no other does, for as long as the value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    worker_socket: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Takes a directory into use; makes it, and its parents, if it is not there.
    ///
    /// `runtime_dir` is the user's directory for sockets (`XDG_RUNTIME_DIR`); it is used if the path of the data
    /// directory is too long for a socket.
    ///
    /// # Errors
    ///
    /// What keeps the directory from being used, and what to do about it.
    pub fn open(path: &Path, runtime_dir: Option<&Path>) -> Result<Self, DataDirError> {
        create_directory(path)?;
        ownership::check(path)?;
        // The socket's place elsewhere follows from this path, which must not depend on how it was written.
        let path = fs::canonicalize(path).map_err(|source| DataDirError::of_io(path, source))?;
        let lock = lock::take(&path)?;
        version::check(&path)?;
        let worker_socket = socket::place(&path, runtime_dir)?;
        let opened = Self { path, worker_socket, _lock: lock };
        for directory in [opened.workers(), opened.scratch()] {
            create_directory(&directory)?;
        }
        Ok(opened)
    }

    /// The directory itself, absolute and without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The journal's database.
    pub fn journal_db(&self) -> PathBuf {
        self.path.join("journal.db")
    }

    /// Sees to it that the journal's database is a file that only its owner can read, before SQLite makes one that
    /// others can. SQLite gives the files beside it the same mode.
    ///
    /// # Errors
    ///
    /// If the file cannot be made or its mode not be set.
    pub fn prepare_journal_db(&self) -> Result<PathBuf, DataDirError> {
        let path = self.journal_db();
        let failed = |source| DataDirError::of_io(&path, source);
        let file = private_file().append(true).open(&path).map_err(failed)?;
        file.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(failed)?;
        Ok(path)
    }

    /// The API key that the first start made.
    pub fn admin_token(&self) -> PathBuf {
        self.path.join(ADMIN_TOKEN)
    }

    /// Writes the API key that the first start made, and returns where.
    ///
    /// # Errors
    ///
    /// If it cannot be written; there is then no such file, or the former one.
    pub fn write_admin_token(&self, key: &ApiKey) -> Result<PathBuf, DataDirError> {
        atomic::write(&self.path, ADMIN_TOKEN, format!("{}\n", key.expose()).as_bytes())
    }

    /// The secret from which this gateway, at every start, derives the secrets of its workers. `fresh` is it if there
    /// is none yet.
    ///
    /// # Errors
    ///
    /// If it cannot be read or written, or is damaged.
    pub fn gateway_secret(&self, fresh: GatewaySecret) -> Result<GatewaySecret, DataDirError> {
        if let Some(secret) = read_gateway_secret(&self.path)? {
            return Ok(secret);
        }
        atomic::write(&self.path, WORKERS_KEY, format!("{}\n", fresh.to_text()).as_bytes())?;
        Ok(fresh)
    }

    /// Where workers attach. The same at every start.
    pub fn worker_socket(&self) -> &Path {
        &self.worker_socket
    }

    /// The logs of the workers.
    pub fn workers(&self) -> PathBuf {
        self.path.join("workers")
    }

    /// The log of one worker.
    pub fn worker_log(&self, worker: WorkerId) -> PathBuf {
        self.workers().join(format!("{worker}.log"))
    }

    /// Working directories of agents.
    pub fn scratch(&self) -> PathBuf {
        self.path.join("scratch")
    }

    /// Says where this gateway is reached.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn publish(&self, endpoint: &Endpoint) -> Result<PathBuf, DataDirError> {
        atomic::write(&self.path, endpoint::FILE_NAME, endpoint.to_text().as_bytes())
    }

    /// Takes back what [`Self::publish`] said. The last thing of an orderly stop.
    ///
    /// # Errors
    ///
    /// If it is there and cannot be removed.
    pub fn withdraw(&self) -> Result<(), DataDirError> {
        atomic::remove(&self.path.join(endpoint::FILE_NAME))
    }
}

/// The file of the API key that the first start made.
const ADMIN_TOKEN: &str = "admin.token";

/// The file of the secret from which workers' secrets are derived.
const WORKERS_KEY: &str = "workers.key";

/// The secret of the gateway with this data directory, whether it runs or not; `None` if none has used it yet.
pub(crate) fn read_gateway_secret(data_dir: &Path) -> Result<Option<GatewaySecret>, DataDirError> {
    let path = data_dir.join(WORKERS_KEY);
    match fs::read_to_string(&path) {
        Ok(text) => GatewaySecret::from_text(&text).map(Some).map_err(|_| DataDirError::DamagedSecret { path }),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DataDirError::of_io(&path, source)),
    }
}

/// Makes a directory and its parents, for the owner only, if it is not there.
fn create_directory(path: &Path) -> Result<(), DataDirError> {
    let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path);
    made.map_err(|source| match path.exists() && !path.is_dir() {
        true => DataDirError::NotADirectory { path: path.to_owned() },
        false => DataDirError::of_io(path, source),
    })
}

/// Options for a file that only its owner can read, made if it is not there. A link in its place is refused.
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits();
    options.create(true).mode(FILE_MODE).custom_flags(no_follow.cast_signed());
    options
}

#[cfg(test)]
mod tests;
