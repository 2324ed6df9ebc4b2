//! What a back end says of its own accord.

use moorline_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ItemAt, Revision, Sample, Status};

/// Something that a back end says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Which item it is about.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub at: Option<ItemAt>,
    /// That item's name: who may not read it is not shown the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// What the back end says of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<Status>,
    /// What is said.
    pub said: EventBody,
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventBody {
    /// The back end can be used. The first event of a session; clients are shown the session's state instead.
    Opened,
    /// An item has a value. With a status that is no success it is no new data.
    DataChange(Sample),
    /// What an item's values were since the last time.
    BufferedDataChange(Vec<Sample>),
    /// How an item is told is other than was said last, or was not said yet.
    ItemRevised(Revision),
    /// A write is done.
    WriteComplete {
        /// The command that wrote.
        command: Box<str>,
    },
    /// An operation on an item is done.
    OperationComplete {
        /// The command that asked for it.
        command: Box<str>,
    },
    /// The back end has lost values of its own accord.
    BackendGap {
        /// How, for people.
        reason: String,
    },
    /// An alarm, as it is now.
    Alarm(Alarm),
    /// All active alarms were said.
    AlarmSnapshotComplete,
}

impl EventBody {
    /// Every kind of event, as [`Self::family`] calls it and as it is written.
    pub const FAMILIES: [&'static str; 9] = [
        "opened",
        "data_change",
        "buffered_data_change",
        "item_revised",
        "write_complete",
        "operation_complete",
        "backend_gap",
        "alarm",
        "alarm_snapshot_complete",
    ];

    /// What kind of event it is, as metrics and filters call it.
    pub const fn family(&self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::DataChange(_) => "data_change",
            Self::BufferedDataChange(_) => "buffered_data_change",
            Self::ItemRevised(_) => "item_revised",
            Self::WriteComplete { .. } => "write_complete",
            Self::OperationComplete { .. } => "operation_complete",
            Self::BackendGap { .. } => "backend_gap",
            Self::Alarm(_) => "alarm",
            Self::AlarmSnapshotComplete => "alarm_snapshot_complete",
        }
    }
}

/// An alarm, as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Names it within its session.
    pub alarm: String,
    /// The item that it is about.
    pub item: String,
    /// Where.
    pub area: String,
    /// For people.
    pub message: String,
    /// 0 to 999, 999 the most severe.
    pub severity: u16,
    /// Whether the reason for it lasts.
    pub active: bool,
    /// Whether somebody has acknowledged it.
    pub acknowledged: bool,
    /// When it began.
    pub raised_at: Timestamp,
    /// Who has acknowledged it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// What was said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether it is said because somebody asked for what is active, and not because it has changed.
    #[serde(default)]
    pub snapshot: bool,
}
