//! The client sessions of a plant, with their items and users.

use std::collections::BTreeMap;
use std::time::Duration;

use moorline_types::{Millis, Timestamp};

use super::Sample;
use crate::contract::{
    CommandResult, Event, EventBody, ItemAt, ItemHandle, ItemRates, ItemState, Quality, Revision, ServerHandle,
    ServerState, Status, StatusCategory, UserHandle,
};

/// Client sessions of one session. Each client of the gateway has one or a few.
const MAX_SERVERS: usize = 256;

/// Items of one client session.
const MAX_ITEMS: usize = 10_000;

/// Samples that an item collects between two of its events. A second at the shortest tick.
const MAX_COLLECTED: u32 = 1_000;

/// How often collected changes are told unless that is set, in milliseconds.
const DEFAULT_INTERVAL_MS: u32 = 1_000;

#[derive(Debug, Default)]
pub(super) struct Servers {
    servers: BTreeMap<ServerHandle, Server>,
    last: ServerHandle,
}

#[derive(Debug)]
pub(super) struct Server {
    handle: ServerHandle,
    client: String,
    /// How often collected changes are to be told, and how often they are, in milliseconds.
    asked_ms: u32,
    interval_ms: u32,
    flushed: Option<Timestamp>,
    items: BTreeMap<ItemHandle, Item>,
    last_item: ItemHandle,
    last_user: UserHandle,
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: String,
    /// The name in lower case.
    pub(super) key: String,
    pub(super) advised: bool,
    pub(super) supervisory: bool,
    pub(super) suspended: bool,
    buffered: bool,
    collected: Vec<Sample>,
}

impl Servers {
    pub(super) fn register(&mut self, client: &str) -> Result<ServerHandle, CommandResult> {
        if self.servers.len() >= MAX_SERVERS {
            return Err(CommandResult::invalid(format!("there are {MAX_SERVERS} client sessions; unregister one")));
        }
        self.last = ServerHandle(self.last.0 + 1);
        let server = Server {
            handle: self.last,
            client: client.to_owned(),
            asked_ms: DEFAULT_INTERVAL_MS,
            interval_ms: DEFAULT_INTERVAL_MS,
            flushed: None,
            items: BTreeMap::new(),
            last_item: ItemHandle::default(),
            last_user: UserHandle::default(),
        };
        self.servers.insert(self.last, server);
        Ok(self.last)
    }

    pub(super) fn unregister(&mut self, server: ServerHandle) -> Result<(), CommandResult> {
        self.servers.remove(&server).map(drop).ok_or_else(|| no_server(server))
    }

    pub(super) fn get(&mut self, server: ServerHandle) -> Result<&mut Server, CommandResult> {
        self.servers.get_mut(&server).ok_or_else(|| no_server(server))
    }

    pub(super) fn item(&mut self, at: ItemAt) -> Result<&mut Item, CommandResult> {
        self.get(at.server)?.items.get_mut(&at.item).ok_or_else(|| no_item(at))
    }

    pub(super) fn remove(&mut self, at: ItemAt) -> Result<(), CommandResult> {
        self.get(at.server)?.items.remove(&at.item).map(drop).ok_or_else(|| no_item(at))
    }

    /// A tag has another value: what is told of it at once.
    pub(super) fn changed(&mut self, key: &str, sample: &Sample) -> Vec<Event> {
        let mut told = Vec::new();
        for server in self.servers.values_mut() {
            for (handle, item) in &mut server.items {
                if item.key != key || !item.advised || item.suspended {
                    continue;
                }
                if item.buffered {
                    if item.collected.len() < MAX_COLLECTED as usize {
                        item.collected.push(sample.clone());
                    }
                } else {
                    let at = ItemAt { server: server.handle, item: *handle };
                    told.push(item.event(at, EventBody::DataChange(sample.clone()), sample.quality));
                }
            }
        }
        told
    }

    /// What was collected and is due.
    pub(super) fn flush(&mut self, now: Timestamp) -> Vec<Event> {
        let mut told = Vec::new();
        for server in self.servers.values_mut() {
            let due = *server.flushed.get_or_insert(now) + Millis::new(u64::from(server.interval_ms)) <= now;
            if !due {
                continue;
            }
            server.flushed = Some(now);
            for (handle, item) in &mut server.items {
                let Some(quality) = item.collected.last().map(|sample| sample.quality) else { continue };
                let said = EventBody::BufferedDataChange(std::mem::take(&mut item.collected));
                told.push(item.event(ItemAt { server: server.handle, item: *handle }, said, quality));
            }
        }
        told
    }

    pub(super) fn states(&self, tick: Duration) -> Vec<ServerState> {
        self.servers.values().map(|server| server.state(tick)).collect()
    }
}

impl Server {
    pub(super) fn add(&mut self, name: &str, buffered: bool) -> Result<ItemHandle, CommandResult> {
        if name.is_empty() {
            return Err(CommandResult::invalid("an item has a name"));
        }
        if self.items.len() >= MAX_ITEMS {
            return Err(CommandResult::invalid(format!("there are {MAX_ITEMS} items; remove one")));
        }
        self.last_item = ItemHandle(self.last_item.0 + 1);
        let item = Item {
            name: name.to_owned(),
            key: name.to_lowercase(),
            advised: false,
            supervisory: false,
            suspended: false,
            buffered,
            collected: Vec::new(),
        };
        self.items.insert(self.last_item, item);
        Ok(self.last_item)
    }

    pub(super) fn add_user(&mut self) -> UserHandle {
        self.last_user = UserHandle(self.last_user.0 + 1);
        self.last_user
    }

    pub(super) fn check_user(&self, user: UserHandle) -> Result<(), CommandResult> {
        let is_known = user.0 > 0 && user <= self.last_user;
        let status = Status::refused(StatusCategory::SecurityError);
        is_known.then_some(()).ok_or_else(|| CommandResult::failed(format!("there is no user {user}"), status))
    }

    /// Says how often collected changes are told, and which events say so.
    pub(super) fn pace(&mut self, asked_ms: u32, interval_ms: u32, tick: Duration) -> Vec<Event> {
        let before = (self.asked_ms, self.interval_ms);
        (self.asked_ms, self.interval_ms) = (asked_ms, interval_ms);
        if before == (asked_ms, interval_ms) {
            return Vec::new();
        }
        let told = self.items.iter().filter(|(_, item)| item.buffered);
        let told = told.filter_map(|(handle, item)| {
            let at = ItemAt { server: self.handle, item: *handle };
            let said = EventBody::ItemRevised(self.revision(*handle, tick)?);
            Some(Event { at: Some(at), name: Some(item.name.as_str().into()), statuses: Vec::new(), said })
        });
        told.collect()
    }

    /// How an item is told, if it is advised. A plant is asked for nothing that it does not do, but for the interval of
    /// collected changes.
    pub(super) fn revision(&self, item: ItemHandle, tick: Duration) -> Option<Revision> {
        let item = self.items.get(&item).filter(|item| item.advised)?;
        let rates = |interval_ms: u32| ItemRates {
            sampling: Some(tick),
            queue_size: Some(if item.buffered { MAX_COLLECTED } else { 1 }),
            publishing: Some(if item.buffered { Duration::from_millis(interval_ms.into()) } else { tick }),
            ..ItemRates::default()
        };
        Some(Revision { requested: rates(self.asked_ms), revised: rates(self.interval_ms) })
    }

    fn state(&self, tick: Duration) -> ServerState {
        let item = |(handle, item): (&ItemHandle, &Item)| ItemState {
            item: *handle,
            name: item.name.clone(),
            advised: item.advised,
            supervisory: item.supervisory,
            buffered: item.buffered,
            suspended: item.suspended,
            revision: self.revision(*handle, tick),
        };
        ServerState {
            server: self.handle,
            client: self.client.clone(),
            interval_ms: self.interval_ms,
            items: self.items.iter().map(item).collect(),
            link: None,
        }
    }
}

impl Item {
    fn event(&self, at: ItemAt, said: EventBody, quality: Quality) -> Event {
        let status = if quality.is_good() { Status::OK } else { Status::failed(StatusCategory::CommunicationError, 0) };
        Event { at: Some(at), name: Some(self.name.as_str().into()), statuses: vec![status], said }
    }
}

fn no_server(server: ServerHandle) -> CommandResult {
    CommandResult::invalid(format!("there is no client session {server}; register one"))
}

fn no_item(at: ItemAt) -> CommandResult {
    CommandResult::invalid(format!("there is no item {} in client session {}", at.item, at.server))
}
