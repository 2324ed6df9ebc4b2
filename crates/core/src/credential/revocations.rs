//! What is to be withdrawn from upstreams, and when each is asked again.
//!
//! An upstream is asked until it says that it has no such credential. Between two attempts is a wait that doubles. That a
//! credential is not there settles the matter only if it was there, or if the request to issue it is so long ago that it
//! cannot be carried out any more: a gateway that gave up waiting for an answer may be overtaken by its own request.

use std::collections::BTreeMap;

use moorline_types::{CredentialId, JobId, Millis, Timestamp};

use super::Custody;

/// The wait after the first attempt that has failed: an upstream that is restarted is back by then, or soon.
const FIRST_WAIT: Millis = Millis::from_secs(1);

/// The longest wait. What is not withdrawn can be spent, so a repaired upstream is to be found within minutes.
const LONGEST_WAIT: Millis = Millis::from_secs(300);

/// Requests under way at once: enough to catch up with a thousand after an outage within minutes, and no load.
pub(super) const MAX_AT_ONCE: usize = 4;

/// How long after its request an issue may still be carried out. The request itself is given up after at most a minute,
/// and the servers on its way keep it for as long again.
pub(super) const SETTLES_AFTER: Millis = Millis::from_secs(120);

/// Revocations that fail at once before new credentials are not issued any more: an upstream that does not withdraw
/// what it has issued must not issue more (spec 14). A few are a hiccup.
pub const MAX_FAILING: usize = 8;

/// What the upstream has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is withdrawn.
    Revoked,
    /// There is no such credential.
    Absent,
    /// It cannot be withdrawn at the moment, for this reason.
    Failed(String),
}

/// A credential that is to be withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// What is withdrawn.
    pub custody: Custody,
    /// Since when.
    pub since: Timestamp,
    /// How often that has failed.
    pub failed: u32,
    /// Why, the last time.
    pub error: Option<String>,
    next: Timestamp,
    under_way: bool,
}

/// See the module's documentation. `now` never decreases.
#[derive(Debug, Default)]
pub struct Revocations(BTreeMap<CredentialId, Revocation>);

impl Revocations {
    /// The credential is to be withdrawn. One that is already being withdrawn goes on as it is.
    pub fn handle_wanted(&mut self, now: Timestamp, custody: Custody) {
        let revocation =
            |custody| Revocation { custody, since: now, failed: 0, error: None, next: now, under_way: false };
        self.0.entry(custody.issue).or_insert_with(|| revocation(custody));
    }

    /// The next one that the upstream is to be asked for. [`Self::handle_answer`] follows.
    pub fn poll(&mut self, now: Timestamp) -> Option<Custody> {
        if self.0.values().filter(|revocation| revocation.under_way).count() >= MAX_AT_ONCE {
            return None;
        }
        let due = self.0.values_mut().filter(|revocation| !revocation.under_way && revocation.next <= now);
        let revocation = due.min_by_key(|revocation| revocation.next)?;
        revocation.under_way = true;
        Some(revocation.custody.clone())
    }

    /// When [`Self::poll`] is worth calling, if no answer comes before.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let waiting = self.0.values().filter(|revocation| !revocation.under_way);
        waiting.map(|revocation| revocation.next).min()
    }

    /// Takes the upstream's answer in. Answers whether the credential is gone for good: its document is to be removed
    /// then. [`Self::handle_forgotten`] follows, or another answer that says why that has failed.
    pub fn handle_answer(&mut self, now: Timestamp, issue: CredentialId, answer: Answer) -> bool {
        let Some(revocation) = self.0.get_mut(&issue) else { return false };
        let error = match answer {
            Answer::Revoked => None,
            Answer::Absent if revocation.custody.is_certain() => None,
            Answer::Absent if revocation.custody.since + SETTLES_AFTER <= now => None,
            Answer::Absent => {
                // Nothing fails: it is only not certain yet.
                revocation.under_way = false;
                revocation.next = (now + LONGEST_WAIT).min(revocation.custody.since + SETTLES_AFTER);
                return false;
            }
            Answer::Failed(error) => Some(error),
        };
        // What is gone stays under way until it is forgotten: it is not to be asked for again.
        if error.is_none() {
            return true;
        }
        revocation.under_way = false;
        revocation.error = error;
        revocation.next = now + wait(revocation.failed);
        revocation.failed = revocation.failed.saturating_add(1);
        false
    }

    /// The document of a credential that is gone has been removed. Answers what it said.
    pub fn handle_forgotten(&mut self, issue: CredentialId) -> Option<Custody> {
        self.0.remove(&issue).map(|revocation| revocation.custody)
    }

    /// Every one is due now: somebody has repaired the upstream. Answers how many.
    pub fn handle_hurry(&mut self, now: Timestamp) -> usize {
        self.0.values_mut().for_each(|revocation| revocation.next = revocation.next.min(now));
        self.0.len()
    }

    /// Those that have failed and not been done since.
    pub fn failing(&self) -> usize {
        self.0.values().filter(|revocation| revocation.failed > 0).count()
    }

    /// Whether something of the job is still to be withdrawn.
    pub fn is_pending(&self, job: JobId) -> bool {
        self.0.values().any(|revocation| revocation.custody.job == job)
    }

    /// Everything that is to be withdrawn, oldest issue first.
    pub fn iter(&self) -> impl Iterator<Item = &Revocation> {
        self.0.values()
    }
}

/// How long is waited after an attempt that has failed, as so many have before.
pub(super) fn wait(failed: u32) -> Millis {
    let doubled = FIRST_WAIT.get().saturating_mul(1_u64.checked_shl(failed).unwrap_or(u64::MAX));
    Millis::new(doubled.min(LONGEST_WAIT.get()))
}

#[cfg(test)]
mod tests;
