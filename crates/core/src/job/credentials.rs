//! A job's credentials for upstreams (spec 9.8.2): replaced while it runs, withdrawn before its end is told.
//!
//! - A client that has seen a job's end can rely on its credentials being dead. So an ending that is decided is held
//!   back until they are, but not for longer than [`REVOCATION_PATIENCE`]: an upstream that is away does not keep results
//!   from those who wait for them. What is left then is withdrawn later, and operators see it.
//! - Withdrawing is not the effect of a record. A gateway that dies before the end is committed finds the job open and
//!   without a credential that works, decides about its end again, and withdraws again what is gone already.
//! - A value is replaced when three quarters of its time at the upstream are over, unless the lease ends with it. The
//!   one before is withdrawn when the record that tells of the new one is committed.

use moorline_types::{CredentialId, Millis, Timestamp};

use super::{Effect, Job};
use crate::Refusal;
use crate::record::{Accepted, CredentialRotated, Fact};

/// How long a job's end waits for the upstream. One that is well takes milliseconds; a client waits for a result no
/// longer than it would notice.
const REVOCATION_PATIENCE: Millis = Millis::from_secs(5);

/// When a replacement is tried again that has failed. A credential that is good for minutes still gets some attempts in
/// the last quarter of its time.
const ROTATION_RETRY: Millis = Millis::from_secs(30);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    /// The one that is replaced, and when.
    rotation: Option<Rotation>,
    /// Whether some are not withdrawn yet.
    are_out: bool,
    /// The job's end, until they are.
    held: Option<Box<Held>>,
    /// What was replaced last, until that is committed.
    replaced: Option<CredentialRotated>,
}

#[derive(Debug)]
struct Rotation {
    credential: CredentialId,
    due: Option<Timestamp>,
    is_under_way: bool,
    lease_ends: Option<Timestamp>,
}

#[derive(Debug)]
struct Held {
    ending: Fact,
    /// Not told yet while the record of a new value is on its way, which comes before the end in any case.
    until: Option<Timestamp>,
}

impl Credentials {
    /// Those of a job that was accepted at this moment.
    pub(super) fn of(at: Timestamp, accepted: &Accepted) -> Self {
        let lease_ends = accepted.expires_at;
        let rotation = accepted.credentials.first().map(|provisioned| Rotation {
            credential: provisioned.id,
            due: due(at, provisioned.good_until, lease_ends),
            is_under_way: false,
            lease_ends,
        });
        Self { are_out: rotation.is_some(), rotation, held: None, replaced: None }
    }

    /// A credential was replaced at this moment.
    pub(super) fn replay(&mut self, at: Timestamp, rotated: &CredentialRotated) {
        if let Some(rotation) = &mut self.rotation {
            rotation.due = due(at, rotated.good_until, rotation.lease_ends);
        }
    }

    /// When a credential is to be replaced.
    pub(super) fn rotation(&self) -> Option<Timestamp> {
        self.rotation.as_ref().filter(|rotation| !rotation.is_under_way)?.due
    }

    /// Until when the job's end waits.
    pub(super) fn patience(&self) -> Option<Timestamp> {
        self.held.as_ref()?.until
    }

    pub(super) const fn is_end_held(&self) -> bool {
        self.held.is_some()
    }
}

impl Job {
    /// The ending is decided; it is recorded when no credential is out any more.
    pub(super) fn conclude(&mut self, now: Timestamp, ending: Fact) {
        if !self.credentials.are_out {
            return self.waiting.push(now, &ending);
        }
        // A new value that is not the job's yet would be missed.
        let until = self.credentials.replaced.is_none().then(|| now + REVOCATION_PATIENCE);
        if until.is_some() {
            self.effects.push_back(Effect::Revoke);
        }
        self.credentials.held = Some(Box::new(Held { ending, until }));
    }

    /// The job's credentials are withdrawn, as [`Effect::Revoke`] wants it.
    pub fn handle_revoked(&mut self, now: Timestamp) {
        self.credentials.are_out = false;
        if let Some(held) = self.credentials.held.take() {
            self.waiting.push(now, &held.ending);
        }
    }

    /// Somebody who administers wants the credential of this name to have another value at once, or the only one there is.
    /// [`Job::handle_rotated`] or [`Job::handle_not_rotated`] follows. Answers which credential it is.
    ///
    /// # Errors
    /// If the job has none, or is over.
    pub fn handle_rotation_asked(&mut self, name: Option<CredentialId>) -> Result<CredentialId, Refusal> {
        if self.status.is_terminal() {
            return Err(Refusal::JobEnded { status: self.status });
        }
        let rotation = self.credentials.rotation.as_ref();
        let named = rotation.filter(|rotation| name.is_none_or(|name| name == rotation.credential));
        let Some(Rotation { credential, is_under_way, .. }) = named else {
            return Err(Refusal::CredentialUnknown { job: self.id, name });
        };
        let (credential, is_under_way) = (*credential, *is_under_way);
        if !is_under_way {
            self.rotate();
        }
        Ok(credential)
    }

    pub(super) fn rotate(&mut self) {
        if let Some(rotation) = &mut self.credentials.rotation {
            rotation.is_under_way = true;
            let credential = rotation.credential;
            self.effects.push_back(Effect::Rotate { credential });
        }
    }

    /// A new value was issued, as [`Effect::Rotate`] wants it. Answers whether the job takes it: one that is over does
    /// not, and the new value is to be withdrawn like the one before. The value is live with the commit of the record.
    pub fn handle_rotated(&mut self, now: Timestamp, rotated: CredentialRotated) -> bool {
        if self.status.is_terminal() {
            return false;
        }
        self.credentials.replay(now, &rotated);
        self.waiting.push(now, &Fact::CredentialRotated(rotated));
        self.credentials.replaced = Some(rotated);
        true
    }

    /// No new value was issued; the one before goes on.
    pub fn handle_not_rotated(&mut self, now: Timestamp) {
        if let Some(rotation) = &mut self.credentials.rotation {
            rotation.is_under_way = false;
            rotation.due = Some(now + ROTATION_RETRY);
        }
    }

    /// Tells the worker, if there is one: it may have been away when a value was replaced.
    pub(super) fn tell_credentials(&mut self) {
        if let (Some(fence), Some(_), false) = (self.fence, &self.credentials.rotation, self.status.is_terminal()) {
            self.effects.push_back(Effect::TellCredentials { fence });
        }
    }

    /// The record of a replacement is committed: what was before can go.
    pub(super) fn handle_rotation_committed(&mut self, now: Timestamp) {
        if let Some(rotation) = &mut self.credentials.rotation {
            rotation.is_under_way = false;
        }
        if let Some(held) = &mut self.credentials.held {
            held.until.get_or_insert(now + REVOCATION_PATIENCE);
        }
        if let Some(CredentialRotated { credential, issue, .. }) = self.credentials.replaced.take() {
            self.tell_credentials();
            let prior = Effect::RevokePrior { credential, issue };
            self.effects.push_back(if self.status.is_terminal() { Effect::Revoke } else { prior });
        }
    }
}

/// When a value that was issued at `at` is to be replaced; not at all if the lease ends no later than the value.
fn due(at: Timestamp, good_until: Timestamp, lease_ends: Option<Timestamp>) -> Option<Timestamp> {
    let lasts = good_until.as_unix_millis().saturating_sub(at.as_unix_millis());
    lease_ends.is_none_or(|ends| ends > good_until).then(|| at + Millis::new(lasts - lasts / 4))
}
