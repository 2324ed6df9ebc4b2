//! What a session's stream is made of.

use std::fmt;
use std::time::SystemTime;

use moorline_gateway_proto::v1;
use moorline_gateway_proto::v1::event::Body;

use crate::command::CommandId;
use crate::rates::Revision;
use crate::value::{Item, Sample, Server, time};

/// What comes next in a stream of events.
///
/// There is no way to an event but through this: a program that keeps anything of what it has seen has to say what becomes
/// of it at a gap.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a gap says that what is known of the items is out of date"]
pub enum Next {
    /// Something happened.
    Event(Event),
    /// Something may have happened that is not told. What is known of the session's items is to be discarded, and they
    /// are to be looked at anew.
    Gap(Gap),
}

/// Something happened in a session.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// The worker's number of it. Numbers rise, and need not be dense.
    pub sequence: u64,
    /// When the worker reported it.
    pub at: Option<SystemTime>,
    /// Which item it concerns, if any.
    pub item: Option<Item>,
    /// What the back end said of it.
    pub statuses: Vec<v1::Status>,
    /// What happened.
    pub body: EventBody,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EventBody {
    /// An item has another value, quality or time.
    DataChange(Sample),
    /// What an item has been since the last time, collected.
    BufferedDataChange(Vec<Sample>),
    /// How an item is told is other than was said last, or was not said yet.
    ItemRevised(Revision),
    /// A write is complete, as the statuses say.
    WriteComplete {
        /// The command that wrote.
        command: CommandId,
    },
    /// Another command is complete.
    OperationComplete {
        /// Which.
        command: CommandId,
    },
    /// The back end has lost values of its own accord: nothing that the gateway could replay.
    BackendGap {
        /// Why.
        reason: String,
    },
    /// An alarm, in a session that has subscribed to them.
    Alarm(Box<v1::Alarm>),
    /// The active alarms have all been told.
    AlarmSnapshotComplete,
    /// Something that this client does not know, of a later version of the API.
    Unknown,
}

impl From<v1::Event> for Event {
    fn from(event: v1::Event) -> Self {
        let body = match event.body {
            Some(Body::DataChange(change)) => EventBody::DataChange(change.sample.unwrap_or_default().into()),
            Some(Body::BufferedDataChange(changes)) => {
                EventBody::BufferedDataChange(changes.samples.into_iter().map(Sample::from).collect())
            }
            Some(Body::ItemRevised(revised)) => EventBody::ItemRevised(revised.revision.unwrap_or_default().into()),
            Some(Body::WriteComplete(complete)) => {
                EventBody::WriteComplete { command: CommandId::new(complete.command_id) }
            }
            Some(Body::OperationComplete(complete)) => {
                EventBody::OperationComplete { command: CommandId::new(complete.command_id) }
            }
            Some(Body::BackendGap(gap)) => EventBody::BackendGap { reason: gap.reason },
            Some(Body::Alarm(alarm)) => EventBody::Alarm(Box::new(alarm)),
            Some(Body::AlarmSnapshotComplete(_)) => EventBody::AlarmSnapshotComplete,
            None => EventBody::Unknown,
        };
        let item = Item { server: Server(event.server_handle), handle: event.item_handle };
        Self {
            sequence: event.worker_sequence,
            at: event.worker_time.and_then(time),
            item: Some(item).filter(|item| item.handle != 0),
            statuses: event.statuses,
            body,
        }
    }
}

/// Something may have happened that is not told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The last number that the stream had told, or was asked to go on behind.
    pub after: u64,
    /// The oldest number that can follow.
    pub oldest_available: u64,
    /// Why.
    pub cause: GapCause,
}

/// Why there is a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapCause {
    /// The gateway does not retain what followed.
    Retention,
    /// The gateway's journal is another than the one whose numbers these were.
    OtherJournal,
    /// The connection was lost before the session had said anything, so there was no number to go on behind.
    NoNumber,
    /// Another cause, of a later version of the API.
    Unknown,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, oldest_available, cause } = self;
        match cause {
            GapCause::Retention | GapCause::Unknown => {
                write!(f, "what followed event {after} is not all retained; it goes on with {oldest_available}")
            }
            GapCause::OtherJournal => {
                write!(
                    f,
                    "the gateway has another journal than when it told event {after}; its oldest event is {oldest_available}"
                )
            }
            GapCause::NoNumber => f.write_str("the connection was lost before the first event"),
        }
    }
}

impl From<&v1::ReplayGap> for Gap {
    fn from(gap: &v1::ReplayGap) -> Self {
        let cause = match gap.cause() {
            v1::ReplayGapCause::Retention => GapCause::Retention,
            v1::ReplayGapCause::Epoch => GapCause::OtherJournal,
            v1::ReplayGapCause::Unspecified => GapCause::Unknown,
        };
        Self { after: gap.requested_after_sequence, oldest_available: gap.oldest_available_sequence, cause }
    }
}
