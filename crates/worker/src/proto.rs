//! The messages of the worker protocol as they travel: protobuf, framed by a 4-byte big-endian length.
//!
//! `proto/worker.proto` describes the same messages for authors of workers in other languages; a test keeps the two
//! alike. Nothing here is checked: identifiers are text, JSON is text, absent means empty. What a message means once
//! it is checked is in [`crate::message`]. Fields are only ever added; a number is never used again.

mod gateway;
mod worker;

pub use gateway::{
    Accepted, Ack, Answer, CancelJob, Challenge, CommandJob, DelegationNews, GatewayMessage, KillJob, Refused,
    Shutdown, StartJob, Verdict, answer, gateway_message,
};
pub use worker::{
    AgentOffer, Ask, AskDelegation, Authorize, Event, Failure, Goodbye, HeldJob, Hello, JobRefused, JobStarted,
    Outcome, Proof, Report, WorkerMessage, ask, report, worker_message,
};

/// Says that its sender is alive. Either side sends one when it has had nothing else to say for a heartbeat interval.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Heartbeat {}
