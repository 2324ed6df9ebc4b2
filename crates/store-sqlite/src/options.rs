//! How a store is opened.

use std::path::PathBuf;

use moorline_store::TailLimits;
use moorline_types::{Entropy, Timestamp};

/// What an acknowledged write survives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Durability {
    /// The death of the process, however sudden. A power cut or a crash of the operating system may lose the last
    /// moments before it, as a whole and from the end; the numbers given in them are then given again, under another
    /// epoch. Where observers outlive such a crash, use [`Power`](Self::Power).
    #[default]
    Process,
    /// A power cut too: the disk is told to make it durable before every reply.
    Power,
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The data file. It is made if it does not exist; its directory is not.
    pub path: PathBuf,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// How much the tail holds.
    pub tail: TailLimits,
    /// How large the data file may become, in bytes; beyond it the store is full. `None` leaves that to the disk. The
    /// write-ahead log comes on top.
    pub max_bytes: Option<u64>,
    /// When the store is opened, for an epoch that begins.
    pub now: Timestamp,
    /// Randomness for an epoch that begins.
    pub entropy: Entropy,
}

impl SqliteOptions {
    /// The data file at `path` with the defaults for the rest.
    pub fn new(path: impl Into<PathBuf>, now: Timestamp, entropy: Entropy) -> Self {
        Self {
            path: path.into(),
            durability: Durability::default(),
            tail: TailLimits::default(),
            max_bytes: None,
            now,
            entropy,
        }
    }
}
