//! Keeping the write-ahead log short, beside the commits and not in them.
//!
//! Copying the log into the file takes milliseconds to tens of them, and waits for the disk twice. SQLite would do it
//! within every few hundredth commit, whose appenders would wait for it. Here a thread with a connection of its own
//! does it while commits go on. What it cannot do is have the log written from its beginning again: that needs a moment
//! in which everything is copied and nothing new comes. The writer makes that moment when the log has become long, right
//! after the thread has copied all but the newest of it, so it is short.
//!
//! SQLite waits for the data file's part of the disk only in that moment, for all of the log. So the thread does it as
//! well, after each of its copies, and leaves little for the writer.
//!
//! Where the disk takes less than what is appended, the log becomes longer still, and then the writer waits for the
//! thread: appenders are slowed down to what the disk takes.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;

use crate::open::{self, OpenError};
use crate::options::Durability;
use crate::sql;

/// Bytes in the log after which the thread copies it, and again for each that many more. As much as SQLite would
/// let come together; small enough that the pages of the log are still in the processor's reach when they are written anew.
const COPY_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes in the log after which the writer has it written from its beginning again. Each time the appenders
/// wait, so it should be rare; but a start after a crash reads all of the log, so it should not be long.
const LOG_BYTES: u64 = 128 * 1024 * 1024;

/// Bytes in the log after which the writer waits for the thread.
pub(crate) const MOST_BYTES: u64 = LOG_BYTES + LOG_BYTES / 2;

/// The writer's part of it. Dropping it ends the thread and waits for its end.
#[derive(Debug)]
pub(crate) struct LogKeeper {
    thread: Checkpointer,
    page_bytes: u64,
    /// At which length of the log the thread is asked to copy it.
    copy_at: u64,
    /// At which length the log is to begin anew.
    empty_at: u64,
    /// The thread was asked for the last copy before that.
    is_last_copy: bool,
    /// The log is to begin anew after the next commit.
    is_long: bool,
}

impl LogKeeper {
    /// Starts the thread. `conn` is the connection that writes. `data` is the data file, which somebody keeps open until
    /// every connection is closed: closing it drops the locks that SQLite holds on it.
    pub(crate) fn start(
        path: &Path,
        durability: Durability,
        conn: &Connection,
        data: Arc<File>,
    ) -> Result<Self, OpenError> {
        let page_bytes = sql::page_bytes(conn).map_err(|error| open::classify(path, error))?;
        sql::watch_log(conn);
        let thread = Checkpointer::start(open::open_checkpointer(path, durability)?, data)?;
        Ok(Self { thread, page_bytes, copy_at: COPY_BYTES, empty_at: LOG_BYTES, is_last_copy: false, is_long: false })
    }

    /// Whether what follows the next commit may have to wait for readers and for the disk.
    pub(crate) const fn is_long(&self) -> bool {
        self.is_long
    }

    /// Something was committed.
    pub(crate) fn after_commit(&mut self, conn: &Connection) {
        let bytes = sql::log_bytes(self.page_bytes);
        self.is_long = bytes >= self.empty_at;
        if bytes < COPY_BYTES {
            (self.copy_at, self.empty_at, self.is_last_copy) = (COPY_BYTES, LOG_BYTES, false);
        } else if bytes >= self.empty_at {
            self.empty(conn, bytes);
        } else if bytes >= self.copy_at {
            self.copy_at = bytes + COPY_BYTES;
            self.thread.ask();
        }
    }

    fn empty(&mut self, conn: &Connection, bytes: u64) {
        if !self.is_last_copy {
            self.is_last_copy = true;
            return self.thread.ask();
        }
        if self.thread.is_busy() {
            if bytes < self.empty_at + (MOST_BYTES - LOG_BYTES) {
                return;
            }
            self.thread.settle();
        }
        let emptied = sql::empty_log(conn).unwrap_or_else(|error| {
            tracing::warn!(%error, "the write-ahead log was not copied into the file");
            false
        });
        self.is_last_copy = false;
        // Whoever reads from the log, or whatever is wrong with the disk, will not be over at once.
        self.empty_at = if emptied { LOG_BYTES } else { bytes + LOG_BYTES / 2 };
        self.copy_at = if emptied { COPY_BYTES } else { bytes + COPY_BYTES };
    }
}

#[derive(Debug, Default)]
struct Work {
    is_wanted: bool,
    is_under_way: bool,
    is_closed: bool,
}

type Shared = Arc<(Mutex<Work>, Condvar)>;

/// The thread that copies.
#[derive(Debug)]
struct Checkpointer {
    shared: Shared,
    /// `None` once it is waited for.
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    fn start(conn: Connection, data: Arc<File>) -> Result<Self, OpenError> {
        let shared = Shared::default();
        let work = Arc::clone(&shared);
        let thread = Builder::new().name("moorline-log".to_owned()).spawn(move || run(&conn, &data, &work));
        Ok(Self { shared, thread: Some(thread.map_err(|source| OpenError::Thread { source: Some(source) })?) })
    }

    /// Has the log copied, or copied once more if that is under way.
    fn ask(&self) {
        lock(&self.shared).is_wanted = true;
        self.shared.1.notify_all();
    }

    fn is_busy(&self) -> bool {
        let work = lock(&self.shared);
        work.is_wanted || work.is_under_way
    }

    /// Waits until everything is done that was asked for.
    fn settle(&self) {
        let busy = |work: &mut Work| (work.is_wanted || work.is_under_way) && !work.is_closed;
        drop(self.shared.1.wait_while(lock(&self.shared), busy).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        lock(&self.shared).is_closed = true;
        self.shared.1.notify_all();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that keeps the write-ahead log short has panicked");
        }
    }
}

fn run(conn: &Connection, data: &File, shared: &Shared) {
    let ended = Ended(shared);
    loop {
        let idle = |work: &mut Work| !work.is_wanted && !work.is_closed;
        let mut work = shared.1.wait_while(lock(shared), idle).unwrap_or_else(PoisonError::into_inner);
        if work.is_closed {
            break;
        }
        (work.is_wanted, work.is_under_way) = (false, true);
        drop(work);
        if let Err(error) = sql::copy_log(conn) {
            tracing::warn!(%error, "the write-ahead log was not copied into the file");
        }
        // Whoever begins the log anew waits for this again, so nothing depends on it here.
        if let Err(error) = data.sync_data() {
            tracing::warn!(%error, "the data file was not written out");
        }
        lock(shared).is_under_way = false;
        shared.1.notify_all();
    }
    drop(ended);
}

/// Nobody waits for a thread that has ended, however it did.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        lock(self.0).is_closed = true;
        self.0.1.notify_all();
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Work> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}
