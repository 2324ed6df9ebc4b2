//! Files with the same content: first by size, then by SHA-256. Empty files are not duplicates of each other.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::Sliced;
use super::content::{BUFFER_BYTES, Kind, Reading, SLICE_BYTES, SLICE_FILES, open};
use super::scan::{Counts, File, Unreadable};

/// A content that several files have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) sha256: String,
    pub(super) bytes: u64,
    /// Positions in the list of files.
    pub(super) files: Vec<usize>,
}

impl Group {
    /// Bytes that would be saved if there were only one of them.
    pub(super) const fn wasted(&self) -> u64 {
        self.bytes.saturating_mul((self.files.len() as u64).saturating_sub(1))
    }
}

/// The hashing, while it goes on.
#[derive(Debug)]
pub(super) struct Hashing {
    pub(super) counts: Counts,
    pub(super) files: Vec<File>,
    pub(super) kinds: BTreeMap<&'static str, Kind>,
    candidates: Vec<usize>,
    next: usize,
    open: Option<(fs::File, Sha256)>,
    hashed: BTreeMap<[u8; 32], Vec<usize>>,
    unreadable: Vec<Unreadable>,
}

impl Hashing {
    pub(super) fn of(reading: Reading) -> Self {
        let Reading { counts, files, kinds, .. } = reading;
        let mut by_size: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (at, file) in files.iter().enumerate().filter(|(_, file)| file.bytes > 0) {
            by_size.entry(file.bytes).or_default().push(at);
        }
        let candidates = by_size.into_values().filter(|same| same.len() > 1).flatten().collect();
        let (hashed, unreadable) = (BTreeMap::new(), Vec::new());
        Self { counts, files, kinds, candidates, next: 0, open: None, hashed, unreadable }
    }

    pub(super) const fn done(&self) -> u64 {
        self.next as u64
    }

    pub(super) const fn total(&self) -> u64 {
        self.candidates.len() as u64
    }

    /// What was found, those that waste most first.
    pub(super) fn groups(&self) -> Vec<Group> {
        let groups = self.hashed.iter().filter(|(_, files)| files.len() > 1).map(|(digest, files)| Group {
            sha256: HEXLOWER.encode(digest),
            bytes: files.first().map_or(0, |first| self.files[*first].bytes),
            files: files.clone(),
        });
        let mut groups: Vec<_> = groups.collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.wasted()));
        groups
    }

    fn step(&mut self, buffer: &mut [u8]) -> usize {
        let Some((file, digest)) = &mut self.open else {
            match self.candidates.get(self.next).map(|at| open(&self.files[*at].path)) {
                Some(Ok(file)) => self.open = Some((file, Sha256::new())),
                Some(Err(error)) => self.fail(error),
                None => {}
            }
            return 0;
        };
        match file.read(buffer) {
            Ok(0) => self.close(),
            Ok(read) => {
                digest.update(&buffer[..read]);
                return read;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.fail(error),
        }
        0
    }

    fn close(&mut self) {
        if let (Some((_, digest)), Some(at)) = (self.open.take(), self.candidates.get(self.next)) {
            self.hashed.entry(digest.finalize().into()).or_default().push(*at);
        }
        self.next += 1;
    }

    fn fail(&mut self, error: io::Error) {
        self.open = None;
        if let Some(at) = self.candidates.get(self.next) {
            self.counts.unreadable += 1;
            self.unreadable.push(Unreadable::new(self.files[*at].path.clone(), error));
        }
        self.next += 1;
    }
}

impl Sliced for Hashing {
    fn slice(&mut self) -> bool {
        let (mut buffer, mut read, first) = (vec![0; BUFFER_BYTES], 0, self.next);
        while self.next < self.candidates.len() && read < SLICE_BYTES && self.next - first < SLICE_FILES {
            read += self.step(&mut buffer);
        }
        self.next < self.candidates.len()
    }

    fn take_unreadable(&mut self) -> Vec<Unreadable> {
        std::mem::take(&mut self.unreadable)
    }
}
