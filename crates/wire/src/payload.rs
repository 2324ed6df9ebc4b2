//! What each message carries, one file per family.
//!
//! Field order is the order on the wire. An optional field that has no value is left out, never written as null; the
//! two exceptions that peers depend on say so where they stand.

mod cancel;
pub use cancel::{Cancel, Cancelled, TargetError};

mod close;
pub use close::{Close, Closed};

pub mod credential;
pub use credential::Credential;

mod error;
pub use error::{JobError, SessionError};

mod hello;
pub use hello::{Auth, ClientCapabilities, ClientInfo, Hello};

mod job;
pub use job::{JobEvent, JobResult};

mod jobs;
pub use jobs::{JobEntry, JobFilter, Jobs, ListJobs, MAX_CURSOR_BYTES};

mod liveness;
pub use liveness::{Ack, Nonce, Ping, Pong};

mod resume;
pub use resume::Resume;

mod submit;
pub use submit::{Accepted, DelegateId, IdempotencyKey, Submit};

mod subscribe;
pub use subscribe::{Subscribe, Subscribed, Unsubscribe};

mod welcome;
pub use welcome::{AgentEntry, RuntimeCapabilities, RuntimeInfo, Welcome};
