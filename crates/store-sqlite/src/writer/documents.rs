//! Changing documents.

use bytes::Bytes;
use moorline_store::{DocKey, Expect, PutError, Revision, Tail};

use super::write::{Reply, Staging, Write};
use crate::fault::{Failure, SqlError};
use crate::sql;

/// Makes or replaces a document.
pub(crate) struct Put {
    key: DocKey,
    value: Bytes,
    expect: Expect,
    decision: Result<Revision, PutError>,
    reply: Reply<Revision, PutError>,
}

impl Put {
    pub(crate) fn new(key: DocKey, value: Bytes, expect: Expect, reply: Reply<Revision, PutError>) -> Self {
        Self { key, value, expect, decision: Err(PutError::Closed), reply }
    }
}

impl Write for Put {
    fn bytes(&self) -> usize {
        self.value.len()
    }

    fn stage(&mut self, staging: &mut Staging<'_>) -> Result<(), SqlError> {
        self.decision = staging.check(&self.key, self.expect)?.map(|()| staging.revision.next());
        if let Ok(revision) = &self.decision {
            sql::put(staging.tx, &self.key, &self.value, *revision)?;
            staging.revision = *revision;
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<&Tail, &Failure>) {
        drop(self.reply.send(outcome.map_err(|failure| failure.clone().into()).and(self.decision)));
    }
}

/// Removes a document.
pub(crate) struct Delete {
    key: DocKey,
    expect: Expect,
    decision: Result<(), PutError>,
    reply: Reply<(), PutError>,
}

impl Delete {
    pub(crate) fn new(key: DocKey, expect: Expect, reply: Reply<(), PutError>) -> Self {
        Self { key, expect, decision: Err(PutError::Closed), reply }
    }
}

impl Write for Delete {
    fn bytes(&self) -> usize {
        0
    }

    /// Whoever removes documents removes many, which share a commit.
    fn is_brief(&self) -> bool {
        false
    }

    fn stage(&mut self, staging: &mut Staging<'_>) -> Result<(), SqlError> {
        self.decision = staging.check(&self.key, self.expect)?;
        if self.decision.is_ok() {
            sql::delete(staging.tx, &self.key)?;
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<&Tail, &Failure>) {
        drop(self.reply.send(outcome.map_err(|failure| failure.clone().into()).and(self.decision)));
    }
}
