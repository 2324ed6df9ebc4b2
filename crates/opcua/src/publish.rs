//! Files that several workers may make in one instant.
//!
//! A file is there whole, or it is not there: what is made is written under a name of its own and then linked to the one
//! that it is for, which fails if there is such a file already. So nobody waits and nothing is locked, the first file stays
//! what it is, and whoever comes later uses it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Who may read and write what is made: a key is the worker's own, and everything else it makes is no less so.
const MODE: u32 = 0o600;

/// Names that are tried for a file that is not finished. Each but the last is in use by a worker, or left by one that was
/// killed over it; so many were never.
const MAX_NAMES: u32 = 1_000;

/// Makes a file with this text, and the directories above it. One that is there already stays as it is.
///
/// # Errors
/// If it cannot be made.
pub(crate) fn publish(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(directory)?;
    let (mut file, unfinished) = unfinished(path)?;
    let linked =
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| match fs::hard_link(&unfinished, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    fs::remove_file(&unfinished)?;
    linked?;
    // What follows from the file being there must not outlast it over a loss of power.
    File::open(directory)?.sync_all()
}

/// An empty file beside `path` that nobody else has.
fn unfinished(path: &Path) -> io::Result<(File, PathBuf)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for number in 0..MAX_NAMES {
        let unfinished = path.with_file_name(format!(".{name}.{number}"));
        match OpenOptions::new().write(true).create_new(true).mode(MODE).open(&unfinished) {
            Ok(file) => return Ok((file, unfinished)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    /// Workers at once. More than there are processors, so that they are interrupted.
    const WORKERS: usize = 16;

    #[test]
    fn of_many_that_make_a_file_in_one_instant_one_makes_it_and_all_see_it_whole() {
        let home = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let path = home.path().join(format!("{round}/private/key.pem"));
            let barrier = Barrier::new(WORKERS);
            let work = |worker: usize| {
                // Longer than what is written at once, so that half of one would be seen.
                let text = worker.to_string().repeat(100_000);
                barrier.wait();
                publish(&path, text.as_bytes()).unwrap();
                fs::read_to_string(&path).unwrap()
            };
            let work = &work;
            let seen: Vec<String> = thread::scope(|scope| {
                let workers: Vec<_> = (10..10 + WORKERS).map(|worker| scope.spawn(move || work(worker))).collect();
                workers.into_iter().map(|worker| worker.join().unwrap()).collect()
            });
            assert!(seen.iter().all(|text| text.len() == 200_000 && *text == seen[0]), "round {round}");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
            assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "something unfinished is left");
        }
    }

    #[test]
    fn what_a_killed_worker_has_left_is_in_nobodys_way() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(".key.pem.0"), "half of").unwrap();
        let path = home.path().join("key.pem");
        publish(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }
}
