//! A session of the gateway.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moorline_gateway_proto::v1;
use tonic::Code;

use crate::alarms::AlarmStream;
use crate::backoff::Backoff;
use crate::call::{Caller, Patience, Repeat};
use crate::client::{about, length};
use crate::command::{Command, Invoke};
use crate::connect::Api;
use crate::done::{Done, Invoked, Reading, Written, without};
use crate::error::{CallError, Failure, Lost};
use crate::events::{EventStream, Position, Start};
use crate::rates::Revision;
use crate::value::{Item, Server, User, Value};

/// How much longer than a command may take is waited for its answer, which says that it took too long: the way there and
/// back, and an outage that is short.
const ANSWER_GRACE: Duration = Duration::from_secs(10);

/// How long a command may take of a session that does not say.
const DEFAULT_COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// How a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Where it stands.
    pub state: v1::SessionState,
    /// Whether somebody else had begun to close it, or an attempt of this client whose answer was lost.
    pub already: bool,
}

/// A session of the gateway. Cheap to clone; dropping it does not end the session.
///
/// Every command is one call of [`Self::invoke`], and has the errors of that.
#[derive(Clone)]
pub struct Session {
    caller: Caller,
    id: Arc<str>,
    command_timeout: Duration,
}

impl Session {
    pub(crate) fn new(caller: Caller, session: &v1::Session) -> Self {
        let timeout = session.command_timeout.and_then(|length| length.try_into().ok());
        Self {
            caller,
            id: session.session_id.as_str().into(),
            command_timeout: timeout.unwrap_or(DEFAULT_COMMAND_TIMEOUT),
        }
    }

    /// `session-…`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What there is to know of it.
    ///
    /// # Errors
    /// If there is none that the caller may know of, or there is no answer.
    pub async fn about(&self) -> Result<v1::Session, CallError> {
        about(&self.caller, &self.id).await
    }

    /// Has the worker carry out a command, under a name of its own unless it has one. It is asked for again, under the
    /// same name, while connections are lost and time is left, and is carried out once.
    ///
    /// # Errors
    /// If the gateway refuses, or there is no answer. That the back end has not done it is in the answer.
    pub async fn invoke(&self, invoke: impl Into<Invoke>) -> Result<Invoked, CallError> {
        let Invoke { command, id, timeout, until_complete } = invoke.into();
        let id = id.unwrap_or_else(|| self.caller.command_id());
        let request = v1::InvokeRequest {
            session_id: self.id.to_string(),
            command_id: id.as_str().to_owned(),
            timeout: timeout.and_then(length),
            command: Some(command.into()),
            until_complete,
        };
        let patience = Patience::of(timeout.unwrap_or(self.command_timeout) + ANSWER_GRACE);
        let attempt = |mut api: Api| {
            let request = request.clone();
            async move { api.invoke(request).await }
        };
        let repeat = Repeat::Named(Some(id.clone()));
        let answer = self.caller.call(repeat, patience, Backoff::default(), attempt).await?;
        let result = answer.result.ok_or(without("result"))?;
        let v1::InvokeResponse { worker_sequence, repeated, completions, .. } = answer;
        Ok(Invoked { id, result, worker_sequence, repeated, completions })
    }

    async fn done(&self, command: Command) -> Result<Done, CallError> {
        self.invoke(command).await?.done().map_err(CallError::Failed)
    }

    /// Opens a client session of the back end.
    ///
    /// # Errors
    /// See [`Self::invoke`]; also if the back end has not done it.
    pub async fn register(&self, client: impl Into<String>) -> Result<Server, CallError> {
        let Done::Server(server) = self.done(Command::register(client)).await? else {
            return Err(without("server handle"));
        };
        Ok(server)
    }

    /// Closes one, with its items.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn unregister(&self, server: Server) -> Result<(), CallError> {
        self.done(Command::unregister(server)).await.map(drop)
    }

    /// Names an item. One that the back end does not know is no error: its status comes as a data change.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn add_item(&self, server: Server, item: impl Into<String>) -> Result<Item, CallError> {
        self.item(server, Command::add_item(server, item)).await
    }

    /// Names an item whose changes are collected.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn add_buffered_item(&self, server: Server, item: impl Into<String>) -> Result<Item, CallError> {
        self.item(server, Command::add_buffered_item(server, item)).await
    }

    async fn item(&self, server: Server, add: Command) -> Result<Item, CallError> {
        let Done::ItemHandle(handle) = self.done(add).await? else { return Err(without("item handle")) };
        Ok(Item { server, handle })
    }

    /// Forgets an item.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn remove_item(&self, item: Item) -> Result<(), CallError> {
        self.done(Command::remove_item(item)).await.map(drop)
    }

    /// Begins the item's data changes, and answers how the item is told, if the back end has said so; else an
    /// [`crate::EventBody::ItemRevised`] follows. Must come before a write.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn advise(&self, item: Item) -> Result<Option<Revision>, CallError> {
        self.advised(Command::advise(item)).await
    }

    async fn advised(&self, advise: Command) -> Result<Option<Revision>, CallError> {
        Ok(if let Done::Advised(revision) = self.done(advise).await? { Some(revision) } else { None })
    }

    /// The same, and writes to the item need no user.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn advise_supervisory(&self, item: Item) -> Result<Option<Revision>, CallError> {
        self.advised(Command::advise_supervisory(item)).await
    }

    /// Ends the item's data changes.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn un_advise(&self, item: Item) -> Result<(), CallError> {
        self.done(Command::un_advise(item)).await.map(drop)
    }

    /// Pauses an item.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn suspend(&self, item: Item) -> Result<(), CallError> {
        self.done(Command::suspend(item)).await.map(drop)
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn activate(&self, item: Item) -> Result<(), CallError> {
        self.done(Command::activate(item)).await.map(drop)
    }

    /// Writes a value. The answer says that the back end has taken it in; that it is complete is an event.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn write(&self, item: Item, value: impl Into<Value>) -> Result<Written, CallError> {
        Written::of(self.invoke(Command::write(item, value)).await?)
    }

    /// Writes a value, and waits until that is complete.
    ///
    /// # Errors
    /// See [`Self::register`]; also if the back end has taken it in and says then that it was not written.
    pub async fn write_until_complete(&self, item: Item, value: impl Into<Value>) -> Result<Written, CallError> {
        let invoked = self.invoke(Invoke::until_complete(Command::write(item, value))).await?;
        if invoked.result.success && invoked.completions.is_empty() {
            return Err(without("completion"));
        }
        invoked.ended().map_err(CallError::Failed)?;
        Written::of(invoked)
    }

    /// Writes a value as one user, with another who verifies it.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn write_secured(
        &self,
        item: Item,
        value: impl Into<Value>,
        user: User,
        verifier: User,
    ) -> Result<Written, CallError> {
        Written::of(self.invoke(Command::write_secured(item, value, user, verifier)).await?)
    }

    /// Finds out who somebody is.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn authenticate_user(
        &self,
        server: Server,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Result<User, CallError> {
        let Done::User(user) = self.done(Command::authenticate_user(server, user, password)).await? else {
            return Err(without("user handle"));
        };
        Ok(user)
    }

    /// Says how often collected changes are told, and answers how often they are.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn set_buffered_update_interval(
        &self,
        server: Server,
        interval: Duration,
    ) -> Result<Duration, CallError> {
        let Done::IntervalMs(interval) = self.done(Command::set_buffered_update_interval(server, interval)).await?
        else {
            return Err(without("interval"));
        };
        Ok(Duration::from_millis(interval.into()))
    }

    /// Reads items by name, without handles; each is answered by itself, in their order.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn read<I: Into<String>>(&self, items: impl IntoIterator<Item = I>) -> Result<Vec<Reading>, CallError> {
        let Done::Readings(readings) = self.done(Command::read(items)).await? else { return Err(without("readings")) };
        Ok(readings)
    }

    /// Has several commands carried out one after the other in one round trip; each is answered by itself, in their order.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn bulk(
        &self,
        commands: impl IntoIterator<Item = Command>,
    ) -> Result<Vec<Result<Done, Failure>>, CallError> {
        let Done::Parts(parts) = self.done(Command::bulk(commands)).await? else { return Err(without("results")) };
        Ok(parts)
    }

    /// What the worker holds: its client sessions and items, and the commands that it knows by name.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn worker_state(&self) -> Result<v1::WorkerSessionState, CallError> {
        let Done::WorkerState(state) = self.done(Command::worker_state()).await? else {
            return Err(without("session state"));
        };
        Ok(state)
    }

    /// What runs the session.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn worker_info(&self) -> Result<v1::WorkerInfo, CallError> {
        let Done::WorkerInfo(info) = self.done(Command::worker_info()).await? else {
            return Err(without("worker info"));
        };
        Ok(info)
    }

    /// The session's events. The stream goes on by itself when its connection is lost, and when the gateway has
    /// disconnected it because it did not keep up.
    ///
    /// # Errors
    /// If there is no such session, nobody more may stream its events, or there is no answer.
    pub async fn events(&self, start: Start) -> Result<EventStream, CallError> {
        let position = match start {
            Start::After(position) => position,
            // By its number: a stream that has not seen anything yet could not be gone on with.
            Start::Now => {
                let session = self.about().await?;
                Position { sequence: session.last_worker_sequence, epoch: session.epoch }
            }
        };
        EventStream::open(self.caller.clone(), Arc::clone(&self.id), position).await
    }

    /// The session's alarms. The stream goes on by itself when its connection is lost; it does not keep the session
    /// alive.
    ///
    /// # Errors
    /// If there is no such session, the back end has no alarms, or there is no answer.
    pub async fn alarms(&self) -> Result<AlarmStream, CallError> {
        AlarmStream::open(self.caller.clone(), Arc::clone(&self.id)).await
    }

    /// Acknowledges an alarm.
    ///
    /// # Errors
    /// See [`Self::register`].
    pub async fn acknowledge(&self, alarm_id: impl Into<String>, comment: impl Into<String>) -> Result<(), CallError> {
        let id = self.caller.command_id();
        let request = v1::AcknowledgeAlarmRequest {
            session_id: self.id.to_string(),
            command_id: id.as_str().to_owned(),
            alarm_id: alarm_id.into(),
            comment: comment.into(),
        };
        let attempt = |mut api: Api| {
            let request = request.clone();
            async move { api.acknowledge_alarm(request).await }
        };
        let patience = Patience::of(self.command_timeout + ANSWER_GRACE);
        let repeat = Repeat::Named(Some(id.clone()));
        let answer = self.caller.call(repeat, patience, Backoff::default(), attempt).await?;
        let result = answer.result.ok_or(without("result"))?;
        let invoked = Invoked { id, result, worker_sequence: 0, repeated: false, completions: Vec::new() };
        invoked.done().map(drop).map_err(CallError::Failed)
    }

    /// Ends the session in order.
    ///
    /// # Errors
    /// If the gateway refuses, or there is no answer.
    pub async fn close(&self) -> Result<Closed, CallError> {
        let attempt = |mut api: Api| {
            let request = v1::CloseSessionRequest { session_id: self.id.to_string() };
            async move { api.close_session(request).await }
        };
        let patience = Patience::of(self.caller.call_timeout());
        let closed = self.caller.call(Repeat::Named(None), patience, Backoff::default(), attempt).await;
        ended(closed.map(|closed| Closed { state: closed.final_state(), already: closed.already_closing }))
    }

    /// Ends the session's worker at once, and the session with it.
    ///
    /// # Errors
    /// If the reason is blank, the gateway refuses, or there is no answer.
    pub async fn kill(&self, reason: &str) -> Result<Closed, CallError> {
        let attempt = |mut api: Api| {
            let request = v1::KillWorkerRequest { session_id: self.id.to_string(), reason: reason.to_owned() };
            async move { api.kill_worker(request).await }
        };
        let patience = Patience::of(self.caller.call_timeout());
        let killed = self.caller.call(Repeat::Named(None), patience, Backoff::default(), attempt).await;
        ended(killed.map(|killed| Closed { state: killed.final_state(), already: false }))
    }
}

/// A session that is gone when it is asked for again was ended by the attempt whose answer was lost.
fn ended(ended: Result<Closed, CallError>) -> Result<Closed, CallError> {
    match ended {
        Err(CallError::OutcomeUnknown { cause: Lost::Unanswered(refused), .. }) if refused.code == Code::NotFound => {
            Ok(Closed { state: v1::SessionState::Closed, already: true })
        }
        other => other,
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id).finish_non_exhaustive()
    }
}
