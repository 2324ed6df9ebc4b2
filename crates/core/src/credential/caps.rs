//! What each job's own credential may spend, and when its upstream is told another amount (spec 9.8.3).
//!
//! A credential is made for all of its job's budget. What the job gives a child, the child's credential may spend, so the
//! job's own may not:
//!
//! - The amount is a total: what was spent with the credential, and with those that it has replaced, counts against it.
//!   So it follows from what was given to children and what those have spent, whatever the job itself has reported, and
//!   telling it twice does no harm.
//! - A child's credential is issued when its parent's allows that much less. What a child gives back, its parent's allows
//!   again when no credential of the child or of those below it is left.
//! - A request that was not answered well may be carried out yet. What is told after it is told once more when that cannot
//!   be any more, so that a late request does not have the last word.
//! - Nothing of it is written down: a start tells every amount anew.

use std::collections::{BTreeMap, BTreeSet};

use moorline_types::{CredentialId, JobId, Timestamp};

use super::Custody;
use super::revocations::{MAX_AT_ONCE, SETTLES_AFTER, wait};
use crate::lease::budget::Budget;

/// How a budget stands between a job and its children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// The job's budget without what ended children have spent.
    pub budget: Budget,
    /// What children were given that have not ended.
    pub given: BTreeMap<JobId, Budget>,
}

impl Sharing {
    /// What the credential of `job` itself may spend while those that are `withdrawing` may be good yet.
    pub fn own<'a>(&self, job: JobId, withdrawing: impl IntoIterator<Item = &'a Custody>) -> Budget {
        let mut below: BTreeMap<JobId, &Budget> = self.given.iter().map(|(child, share)| (*child, share)).collect();
        let left_over = |custody: &'a Custody| Some((custody.job, custody.takes_from(job, &self.given)?));
        below.extend(withdrawing.into_iter().filter_map(left_over));
        below.into_values().fold(self.budget.clone(), |left, share| left.without(share))
    }
}

/// What an upstream is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Whose credential it is.
    pub job: JobId,
    /// Under which name the upstream has it.
    pub issue: CredentialId,
    /// What may be spent with it and with those that it has replaced.
    pub budget: Budget,
}

/// What the upstream has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capped {
    /// It keeps the bearer to it from now on, or has no such credential.
    Done,
    /// It changes nothing that it has issued.
    Unable,
    /// It could not, or nobody knows whether it did, for this reason.
    Failed(String),
}

/// Whether a job's credential is kept to what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is, as far as the upstream is able.
    Kept,
    /// The upstream is yet to be told.
    Open,
    /// The upstream was told and could not, for this reason. It is told again.
    Failed(String),
}

/// See the module's documentation. `now` never decreases.
#[derive(Debug, Default)]
pub struct Caps {
    caps: BTreeMap<JobId, Cap>,
    /// Jobs whose credential is being replaced: the value that they are about to have is not told of yet.
    replacing: BTreeSet<JobId>,
}

#[derive(Debug)]
struct Cap {
    wanted: Wanted,
    is_kept: bool,
    error: Option<String>,
    failed: u32,
    /// When the upstream is to be told; not at all if it keeps to what is wanted.
    next: Option<Timestamp>,
    under_way: bool,
    /// Until when a request that was not answered well may be carried out.
    doubtful_until: Option<Timestamp>,
}

impl Caps {
    /// The credential is to be kept to this from now on.
    pub fn handle_wanted(&mut self, now: Timestamp, wanted: Wanted) {
        let before = self.caps.get(&wanted.job);
        if before.is_some_and(|cap| cap.wanted == wanted) {
            return;
        }
        let under_way = before.is_some_and(|cap| cap.under_way);
        let doubtful_until = before.and_then(|cap| cap.doubtful_until);
        let cap = Cap { wanted, is_kept: false, error: None, failed: 0, next: Some(now), under_way, doubtful_until };
        self.caps.insert(cap.wanted.job, cap);
    }

    /// Somebody waits for the job's credential to be kept to what is wanted: the upstream is told at once.
    pub fn handle_awaited(&mut self, now: Timestamp, job: JobId) {
        if let Some(cap) = self.caps.get_mut(&job).filter(|cap| !cap.is_kept) {
            (cap.error, cap.next) = (None, Some(now));
        }
    }

    /// The job's credential is about to have another value.
    pub fn handle_replacing(&mut self, job: JobId) {
        self.replacing.insert(job);
    }

    /// It has another value, which is wanted to be kept to something, or goes on with the one before.
    pub fn handle_replaced(&mut self, job: JobId) {
        self.replacing.remove(&job);
    }

    /// The job's credential is withdrawn.
    pub fn handle_withdrawn(&mut self, job: JobId) {
        self.caps.remove(&job);
    }

    /// The next thing to tell the upstream. [`Self::handle_answer`] follows.
    pub fn poll(&mut self, now: Timestamp) -> Option<Wanted> {
        if self.caps.values().filter(|cap| cap.under_way).count() >= MAX_AT_ONCE {
            return None;
        }
        let due = self.caps.values_mut().filter(|cap| !cap.under_way && cap.next.is_some_and(|next| next <= now));
        let cap = due.min_by_key(|cap| cap.next)?;
        cap.under_way = true;
        Some(cap.wanted.clone())
    }

    /// When [`Self::poll`] is worth calling, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.caps.values().filter(|cap| !cap.under_way).filter_map(|cap| cap.next).min()
    }

    /// Takes the upstream's answer in.
    pub fn handle_answer(&mut self, now: Timestamp, asked: &Wanted, answer: Capped) {
        let Some(cap) = self.caps.get_mut(&asked.job) else { return };
        cap.under_way = false;
        // Something else may be wanted meanwhile, which is due.
        let is_wanted = cap.wanted == *asked;
        match answer {
            Capped::Done | Capped::Unable if is_wanted => {
                cap.doubtful_until = cap.doubtful_until.filter(|until| *until > now && answer == Capped::Done);
                (cap.is_kept, cap.error, cap.failed, cap.next) = (true, None, 0, cap.doubtful_until);
            }
            Capped::Done | Capped::Unable => {}
            Capped::Failed(error) => {
                cap.doubtful_until = Some(now + SETTLES_AFTER);
                if is_wanted {
                    (cap.error, cap.next) = (Some(error), Some(now + wait(cap.failed)));
                    cap.failed = cap.failed.saturating_add(1);
                }
            }
        }
    }

    /// Whether the job's credential is kept to what is wanted; so it is if nothing is.
    pub fn standing(&self, job: JobId) -> Standing {
        if self.replacing.contains(&job) {
            return Standing::Open;
        }
        match self.caps.get(&job) {
            Some(Cap { is_kept: false, error: Some(error), .. }) => Standing::Failed(error.clone()),
            Some(Cap { is_kept: false, error: None, .. }) => Standing::Open,
            Some(Cap { is_kept: true, .. }) | None => Standing::Kept,
        }
    }

    /// What the job's credential is to be kept to, if that is not all of the job's budget.
    pub fn budget(&self, job: JobId) -> Option<&Budget> {
        self.caps.get(&job).map(|cap| &cap.wanted.budget)
    }
}

#[cfg(test)]
mod tests;
