//! What a worker could not report before it ended itself, for the gateway that comes after.
//!
//! A worker that nobody adopts for its orphan lifetime ends its jobs and writes what it still had to say about each
//! into `JOB.reports` in its outbox's directory. A file is complete when it has that name. The gateway takes the
//! reports in like those of a link, by job and number, and removes the directory when they are committed.

use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use moorline_types::JobId;

use crate::message::FromWorker;
use crate::outbox::frame;

/// What the name of a complete file ends with.
const SUFFIX: &str = "reports";

/// What is left of one job.
#[derive(Debug)]
pub struct Leftover {
    job: JobId,
    path: PathBuf,
    source: BufReader<File>,
}

impl Leftover {
    /// The job.
    pub const fn job(&self) -> JobId {
        self.job
    }

    /// The next report, always a [`FromWorker::Report`]; `None` at the end, and where the file is damaged.
    pub fn next_report(&mut self) -> Option<FromWorker> {
        match frame::read(&mut self.source) {
            Ok(report) => report.map(|(report, _)| report),
            Err(error) => {
                tracing::error!(path = %self.path.display(), error = &error as &dyn std::error::Error, "what a worker has left is damaged");
                None
            }
        }
    }
}

/// What a worker has left in the directory; nothing if it is not there.
///
/// # Errors
/// If the directory or a file in it cannot be read.
pub fn find(directory: &Path) -> io::Result<Vec<Leftover>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let job = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(job) = job.filter(|_| path.extension().is_some_and(|extension| extension == SUFFIX)) {
            let source = BufReader::new(File::open(&path)?);
            found.push(Leftover { job, path, source });
        }
    }
    found.sort_unstable_by_key(|leftover| leftover.job);
    Ok(found)
}

/// Removes the directory and all that a worker has left in it.
///
/// # Errors
/// If it is there and cannot be removed.
pub fn remove(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes the reports of a job, in order.
pub(crate) fn write(directory: &Path, job: JobId, reports: impl Iterator<Item = FromWorker>) -> io::Result<()> {
    let (unfinished, path) = (directory.join(format!("{job}.tmp")), directory.join(format!("{job}.{SUFFIX}")));
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    let mut sink = io::BufWriter::new(file);
    for report in reports {
        sink.write_all(&frame::encode(report))?;
    }
    sink.flush()?;
    std::fs::rename(unfinished, path)
}
