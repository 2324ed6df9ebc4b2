//! Workers: how they attach, and how the managed ones are kept running.
//!
//! A managed worker is a process of its own session, started from a program on this machine or a set of agents inside
//! the gateway's own process. Both attach in the same way, by the same handshake, so nothing behind the
//! [`Pool`](crate::pool::Pool) tells them apart.

mod door;
mod generation;
mod supervisor;

pub use door::{OpenDoorError, WorkerDoor};
pub use generation::{GenerationError, raise_generation};
pub use supervisor::{Host, ProcessHost, WorkerSpec, supervise};
