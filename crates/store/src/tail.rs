//! The tail: recent committed records in memory, and the wake-up of those who wait for more.
//!
//! A store publishes every committed record here, in offset order, before it answers the appender. Readers pull: each
//! asks for the records of its streams after its cursor, and waits on an [`Interest`] when there are none. The tail
//! holds no copy for a reader, no cursor of a reader, and no list of the slow ones; it costs the publisher one notify
//! per interest in the streams that it wrote to.
//!
//! What the tail holds is everything after one offset, [`Tail::evicted_through`], so it can always say whether it can
//! answer: a cursor before that offset gets `None` and must read the store. There is no hand-off to get wrong, because
//! both answers say through which offset they are complete.
//!
//! ```text
//! loop {
//!     let page = match tail.read(&streams, cursor, limit) {
//!         Some(page) => page,
//!         None => store.read_streams(&streams, cursor, limit).await?,
//!     };
//!     cursor = page.through;
//!     if page.records.is_empty() && cursor >= tail.head() { interest.changed().await } else { deliver(page.records) }
//! }
//! ```

use std::borrow::Cow;
use std::sync::{Arc, Mutex, RwLock};

use moorline_types::{Offset, StreamId, StreamSeq};

use crate::contract::{CommittedRecord, Page, ReadLimit};
use crate::limits::{DEFAULT_TAIL_BYTES, DEFAULT_TAIL_RECORDS};
use crate::sync::{lock, read, write};

mod interest;
mod ring;

pub use interest::Interest;
use interest::Registry;
use ring::Ring;

/// How much the tail holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TailLimits {
    /// Bytes of bodies.
    pub bytes: usize,
    /// Records.
    pub records: usize,
}

impl Default for TailLimits {
    fn default() -> Self {
        Self { bytes: DEFAULT_TAIL_BYTES, records: DEFAULT_TAIL_RECORDS }
    }
}

/// Recent committed records, and who waits for more. The rules are in the [module's documentation](self).
#[derive(Debug)]
pub struct Tail {
    ring: RwLock<Ring>,
    registry: Arc<Mutex<Registry>>,
}

impl Tail {
    /// The tail of a journal whose last record is at `head`. It holds nothing yet.
    pub fn new(head: Offset, limits: TailLimits) -> Self {
        Self { ring: RwLock::new(Ring::new(head, limits)), registry: Arc::default() }
    }

    /// The same, of which [`Tail::warm`] is called later.
    pub fn cold(head: Offset, limits: TailLimits) -> Self {
        Self { ring: RwLock::new(Ring::cold(head, limits)), registry: Arc::default() }
    }

    /// Adds records that have been committed, and wakes whoever waits for their streams. For stores only: in offset
    /// order, without a hole, before the appender's reply.
    pub fn publish(&self, records: Vec<CommittedRecord>) {
        let mut streams: Vec<StreamId> = records
            .chunk_by(|one, next| one.stream == next.stream)
            .filter_map(|run| Some(run.first()?.stream))
            .collect();
        streams.sort_unstable();
        streams.dedup();
        let evicted = write(&self.ring).push(records);
        lock(&self.registry).wake(&streams);
        // Freed when nobody has to wait for it.
        drop(evicted);
    }

    /// Holds records as well that were there before the tail was: all that are left of those after `after`, through the
    /// head with which the tail was made. As many of the last of them are held as there is room for beside what was
    /// published meanwhile. For stores only, once, after [`Tail::cold`].
    pub fn warm(&self, after: Offset, records: Vec<CommittedRecord>) {
        let limits = read(&self.ring).limits();
        // In order before anybody has to wait for it.
        let mut older = Ring::new(after, limits);
        let mut evicted = older.extend(records);
        evicted.extend(write(&self.ring).put_behind(older));
    }

    /// Drops the records of a stream before `before`, which have been trimmed. For stores only.
    pub fn forget(&self, stream: StreamId, before: StreamSeq) {
        write(&self.ring).forget(stream, before);
    }

    /// The offset of the last record that was published.
    pub fn head(&self) -> Offset {
        read(&self.ring).head()
    }

    /// The last offset that has left memory. Every record after it is held.
    pub fn evicted_through(&self) -> Offset {
        read(&self.ring).evicted_through()
    }

    /// The records of these streams after `after`, merged in offset order; `None` if `after` lies before what is held,
    /// and the store must be read. The streams are a set: their order and repetitions mean nothing.
    ///
    /// The lock, which readers share, is held for the shorter of two walks: over the streams, or over what is newer than
    /// `after`. Streams that are in order already are not copied.
    pub fn read(&self, streams: &[StreamId], after: Offset, limit: ReadLimit) -> Option<Page> {
        let in_order: Cow<'_, [StreamId]> = if streams.is_sorted_by(|one, next| one < next) {
            streams.into()
        } else {
            let mut sorted = streams.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            sorted.into()
        };
        read(&self.ring).read(&in_order, after, limit)
    }

    /// The records of one stream from `from` on, in order; `None` if they are not all held, or if not everything is
    /// published through `seen`, and the store must be read. `seen` is how far the caller has read the journal: a store
    /// may be ahead of its tail for a moment.
    pub fn read_stream(
        &self,
        stream: StreamId,
        from: StreamSeq,
        seen: Offset,
        limit: ReadLimit,
    ) -> Option<Vec<CommittedRecord>> {
        read(&self.ring).read_stream(stream, from, seen, limit)
    }

    /// The position of the stream's last record; `None` if it is not held.
    pub fn stream_head(&self, stream: StreamId) -> Option<StreamSeq> {
        read(&self.ring).stream_head(stream)
    }

    /// A wake-up for the streams that will be added to it.
    pub fn subscribe(&self) -> Interest {
        Interest::new(Arc::clone(&self.registry))
    }
}
