//! Workers: how they attach, how the managed ones are kept running, and how they are found again after a restart.
//!
//! A worker is a process of its own session ([`Crew`]), a set of agents inside the gateway's own process, or whatever
//! somebody else runs ([`supervise`]). All attach in the same way, by the same handshake, so nothing behind the
//! [`Pool`](crate::pool::Pool) tells them apart.

mod crew;
mod door;
mod external;
mod generation;
mod keeper;
mod ledger;
mod manifest;
mod process;
mod restart;
mod supervisor;

pub use crew::{Crew, CrewOptions, ProcessSpec, RecoverWorkersError, Survivors};
pub(crate) use door::attachment_in_words;
pub use door::{DoorError, OpenDoorError, WorkerDoor};
pub use external::{Enrolment, Enrolments, EnrolmentsError, ExternalWorkers, RecoverExternalError};
pub use generation::{GenerationError, raise_generation};
pub use supervisor::{Host, WorkerSpec, supervise};

#[cfg(test)]
mod tests;
