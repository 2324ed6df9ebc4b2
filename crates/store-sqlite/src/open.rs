//! Opening: one process, our own file, a version that we know.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use moorline_store::StoreFault;
use moorline_types::Epoch;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::fault::{self, SqlError};
use crate::options::{Durability, SqliteOptions};
use crate::sql::{self, State};
use crate::witness::{self, Witness};

/// Why a store was not opened. The text names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory of the data file does not exist.
    #[error("{} cannot be made because its directory does not exist: create the directory", path.display())]
    MissingDirectory {
        /// The data file.
        path: PathBuf,
    },
    /// There is a directory where the data file should be.
    #[error("{} is a directory: name a file in it", path.display())]
    IsDirectory {
        /// The path that was given.
        path: PathBuf,
    },
    /// The file or its directory may not be written.
    #[error("{} is read-only: check the permissions of the file and its directory, and how the disk is mounted", path.display())]
    ReadOnly {
        /// The data file.
        path: PathBuf,
    },
    /// Another process has the store open.
    #[error("{} is in use by another process: stop it, or give each process a store of its own", path.display())]
    InUse {
        /// The data file.
        path: PathBuf,
    },
    /// The file is no database.
    #[error("{} is not a store, and was left as it is: name another file", path.display())]
    NotADatabase {
        /// The data file.
        path: PathBuf,
    },
    /// The file is a database of another program.
    #[error("{} belongs to another program (application id {application_id:#010x}): name another file", path.display())]
    Foreign {
        /// The data file.
        path: PathBuf,
        /// The number by which SQLite databases name their program.
        application_id: i32,
    },
    /// The file was written by a newer version of this program.
    #[error("{} has format {found}, but this version knows formats up to {known}: run the newer version, or restore the backup from before the upgrade", path.display())]
    Newer {
        /// The data file.
        path: PathBuf,
        /// The format of the file.
        found: i64,
        /// The newest format that this version knows.
        known: i64,
    },
    /// SQLite cannot keep a write-ahead log there.
    #[error("{} cannot have a write-ahead log (it got {mode:?}): put it on a local disk", path.display())]
    NoLog {
        /// The data file.
        path: PathBuf,
        /// The journal mode that SQLite fell back to.
        mode: String,
    },
    /// The store failed while it was opened.
    #[error("{}: {kind}", path.display())]
    Store {
        /// The data file.
        path: PathBuf,
        /// What is wrong with it.
        kind: StoreFault,
        /// What SQLite reported.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file beside the data failed.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system reported.
        #[source]
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("the store's thread could not be started")]
    Thread {
        /// What the system reported; `None` if the thread ended without a word.
        #[source]
        source: Option<io::Error>,
    },
}

/// Checks what can be said about the path before anything is opened or made.
pub(crate) fn check_path(path: &Path) -> Result<(), OpenError> {
    if path.is_dir() {
        return Err(OpenError::IsDirectory { path: path.into() });
    }
    if !directory_of(path).is_dir() {
        return Err(OpenError::MissingDirectory { path: path.into() });
    }
    Ok(())
}

/// Opens the connection that writes, and makes or upgrades what is in the file.
pub(crate) fn open_writer(options: &SqliteOptions) -> Result<(Connection, State), OpenError> {
    let path = &options.path;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).map_err(|error| classify(path, error.into()))?;
    let state = prepare(&mut conn, options)?;
    Ok((conn, state))
}

/// Opens a connection that only reads. The writer has opened the store before.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|error| classify(path, error.into()))?;
    sql::configure_reader(&conn).map_err(|error| classify(path, error))?;
    Ok(conn)
}

/// Opens a connection that only copies the log into the file. The writer has opened the store before.
pub(crate) fn open_checkpointer(path: &Path, durability: Durability) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|error| classify(path, error.into()))?;
    sql::configure_writer(&conn, durability).map_err(|error| classify(path, error))?;
    Ok(conn)
}

fn prepare(conn: &mut Connection, options: &SqliteOptions) -> Result<State, OpenError> {
    let path = &options.path;
    let failed = |error| classify(path, error);
    let identity = sql::identity(conn).map_err(failed)?;
    if !identity.is_fresh && identity.application_id != sql::APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.into(), application_id: identity.application_id });
    }
    if identity.version > sql::KNOWN_VERSION {
        return Err(OpenError::Newer { path: path.into(), found: identity.version, known: sql::KNOWN_VERSION });
    }
    if sql::is_readonly(conn).map_err(failed)? {
        return Err(OpenError::ReadOnly { path: path.into() });
    }
    let mode = sql::configure_writer(conn, options.durability).map_err(failed)?;
    if mode != sql::LOG_MODE {
        return Err(OpenError::NoLog { path: path.into(), mode });
    }
    if identity.version < sql::KNOWN_VERSION {
        let epoch = Epoch::mint(options.now, options.entropy);
        sql::migrate(conn, identity.version, epoch).map_err(failed)?;
        sync_directory(path)?;
    }
    sql::limit_size(conn, options.max_bytes).map_err(failed)?;
    let state = sql::state(conn).map_err(failed)?;
    if identity.is_fresh {
        return Ok(state);
    }
    match witness::judge(path, &state) {
        Ok(()) => Ok(state),
        Err(broken) => {
            let epoch = Epoch::mint(options.now, options.entropy);
            tracing::warn!(was = %state.epoch, %epoch, "the journal's epoch is renewed: {}", broken.as_str());
            sql::renew_epoch(conn, epoch).map_err(failed)?;
            Ok(State { epoch, ..state })
        }
    }
}

/// Opens the file that knows how far the store has come.
pub(crate) fn open_witness(options: &SqliteOptions, state: &State) -> Result<Witness, OpenError> {
    let path = &options.path;
    Witness::open(path, state, options.durability).map_err(|source| OpenError::Io { path: path.into(), source })
}

/// Makes the file's name as durable as its content.
fn sync_directory(path: &Path) -> Result<(), OpenError> {
    let directory = directory_of(path);
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| OpenError::Io { path: directory.into(), source })
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

pub(crate) fn classify(path: &Path, error: SqlError) -> OpenError {
    let path = path.to_path_buf();
    let SqlError::Sqlite(error) = error else {
        return OpenError::Store { path, kind: error.kind(), source: Box::new(error) };
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse { path },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => OpenError::ReadOnly { path },
        Some(_) | None => OpenError::Store { path, kind: fault::kind_of(&error), source: Box::new(error) },
    }
}

#[cfg(test)]
mod tests {
    use moorline_types::Timestamp;

    use super::*;

    /// Tests may run as a user whom permissions do not bind, so the file is opened the way SQLite opens one that it
    /// may not write.
    #[test]
    fn a_file_that_may_only_be_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new(directory.path().join("store"), Timestamp::from_unix_millis(1), [1; 10]);
        drop(open_writer(&options).unwrap());
        let mut conn = Connection::open_with_flags(&options.path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let refused = prepare(&mut conn, &options).unwrap_err();
        assert!(matches!(refused, OpenError::ReadOnly { .. }), "{refused:?}");
    }
}
