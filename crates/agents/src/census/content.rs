//! What is in the files: lines, and whether it is text at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use serde::Serialize;

use super::scan::{Counts, File, Scan, Unreadable};
use super::{Sliced, kinds};

/// Bytes that one slice reads: some ten milliseconds from a fast disk, a second from a slow one.
pub(super) const SLICE_BYTES: usize = 8 * 1024 * 1024;

/// Files that one slice opens: opening costs too.
pub(super) const SLICE_FILES: usize = 256;

/// Bytes that are read at once.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// A file with a zero byte in its first so many bytes is binary: what version control systems look at as well.
const BINARY_PREFIX_BYTES: usize = 8_000;

/// What all files of one kind come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Kind {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) lines: u64,
    pub(super) binary_files: u64,
}

/// The reading, while it goes on.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) counts: Counts,
    pub(super) files: Vec<File>,
    pub(super) kinds: BTreeMap<&'static str, Kind>,
    next: usize,
    open: Option<Open>,
    bytes: u64,
    unreadable: Vec<Unreadable>,
}

#[derive(Debug)]
struct Open {
    file: fs::File,
    content: Content,
}

/// What is known of one file's content so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Content {
    bytes: usize,
    lines: u64,
    /// Whether what came last was not a line end.
    open_line: bool,
    binary: bool,
}

/// Opens a regular file to read it. What has become something else since it was scanned is not waited for.
pub(super) fn open(path: &Path) -> io::Result<fs::File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("has become something else than a regular file"))
    }
}

impl Content {
    fn take_in(&mut self, bytes: &[u8]) {
        let prefix = BINARY_PREFIX_BYTES.saturating_sub(self.bytes).min(bytes.len());
        self.binary |= bytes[..prefix].contains(&0);
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.open_line = bytes.last().is_some_and(|last| *last != b'\n');
    }

    fn lines(&self) -> u64 {
        if self.binary { 0 } else { self.lines + u64::from(self.open_line) }
    }
}

impl Reading {
    pub(super) fn of(scan: Scan) -> Self {
        let Scan { counts, files, .. } = scan;
        let (kinds, unreadable) = (BTreeMap::new(), Vec::new());
        Self { counts, files, kinds, next: 0, open: None, bytes: 0, unreadable }
    }

    pub(super) const fn done(&self) -> u64 {
        self.next as u64
    }

    pub(super) const fn total(&self) -> u64 {
        self.files.len() as u64
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads some of the file at hand. Says how much.
    fn step(&mut self, buffer: &mut [u8]) -> usize {
        let Some(open) = &mut self.open else {
            match self.files.get(self.next).map(|file| open(&file.path)) {
                Some(Ok(file)) => self.open = Some(Open { file, content: Content::default() }),
                Some(Err(error)) => self.fail(error),
                None => {}
            }
            return 0;
        };
        match open.file.read(buffer) {
            Ok(0) => self.close(),
            Ok(read) => {
                open.content.take_in(&buffer[..read]);
                self.bytes += read as u64;
                return read;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.fail(error),
        }
        0
    }

    fn close(&mut self) {
        let Some(Open { content, .. }) = self.open.take() else { return };
        if let Some(file) = self.files.get(self.next) {
            let kind = self.kinds.entry(kinds::of(&file.path)).or_default();
            kind.files += 1;
            kind.bytes += file.bytes;
            kind.lines += content.lines();
            kind.binary_files += u64::from(content.binary);
        }
        self.next += 1;
    }

    fn fail(&mut self, error: io::Error) {
        self.open = None;
        if let Some(file) = self.files.get(self.next) {
            self.counts.unreadable += 1;
            self.unreadable.push(Unreadable::new(file.path.clone(), error));
        }
        self.next += 1;
    }
}

impl Sliced for Reading {
    fn slice(&mut self) -> bool {
        let (mut buffer, mut read, first) = (vec![0; BUFFER_BYTES], 0, self.next);
        while self.next < self.files.len() && read < SLICE_BYTES && self.next - first < SLICE_FILES {
            read += self.step(&mut buffer);
        }
        self.next < self.files.len()
    }

    fn take_unreadable(&mut self) -> Vec<Unreadable> {
        std::mem::take(&mut self.unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_however_the_content_is_cut() {
        for (content, lines) in
            [(&b""[..], 0), (b"\n", 1), (b"a", 1), (b"a\n", 1), (b"a\nb", 2), (b"a\n\nb\n", 3), (b"a\0\n\n", 0)]
        {
            for cut in 0..=content.len() {
                let mut counted = Content::default();
                counted.take_in(&content[..cut]);
                if cut < content.len() {
                    counted.take_in(&content[cut..]);
                }
                assert_eq!(counted.lines(), lines, "{content:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_zero_byte_far_into_a_text_does_not_make_it_binary() {
        let mut content = Content::default();
        content.take_in(&[b'x'; BINARY_PREFIX_BYTES]);
        content.take_in(b"\0");
        assert!(!content.binary);
    }
}
