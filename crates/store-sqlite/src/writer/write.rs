//! What every write has in common.

use moorline_store::{DocKey, Expect, PutError, Revision, Tail};
use moorline_types::Offset;
use tokio::sync::oneshot;

use super::AT_ONCE_BYTES;
use super::heads::Heads;
use crate::fault::{Failure, SqlError};
use crate::row::Encoder;
use crate::sql::{self, Transaction};

/// Where the answer goes. Whoever stopped waiting does not want it.
pub(crate) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// A write, from the queue to the answer.
///
/// 1. `stage`: decide, and do it in the transaction. A refusal (a conflict) is a decision that is kept for the answer;
///    only a failure of the database is an error. May be called again after a transaction that failed.
/// 2. `answer`: the transaction was committed, or it failed and nothing was done.
pub(crate) trait Write: Send {
    /// Bytes of what is written, by which queues and groups are bounded.
    fn bytes(&self) -> usize;

    /// Whether it is done soon enough to be done in its caller's thread.
    fn is_brief(&self) -> bool {
        self.bytes() <= AT_ONCE_BYTES
    }

    fn stage(&mut self, staging: &mut Staging<'_>) -> Result<(), SqlError>;

    fn answer(self: Box<Self>, outcome: Result<&Tail, &Failure>);
}

/// A transaction under way.
pub(crate) struct Staging<'a> {
    pub(super) tx: &'a Transaction<'a>,
    /// The heads of streams, as this transaction leaves them.
    pub(super) heads: &'a mut Heads,
    /// Makes rows of records.
    pub(super) encoder: &'a mut Encoder,
    /// The last offset that is taken.
    pub(super) head: Offset,
    /// The last revision that is taken.
    pub(super) revision: Revision,
}

impl Staging<'_> {
    /// Decides about a change of a document. Where anything may be there, nothing is looked up.
    pub(super) fn check(&self, key: &DocKey, expect: Expect) -> Result<Result<(), PutError>, SqlError> {
        let found = match expect {
            Expect::Any => None,
            Expect::Absent | Expect::Revision(_) => sql::revision(self.tx, key)?,
        };
        Ok(expect.check(found))
    }
}
