//! What keeps a data directory from being used.

use std::io;
use std::path::{Path, PathBuf};

use super::socket::MAX_SOCKET_PATH_BYTES;
use super::version::FORMAT_VERSION;

/// What keeps a data directory from being used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// There is something else at the path.
    #[error("{} is not a directory; choose another with --data-dir", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// Another user could change what is in it.
    #[error("{} belongs to user {owner}, the gateway runs as user {user}; run: chown -R {user} {}, or choose another with --data-dir", path.display(), path.display())]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// Others can change what is in it.
    #[error("{} can be written by other users (mode {mode:04o}); run: chmod go-w {}", path.display(), path.display())]
    WritableByOthers {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The secret of its workers cannot be read back.
    #[error("{} is damaged; end the workers of this gateway and remove the file: the next start makes another", path.display())]
    DamagedSecret {
        /// The file.
        path: PathBuf,
    },
    /// Another gateway uses it.
    #[error("another gateway{} uses {}; stop it or choose another with --data-dir", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(), path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other gateway's process, if it has said so.
        pid: Option<u32>,
    },
    /// It is on a file system that is mounted read-only.
    #[error("{} is on a read-only file system; mount it writable or choose another data directory with --data-dir", path.display())]
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
    },
    /// The gateway's user may not write there.
    #[error("no permission for {}; give the gateway's user the right, or choose another data directory with --data-dir", path.display())]
    PermissionDenied {
        /// What was to be used.
        path: PathBuf,
    },
    /// The file system is full, or a quota is used up.
    #[error("no space left for {}; free some, or choose another data directory with --data-dir", path.display())]
    NoSpace {
        /// What was to be written.
        path: PathBuf,
    },
    /// A newer version has used it.
    #[error("{} has format {found}, this version knows up to {FORMAT_VERSION}; run the newer moorline that made it", path.display())]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// Its format is not stated in a way that any version writes.
    #[error("{} does not hold the number of a format; restore it from a backup, or choose another data directory with --data-dir", path.display())]
    UnreadableFormat {
        /// The file.
        path: PathBuf,
    },
    /// There is no place for the worker socket.
    #[error("there is no directory for the worker socket whose path is below {MAX_SOCKET_PATH_BYTES} bytes; choose a shorter --data-dir than {}", path.display())]
    NoSocketPlace {
        /// The data directory.
        path: PathBuf,
    },
    /// Something else is wrong.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// What was to be used.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl DataDirError {
    /// What an operation's failure at a path means.
    pub(crate) fn of_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        let kind = source.kind();
        if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::NoSpace { path }
        } else if kind == io::ErrorKind::ReadOnlyFilesystem {
            Self::ReadOnly { path }
        } else if kind == io::ErrorKind::PermissionDenied {
            Self::PermissionDenied { path }
        } else if kind == io::ErrorKind::NotADirectory {
            Self::NotADirectory { path }
        } else {
            Self::Io { path, source }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_failure_of_the_disk_names_its_remedy() {
        for (errno, expected) in [
            (Errno::NOSPC, "no space left for /data"),
            (Errno::DQUOT, "no space left for /data"),
            (Errno::ROFS, "read-only file system"),
            (Errno::ACCESS, "no permission for /data"),
            (Errno::PERM, "no permission for /data"),
            (Errno::NOTDIR, "is not a directory"),
            (Errno::IO, "cannot use /data"),
        ] {
            let error = DataDirError::of_io(Path::new("/data"), errno.into()).to_string();
            assert!(error.contains(expected), "{errno:?}: {error}");
        }
    }
}
