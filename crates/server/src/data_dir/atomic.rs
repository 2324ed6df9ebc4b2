//! Writing a small file whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::DataDirError;
use super::private_file;

/// Writes a file such that a reader, and a crash at any point, finds the former content or this, and returns its path.
///
/// There is one writer for each name (the holder of the directory's lock, or whoever has just made the name up), so the
/// temporary name can be fixed: what is left under it is from a writer that has died.
pub(crate) fn write(directory: &Path, name: &str, content: &[u8]) -> Result<PathBuf, DataDirError> {
    let (temporary, path) = (directory.join(format!(".{name}.tmp")), directory.join(name));
    let written = remove_if_present(&temporary)
        .and_then(|()| private_file().write(true).create_new(true).open(&temporary))
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, &path))
        .and_then(|()| File::open(directory)?.sync_all());
    written.map_err(|source| DataDirError::of_io(&path, source))?;
    Ok(path)
}

/// Removes a file if it is there.
pub(super) fn remove(path: &Path) -> Result<(), DataDirError> {
    remove_if_present(path).map_err(|source| DataDirError::of_io(path, source))
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        for content in ["a longer content", "short"] {
            let path = write(dir.path(), "file", content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_dead_writer_left_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(".file.tmp")).unwrap();
        write(dir.path(), "file", b"content").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn a_failed_write_leaves_the_former_content() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "file", b"former").unwrap();
        fs::create_dir(dir.path().join(".file.tmp")).unwrap();
        assert!(write(dir.path(), "file", b"new").is_err());
        assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "former");
    }

    #[test]
    fn removing_what_is_not_there_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), "file", b"content").unwrap();
        assert!(remove(&path).is_ok() && remove(&path).is_ok());
        assert!(remove(dir.path()).is_err(), "a directory is not removed");
    }
}
