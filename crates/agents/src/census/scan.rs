//! What is there: the walk.
//!
//! Iterative, so a deep tree costs no stack. A link is not followed unless asked for; then a directory is entered
//! once, known by its device and inode, so no link can lead in a circle. A file with several names (hard links) is
//! counted once. Nothing but regular files is ever opened.

use std::collections::HashSet;
use std::fs::{self, Metadata, ReadDir};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::{fmt, io};

use super::Sliced;
use super::input::Input;

/// Files that are remembered, to be read and compared. About 200 bytes each.
pub(super) const MAX_TRACKED_FILES: usize = 200_000;

/// Directories that wait to be entered. A tree has more only if it is built for that.
const MAX_WAITING_DIRECTORIES: usize = 200_000;

/// Entries that one slice looks at: some milliseconds on a warm disk.
const SLICE_ENTRIES: usize = 512;

/// One regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// Where.
    pub(super) path: PathBuf,
    /// How large.
    pub(super) bytes: u64,
    /// When it was last written to, in milliseconds since 1970.
    pub(super) modified_ms: u64,
}

/// Something that could not be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    path: PathBuf,
    error: io::Error,
}

impl Unreadable {
    pub(super) const fn new(path: PathBuf, error: io::Error) -> Self {
        Self { path, error }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The end of a path says which; a path can be longer than a log line should be.
        let path = self.path.to_string_lossy();
        let start = path.ceil_char_boundary(path.len().saturating_sub(MAX_SHOWN_PATH));
        let mark = if start > 0 { "…" } else { "" };
        write!(f, "cannot read {mark}{}: {}", &path[start..], self.error)
    }
}

/// How much of a path is shown.
const MAX_SHOWN_PATH: usize = 512;

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) files: u64,
    pub(super) directories: u64,
    pub(super) bytes: u64,
    pub(super) links: u64,
    pub(super) special: u64,
    pub(super) unreadable: u64,
    /// Files beyond the bound, and directories that were not entered.
    pub(super) untracked: u64,
}

/// The walk, while it goes on.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) counts: Counts,
    pub(super) files: Vec<File>,
    follow_links: bool,
    hidden: bool,
    waiting: Vec<PathBuf>,
    open: Option<(PathBuf, ReadDir)>,
    /// Files with several names, and directories if links are followed.
    met: HashSet<(u64, u64)>,
    unreadable: Vec<Unreadable>,
}

impl Scan {
    pub(super) fn new(input: &Input) -> Self {
        let mut scan = Self {
            counts: Counts::default(),
            files: Vec::new(),
            follow_links: input.follow_links(),
            hidden: input.hidden(),
            waiting: Vec::new(),
            open: None,
            met: HashSet::new(),
            unreadable: Vec::new(),
        };
        let root = input.root().to_owned();
        match fs::metadata(&root) {
            Ok(metadata) => scan.enter_later(root, &metadata),
            Err(error) => scan.fail(root, error),
        }
        scan
    }

    /// Entries so far.
    pub(super) const fn seen(&self) -> u64 {
        let Counts { files, directories, links, special, unreadable, .. } = self.counts;
        files + directories + links + special + unreadable
    }

    /// One line for people.
    pub(super) fn summary(&self) -> String {
        let Counts { files, directories, bytes, .. } = self.counts;
        format!("{files} files and {directories} directories, {bytes} bytes")
    }

    fn step(&mut self) -> bool {
        let Some((directory, entries)) = &mut self.open else { return self.open_next() };
        match entries.next() {
            None => self.open = None,
            Some(Err(error)) => {
                let directory = directory.clone();
                self.fail(directory, error);
            }
            Some(Ok(entry)) => {
                let path = entry.path();
                let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                if self.hidden || !hidden {
                    self.look_at(path, entry.metadata());
                }
            }
        }
        true
    }

    fn open_next(&mut self) -> bool {
        let Some(directory) = self.waiting.pop() else { return false };
        match fs::read_dir(&directory) {
            Ok(entries) => self.open = Some((directory, entries)),
            Err(error) => self.fail(directory, error),
        }
        true
    }

    /// `metadata` is the entry's own, not what a link leads to.
    fn look_at(&mut self, path: PathBuf, metadata: io::Result<Metadata>) {
        match metadata {
            Err(error) => self.fail(path, error),
            Ok(metadata) if metadata.is_symlink() => {
                self.counts.links += 1;
                if self.follow_links {
                    self.follow(path);
                }
            }
            Ok(metadata) => self.count(path, &metadata),
        }
    }

    fn follow(&mut self, path: PathBuf) {
        match fs::metadata(&path) {
            Err(error) => self.fail(path, error),
            // Another name of something that may be met under its own.
            Ok(metadata) if metadata.is_file() && !self.meet(&metadata) => {}
            Ok(metadata) if metadata.is_file() => self.track(path, &metadata),
            Ok(metadata) => self.count(path, &metadata),
        }
    }

    fn count(&mut self, path: PathBuf, metadata: &Metadata) {
        if metadata.is_dir() {
            self.enter_later(path, metadata);
        } else if !metadata.is_file() {
            self.counts.special += 1;
        } else if (metadata.nlink() == 1 && !self.follow_links) || self.meet(metadata) {
            self.track(path, metadata);
        }
    }

    fn enter_later(&mut self, path: PathBuf, metadata: &Metadata) {
        if self.follow_links && !self.meet(metadata) {
            return;
        }
        self.counts.directories += 1;
        if self.waiting.len() < MAX_WAITING_DIRECTORIES {
            self.waiting.push(path);
        } else {
            self.counts.untracked += 1;
        }
    }

    /// Whether this is met for the first time. What there is no room to remember counts as met.
    fn meet(&mut self, metadata: &Metadata) -> bool {
        let key = (metadata.dev(), metadata.ino());
        if self.met.len() >= MAX_TRACKED_FILES + MAX_WAITING_DIRECTORIES && !self.met.contains(&key) {
            self.counts.untracked += 1;
            return false;
        }
        self.met.insert(key)
    }

    fn track(&mut self, path: PathBuf, metadata: &Metadata) {
        self.counts.files += 1;
        self.counts.bytes += metadata.len();
        if self.files.len() >= MAX_TRACKED_FILES {
            self.counts.untracked += 1;
            return;
        }
        let seconds = u64::try_from(metadata.mtime()).unwrap_or_default();
        let millis = u64::try_from(metadata.mtime_nsec() / 1_000_000).unwrap_or_default();
        let modified_ms = seconds.saturating_mul(1_000).saturating_add(millis);
        self.files.push(File { path, bytes: metadata.len(), modified_ms });
    }

    fn fail(&mut self, path: PathBuf, error: io::Error) {
        self.counts.unreadable += 1;
        self.unreadable.push(Unreadable::new(path, error));
    }
}

impl Sliced for Scan {
    fn slice(&mut self) -> bool {
        (0..SLICE_ENTRIES).all(|_| self.step())
    }

    fn take_unreadable(&mut self) -> Vec<Unreadable> {
        std::mem::take(&mut self.unreadable)
    }
}
