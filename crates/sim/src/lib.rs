//! Seeded simulation of the gateway.
//!
//! [`run`] drives a real gateway (runtime, machines, worker host and link) over the reference store in virtual time,
//! with one generator that decides everything: who submits, cancels, subscribes, reads or goes away, when the disk
//! refuses, when the gateway is killed, when its worker is. Jobs delegate to each other, spend, have leases that end, and
//! are given credentials by an upstream that fails; the worker and the upstream outlive the gateway. What every client saw
//! is written down, and at the end compared with what the journal says that it must have seen ([`check()`]), and the
//! journal with what must be true of budgets, leases, families and credentials. The seed decides what is asked for and when; which of two tasks that are due at the same moment runs first is tokio's choice, so a
//! seed that fails is run a few times.
//!
//! Deliberately absent: sockets and the wire, which have tests of their own, and processes.

#![forbid(unsafe_code)]

mod agent;
mod check;
mod family;
mod upstream;
mod worker;
mod world;

pub use check::{Violation, check};
pub use family::{Reached, reached};
pub use upstream::{Given, Upstream};
pub use world::{Seen, World, run};
