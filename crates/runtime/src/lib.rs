//! The tokio shell around `moorline-core`: it performs what the machines decide, and tells them what has happened.
//!
//! ```text
//!  a connection ──▶ SessionHandle ──▶ Gateway ──▶ a job's task ◀──▶ Pool ◀──▶ workers
//!       ▲                 │                           │
//!       │                 ▼                           ▼
//!       └── ViewReader ◀──┴────────── the store ◀─────┘
//! ```
//!
//! Nobody pushes to a session: a job's task appends to the store, and whoever watches reads from there. The runtime
//! knows neither sockets of clients nor the wire.

pub mod agents;
pub mod backend_sessions;
pub mod clock;
pub mod credentials;
pub mod ended;
mod events;
mod fine_timer;
pub mod gateway;
pub mod mint;
pub mod options;
pub mod pool;
pub mod session;
pub mod tasks;
pub mod view;
pub mod workers;

mod admission;
mod audit;
mod claims;
mod hold;
mod intake;
mod job;
mod job_index;
mod job_lists;
mod jobs;
mod last_seen;
mod mailbox;
mod metrics;
mod open_jobs;
mod prologue;
mod recent;
mod registry;
mod ruled;
mod sessions;
mod spans;
mod stored;
mod sync;

pub use audit::{Audit, AuditPage};
pub use claims::Idempotency;
pub use clock::Clock;
pub use events::JobEvents;
pub use gateway::{Gateway, GcRequest, GcStep, JobPage, JobQuery, JobSummary, ListedJob};
pub use metrics::Metrics;
pub use options::{Retention, RuntimeOptions};
pub use session::{SessionHandle, SubmitParent, SubmitRequest, SubscribeRequest};
pub use sessions::{Attached, ResumeRequest};
pub use spans::FinishedSpans;
pub use tasks::{TaskKind, Tasks};
pub use view::Delivery;
