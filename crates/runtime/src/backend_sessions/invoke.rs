//! Having a session's worker carry out a command.

use moorline_backend::contract::{Answer, Command, CommandResult, Done, Invocation};
use moorline_core::backend_session::ItemAccess;
use moorline_types::{Millis, WorkerSeq};
use tokio::sync::oneshot;

use super::completions::{Awaited, Completion};
use super::guard::{Guarded, guard};
use super::shared::{Replied, Waiting};
use super::{SessionError, SessionHandle};
use crate::mint;

/// The longest name of a command, in bytes: any scheme of ids fits.
const MAX_COMMAND_ID_BYTES: usize = 128;

/// What came of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Invoked {
    /// Its name.
    pub id: Box<str>,
    /// What came of it.
    pub result: CommandResult,
    /// Which back end has answered.
    pub backend: Box<str>,
    /// The number of the answer: every event with a smaller one came before it.
    pub worker_seq: WorkerSeq,
    /// Whether the command was carried out earlier.
    pub repeated: bool,
    /// How the writes and operations have ended that it began, in the order in which they did, if that was waited for.
    pub completions: Vec<Completion>,
}

impl SessionHandle {
    /// Has a command carried out and waits for the answer, for as long as `timeout` or else the session says. Without a
    /// name the command gets one, and is another one each time. If the caller stops waiting, the command is carried out
    /// all the same.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn invoke(
        &self,
        id: Option<&str>,
        timeout: Option<Millis>,
        command: Command,
    ) -> Result<Invoked, SessionError> {
        self.carry_out(id, timeout, command, false).await
    }

    /// The same, and waits until the writes and operations have ended that the command begins.
    ///
    /// # Errors
    /// See [`Self::invoke`]; the time that it may take is the time for both.
    pub async fn complete(
        &self,
        id: Option<&str>,
        timeout: Option<Millis>,
        command: Command,
    ) -> Result<Invoked, SessionError> {
        self.carry_out(id, timeout, command, true).await
    }

    async fn carry_out(
        &self,
        id: Option<&str>,
        timeout: Option<Millis>,
        command: Command,
        until_complete: bool,
    ) -> Result<Invoked, SessionError> {
        let gateway = &self.sessions.0.gateway;
        let id = self.name(id)?;
        let access = ItemAccess::of(&self.principal.grants.constraints)?;
        let (reply, replied) = oneshot::channel();
        let by = Some(self.principal.id.as_str().into());
        let (number, unread) = self.session.tell(|inner| {
            let Guarded { command, unread } = guard(&access, inner, command)?;
            let number = inner.machine.handle_invoke(gateway.now(), timeout)?;
            let awaited = until_complete.then(|| Awaited::after(inner.completions.of(&id)));
            let invocation = Invocation { id: id.clone(), by, command };
            inner.waiting.insert(number, Waiting { invocation, reply, awaited });
            Ok::<_, SessionError>((number, unread))
        })?;
        tracing::debug!(session = %self.session.about.job, ?number, "a command is sent");
        let over = |_| SessionError::SessionOver { state: self.session.state.borrow().clone() };
        let Replied { answer, worker_seq, completions } = replied.await.map_err(over)??;
        let Answer { id, mut result, repeated, backend } = answer;
        if let Done::Readings(readings) = &mut result.done {
            for (place, reading) in unread {
                readings.insert(place.min(readings.len()), reading);
                result.success = false;
            }
        }
        Ok(Invoked { id, result, backend, worker_seq, repeated, completions })
    }

    fn name(&self, id: Option<&str>) -> Result<Box<str>, SessionError> {
        let Some(id) = id else {
            let minted = mint::message_id(self.sessions.0.gateway.now());
            let minted = minted.map_err(|error| SessionError::Invalid { reason: error.to_string() })?;
            return Ok(minted.as_str().into());
        };
        if id.is_empty() || id.len() > MAX_COMMAND_ID_BYTES || id.contains(char::is_control) {
            let reason = format!("command_id must have 1 to {MAX_COMMAND_ID_BYTES} printable bytes");
            return Err(SessionError::Invalid { reason });
        }
        Ok(id.into())
    }
}
