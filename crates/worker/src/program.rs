//! Finding the program that is to be started, before starting it, so that a mistake is named and not guessed from an
//! error number.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Why there is nothing to start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// There is no such file.
    #[error("there is no program at {}: install it, or correct the path", path.display())]
    NotFound {
        /// Where it was expected.
        path: PathBuf,
    },
    /// No directory of the search path has it.
    #[error("no program {name:?} in PATH ({}): install it, or give its full path", path.to_string_lossy())]
    NotInPath {
        /// What was looked for.
        name: OsString,
        /// Where it was looked for.
        path: OsString,
    },
    /// The file may not be executed.
    #[error("{} is not executable: run `chmod +x` on it, or name the interpreter that runs it", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// There is a directory.
    #[error("{} is a directory, not a program", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
    },
}

/// The path of the program. A name without a slash is searched for in `search`, a relative path starts at `cwd`.
pub(crate) fn find(program: &OsStr, search: &OsStr, cwd: &Path) -> Result<PathBuf, ProgramError> {
    if program.as_encoded_bytes().contains(&b'/') {
        let path = cwd.join(program);
        return check(&path).map(|()| path);
    }
    let mut closest = ProgramError::NotInPath { name: program.to_owned(), path: search.to_owned() };
    for directory in std::env::split_paths(search) {
        let path = cwd.join(directory).join(program);
        match check(&path) {
            Ok(()) => return Ok(path),
            Err(error @ ProgramError::NotExecutable { .. }) => closest = error,
            Err(_) => {}
        }
    }
    Err(closest)
}

fn check(path: &Path) -> Result<(), ProgramError> {
    let path_buf = || path.to_owned();
    let metadata = std::fs::metadata(path).map_err(|_| ProgramError::NotFound { path: path_buf() })?;
    if metadata.is_dir() {
        Err(ProgramError::Directory { path: path_buf() })
    } else if access(path, Access::EXEC_OK).is_err() {
        Err(ProgramError::NotExecutable { path: path_buf() })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_program_that_cannot_be_started_is_named_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        for (program, remedy) in [
            ("./absent", "install it"),
            ("absent", "in PATH"),
            ("./plain", "chmod +x"),
            ("plain", "chmod +x"),
            ("/", "is a directory"),
        ] {
            let error = find(program.as_ref(), dir.path().as_os_str(), dir.path()).unwrap_err().to_string();
            assert!(error.contains(remedy), "{program}: {error}");
        }
        std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find("plain".as_ref(), dir.path().as_os_str(), Path::new("/")), Ok(plain));
    }
}
