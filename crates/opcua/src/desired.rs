//! What is to be monitored. Commands change it and return at once; the link makes the server's side like it, now or when
//! there is a connection again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use moorline_backend::contract::{ItemAt, Revision, ServerHandle};
use tokio::sync::oneshot;

use crate::name::ItemName;

/// Operations on an item that wait for the server.
const MAX_OPERATIONS: usize = 64;

/// Items that are told together: a subscription of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Group {
    /// The items of a client session whose changes are told one by one.
    Live(ServerHandle),
    /// Those whose changes are collected.
    Buffered(ServerHandle),
    /// Alarms.
    Alarms,
}

/// Names what is monitored, in a link, and to the server. Not used again.
pub(crate) type Handle = u32;

/// An item that is to be monitored.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// With which others.
    pub(crate) group: Group,
    /// Which item.
    pub(crate) at: ItemAt,
    /// Its name.
    pub(crate) name: ItemName,
    /// The same as it is told.
    pub(crate) shown: Arc<str>,
    /// Whether it is paused.
    pub(crate) suspended: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Desired {
    last: Handle,
    /// How often each group is told, in milliseconds.
    pub(crate) groups: BTreeMap<Group, u64>,
    pub(crate) items: BTreeMap<Handle, Wish>,
    /// Commands whose operation is to be told to be complete when the item is as they want it.
    pub(crate) operations: BTreeMap<Handle, VecDeque<Box<str>>>,
    /// Who waits to be told how an item is told.
    pub(crate) advising: BTreeMap<Handle, oneshot::Sender<Revision>>,
    /// Who waits to be told how often a group really is told.
    pub(crate) waiting: Vec<(Group, oneshot::Sender<u64>)>,
}

impl Desired {
    /// An item is to be monitored, and what the server makes of that is to be said.
    pub(crate) fn add(&mut self, wish: Wish, interval_ms: u64) -> (Handle, oneshot::Receiver<Revision>) {
        let (told, waits) = oneshot::channel();
        self.groups.entry(wish.group).or_insert(interval_ms);
        self.last += 1;
        self.items.insert(self.last, wish);
        self.advising.insert(self.last, told);
        (self.last, waits)
    }

    /// It is not any more.
    pub(crate) fn remove(&mut self, handle: Handle) {
        self.items.remove(&handle);
        self.operations.remove(&handle);
        self.advising.remove(&handle);
    }

    /// It is paused or not; a command wants to be told when. False if too many do.
    pub(crate) fn suspend(&mut self, handle: Handle, suspended: bool, command: &str) -> bool {
        let Some(wish) = self.items.get_mut(&handle) else { return false };
        let operations = self.operations.entry(handle).or_default();
        if operations.len() >= MAX_OPERATIONS {
            return false;
        }
        wish.suspended = suspended;
        operations.push_back(command.into());
        true
    }

    /// A group is to be told so often, and what that becomes is to be said.
    pub(crate) fn pace(&mut self, group: Group, interval_ms: u64) -> oneshot::Receiver<u64> {
        let (told, waits) = oneshot::channel();
        self.groups.insert(group, interval_ms);
        self.waiting.retain(|(_, waiting)| !waiting.is_closed());
        self.waiting.push((group, told));
        waits
    }

    /// Nothing of a client session is monitored any more.
    pub(crate) fn forget(&mut self, server: ServerHandle) {
        let is_of = |group: &Group| matches!(group, Group::Live(of) | Group::Buffered(of) if *of == server);
        self.groups.retain(|group, _| !is_of(group));
        let gone: BTreeSet<_> =
            self.items.iter().filter(|(_, wish)| is_of(&wish.group)).map(|(handle, _)| *handle).collect();
        self.items.retain(|handle, _| !gone.contains(handle));
        self.operations.retain(|handle, _| !gone.contains(handle));
        self.advising.retain(|handle, _| !gone.contains(handle));
    }
}
