//! The embedded default store: SQLite behind group commit (DESIGN 4).
//!
//! ```text
//!   append ──┐  bounded queue   ┌ moorline-store ┐  commit   ┌──────┐  publish
//!   put    ──┼────────────────▶ │ one connection │ ────────▶ │ file │ ──────────▶ tail, then the replies
//!   trim   ──┘                  └────────────────┘           └──────┘
//!   read_* ──── bounded queue ─▶ moorline-read (two threads, a read-only connection each)
//! ```
//!
//! A small append that nobody is before is committed in its caller's thread (module `writer`). Otherwise the writer's
//! thread takes everything that waits into one transaction, so the cost of a commit is shared by all who wait for it. Each
//! command is decided for itself: one that conflicts leaves no trace and its neighbours are committed. If the transaction
//! fails, everyone in it gets the fault and nobody has seen anything; only when the store is full is each command tried
//! again alone, because a trim or a small append may still succeed. A reader works on a snapshot of its own and never
//! blocks the writer.
//!
//! Before it answers anybody, one of the readers reads the last records into the tail: whoever comes back after a restart
//! finds there what was committed last.
//!
//! A fourth thread (`moorline-log`, module `checkpoint`) copies the write-ahead log into the file while commits go on.
//!
//! Four files lie beside each other: the data, its write-ahead log (`-wal`, with `-shm` while it is open), a witness of
//! how far the numbers have come (`-witness`), and a lock file that one process holds as long as it lives. A copy of the
//! first two at any moment is a store; without the witness it has an epoch of its own. Trimmed records leave room in the
//! file that later ones use; the file does not shrink.
//!
//! Records that are neighbours of one batch and of one stream share a row (module `row`), with a checksum over it. The cost
//! of a row is SQLite's; the cost of a record in it is that of copying its bytes.
//!
//! Deliberately absent: a row with records of several batches or streams (numbers in a row are dense, so that a row's own
//! number says which it has), and SQL anywhere but in the module `sql`.

mod checkpoint;
mod fault;
mod lock;
mod open;
mod options;
mod reader;
mod row;
mod sql;
mod store;
mod thread;
mod witness;
mod writer;

pub use open::OpenError;
pub use options::{Durability, SqliteOptions};
pub use store::SqliteStore;
