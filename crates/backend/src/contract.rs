//! What a back end is told and says.
//!
//! It is the contract of a tag server of the MXAccess kind: client sessions and items by handles, advise before write,
//! writes that are complete later, values with quality and time, alarms. It travels as JSON, in commands to a job and in
//! events of it, so fields are only ever added.
//!
//! **Parity.** Nothing is made up and nothing is put right: a name that the back end does not know is an item whose first
//! data change says so; on a bad status a value is no new data. Value, quality and status stay apart.

mod answer;
mod command;
mod event;
mod rates;
mod value;

pub use answer::{
    Answer, CommandResult, CommandState, Done, ItemState, LinkState, Reading, ServerState, SessionState,
    SubscriptionState, WorkerInfo,
};
pub use command::{Command, Invocation, ItemAt, ItemHandle, Password, ServerHandle, UserHandle, Write};
pub use event::{Alarm, Event, EventBody};
pub use rates::{ItemRates, Revision};
pub use value::{Quality, Sample, Status, StatusCategory, StatusSource, Times, Value};
