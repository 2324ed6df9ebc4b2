//! Proving that the store can still commit.

use moorline_store::{Tail, WriteError};

use super::write::{Reply, Staging, Write};
use crate::fault::{Failure, SqlError};
use crate::sql;

/// Takes the room of a few records and gives it back in the same transaction, so that a full store fails it.
pub(crate) struct Probe {
    reply: Reply<(), WriteError>,
}

impl Probe {
    pub(crate) fn new(reply: Reply<(), WriteError>) -> Self {
        Self { reply }
    }
}

impl Write for Probe {
    fn bytes(&self) -> usize {
        0
    }

    fn stage(&mut self, staging: &mut Staging<'_>) -> Result<(), SqlError> {
        sql::probe(staging.tx)
    }

    fn answer(self: Box<Self>, outcome: Result<&Tail, &Failure>) {
        drop(self.reply.send(outcome.map(drop).map_err(|failure| failure.clone().into())));
    }
}
