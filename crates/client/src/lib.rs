//! The ARCP client: connect, submit, watch, cancel.
//!
//! ```no_run
//! # use moorline_client::{Client, ConnectOptions, JobUpdate, wire::payload::Submit};
//! # use moorline_types::Json;
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(ConnectOptions::new("ws://127.0.0.1:7777/arcp", "secret".into())).await?;
//! let mut job = client.submit(Submit::new("echo".parse()?, Json::parse("{}")?)).await?;
//! while let Some(update) = job.next().await {
//!     match update? {
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
//! **Back-pressure.** When a job's queue is full, the socket is not read until there is room again: nothing is dropped
//! and nothing piles up, neither here nor, since a runtime keeps events in its journal, there. The other jobs and the
//! answers to calls wait meanwhile; whoever does not want to read a job's updates drops its [`JobHandle`]. Our own
//! heartbeats go on, so the runtime keeps the session, and the time in which we did not read is not counted as the
//! runtime's silence.
//!
//! **Ends.** When the connection ends, every call under way and every open job stream says why at once. The jobs
//! themselves go on. Deliberately absent: reconnecting and resuming a session.

#![forbid(unsafe_code)]

pub use moorline_wire as wire;

pub use moorline_wire::event::{AssembleError, DEFAULT_MAX_RESULT_BYTES, ResultAssembler};

mod client;
pub use client::{Client, SubmitRequest};

mod clock;

mod connect;

mod driver;

mod error;
pub use error::{CallError, ConnectError, Ended, Refused, Stage};

mod heartbeat;

mod job;
pub use job::{Gap, JobEvent, JobHandle, JobUpdate, Opened};

mod mint;

mod options;
pub use options::ConnectOptions;

mod tasks;

mod tls;
