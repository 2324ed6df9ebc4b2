//! What the OPC UA worker is tested against: a server with tags and alarms, and a network that fails on command.
//!
//! - [`TestServer`] is a small OPC UA server over `async-opcua`, on a free port of this machine. Its [`tags`] have every
//!   scalar type, and some behave badly in a way that their name says. What a test wants of it, it writes to the tags that
//!   control others, so that a server in another process is controlled in the same way.
//! - Its endpoints are secured if that is asked for; [`pki`] has the certificates that it makes at its start.
//! - [`Proxy`] stands between a client and a server, and cuts their connections as networks do.
//! - [`Muffler`] stands there too, and loses requests to publish, so that the server answers and tells nothing.
//! - [`Recorder`] reads along, for what must not be seen on the way.
//! - [`Tally`] counts what a client was told of the counting tag: what was lost, and what came twice.
//! - [`Schedule`] draws from a seed when is cut and how; [`Trial`] lets it happen to whoever [`watch`]es.
//! - [`worker`] is the worker's back end, set up for such a server; [`gateway`] is a gateway with the worker, in processes.
//!
//! The server in `interop/opcua/` has the same tags and is made of other software. What is deliberately absent: history,
//! methods of its own, and any notion of time but the machine's.
//!
//! Nothing that is shipped depends on this crate.

mod alarms;
mod clock;
mod cuts;
pub mod gateway;
mod muffler;
pub mod pki;
mod plant;
mod proxy;
mod recorder;
mod schedule;
mod server;
pub mod tags;
mod tally;
mod tasks;
pub mod watch;
mod way;
pub mod worker;

pub use cuts::{Failure, Outcome, Trial};
pub use muffler::{Muffler, Silence};
pub use proxy::{Cut, Proxy};
pub use recorder::Recorder;
pub use schedule::{Outage, Schedule};
pub use server::{Limits, Options, Security, ServerError, TestServer};
pub use tally::{Counts, Tally};
