//! What a back end is told.

use std::fmt;

use moorline_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Status, Value};

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}

handles! {
    /// Names a client session of a back end. From 1, and not used again.
    ServerHandle;
    /// Names an item within its client session. From 1, and not used again.
    ItemHandle;
    /// Names an authenticated user within its client session. Zero is nobody.
    UserHandle;
}

/// A command with its name, as a job is told it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Invocation {
    /// The command's name: one that was carried out is not carried out again.
    pub id: Box<str>,
    /// On whose behalf, for the back end's own records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Box<str>>,
    /// The command.
    pub command: Command,
}

/// An item of a client session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemAt {
    /// The client session.
    pub server: ServerHandle,
    /// The item in it.
    pub item: ItemHandle,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// Where.
    #[serde(flatten)]
    pub at: ItemAt,
    /// What.
    pub value: Value,
    /// By whom; zero for nobody.
    #[serde(default)]
    pub user: UserHandle,
    /// Whoever verifies it, for a write that two have to make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier: Option<UserHandle>,
    /// The value's own time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_time: Option<Timestamp>,
}

/// What a back end can be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Command {
    /// Open a client session.
    Register {
        /// What it is called.
        client: String,
    },
    /// Close one, with its items.
    Unregister {
        /// Which.
        server: ServerHandle,
    },
    /// Name an item. One that the back end does not know is no error here.
    AddItem {
        /// In which client session.
        server: ServerHandle,
        /// Its name.
        item: String,
        /// What the name is relative to; empty for nothing.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        context: String,
        /// Whether its changes are collected.
        #[serde(default)]
        buffered: bool,
    },
    /// Forget an item.
    RemoveItem(ItemAt),
    /// Begin the item's data changes. Must come before a write.
    Advise {
        /// The item.
        #[serde(flatten)]
        at: ItemAt,
        /// Whether writes need no user.
        #[serde(default)]
        supervisory: bool,
    },
    /// End them.
    UnAdvise(ItemAt),
    /// Pause an item.
    Suspend(ItemAt),
    /// End a pause.
    Activate(ItemAt),
    /// Write a value.
    Write(Write),
    /// Find out who somebody is.
    AuthenticateUser {
        /// In which client session.
        server: ServerHandle,
        /// The name.
        user: String,
        /// The proof.
        password: Password,
    },
    /// Say how often collected changes are told.
    SetBufferedUpdateInterval {
        /// In which client session.
        server: ServerHandle,
        /// How often, in milliseconds.
        interval_ms: u32,
    },
    /// Read items by name.
    Read {
        /// Which.
        items: Vec<String>,
    },
    /// Begin alarm events.
    SubscribeAlarms {
        /// Below which area; empty for all.
        #[serde(default)]
        area: String,
    },
    /// Say the active alarms again.
    RefreshAlarms,
    /// Acknowledge an alarm.
    AcknowledgeAlarm {
        /// Which.
        alarm: String,
        /// What is said about it.
        #[serde(default)]
        comment: String,
    },
    /// Say what there is in the session.
    SessionState,
    /// Say what runs it.
    WorkerInfo,
    /// Several, one after the other.
    Bulk {
        /// Which; none is itself several.
        commands: Vec<Self>,
    },
    /// Stands among others in the place of one that its sender may not have carried out.
    Refused {
        /// Why not.
        message: String,
        /// The same as a status.
        status: Status,
    },
}

/// A password. Never shown: neither by `Debug` nor in an answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// The password.
    pub const fn new(password: String) -> Self {
        Self(password)
    }

    /// It, for whoever checks it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(a password)")
    }
}
