//! What the operator decides about the runtime.

use moorline_core::access::Unasked;
use moorline_core::delegation::DelegationLimits;
use moorline_core::record::Overflow;
use moorline_core::trace::Participation;
use moorline_types::{EventKind, Json, Millis, Quotas};

pub use crate::gateway::retention::Retention;

/// Checks the body of an event against its kind, and answers what is wrong with it. Given by whoever knows the shapes
/// (the wire), so that the runtime need not.
pub type CheckEvent = fn(&EventKind, &Json) -> Result<(), String>;

/// See the configuration reference for the meaning of each.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeOptions {
    /// From a request to cancel until the job is ended by force.
    pub cancel_grace: Millis,
    /// How long an accepted job may wait for a worker.
    pub max_pending: Millis,
    /// What submissions get that do not say.
    pub unasked: Unasked,
    /// How much one principal may have, where its key does not say.
    pub quotas: Quotas,
    /// How long a session can be resumed after its connection has ended.
    pub resume_window: Millis,
    /// How many records a client may be behind with its acknowledgements before it is told.
    pub back_pressure_lag: u64,
    /// What becomes of records that a session does not take in time, if its client does not say and can be told of it.
    pub overflow: Overflow,
    /// For how long what is over is kept.
    pub retention: Retention,
    /// For how long the audit trail is kept; as long as what is over if it is not said.
    pub audit_max_age: Option<Millis>,
    /// How large the audit trail may become, in bytes; without it, as large as the disk.
    pub audit_max_bytes: Option<u64>,
    /// How the gateway takes part in traces.
    pub tracing: Participation,
    /// How far jobs may delegate.
    pub delegation: DelegationLimits,
    /// How events are checked.
    pub check_event: CheckEvent,
}
