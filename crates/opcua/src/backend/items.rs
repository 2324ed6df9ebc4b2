//! The client sessions of a gateway session, with their items and users.

use std::collections::BTreeMap;
use std::sync::Arc;

use moorline_backend::contract::{
    CommandResult, Done, ItemAt, ItemHandle, ItemState, ServerHandle, ServerState, Status, StatusCategory, UserHandle,
};
use opcua::types::{NodeId, VariantScalarTypeId};
use tokio::sync::{OnceCell, oneshot};

use crate::desired::{Group, Handle};
use crate::link::Link;
use crate::name::ItemName;

/// Client sessions of one gateway session. Each is a session of the server, which has few.
const MAX_SERVERS: usize = 16;

/// Items of one client session.
const MAX_ITEMS: usize = 10_000;

/// Users of one client session. Each is a session of the server too.
const MAX_USERS: usize = 8;

/// How often collected changes are told unless that is set, in milliseconds.
const DEFAULT_BUFFERED_MS: u64 = 1_000;

#[derive(Debug, Default)]
pub(super) struct Servers {
    sessions: BTreeMap<ServerHandle, ClientSession>,
    last: ServerHandle,
}

/// A client session: a session of the server.
#[derive(Debug)]
pub(super) struct ClientSession {
    client: String,
    pub(super) link: Link,
    /// How often collected changes are told, in milliseconds.
    pub(super) buffered_ms: u64,
    items: BTreeMap<ItemHandle, Item>,
    last_item: ItemHandle,
    users: BTreeMap<UserHandle, User>,
    last_user: UserHandle,
}

/// A user who was let in, with a session of the server.
#[derive(Debug)]
pub(super) struct User {
    pub(super) name: Box<str>,
    pub(super) link: Link,
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: ItemName,
    /// The name as it is told.
    pub(super) shown: Arc<str>,
    pub(super) buffered: bool,
    pub(super) suspended: bool,
    pub(super) advice: Option<Advice>,
    /// What is written to, once it was found out.
    pub(super) place: Arc<OnceCell<Place>>,
    /// Whether the last write is done: the next one waits for it.
    pub(super) last_write: Option<oneshot::Receiver<()>>,
}

/// An item is monitored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Advice {
    pub(super) supervisory: bool,
    pub(super) handle: Handle,
}

/// What is written to.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) node: NodeId,
    pub(super) stored: VariantScalarTypeId,
}

impl Servers {
    /// The next handle, if there is room.
    pub(super) fn vacancy(&mut self) -> Result<ServerHandle, CommandResult> {
        if self.sessions.len() >= MAX_SERVERS {
            return Err(CommandResult::invalid(format!("there are {MAX_SERVERS} client sessions; unregister one")));
        }
        self.last = ServerHandle(self.last.0 + 1);
        Ok(self.last)
    }

    pub(super) fn insert(&mut self, handle: ServerHandle, session: ClientSession) {
        self.sessions.insert(handle, session);
    }

    pub(super) fn remove(&mut self, server: ServerHandle) -> Result<ClientSession, CommandResult> {
        self.sessions.remove(&server).ok_or_else(|| no_server(server))
    }

    pub(super) fn get(&mut self, server: ServerHandle) -> Result<&mut ClientSession, CommandResult> {
        self.sessions.get_mut(&server).ok_or_else(|| no_server(server))
    }

    pub(super) fn item(&mut self, at: ItemAt) -> Result<&mut Item, CommandResult> {
        self.get(at.server)?.item(at)
    }

    /// Every link, for the end.
    pub(super) fn take_links(&mut self) -> impl Iterator<Item = Link> + use<> {
        std::mem::take(&mut self.sessions).into_values().flat_map(ClientSession::links)
    }

    /// What there is. Supervisory items are in the gateway's own session with the server.
    pub(super) fn states(&self, main: &Link) -> Vec<ServerState> {
        self.sessions.iter().map(|(handle, session)| session.state(*handle, main)).collect()
    }
}

impl ClientSession {
    pub(super) fn new(client: &str, link: Link) -> Self {
        Self {
            client: client.to_owned(),
            link,
            buffered_ms: DEFAULT_BUFFERED_MS,
            items: BTreeMap::new(),
            last_item: ItemHandle::default(),
            users: BTreeMap::new(),
            last_user: UserHandle::default(),
        }
    }

    pub(super) fn links(self) -> impl Iterator<Item = Link> {
        std::iter::once(self.link).chain(self.users.into_values().map(|user| user.link))
    }

    pub(super) fn add(&mut self, item: Item) -> Result<ItemHandle, CommandResult> {
        if self.items.len() >= MAX_ITEMS {
            return Err(CommandResult::invalid(format!("there are {MAX_ITEMS} items; remove one")));
        }
        self.last_item = ItemHandle(self.last_item.0 + 1);
        self.items.insert(self.last_item, item);
        Ok(self.last_item)
    }

    pub(super) fn remove(&mut self, at: ItemAt) -> Result<Done, CommandResult> {
        self.items.remove(&at.item).map(|_| Done::Nothing).ok_or_else(|| no_item(at))
    }

    pub(super) fn item(&mut self, at: ItemAt) -> Result<&mut Item, CommandResult> {
        self.items.get_mut(&at.item).ok_or_else(|| no_item(at))
    }

    pub(super) fn check_room_for_user(&self) -> Result<(), CommandResult> {
        let is_full = self.users.len() >= MAX_USERS;
        let refusal = || CommandResult::invalid(format!("there are {MAX_USERS} users; unregister the client session"));
        if is_full { Err(refusal()) } else { Ok(()) }
    }

    pub(super) fn add_user(&mut self, user: User) -> UserHandle {
        self.last_user = UserHandle(self.last_user.0 + 1);
        self.users.insert(self.last_user, user);
        self.last_user
    }

    pub(super) fn user(&self, user: UserHandle) -> Result<&User, CommandResult> {
        let status = Status::refused(StatusCategory::SecurityError);
        self.users.get(&user).ok_or_else(|| CommandResult::failed(format!("there is no user {user}"), status))
    }

    fn state(&self, handle: ServerHandle, main: &Link) -> ServerState {
        let interval = self.link.revised(Group::Buffered(handle)).unwrap_or(self.buffered_ms);
        let revision =
            |Advice { supervisory, handle }| if supervisory { main.told(handle) } else { self.link.told(handle) };
        let item = |(handle, item): (&ItemHandle, &Item)| ItemState {
            item: *handle,
            name: item.shown.to_string(),
            advised: item.advice.is_some(),
            supervisory: item.advice.is_some_and(|advice| advice.supervisory),
            buffered: item.buffered,
            suspended: item.suspended,
            revision: item.advice.and_then(revision),
        };
        ServerState {
            server: handle,
            client: self.client.clone(),
            interval_ms: u32::try_from(interval).unwrap_or(u32::MAX),
            items: self.items.iter().map(item).collect(),
            link: Some(self.link.state()),
        }
    }
}

impl Item {
    pub(super) fn new(name: ItemName, shown: Arc<str>, buffered: bool) -> Self {
        Self { name, shown, buffered, suspended: false, advice: None, place: Arc::default(), last_write: None }
    }
}

fn no_server(server: ServerHandle) -> CommandResult {
    CommandResult::invalid(format!("there is no client session {server}; register one"))
}

fn no_item(at: ItemAt) -> CommandResult {
    CommandResult::invalid(format!("there is no item {} in client session {}", at.item, at.server))
}
