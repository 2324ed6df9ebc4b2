//! Group commit: one transaction for everything that waits.

use std::sync::Arc;

use moorline_store::{Revision, StoreFault, Tail, TailLimits, WriteError};
use moorline_types::Epoch;
use rusqlite::Connection;

use super::heads::Heads;
use super::write::{Staging, Write};
use crate::checkpoint::LogKeeper;
use crate::fault::{Failure, SqlError};
use crate::row::Encoder;
use crate::sql::{self, Patience, State};
use crate::witness::Witness;

/// Revisions that are noted as given before they are: so many changes of documents write the row with the note once. What
/// is not given when the store is closed, or its process is killed, is left out.
const REVISIONS_AT_ONCE: u64 = 4_096;

/// Has the connection that writes. What it remembers of the database is what the last commit left.
#[derive(Debug)]
pub(super) struct Committer {
    conn: Connection,
    heads: Heads,
    encoder: Encoder,
    state: State,
    /// The last revision that the database notes as given.
    noted: Revision,
    witness: Witness,
    log: LogKeeper,
    tail: Arc<Tail>,
}

impl Committer {
    pub(super) fn new(conn: Connection, state: State, witness: Witness, log: LogKeeper, limits: TailLimits) -> Self {
        let tail = Arc::new(Tail::cold(state.head, limits));
        let (heads, encoder, noted) = (Heads::default(), Encoder::default(), state.revision);
        Self { conn, heads, encoder, state, noted, witness, log, tail }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.state.epoch
    }

    pub(super) fn tail(&self) -> Arc<Tail> {
        Arc::clone(&self.tail)
    }

    /// Commits the writes together and answers each, in their order.
    pub(super) fn commit(&mut self, mut group: Vec<Box<dyn Write>>) {
        let outcome = self.transact(&mut group);
        self.finish(group, outcome);
    }

    /// Commits a write and answers it, or hands it back if that would mean to wait.
    pub(super) fn commit_at_once(&mut self, write: Box<dyn Write>) -> Result<(), Box<dyn Write>> {
        if self.log.is_long() || sql::wait_for_lock(&self.conn, Patience::None).is_err() {
            return Err(write);
        }
        let mut group = [write];
        let outcome = self.transact(&mut group);
        let [write] = group;
        if let Err(error) = sql::wait_for_lock(&self.conn, Patience::Usual) {
            tracing::warn!(%error, "a file that somebody else has locked is not waited for");
        }
        if outcome.as_ref().is_err_and(SqlError::is_locked) {
            self.heads.forget();
            return Err(write);
        }
        self.finish(vec![write], outcome);
        Ok(())
    }

    /// Answers each write, or tries again what may still succeed.
    fn finish(&mut self, group: Vec<Box<dyn Write>>, outcome: Result<(), SqlError>) {
        let Err(error) = outcome else {
            for write in group {
                write.answer(Ok(&self.tail));
            }
            self.log.after_commit(&self.conn);
            return;
        };
        self.heads.forget();
        let failure = Failure::from(error);
        if failure.kind == StoreFault::Full && group.len() > 1 {
            // What is too large for the room that is left must not keep out what fits, or what makes room.
            for write in group {
                self.commit(vec![write]);
            }
            return;
        }
        tracing::warn!(fault = %failure.kind, error = %failure.source, writes = group.len(), "nothing was committed");
        for write in group {
            write.answer(Err(&failure));
        }
    }

    /// The store is closed in order.
    pub(super) fn close(self) {
        let Self { conn, state, witness, log, .. } = self;
        // The last connection that closes copies all of the log; that must be the one that says whether it worked.
        drop(log);
        if let Err((_, error)) = conn.close() {
            tracing::warn!(%error, "the store is not closed in order");
            return;
        }
        if let Err(error) = witness.close(&state) {
            tracing::warn!(%error, "that the store is closed is not noted");
        }
    }

    pub(super) fn limit_size(&mut self, max_bytes: Option<u64>) -> Result<(), WriteError> {
        sql::limit_size(&self.conn, max_bytes).map_err(|error| Failure::from(error).into())
    }

    fn transact(&mut self, group: &mut [Box<dyn Write>]) -> Result<(), SqlError> {
        let tx = sql::Transaction::begin_write(&mut self.conn)?;
        let mut staging = Staging {
            tx: &tx,
            heads: &mut self.heads,
            encoder: &mut self.encoder,
            head: self.state.head,
            revision: self.state.revision,
        };
        for write in group {
            write.stage(&mut staging)?;
        }
        let state = State { head: staging.head, revision: staging.revision, ..self.state };
        let mut noted = self.noted;
        if state.revision > noted {
            noted = Revision::new(state.revision.get() + REVISIONS_AT_ONCE);
            sql::note_revision(&tx, noted)?;
        }
        tx.commit()?;
        (self.state, self.noted) = (state, noted);
        // Without the note the next opening may not notice that numbers went back; the commit stands.
        if let Err(error) = self.witness.advance(&state) {
            tracing::warn!(%error, "how far the store has come is not noted");
        }
        Ok(())
    }
}
