//! The machines of Moorline, sans-IO: what is decided, never how it is carried out.
//!
//! Facts go in (`handle_*`, with `now` as a parameter), what must happen comes out (`poll_*`). Nothing here knows a
//! socket, a clock, a random source or an executor, so every machine is a function of its inputs and can be driven by
//! the runtime, by a test or by a simulator alike. The wire is unknown too: `moorline-server` translates.
//!
//! What is durable and what is ephemeral are different machines:
//!
//! | machine | durable | what it decides |
//! | --- | --- | --- |
//! | [`job::Job`] | yes | a job's life, the numbers of its records, its one ending |
//! | [`session::Session`] | yes | the numbers of a session's records |
//! | [`backend_session::BackendSession`] | no | a gateway session: its state, commands, subscribers, how long it lasts |
//! | [`view::View`] | derived | which records a session sees, and their `event_seq` |
//! | [`connection::Connection`] | no | handshake, heartbeats, what a frame is allowed to be |
//! | [`dispatch::Dispatcher`] | no | which worker takes which job |
//! | [`idempotency::judge`] | yes | what a submission with a key is: new, a repetition, or a conflict |
//! | [`listing::JobFilter`] | derived | which jobs a list shows, and where a page of it ends |
//! | [`placement::Placement`] | no | which worker has which job, over lost links and restarts |
//! | [`credential::Revocations`] | derived | which credentials are to be withdrawn from upstreams, and when each is asked again |
//! | [`lease::Grants`] | derived | what a lease allows, and whether it is within another |
//! | [`access::authorise`] | no | who may do what, to what |
//! | [`audit::Throttle`] | no | which refusals are written down, and which only counted |
//! | [`backoff::Backoff`] | no | which addresses wait before they may try to authenticate again |
//! | [`span::JobSpans`] | derived | what is told of a job to a collector of traces |
//! | [`inventory::Inventory`] | no | which agent and version a reference means |

#![forbid(unsafe_code)]

pub mod access;
pub mod audit;
pub mod backend_session;
pub mod backlog;
pub mod backoff;
pub mod canonical;
pub mod connection;
pub mod credential;
pub mod delegation;
pub mod digest;
pub mod dispatch;
pub mod idempotency;
pub mod inventory;
pub mod job;
pub mod lease;
pub mod listing;
pub mod placement;
pub mod quota;
pub mod rate;
pub mod record;
pub mod resume;
pub mod session;
pub mod span;
pub mod trace;
pub mod view;

mod refusal;
pub use refusal::Refusal;
