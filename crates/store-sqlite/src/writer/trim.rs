//! Trimming a stream, one step of it.

use moorline_store::{Tail, WriteError};
use moorline_types::{StreamId, StreamSeq};

use super::write::{Reply, Staging, Write};
use crate::fault::{Failure, SqlError};
use crate::sql;

/// How far a step has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The oldest position that is left.
    pub(crate) oldest: StreamSeq,
    /// Whether everything is removed that was to be.
    pub(crate) is_last: bool,
}

pub(crate) struct Trim {
    stream: StreamId,
    before: StreamSeq,
    done: Option<Step>,
    reply: Reply<Step, WriteError>,
}

impl Trim {
    pub(crate) fn new(stream: StreamId, before: StreamSeq, reply: Reply<Step, WriteError>) -> Self {
        Self { stream, before, done: None, reply }
    }
}

impl Write for Trim {
    fn bytes(&self) -> usize {
        0
    }

    /// What is removed is read first, and is rarely in memory any more.
    fn is_brief(&self) -> bool {
        false
    }

    fn stage(&mut self, staging: &mut Staging<'_>) -> Result<(), SqlError> {
        let bounds = sql::stream_bounds(staging.tx, self.stream)?;
        let goal = self.before.min(bounds.head.next()).max(bounds.oldest);
        let oldest = sql::trim_step(staging.tx, self.stream, goal)?;
        if oldest > bounds.oldest {
            sql::trim(staging.tx, staging.encoder, self.stream, oldest)?;
        }
        self.done = Some(Step { oldest, is_last: oldest == goal });
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<&Tail, &Failure>) {
        let answer = match (outcome, self.done) {
            (Err(failure), _) => Err(failure.clone().into()),
            (Ok(_), None) => Err(WriteError::Closed),
            (Ok(tail), Some(step)) => {
                tail.forget(self.stream, step.oldest);
                Ok(step)
            }
        };
        drop(self.reply.send(answer));
    }
}
