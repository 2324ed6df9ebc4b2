//! One process per store.
//!
//! The writer keeps stream heads in memory, so a second writer would be wrong, not only slow. SQLite's own locks come
//! and go with transactions; a lock on a file beside the data lasts as long as the process and ends with it, however
//! it ends. It is not the data file itself that is locked: closing any descriptor of that file would drop the locks
//! that SQLite holds on it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::open::OpenError;

/// The lock file is its owner's only, like the data beside it.
const LOCK_MODE: u32 = 0o600;

/// The name of the lock file, after the data file's.
const SUFFIX: &str = "-lock";

/// Held until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct StoreLock {
    _file: File,
}

/// Takes the lock of the store at `path`, or says that somebody else has it.
pub(crate) fn acquire(path: &Path) -> Result<StoreLock, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(SUFFIX);
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(LOCK_MODE).open(&name);
    let file = opened.map_err(|source| {
        if matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) {
            OpenError::ReadOnly { path: path.into() }
        } else {
            OpenError::Io { path: name.into(), source }
        }
    })?;
    match file.try_lock() {
        Ok(()) => Ok(StoreLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.into() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { path: path.into(), source }),
    }
}
