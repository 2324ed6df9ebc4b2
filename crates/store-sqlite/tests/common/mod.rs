//! What the tests of the store share: stores in directories of their own, and copies of their files.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moorline_store::conformance::AT;
use moorline_store_sqlite::{Durability, SqliteOptions, SqliteStore};
use tempfile::TempDir;

/// A directory with room for one store, removed when it is dropped.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("there is room for a directory"))
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("store.db")
    }

    pub fn log(&self) -> PathBuf {
        self.0.path().join("store.db-wal")
    }

    pub fn witness(&self) -> PathBuf {
        self.0.path().join("store.db-witness")
    }

    /// The files that a new process would find if the one that has the store open were killed at this moment.
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        fs::copy(self.path(), copy.path()).expect("the data file can be copied");
        if self.log().exists() {
            fs::copy(self.log(), copy.log()).expect("the log can be copied");
        }
        fs::copy(self.witness(), copy.witness()).expect("the witness can be copied");
        copy
    }

    pub async fn open(&self) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::open(options(self.path(), 1)).await.expect("the store opens"))
    }

    /// A connection that knows nothing of the store's rules.
    pub fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).expect("the file opens")
    }
}

pub fn options(path: impl AsRef<Path>, entropy: u8) -> SqliteOptions {
    SqliteOptions { durability: Durability::Process, ..SqliteOptions::new(path.as_ref(), AT, [entropy; 10]) }
}
