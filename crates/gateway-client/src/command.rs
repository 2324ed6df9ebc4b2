//! What a session's worker can be told.

use std::fmt;
use std::time::{Duration, SystemTime};

use moorline_gateway_proto::v1;
use moorline_gateway_proto::v1::command::Body;

use crate::value::{Item, Server, User, Value};

/// Names a command within its session: one that was carried out is not carried out again under its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommandId(Box<str>);

impl CommandId {
    /// A name of the caller's own: 1 to 128 printable bytes, which the gateway checks.
    pub fn new(id: impl Into<Box<str>>) -> Self {
        Self(id.into())
    }

    pub(crate) fn minted(names: u128, number: u64) -> Self {
        Self(format!("cmd_{names:032x}_{number}").into())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A command with what belongs to it.
#[derive(Debug, Clone)]
pub struct Invoke {
    /// The command.
    pub command: Command,
    /// Its name; one that no other command has unless it is given.
    pub id: Option<CommandId>,
    /// How long the answer may take; what the session says unless it is given.
    pub timeout: Option<Duration>,
    /// Whether to wait until what it begins is complete: a write, a pause, the end of one.
    pub until_complete: bool,
}

impl Invoke {
    /// A command, whose answer is to come when what it begins is complete.
    pub const fn until_complete(command: Command) -> Self {
        Self { command, id: None, timeout: None, until_complete: true }
    }
}

impl From<Command> for Invoke {
    fn from(command: Command) -> Self {
        Self { command, id: None, timeout: None, until_complete: false }
    }
}

/// A command, alone or as one of several in [`crate::Session::bulk`].
#[derive(Clone, PartialEq)]
pub struct Command(v1::Command);

impl Command {
    /// Opens a client session of the back end.
    pub fn register(client: impl Into<String>) -> Self {
        Body::Register(v1::Register { client_name: client.into() }).into()
    }

    /// Closes one, with its items.
    pub fn unregister(Server(server_handle): Server) -> Self {
        Body::Unregister(v1::Unregister { server_handle }).into()
    }

    /// Names an item. One that the back end does not know is no error: its status comes as a data change.
    pub fn add_item(server: Server, item: impl Into<String>) -> Self {
        Self::item_of(server, item.into(), false)
    }

    /// Names an item whose changes are collected, and come in one event per interval.
    pub fn add_buffered_item(server: Server, item: impl Into<String>) -> Self {
        Self::item_of(server, item.into(), true)
    }

    fn item_of(Server(server_handle): Server, item: String, buffered: bool) -> Self {
        Body::AddItem(v1::AddItem { server_handle, item, context: String::new(), buffered }).into()
    }

    /// Forgets an item.
    pub fn remove_item(Item { server: Server(server_handle), handle: item_handle }: Item) -> Self {
        Body::RemoveItem(v1::RemoveItem { server_handle, item_handle }).into()
    }

    /// Begins the item's data changes. Must come before a write.
    pub fn advise(item: Item) -> Self {
        Self::advise_as(item, false)
    }

    /// The same, and writes to the item need no user: they are the gateway's own.
    pub fn advise_supervisory(item: Item) -> Self {
        Self::advise_as(item, true)
    }

    fn advise_as(Item { server: Server(server_handle), handle: item_handle }: Item, supervisory: bool) -> Self {
        Body::Advise(v1::Advise { server_handle, item_handle, supervisory }).into()
    }

    /// Ends the item's data changes.
    pub fn un_advise(Item { server: Server(server_handle), handle: item_handle }: Item) -> Self {
        Body::UnAdvise(v1::UnAdvise { server_handle, item_handle }).into()
    }

    /// Pauses an item.
    pub fn suspend(Item { server: Server(server_handle), handle: item_handle }: Item) -> Self {
        Body::Suspend(v1::Suspend { server_handle, item_handle }).into()
    }

    /// Ends a pause.
    pub fn activate(Item { server: Server(server_handle), handle: item_handle }: Item) -> Self {
        Body::Activate(v1::Activate { server_handle, item_handle }).into()
    }

    /// Writes a value, as nobody.
    pub fn write(item: Item, value: impl Into<Value>) -> Self {
        Self::write_as(item, value, User::NOBODY, None)
    }

    /// Writes a value as this user, with the value's own time if the back end can take one.
    pub fn write_as(
        Item { server: Server(server_handle), handle: item_handle }: Item,
        value: impl Into<Value>,
        User(user_handle): User,
        at: Option<SystemTime>,
    ) -> Self {
        let (value, source_time) = (Some(value.into().into()), at.map(Into::into));
        Body::Write(v1::Write { server_handle, item_handle, value, user_handle, source_time }).into()
    }

    /// Writes a value as one user, with another who verifies it; the same one twice for a single signature.
    pub fn write_secured(
        Item { server: Server(server_handle), handle: item_handle }: Item,
        value: impl Into<Value>,
        User(user_handle): User,
        User(verifier_handle): User,
    ) -> Self {
        let (value, source_time) = (Some(value.into().into()), None);
        let write = v1::WriteSecured { server_handle, item_handle, value, user_handle, verifier_handle, source_time };
        Body::WriteSecured(write).into()
    }

    /// Finds out who somebody is.
    pub fn authenticate_user(
        Server(server_handle): Server,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        let (user, password) = (user.into(), password.into());
        Body::AuthenticateUser(v1::AuthenticateUser { server_handle, user, password }).into()
    }

    /// Says how often collected changes are told.
    pub fn set_buffered_update_interval(Server(server_handle): Server, interval: Duration) -> Self {
        let interval_ms = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        Body::SetBufferedUpdateInterval(v1::SetBufferedUpdateInterval { server_handle, interval_ms }).into()
    }

    /// Reads items by name.
    pub fn read<I: Into<String>>(items: impl IntoIterator<Item = I>) -> Self {
        Body::Read(v1::Read { items: items.into_iter().map(Into::into).collect() }).into()
    }

    /// Begins alarm events, of this area; of all if it is empty.
    pub fn subscribe_alarms(area: impl Into<String>) -> Self {
        Body::SubscribeAlarms(v1::SubscribeAlarms { area: area.into() }).into()
    }

    /// Says the active alarms again.
    pub fn refresh_alarms() -> Self {
        Body::RefreshAlarms(v1::RefreshAlarms {}).into()
    }

    /// What the session's worker holds.
    pub fn worker_state() -> Self {
        Body::GetSessionState(v1::GetSessionState {}).into()
    }

    /// What runs the session.
    pub fn worker_info() -> Self {
        Body::GetWorkerInfo(v1::GetWorkerInfo {}).into()
    }

    /// Several commands, carried out one after the other in one round trip.
    pub fn bulk(commands: impl IntoIterator<Item = Self>) -> Self {
        Body::Bulk(v1::Bulk { commands: commands.into_iter().map(|Self(command)| command).collect() }).into()
    }
}

impl From<Body> for Command {
    fn from(body: Body) -> Self {
        Self(v1::Command { body: Some(body) })
    }
}

impl From<v1::Command> for Command {
    fn from(command: v1::Command) -> Self {
        Self(command)
    }
}

impl From<Command> for v1::Command {
    fn from(Command(command): Command) -> Self {
        command
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The one command that has a secret is shown without anything.
        match &self.0.body {
            Some(Body::AuthenticateUser(_)) => f.write_str("Command(AuthenticateUser)"),
            Some(Body::Bulk(bulk)) => write!(f, "Command(Bulk of {})", bulk.commands.len()),
            body => f.debug_tuple("Command").field(body).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_no_debug_output() {
        let secret = Command::authenticate_user(Server(1), "operator", "hunter2");
        for command in [secret.clone(), Command::bulk([Command::register("line 1"), secret])] {
            let shown = format!("{:?}", Invoke::from(command));
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
