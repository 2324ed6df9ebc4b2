//! Whose a directory is, and who can change what is in it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::DataDirError;

/// The bits of a mode that let others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The bits of a mode that are permissions.
const PERMISSIONS: u32 = 0o7777;

/// Refuses a directory that is not ours or that others can write to.
pub(super) fn check(path: &Path) -> Result<(), DataDirError> {
    let metadata = fs::metadata(path).map_err(|source| DataDirError::of_io(path, source))?;
    judge(path, metadata.uid(), metadata.mode(), rustix::process::geteuid().as_raw())
}

fn judge(path: &Path, owner: u32, mode: u32, user: u32) -> Result<(), DataDirError> {
    if owner != user {
        return Err(DataDirError::ForeignOwner { path: path.to_owned(), owner, user });
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(DataDirError::WritableByOthers { path: path.to_owned(), mode: mode & PERMISSIONS });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_others_can_change_is_refused() {
        for (owner, mode, expected) in [
            (0, 0o40700, "chown -R 1000 /data"),
            (1001, 0o40777, "belongs to user 1001, the gateway runs as user 1000"),
            (1000, 0o40777, "(mode 0777); run: chmod go-w /data"),
            (1000, 0o40770, "(mode 0770)"),
            (1000, 0o41702, "(mode 1702)"),
        ] {
            let error = judge(Path::new("/data"), owner, mode, 1000).unwrap_err().to_string();
            assert!(error.contains(expected), "{owner} {mode:o}: {error}");
        }
    }

    #[test]
    fn a_directory_of_our_own_is_taken() {
        for mode in [0o40700, 0o40755, 0o40750] {
            assert!(judge(Path::new("/data"), 1000, mode, 1000).is_ok(), "{mode:o}");
        }
    }
}
