//! The decisions about what a session asks for, and the last of them until it is in the audit trail.
//!
//! A refusal says only what its client may know. On what ground it was decided, and whose the job is, is kept here for
//! whoever writes the trail.

use std::sync::Mutex;

use moorline_core::access::{Action, Denial, Ground, Relation, Ruling, authorise};
use moorline_core::record::Accepted;
use moorline_types::Principal;

use crate::sync::lock;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Ruled(Mutex<Option<Ruling>>);

impl Ruled {
    /// Whether the principal may do this, to this job if it is about one.
    pub(crate) fn decide(&self, principal: &Principal, action: Action, job: Option<&Accepted>) -> Result<(), Denial> {
        let relation = job.map_or(Relation::Owner, |job| Relation::of(principal, &job.principal, &job.tags));
        let decided = authorise(principal, action, relation);
        let (owner, trace_id) = (job.map(|job| job.principal.clone()), job.and_then(|job| job.trace_id));
        *lock(&self.0) = Some(Ruling { ground: Ground::of(action, &decided), owner, trace_id });
        decided.map(drop)
    }

    /// This is the last decision: what it was about goes on.
    pub(crate) fn restore(&self, ruling: Option<Ruling>) {
        *lock(&self.0) = ruling;
    }

    /// The last decision, if it was not taken already.
    pub(crate) fn take(&self) -> Option<Ruling> {
        lock(&self.0).take()
    }
}
