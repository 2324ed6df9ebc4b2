//! What has come of a command.

use moorline_gateway_proto::v1;
use moorline_gateway_proto::v1::command_result::Value as Brought;

use crate::command::CommandId;
use crate::error::{CallError, Failure};
use crate::rates::Revision;
use crate::value::{Sample, Server, User};

/// The answer to a command.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Invoked {
    /// The command's name, as it was given or minted.
    pub id: CommandId,
    /// What has come of it, as the API says it.
    pub result: v1::CommandResult,
    /// The number that the worker gave its answer: every event of the session with a smaller one came before it.
    pub worker_sequence: u64,
    /// Whether the answer was there already, because the command is a repetition.
    pub repeated: bool,
    /// How each write and operation has ended that it began, in the order in which they did, if that was waited for.
    pub completions: Vec<v1::Completion>,
}

impl Invoked {
    /// How what it began has ended, as far as that was waited for.
    ///
    /// # Errors
    /// What the back end says of the first that has not gone well.
    pub fn ended(&self) -> Result<(), Failure> {
        let failed = |ended: &&v1::Completion| ended.statuses.iter().any(|status| !status.success);
        let failed = self.completions.iter().find(failed);
        failed.map_or(Ok(()), |ended| Err(Failure::of_statuses(&ended.statuses)))
    }

    /// What the command has brought. Readings and the parts of a bulk are brought whether or not all of them could be.
    ///
    /// # Errors
    /// If the back end has not carried it out.
    pub fn done(self) -> Result<Done, Failure> {
        done(self.result)
    }
}

/// What a command has brought.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Done {
    /// Nothing but that it was carried out.
    Nothing,
    /// A client session of the back end.
    Server(Server),
    /// The handle of an item in its client session.
    ItemHandle(i32),
    /// How an advised item is told.
    Advised(Revision),
    /// A user.
    User(User),
    /// The interval that it has become, in milliseconds.
    IntervalMs(u32),
    /// Readings, one for each item that was asked for.
    Readings(Vec<Reading>),
    /// What the worker holds.
    WorkerState(v1::WorkerSessionState),
    /// What runs the session.
    WorkerInfo(v1::WorkerInfo),
    /// What has come of each part of a bulk, in their order.
    Parts(Vec<Result<Done, Failure>>),
}

fn done(result: v1::CommandResult) -> Result<Done, Failure> {
    let v1::CommandResult { success, message, statuses, hresult, value, .. } = result;
    let done = match value {
        Some(Brought::Readings(v1::Readings { readings })) => {
            return Ok(Done::Readings(readings.into_iter().map(Reading::from).collect()));
        }
        Some(Brought::Results(v1::Results { results })) => {
            return Ok(Done::Parts(results.into_iter().map(done).collect()));
        }
        None => Done::Nothing,
        Some(Brought::ServerHandle(handle)) => Done::Server(Server(handle)),
        Some(Brought::ItemHandle(handle)) => Done::ItemHandle(handle),
        Some(Brought::Revision(revision)) => Done::Advised(revision.into()),
        Some(Brought::UserHandle(handle)) => Done::User(User(handle)),
        Some(Brought::IntervalMs(interval)) => Done::IntervalMs(interval),
        Some(Brought::SessionState(state)) => Done::WorkerState(state),
        Some(Brought::WorkerInfo(info)) => Done::WorkerInfo(info),
    };
    if success { Ok(done) } else { Err(Failure { message, statuses, hresult }) }
}

/// The error of a command that has brought something else.
pub(crate) const fn without(missing: &'static str) -> CallError {
    CallError::Unreadable { missing }
}

/// One item as it is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// Its name.
    pub item: String,
    /// What was read.
    ///
    /// # Errors
    /// If the caller may not read it, or the back end could not.
    pub sample: Result<Sample, Failure>,
    /// What the back end said of it.
    pub statuses: Vec<v1::Status>,
}

impl From<v1::Reading> for Reading {
    fn from(reading: v1::Reading) -> Self {
        let v1::Reading { item, success, message, sample, statuses } = reading;
        let sample = match (success, sample) {
            (true, Some(sample)) => Ok(sample.into()),
            (_, _) => Err(Failure { message, statuses: statuses.clone(), hresult: 0 }),
        };
        Self { item, sample, statuses }
    }
}

/// A write that the back end has taken in. [`crate::EventBody::WriteComplete`] with its name says that it is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The write's name.
    pub id: CommandId,
    /// Every event of the session with a smaller number came before it.
    pub worker_sequence: u64,
    /// Whether it was carried out earlier, and this is a repetition.
    pub repeated: bool,
}

impl Written {
    pub(crate) fn of(invoked: Invoked) -> Result<Self, CallError> {
        let Invoked { id, worker_sequence, repeated, result, .. } = invoked;
        done(result).map_err(CallError::Failed)?;
        Ok(Self { id, worker_sequence, repeated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(success: bool, value: Option<Brought>) -> v1::CommandResult {
        v1::CommandResult { success, message: "no".to_owned(), value, ..Default::default() }
    }

    #[test]
    fn what_was_not_done_has_brought_nothing_but_the_parts_of_several_are_told_each() {
        let refused = || Failure { message: "no".to_owned(), statuses: Vec::new(), hresult: 0 };
        assert_eq!(done(result(false, Some(Brought::ItemHandle(3)))), Err(refused()));
        assert_eq!(done(result(true, Some(Brought::ItemHandle(3)))), Ok(Done::ItemHandle(3)));
        let results = vec![result(true, None), result(false, None)];
        let several = done(result(false, Some(Brought::Results(v1::Results { results }))));
        assert_eq!(several, Ok(Done::Parts(vec![Ok(Done::Nothing), Err(refused())])));
        let unread = v1::Reading { item: "a".to_owned(), message: "no".to_owned(), ..Default::default() };
        let readings = done(result(false, Some(Brought::Readings(v1::Readings { readings: vec![unread] }))));
        let Ok(Done::Readings(readings)) = readings else { panic!("{readings:?}") };
        assert!(readings.len() == 1 && readings.iter().all(|reading| reading.sample.is_err()));
    }
}
