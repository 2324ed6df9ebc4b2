//! Back ends of gateway sessions.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`contract`] | what a back end is told and says: commands, answers, events, values with quality and time |
//! | [`Backend`] | what a back end does |
//! | [`BackendAgent`] | the agent that runs one: a session is a job of it |
//! | [`host`] | a back end that is a program of its own: what it is told is a [`BackendAssignment`] |
//! | [`simulated`] | a back end that is a simulated plant, for first steps and tests |
//!
//! A session's job takes its options as its input, commands as the job's commands, and reports everything as events of
//! the job: what the back end says ([`EVENT_KIND`]) and what came of commands ([`ANSWER_KIND`]). So both are numbered
//! together, are durable before anybody sees them, and survive the gateway.
//!
//! Deliberately absent: who may do what, which the gateway decides before a command comes here.

#![forbid(unsafe_code)]

pub mod contract;
pub mod simulated;

mod agent;
mod backend;
mod clock;
mod program;

pub use agent::{BackendAgent, MAX_KNOWN_COMMANDS, SessionInput};
pub use backend::{Backend, BackendFault, BackendInfo, OpenError, Opened, Opener};
pub use program::{BackendAssignment, host};

/// The kind of a job's events that are a back end's: an [`contract::Event`].
pub const EVENT_KIND: &str = "x-vendor.moorline.backend-event";

/// The kind of a job's events that answer commands: an [`contract::Answer`].
pub const ANSWER_KIND: &str = "x-vendor.moorline.backend-answer";
