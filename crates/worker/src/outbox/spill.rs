//! The part of an outbox that does not fit into memory: a file per job, read back in the order in which it was written.
//!
//! It is made when it is first needed, emptied whenever all of it was read back, and removed with its outbox. What is
//! written need not survive the machine: no worker does.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moorline_types::JobId;

use super::frame::{self, FrameFault};
use crate::limits::MAX_SPILL_BYTES;
use crate::message::FromWorker;

/// Where the outboxes of one worker spill, and how much they still may. Cheap to clone; clones share the bound.
#[derive(Debug, Clone)]
pub(crate) struct SpillRoom(Arc<Room>);

#[derive(Debug)]
struct Room {
    directory: PathBuf,
    left: AtomicU64,
}

impl SpillRoom {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self(Arc::new(Room { directory, left: AtomicU64::new(MAX_SPILL_BYTES) }))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// Makes the directory, for its owner only, if it is not there.
    pub(crate) fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0.directory)
    }

    /// Removes the directory if nothing is in it.
    pub(crate) fn tidy(&self) {
        match std::fs::remove_dir(&self.0.directory) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {}
            Err(error) => tracing::warn!(%error, "the outbox's directory stays behind"),
        }
    }

    fn take(&self, bytes: u64) -> bool {
        self.0.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.0.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// One job's file.
#[derive(Debug)]
pub(super) struct Spill {
    room: SpillRoom,
    job: JobId,
    file: Option<Spilled>,
    /// Reports that were written and not read back.
    reports: u64,
    written: u64,
    read: u64,
}

#[derive(Debug)]
struct Spilled {
    path: PathBuf,
    file: File,
}

/// A report was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpillError {
    /// As much is spilled as may be.
    #[error("as much is kept on disk as may be")]
    NoRoom,
    /// The disk refuses.
    #[error("the file cannot be written")]
    Io(#[source] io::Error),
}

impl Spill {
    pub(super) const fn new(room: SpillRoom, job: JobId) -> Self {
        Self { room, job, file: None, reports: 0, written: 0, read: 0 }
    }

    pub(super) const fn reports(&self) -> u64 {
        self.reports
    }

    /// Writes a report behind all others.
    pub(super) fn push(&mut self, report: FromWorker) -> Result<(), SpillError> {
        let frame = frame::encode(report);
        let bytes = frame.len() as u64;
        if !self.room.take(bytes) {
            return Err(SpillError::NoRoom);
        }
        let at = self.written;
        let written = self.file().and_then(|spilled| spilled.file.write_all_at(&frame, at));
        if let Err(error) = written {
            // What was written of it is overwritten by the next.
            self.room.give_back(bytes);
            return Err(SpillError::Io(error));
        }
        self.written += bytes;
        self.reports += 1;
        Ok(())
    }

    /// Reads the first report that was not read back.
    pub(super) fn pop(&mut self) -> Result<Option<FromWorker>, FrameFault> {
        let Some(Spilled { file, .. }) = self.file.as_ref().filter(|_| self.reports > 0) else { return Ok(None) };
        let mut source = At { file, at: self.read };
        let (report, bytes) = frame::read(&mut source)?.ok_or(FrameFault::Damaged)?;
        self.read += bytes as u64;
        self.reports -= 1;
        if self.reports == 0 {
            self.empty();
        }
        Ok(Some(report))
    }

    fn file(&mut self) -> io::Result<&Spilled> {
        if self.file.is_none() {
            self.room.make()?;
            let path = self.room.directory().join(format!("{}.spill", self.job));
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            self.file = Some(Spilled { path, file });
        }
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Everything was read back, or is not wanted any more.
    fn empty(&mut self) {
        self.room.give_back(self.written);
        (self.written, self.read, self.reports) = (0, 0, 0);
        if let Some(Spilled { path, .. }) = self.file.take()
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "a file of an outbox stays behind");
        }
        self.room.tidy();
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        if self.file.is_some() {
            self.empty();
        }
    }
}

/// A file from a position on.
struct At<'a> {
    file: &'a File,
    at: u64,
}

impl io::Read for At<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
