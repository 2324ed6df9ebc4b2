//! The durable half of a session: the numbers of its records.
//!
//! A session's stream says which jobs the session watches and from where on; [`crate::view::View`] derives from it
//! what the session sees. One owner at a time appends to the stream, one batch at a time: a record is minted with
//! [`Session::record`], committed by the store, and counted with [`Session::handle_committed`]. A record that was
//! refused is simply not counted, and its number is used by the next.

use moorline_types::{Principal, Record, SessionId, StreamId, StreamSeq, Timestamp};

use crate::record::{Fact, Opened};

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    id: SessionId,
    principal: Principal,
    head: StreamSeq,
}

impl Session {
    /// A session that begins, and the record that opens it.
    pub fn open(now: Timestamp, id: SessionId, principal: Principal, client: String) -> (Self, Record) {
        let opened = Fact::Opened(Opened { principal: principal.id.clone(), client });
        let session = Self { id, principal, head: StreamSeq::ZERO };
        let record = session.record(now, 0, &opened);
        (session, record)
    }

    /// Its id.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Whose it is.
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Mints the record of `fact`, the one after `earlier` others of the same batch.
    pub fn record(&self, now: Timestamp, earlier: u64, fact: &Fact) -> Record {
        Record {
            stream: StreamId::Session(self.id),
            seq: StreamSeq::new(self.head.get() + earlier + 1),
            at: now,
            kind: fact.kind(),
            body: fact.encode(),
        }
    }

    /// The store has committed this many records that were minted last.
    pub fn handle_committed(&mut self, records: u64) {
        self.head = StreamSeq::new(self.head.get() + records);
    }
}
