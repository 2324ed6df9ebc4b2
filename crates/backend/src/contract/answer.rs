//! What came of a command.

use moorline_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ItemHandle, Revision, Sample, ServerHandle, Status, StatusCategory, UserHandle};

/// The answer to a command, as it is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The command's name.
    pub id: Box<str>,
    /// What came of it.
    pub result: CommandResult,
    /// Whether it was carried out earlier, and this only says again what came of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// Which back end has answered.
    pub backend: Box<str>,
}

/// What came of one command, or of one among several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandResult {
    /// Whether it was carried out; of several, whether each was.
    pub success: bool,
    /// Why not, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What the back end said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<Status>,
    /// The back end's own code.
    #[serde(default)]
    pub hresult: i32,
    /// What it has brought.
    #[serde(default)]
    pub done: Done,
}

/// What a command has brought.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Nothing but that it was carried out.
    #[default]
    Nothing,
    /// A client session.
    Server(ServerHandle),
    /// An item, with its full name: what is written to it and comes from it is judged by that.
    Item {
        /// In which client session.
        server: ServerHandle,
        /// The item.
        item: ItemHandle,
        /// Its name.
        name: String,
    },
    /// An advised item, of which it is known how it is told.
    Advised(Box<Revision>),
    /// A user.
    User(UserHandle),
    /// The interval that it has become, in milliseconds.
    Interval(u32),
    /// Readings, one for each item that was asked for.
    Readings(Vec<Reading>),
    /// What there is in the session.
    Session(SessionState),
    /// What runs it.
    Worker(WorkerInfo),
    /// What came of each of several.
    Results(Vec<CommandResult>),
}

/// One item as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Its name.
    pub item: String,
    /// Whether it could be read.
    pub success: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// What the back end said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<Status>,
}

/// What there is in a session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SessionState {
    /// Its client sessions.
    pub servers: Vec<ServerState>,
    /// The commands that are known by name, the oldest first.
    #[serde(default)]
    pub commands: Box<[CommandState]>,
    /// Whether alarms are told.
    pub alarms: bool,
    /// The back end's session that is nobody's: of supervisory items and alarms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Box<LinkState>>,
}

/// A client session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerState {
    /// Its handle.
    pub server: ServerHandle,
    /// What it is called.
    pub client: String,
    /// How often collected changes are told, in milliseconds.
    pub interval_ms: u32,
    /// Its items.
    pub items: Vec<ItemState>,
    /// The back end's session that it has to itself, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkState>,
}

/// A session that the back end keeps for the worker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkState {
    /// What the back end calls it; empty while there is no connection.
    pub name: String,
    /// What is subscribed in it.
    pub subscriptions: Vec<SubscriptionState>,
    /// How often it was told that values are lost.
    pub gaps: u64,
    /// Why there is no connection, for people, and what can be done about it where that is known; empty while there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
}

/// A subscription at the back end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionState {
    /// What the back end calls it.
    pub name: String,
    /// What is monitored in it.
    pub items: u32,
    /// The number of the last notification that has come; zero if none has.
    pub last_sequence: u32,
}

/// An item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemState {
    /// Its handle.
    pub item: ItemHandle,
    /// Its name.
    pub name: String,
    /// Whether its changes are told.
    pub advised: bool,
    /// Whether writes to it need no user.
    pub supervisory: bool,
    /// Whether its changes are collected.
    pub buffered: bool,
    /// Whether it is paused.
    pub suspended: bool,
    /// How it is told, if it is advised and the back end has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

/// A command that is known by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandState {
    /// Its name.
    pub id: Box<str>,
    /// Whether it was answered.
    pub finished: bool,
}

/// What runs a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// The back end.
    pub backend: String,
    /// Its version.
    pub version: String,
    /// The worker's process.
    pub pid: u32,
    /// When the session was opened in it.
    pub started_at: Timestamp,
}

impl CommandResult {
    /// It was carried out.
    pub const fn done(done: Done) -> Self {
        Self { success: true, message: String::new(), statuses: Vec::new(), hresult: 0, done }
    }

    /// It was not.
    pub fn failed(message: impl Into<String>, status: Status) -> Self {
        Self { success: false, message: message.into(), statuses: vec![status], hresult: 0, done: Done::Nothing }
    }

    /// It was not, because it makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::failed(message, Status::refused(StatusCategory::SoftwareError))
    }

    /// What came of several.
    pub fn of_several(results: Vec<Self>) -> Self {
        let success = results.iter().all(|result| result.success);
        Self { success, ..Self::done(Done::Results(results)) }
    }
}
