//! What resolving a configuration asks of the disk.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What is at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Nothing, or nothing that can be reached.
    Missing,
    /// A directory.
    Directory,
    /// A file that has an execute bit.
    Executable,
    /// Any other file.
    File,
}

/// The disk as far as a configuration is concerned.
pub trait Files: fmt::Debug {
    /// What is at an absolute path, links followed.
    fn entry(&self, path: &Path) -> Entry;
}

/// The disk of this machine.
#[derive(Clone, Copy, Debug)]
pub struct RealFiles;

impl Files for RealFiles {
    fn entry(&self, path: &Path) -> Entry {
        match std::fs::metadata(path) {
            Err(_) => Entry::Missing,
            Ok(metadata) if metadata.is_dir() => Entry::Directory,
            Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 => Entry::Executable,
            Ok(_) => Entry::File,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_seen_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, program) = (dir.path().join("plain"), dir.path().join("program"));
        for (path, mode) in [(&plain, 0o644), (&program, 0o755)] {
            std::fs::write(path, "").unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        for (path, expected) in [
            (dir.path().to_owned(), Entry::Directory),
            (plain, Entry::File),
            (program, Entry::Executable),
            (dir.path().join("nothing"), Entry::Missing),
        ] {
            assert_eq!(RealFiles.entry(&path), expected, "{}", path.display());
        }
    }
}
