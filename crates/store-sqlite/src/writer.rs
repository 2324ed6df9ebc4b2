//! The thread that writes, and the queue before it.
//!
//! A small append that finds nobody before it is committed where it is asked for. What a thread costs is two wake-ups,
//! which take as long as the commit itself. As soon as one write is under way the next ones queue, and the thread takes
//! all of them along; so nothing overtakes, and a busy store commits in groups.
//!
//! Only what waits for nothing is done that way: with the durability of a process a commit is a few copies into the
//! system's memory. What may wait (for the disk, for somebody who has the file locked, for the log to begin anew) is the
//! thread's.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use moorline_store::{Tail, WriteError};
use moorline_types::Epoch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::checkpoint::LogKeeper;
use crate::lock::{self, StoreLock};
use crate::open::{self, OpenError};
use crate::options::{Durability, SqliteOptions};
use crate::thread::{self, Ended};

mod append;
mod documents;
mod group;
mod heads;
mod probe;
mod trim;
mod write;

pub(crate) use append::Append;
pub(crate) use documents::{Delete, Put};
use group::Committer;
pub(crate) use probe::Probe;
pub(crate) use trim::Trim;
use write::{Reply, Write};

/// Commands that may wait for the writer. A commit takes a millisecond or so and takes all of them along; beyond that
/// the caller waits.
const QUEUE: usize = 1024;

/// Kibibytes of bodies that may wait for the writer, each write counted as one at least. The queue above would admit its
/// number of the largest batches, which is 9 GiB; this admits seven of those, or a full queue of usual ones.
const QUEUE_KIB: u32 = 64 * 1024;

/// Commands in one transaction. As many as can wait, so that a group empties the queue.
const GROUP_COMMANDS: usize = QUEUE;

/// Bytes of bodies in one transaction, beyond its first command. Bounds how long the first of a group waits for the
/// rest: a disk that writes 200 MB a second needs 80 ms for it.
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of bodies that are committed where they are asked for: a hundred usual events, in about a tenth of a
/// millisecond. A larger batch is better written while its owner prepares the next one.
const AT_ONCE_BYTES: usize = 64 * 1024;

/// What the writer found in the file.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) epoch: Epoch,
    pub(crate) tail: Arc<Tail>,
}

/// What the writer is asked to do.
enum Command {
    /// Write something in the next transaction.
    Write { write: Box<dyn Write>, _room: OwnedSemaphorePermit },
    /// Change the size limit, between transactions.
    LimitSize { max_bytes: Option<u64>, reply: Reply<(), WriteError> },
    /// Finish.
    Close,
}

/// Queues commands for the thread that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    commands: mpsc::Sender<Command>,
    /// All of it is there only while no write waits for the thread or is under way in it.
    room: Arc<Semaphore>,
    committer: SharedCommitter,
    /// Whether a commit waits for the disk.
    waits: bool,
    ended: Ended,
}

/// Who commits has it for so long; nobody waits for it but the thread. Gone when the store is closed.
type SharedCommitter = Arc<Mutex<Option<Committer>>>;

impl Writer {
    /// Starts the thread, which opens the store.
    pub(crate) async fn start(options: SqliteOptions) -> Result<(Self, Opened), OpenError> {
        let waits = options.durability == Durability::Power;
        let (commands, queue) = mpsc::channel(QUEUE);
        let (reply, opened) = oneshot::channel();
        let committer = SharedCommitter::default();
        let shared = Arc::clone(&committer);
        let ended = thread::spawn("moorline-store", move || match open(options) {
            Ok((held, committer)) => {
                let opened = Opened { epoch: committer.epoch(), tail: committer.tail() };
                let shared = Shared::of(shared, committer);
                // If the opener has gone, the queue is closed and the thread ends at once.
                drop(reply.send(Ok(opened)));
                run(queue, &shared);
                drop(shared);
                drop(held);
            }
            Err(error) => drop(reply.send(Err(error))),
        })
        .map_err(|source| OpenError::Thread { source: Some(source) })?;
        let opened = opened.await.unwrap_or(Err(OpenError::Thread { source: None }))?;
        let room = Arc::new(Semaphore::new(QUEUE_KIB as usize));
        Ok((Self { commands, room, committer, waits, ended }, opened))
    }

    /// Commits a write, or queues it and waits until it is committed or refused. `None` if the store has been closed.
    pub(crate) async fn write<T, E, W: Write + 'static>(
        &self,
        make: impl FnOnce(Reply<T, E>) -> W,
    ) -> Option<Result<T, E>> {
        let (reply, answer) = oneshot::channel();
        let write: Box<dyn Write> = Box::new(make(reply));
        if let Err(write) = self.commit_at_once(write) {
            let kib = u32::try_from(write.bytes().div_ceil(1024)).unwrap_or(QUEUE_KIB).clamp(1, QUEUE_KIB);
            let room = Arc::clone(&self.room).acquire_many_owned(kib).await.ok()?;
            self.commands.send(Command::Write { write, _room: room }).await.ok()?;
        }
        answer.await.ok()
    }

    /// Commits a write in its caller's thread, or hands it back for the queue.
    fn commit_at_once(&self, write: Box<dyn Write>) -> Result<(), Box<dyn Write>> {
        if self.waits || !write.is_brief() {
            return Err(write);
        }
        let Ok(mut committer) = self.committer.try_lock() else { return Err(write) };
        match committer.as_mut() {
            // Whoever came before has room in the queue until it is answered.
            Some(committer) if self.room.available_permits() == QUEUE_KIB as usize => committer.commit_at_once(write),
            Some(_) | None => Err(write),
        }
    }

    /// Changes how large the data file may become.
    pub(crate) async fn limit_size(&self, max_bytes: Option<u64>) -> Result<(), WriteError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::LimitSize { max_bytes, reply };
        self.commands.send(command).await.map_err(|_| WriteError::Closed)?;
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Has everything finished that is queued, and returns when the file is closed.
    pub(crate) async fn close(&self) {
        // Fails if the store is closed already, which is what is wanted.
        drop(self.commands.send(Command::Close).await);
        self.ended.clone().wait().await;
    }
}

/// What is held until the last connection is closed.
struct Held {
    _lock: StoreLock,
    /// Closing any descriptor of the data file drops the locks that SQLite holds on it.
    _data: Arc<File>,
}

fn open(options: SqliteOptions) -> Result<(Held, Committer), OpenError> {
    let lock = lock::acquire(&options.path)?;
    let (conn, state) = open::open_writer(&options)?;
    tracing::info!(path = %options.path.display(), epoch = %state.epoch, head = %state.head, "store opened");
    let witness = open::open_witness(&options, &state)?;
    let data = File::open(&options.path).map_err(|source| OpenError::Io { path: options.path.clone(), source })?;
    let held = Held { _lock: lock, _data: Arc::new(data) };
    let log = LogKeeper::start(&options.path, options.durability, &conn, Arc::clone(&held._data))?;
    Ok((held, Committer::new(conn, state, witness, log, options.tail)))
}

/// The committer, for as long as the thread lives.
struct Shared(SharedCommitter);

impl Shared {
    fn of(shared: SharedCommitter, committer: Committer) -> Self {
        *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(committer);
        Self(shared)
    }
}

impl Drop for Shared {
    /// Also when the thread has panicked: nobody commits without it.
    fn drop(&mut self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn run(mut queue: mpsc::Receiver<Command>, shared: &Shared) {
    while let Some(command) = queue.blocking_recv() {
        let mut next = Some(command);
        while let Some(command) = next.take() {
            // Whoever has panicked in the middle of a commit has left nobody knows what: that ends the store.
            let Ok(mut held) = shared.0.lock() else { return };
            let Some(committer) = held.as_mut() else { return };
            match command {
                Command::Write { write, _room } => {
                    let (group, following) = collect(write, _room, &mut queue);
                    committer.commit(group.writes);
                    next = following;
                }
                Command::LimitSize { max_bytes, reply } => drop(reply.send(committer.limit_size(max_bytes))),
                // Whatever waits behind this is dropped with the queue, which its callers read as `Closed`.
                Command::Close => return held.take().map_or((), Committer::close),
            }
        }
    }
}

/// Writes for one transaction, and the room in the queue that they hold until they are answered.
struct Group {
    writes: Vec<Box<dyn Write>>,
    _room: Vec<OwnedSemaphorePermit>,
}

/// Takes what waits behind the first write, up to the bounds or to a command that is no write.
fn collect(
    first: Box<dyn Write>,
    room: OwnedSemaphorePermit,
    queue: &mut mpsc::Receiver<Command>,
) -> (Group, Option<Command>) {
    let mut bytes = 0;
    let mut group = Group { writes: vec![first], _room: vec![room] };
    while group.writes.len() < GROUP_COMMANDS && bytes <= GROUP_BYTES {
        match queue.try_recv() {
            Ok(Command::Write { write, _room }) => {
                bytes += write.bytes();
                group.writes.push(write);
                group._room.push(_room);
            }
            Ok(other) => return (group, Some(other)),
            Err(_) => break,
        }
    }
    (group, None)
}
