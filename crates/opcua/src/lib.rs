//! The OPC UA back end of gateway sessions.
//!
//! A gateway session is a worker process that is a client of an OPC UA server. Each client session of the contract is a
//! session with the server; what is advised is monitored in subscriptions of it.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`settings`] | the operator's file: which servers there are, and how they are talked to |
//! | `backend` | the commands of the contract, as services |
//! | `link` | a session that outlives its connections, with what is monitored in it |
//! | `name`, `value`, `quality`, `data_type`, `alarm` | the words of the contract and those of OPC UA |
//! | `connect`, `trust`, `own` | finding a server, whether it is the one that it is to be, and what we show it |
//! | `sequence` | the numbers of notifications |
//!
//! **Gaps.** What the server lost, or could not keep, is told as a gap of the back end: a queue that overflowed, a
//! notification that is not there any more, a subscription that the server has let go of. A lost connection alone is none:
//! what was not received is asked for again.
//!
//! Deliberately absent: history, methods, browsing, events that are no alarms, and values that the contract has no word for.
//! Values and passwords are in no log.

#![forbid(unsafe_code)]

pub mod settings;

mod alarm;
mod backend;
mod clock;
mod connect;
mod data_type;
mod desired;
mod link;
mod lock;
mod name;
mod own;
mod publish;
mod quality;
mod resolve;
mod sequence;
mod tasks;
mod trust;
mod value;

pub use backend::{NAME, OpcUa};
