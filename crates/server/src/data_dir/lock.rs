//! One gateway per data directory.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use super::error::DataDirError;
use super::private_file;

/// The file that is locked. It stays when the lock ends: to remove it would let two gateways lock different files.
const FILE_NAME: &str = "gateway.lock";

/// The longest process id that is read from the file, with its newline.
const MAX_PID_BYTES: u64 = 16;

/// Takes the lock, which lasts as long as the file is open. It is not handed to child processes.
pub(super) fn take(data_dir: &Path) -> Result<File, DataDirError> {
    let path = data_dir.join(FILE_NAME);
    let failed = |source| DataDirError::of_io(&path, source);
    let mut file = private_file().read(true).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(DataDirError::InUse { path: data_dir.to_owned(), pid: read_pid(file) });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    // For the message above, in another process; the lock itself needs no content.
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

/// Who holds the lock. Nothing if it has just been taken and its holder has not yet said so.
fn read_pid(file: File) -> Option<u32> {
    let mut text = String::new();
    file.take(MAX_PID_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
