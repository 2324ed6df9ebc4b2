//! The ARCP client: connect, submit, watch, cancel, and come back.
//!
//! ```no_run
//! # use moorline_client::{Client, ConnectOptions, JobUpdate, wire::payload::Submit};
//! # use moorline_types::Json;
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(ConnectOptions::new("ws://127.0.0.1:7777/arcp", "secret".into())).await?;
//! let mut job = client.submit(Submit::new("echo".parse()?, Json::parse("{}")?)).await?;
//! while let Some(update) = job.next().await {
//!     match update? {
//!         JobUpdate::Gap(gap) => println!("{gap}"),
//!         JobUpdate::Result { result, .. } => println!("{:?}", result.value()),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! One task owns the socket. Calls reach it through a bounded channel, answers come back one by one, and each job has
//! a bounded queue of updates.
//!
//! **Back-pressure.** When a job's queue is full, or the queues hold more than a few megabytes, the socket is not read
//! until there is room again: nothing is dropped
//! and nothing piles up, neither here nor, since a runtime keeps events in its journal, there. The other jobs and the
//! answers to calls wait meanwhile; whoever does not want to read a job's updates drops its [`JobHandle`]. Our own
//! heartbeats go on, so the runtime keeps the session, and the time in which we did not read is not counted as the
//! runtime's silence.
//!
//! **Lost connections.** A connection that is lost is made again, with growing, jittered waits, and the session is
//! resumed on it: handles go on as if nothing had happened, and nothing is seen twice. [`Client::state`] tells whoever
//! wants to show it. Calls without an answer are made again if that cannot do a thing twice; a submission gets an
//! idempotency key for that. If the session cannot be resumed, a new one subscribes to the same jobs from their
//! beginning, and what was seen before is left out.
//!
//! **Gaps.** Where something may be missing, or the numbers begin anew, every job's stream says so in its place:
//! [`JobUpdate::Gap`]. Numbers that did not arrive are first asked for again, also those at the quiet end of a stream,
//! if the runtime's heartbeat tells how far it has come. Where the runtime has removed something for good, every job is
//! asked for again: one that is gone too ends with [`Ended::JobUnavailable`], and nobody waits for its end.
//!
//! **Acknowledgements** say how far the program has come, not the socket: an update that waits in a queue is not
//! acknowledged.
//!
//! **Ends.** When there is no way back, or [`ConnectOptions::reconnect`] has no more patience, every call under way and
//! every open job stream says why at once. The jobs themselves go on.
//!
//! **Other runtimes.** What the official runtimes need is in [`wire::RuntimeProfile`]; the client tells them by their
//! welcome.
//!
//! Deliberately absent: retrying the first connection, and resuming a session of an earlier process.

#![forbid(unsafe_code)]

pub use moorline_wire as wire;

pub use moorline_wire::event::{AssembleError, DEFAULT_MAX_RESULT_BYTES, ResultAssembler, ResultChunks};

mod backoff;

mod client;
pub use client::Client;

mod clock;

mod connect;

mod driver;

mod error;
pub use error::{CallError, ConnectError, Ended, Refused, Stage};

mod gap;
pub use gap::{Gap, GapCause, Missing};

mod heartbeat;

mod job;
pub use job::{JobEvent, JobHandle, JobUpdate, Opened};

mod mint;

mod options;
pub use options::{ClientCertificate, ConnectOptions};

mod pages;
pub use pages::JobPages;

mod reconnect;
pub use reconnect::{DEFAULT_RECONNECT, ReconnectPolicy};

mod request;
pub use request::{SubmitRequest, SubscribeRequest};

mod state;
pub use state::{ConnectionState, Continuity, SessionInfo};

mod tasks;

mod tls;

mod transport;
pub use transport::{ByteStream, Dial, Dialing, dial_tcp};
