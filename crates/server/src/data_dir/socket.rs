//! Where the worker socket is.
//!
//! A socket's path is short: 107 bytes on Linux. A data directory whose path leaves no room for it gets a directory
//! under the user's runtime directory or `/tmp`, named after the data directory. The choice is written down, because
//! workers that outlive the gateway come back to the path they know, and the next gateway may be started by somebody
//! whose runtime directory is another.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::DataDirError;
use super::{atomic, create_directory, ownership};

/// The longest path of a socket, in bytes: `sun_path` has 108 on Linux, of which one is the terminator.
pub const MAX_SOCKET_PATH_BYTES: usize = 107;

/// The socket.
const FILE_NAME: &str = "worker.sock";

/// Says which directory holds the socket if it is not the data directory.
const CHOICE_FILE_NAME: &str = "worker.sock.dir";

/// Where every user may make directories.
const SHARED_DIRECTORY: &str = "/tmp";

/// Bytes of the data directory's hash in the directory's name. Two data directories of one user that share 64 bits
/// are not met with.
const HASH_BYTES: usize = 8;

/// Where the socket of a data directory is; its directory exists and is ours alone.
pub(super) fn place(data_dir: &Path, runtime_dir: Option<&Path>) -> Result<PathBuf, DataDirError> {
    let inside = data_dir.join(FILE_NAME);
    if fits(&inside) {
        return Ok(inside);
    }
    let former = read_choice(data_dir);
    let mut refusal = DataDirError::NoSocketPlace { path: data_dir.to_owned() };
    for directory in former.iter().cloned().chain(candidates(data_dir, runtime_dir)) {
        if !fits(&directory.join(FILE_NAME)) {
            continue;
        }
        match take(&directory) {
            Ok(()) if former.as_ref() == Some(&directory) => return Ok(directory.join(FILE_NAME)),
            Ok(()) => {
                atomic::write(data_dir, CHOICE_FILE_NAME, directory.as_os_str().as_bytes())?;
                return Ok(directory.join(FILE_NAME));
            }
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

fn fits(path: &Path) -> bool {
    path.as_os_str().len() <= MAX_SOCKET_PATH_BYTES
}

/// The directories in which a socket may be, the preferred one first.
fn candidates(data_dir: &Path, runtime_dir: Option<&Path>) -> impl Iterator<Item = PathBuf> {
    let hash = Sha256::digest(data_dir.as_os_str().as_bytes());
    let name: String = hash.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
    let ours = format!("moorline-{}", rustix::process::geteuid().as_raw());
    let bases = runtime_dir.map(Path::to_owned).into_iter().chain([PathBuf::from(SHARED_DIRECTORY)]);
    bases.map(move |base| base.join(&ours).join(&name))
}

/// Makes a directory, and checks it and the one that it is in: others may write to what those are in, and must not
/// have put a directory or a link of theirs in their place.
fn take(directory: &Path) -> Result<(), DataDirError> {
    create_directory(directory)?;
    for path in directory.parent().into_iter().chain([directory]) {
        let metadata = fs::symlink_metadata(path).map_err(|source| DataDirError::of_io(path, source))?;
        if !metadata.is_dir() {
            return Err(DataDirError::NotADirectory { path: path.to_owned() });
        }
        ownership::check(path)?;
    }
    Ok(())
}

/// The directory that an earlier start has chosen.
fn read_choice(data_dir: &Path) -> Option<PathBuf> {
    let mut path = Vec::new();
    let file = File::open(data_dir.join(CHOICE_FILE_NAME)).ok()?;
    file.take(MAX_SOCKET_PATH_BYTES as u64).read_to_end(&mut path).ok()?;
    let path = PathBuf::from(std::ffi::OsString::from_vec(path));
    path.is_absolute().then_some(path)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_somebody_else_may_have_put_there_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let [linked, open, file, elsewhere] =
            ["linked", "open", "file", "elsewhere"].map(|name| temp.path().join(name));
        for directory in [&open, &elsewhere] {
            fs::create_dir(directory).unwrap();
        }
        symlink(&elsewhere, &linked).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        fs::write(&file, "").unwrap();
        for parent in [linked, open, file] {
            assert!(take(&parent.join("hash")).is_err(), "{}", parent.display());
        }
    }

    #[test]
    fn a_directory_of_our_own_is_taken_again() {
        let temp = tempfile::tempdir().unwrap();
        let directory = temp.path().join("moorline-0/hash");
        assert!(take(&directory).is_ok() && take(&directory).is_ok());
    }

    #[test]
    fn the_place_depends_on_the_data_directory_only() {
        let places =
            |data_dir: &str| candidates(Path::new(data_dir), Some(Path::new("/run/user/7"))).collect::<Vec<_>>();
        assert_eq!(places("/a"), places("/a"));
        assert_ne!(places("/a"), places("/b"));
        assert!(places("/a")[0].starts_with("/run/user/7") && places("/a")[1].starts_with(SHARED_DIRECTORY));
    }

    #[test]
    fn a_choice_that_nobody_wrote_is_passed_over() {
        let temp = tempfile::tempdir().unwrap();
        for text in ["", "relative/path"] {
            fs::write(temp.path().join(CHOICE_FILE_NAME), text).unwrap();
            assert_eq!(read_choice(temp.path()), None, "{text:?}");
        }
    }
}
