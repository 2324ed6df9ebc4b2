//! A client of the session gateway, `moorline.gateway.v1`.
//!
//! ```no_run
//! use moorline_gateway_client::{EventBody, GatewayClient, Next, OpenSession, Options, Start};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let gateway = GatewayClient::connect(Options::new("http://127.0.0.1:7709", "mlk_…")).await?;
//! let session = gateway.open(OpenSession::new("line 1")).await?;
//! let line = session.register("line 1").await?;
//! let speed = session.add_item(line, "Plant.Ramp").await?;
//! let mut events = session.events(Start::Now).await?;
//! session.advise(speed).await?;
//! while let Some(next) = events.next().await {
//!     match next? {
//!         Next::Event(event) => {
//!             if let EventBody::DataChange(sample) = event.body {
//!                 println!("{}: {}", event.sequence, sample.value);
//!             }
//!         }
//!         Next::Gap(gap) => println!("{gap}; look at the items anew"),
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! `cargo run -p moorline-gateway-client --example watch -- URL KEY` does this with a gateway.
//!
//! **Lost connections.** Every call is made over one connection, which is made again when it is lost, with growing,
//! jittered waits, for as long as [`Options::reconnect`] says. A stream goes on behind the last event that was handed
//! out, so nothing is missed and nothing comes twice. [`EventStream::link`] tells whoever wants to show it.
//!
//! **Gaps.** What the gateway does not retain any longer is told in its place, as [`Next::Gap`]. There is no way to take
//! events from a stream without being handed the gaps too.
//!
//! **Commands have names.** Each gets one, or has its caller's; the session's worker carries out a name once. So a command
//! whose connection was lost is asked for again under its name, and its answer is the one that it would have had. What
//! has no answer all the same is [`CallError::OutcomeUnknown`], which says the name to ask again under.
//!
//! **What may not be repeated is not.** Opening a session has no name: if its answer is lost, the session may be there,
//! and [`GatewayClient::sessions`] tells.
//!
//! **Answers are waited for** for as long as the session lets commands take, and a little longer; other calls have
//! [`Options::call_timeout`]. A connection over which nothing comes is asked for a sign of life.
//!
//! Deliberately absent: retrying the first connection; remembering a session beyond this process, for which
//! [`EventStream::position`] is what to keep; and a list of items that follows gaps by itself, because only the program
//! knows what it has concluded from the values before.

#![forbid(unsafe_code)]

pub use moorline_gateway_proto::v1 as proto;
pub use tonic::Code;

mod alarms;
pub use alarms::{AlarmStream, NextAlarm};

mod backoff;

mod call;

mod client;
pub use client::{GatewayClient, OpenSession};

mod command;
pub use command::{Command, CommandId, Invoke};

mod connect;
pub use connect::ConnectError;

mod done;
pub use done::{Done, Invoked, Reading, Written};

mod error;
pub use error::{CallError, Failure, Lost, Refused};

mod event;
pub use event::{Event, EventBody, Gap, GapCause, Next};

mod events;
pub use events::{EventStream, Position, Start};

mod options;
pub use options::{ClientCertificate, Options, ReconnectPolicy};

mod rates;
pub use rates::{ItemRates, Revision};

mod session;
pub use session::{Closed, Session};

mod streaming;
pub use streaming::Link;

mod value;
pub use value::{Item, Sample, Server, User, Value};
