//! The worker protocol, both of its ends, and the SDK for agent authors.
//!
//! A worker is a process that hosts agents and holds their jobs' state. It dials the gateway, proves itself, and from
//! then on takes jobs and reports about them; what it has reported and not seen acknowledged it keeps, and says again
//! on the next link. So a job outlives the gateway, and every report arrives once, whatever crashed in between.
//!
//! | module | for |
//! | --- | --- |
//! | [`sdk`] | authors of agents |
//! | [`exec`] | any program as an agent |
//! | [`worker_main()`], [`connect`] | programs that are workers |
//! | [`link`], [`launch`], [`process`], [`in_process`], [`leftover`], [`peer`] | the gateway |
//! | [`message`], [`handshake`], [`secret`], [`enrolment`], [`version`] | what both ends share |
//! | [`proto`] | the wire, also described by `proto/worker.proto` |
//!
//! This crate knows nothing of sessions, of the journal or of ARCP's envelopes, and decides nothing about jobs: when
//! one is cancelled, ended by force or given up is the gateway's affair.

mod backoff;
mod clock;
mod codec;
pub mod connect;
pub mod credential;
pub mod enrolment;
mod environment;
pub mod exec;
mod handover;
pub mod handshake;
mod host;
pub mod in_process;
mod json;
pub mod launch;
pub mod leftover;
pub mod limits;
pub mod link;
pub mod message;
mod outbox;
pub mod peer;
pub mod process;
mod program;
pub mod proto;
mod random;
pub mod sdk;
pub mod secret;
mod stream;
mod tasks;
mod text;
pub mod version;
mod worker_main;

pub use codec::FrameError;
pub use host::HostError;
pub use program::ProgramError;
pub use random::NoEntropy;
pub use stream::Stream;
pub use worker_main::{
    EXIT_AGENTS, EXIT_NO_ASSIGNMENT, EXIT_OK, EXIT_ORPHANED, EXIT_REFUSED, EXIT_SETUP, external_worker_main,
    worker_main,
};
