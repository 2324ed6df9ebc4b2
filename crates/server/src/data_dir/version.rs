//! The format of a data directory, so that an older version does not damage what a newer one has written.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::atomic;
use super::error::DataDirError;

/// The format that this version writes. Raised when older versions cannot read what is written.
pub const FORMAT_VERSION: u64 = 1;

/// The file that says the format.
const FILE_NAME: &str = "VERSION";

/// The longest number that is read, with its newline.
const MAX_VERSION_BYTES: u64 = 24;

/// Writes the format into a directory that has none, and refuses one that this version cannot use.
pub(super) fn check(data_dir: &Path) -> Result<(), DataDirError> {
    let path = data_dir.join(FILE_NAME);
    let mut text = String::new();
    match File::open(&path).and_then(|file| file.take(MAX_VERSION_BYTES).read_to_string(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return atomic::write(data_dir, FILE_NAME, format!("{FORMAT_VERSION}\n").as_bytes()).map(|_| ());
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(DataDirError::UnreadableFormat { path });
        }
        Err(error) => return Err(DataDirError::of_io(&path, error)),
    }
    match text.trim().parse() {
        Ok(FORMAT_VERSION) => Ok(()),
        Ok(found) if found > FORMAT_VERSION => Err(DataDirError::NewerFormat { path: data_dir.to_owned(), found }),
        Ok(_) | Err(_) => Err(DataDirError::UnreadableFormat { path }),
    }
}
