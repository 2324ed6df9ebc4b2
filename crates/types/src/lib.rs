//! The words of Moorline as types: identifiers, sequences, timestamps, records, agent references and limits.
//!
//! Nothing here performs I/O, is asynchronous, reads a clock or draws randomness: identifiers are made from entropy
//! and time that the caller passes in. The crate knows neither JSON messages (that is `moorline-wire`) nor what the
//! records mean (that is `moorline-core`).

#![forbid(unsafe_code)]

mod id;
pub use id::{
    CredentialId, ENTROPY_BYTES, Entropy, IdError, IdText, JobId, KeyId, MessageId, MintedText, ResultId, SessionId,
    WorkerId,
};

mod trace;
pub use trace::{SpanId, TraceContext, TraceError, TraceFlags, TraceId, TraceRef, TraceState};

mod seq;
pub use seq::{Epoch, EventSeq, Fence, Offset, StreamSeq, WorkerSeq};

mod time;
pub use self::time::{Millis, Timestamp, TimestampError, TimestampText};

mod capability;
pub use capability::{COST_BUDGET, Capability, CapabilityError};

mod units;
pub use units::{BudgetEntry, BudgetEntryError, MAX_CURRENCY_BYTES, Units, UnitsError};

mod agent;
pub use agent::{AgentName, AgentPattern, AgentPatternError, AgentRef, AgentRefError, AgentVersion, ResolvedAgent};

mod event_kind;
pub use event_kind::{EventKind, EventKindError, VENDOR_PREFIX};

mod json;
pub use json::{Json, JsonError};

mod principal;
pub use principal::{Principal, PrincipalId};

mod scope;
pub use scope::{Scope, ScopeError, Scopes};

mod grants;
pub use grants::{BudgetCap, BudgetCapError, Constraints, Grants, LeaseCap, Quotas, Tag, TagError};

mod ulid;

mod record;
pub use record::{Batch, Committed, Record, RecordKind, StreamId, UnknownRecordKind};

pub mod limits;
