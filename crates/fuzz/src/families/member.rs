//! One job of a family, with its worker, its way into the journal, and what an upstream has for it.

use std::collections::BTreeSet;

use moorline_core::job::{Effect, Job, Report};
use moorline_core::record::{CredentialRotated, Fact};
use moorline_types::{Batch, CredentialId, Fence, Millis, RecordKind, StreamId, Timestamp, WorkerId, WorkerSeq};

use super::world::LIMITS;
use crate::journal::Journal;

/// How long the end of a job may wait for its credentials.
const PATIENCE: Millis = Millis::from_secs(5);

#[derive(Debug)]
pub(super) struct Member {
    pub(super) job: Job,
    fence: Fence,
    /// Every report that the worker has made, which it makes again until it is acknowledged.
    made: Vec<Report>,
    /// What the store has been offered and has not answered.
    offered: Option<Batch>,
    /// What an upstream has issued for it and not withdrawn, by name.
    pub(super) live: BTreeSet<CredentialId>,
    /// A credential that is to have another value.
    pub(super) to_replace: Option<CredentialId>,
    /// From when its credentials are to be withdrawn.
    pub(super) to_withdraw: Option<Timestamp>,
    /// Whether it has taken another value whose record is not committed.
    is_replacing: bool,
    /// From when it is decided how it ends.
    over_since: Option<Timestamp>,
}

impl Member {
    pub(super) fn new(job: Job) -> Self {
        let live = job.accepted().credentials.iter().map(|provisioned| provisioned.issue).collect();
        let (made, offered) = (Vec::new(), None);
        Self {
            job,
            fence: Fence::FIRST,
            made,
            offered,
            live,
            to_replace: None,
            to_withdraw: None,
            is_replacing: false,
            over_since: None,
        }
    }

    /// The worker takes the job up, or is attached anew, and says all that it has ever said.
    pub(super) fn attach(&mut self, now: Timestamp) {
        self.fence = self.fence.next();
        self.job.handle_attached(now, worker(), self.fence);
        for (number, report) in (1..).map(WorkerSeq::new).zip(self.made.iter().cloned()) {
            // A job that is over has nobody that reports.
            let _over = self.job.handle_report(now, self.fence, number, report).is_err();
        }
    }

    /// The worker reports; after an end it has nothing more to say. Answers whether that was taken in.
    pub(super) fn report(&mut self, now: Timestamp, report: Report) -> bool {
        if self.made.last().is_some_and(|last| matches!(last, Report::Result { .. } | Report::Failure { .. })) {
            return false;
        }
        let number = WorkerSeq::new(self.made.len() as u64 + 1);
        // A job that no worker has yet is reported about by nobody.
        let taken = self.job.handle_report(now, self.fence, number, report.clone()).is_ok();
        if taken {
            self.made.push(report);
        }
        taken
    }

    /// The worker is gone and does not come back, with all that was not acknowledged.
    pub(super) fn lose_worker(&mut self, now: Timestamp) {
        self.job.handle_worker_lost(now, worker(), moorline_core::job::Lost::Ended);
        self.made.truncate(usize::try_from(self.job.acknowledged().get()).unwrap());
        self.made.push(Report::Result {
            output: moorline_core::record::Output::Inline(moorline_types::Json::null()),
            summary: None,
        });
    }

    pub(super) fn offer(&mut self) {
        if self.offered.is_none() {
            self.offered = self.job.poll_append();
        }
    }

    pub(super) fn refuse(&mut self, now: Timestamp) {
        if self.offered.take().is_some() {
            self.job.handle_refused(now);
        }
    }

    /// The store takes what it was offered. Answers whether the job's end was told too early for its credentials.
    pub(super) fn commit(&mut self, now: Timestamp, journal: &mut Journal) -> bool {
        let Some(batch) = self.offered.take() else { return false };
        let is_end = |kind: RecordKind| kind.is_last();
        let ends =
            batch.records.iter().any(|record| record.stream == StreamId::Job(self.job.id()) && is_end(record.kind));
        journal.append(batch);
        self.job.handle_committed(now);
        let is_early = ends && !self.live.is_empty();
        if is_early {
            // As long as another value is not the job's yet, nothing is withdrawn, and the end waits all the same.
            let since = self.to_withdraw.or(self.over_since).expect("an end is decided before it is recorded");
            assert!(now >= since + PATIENCE, "{} is told of its end with {:?}", self.job.id(), self.live);
        }
        is_early
    }

    /// What is due that concerns nobody else; the rest is answered.
    pub(super) fn perform(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut others = Vec::new();
        if self.job.status().is_terminal() {
            self.over_since = self.over_since.or(Some(now));
        }
        while let Some(effect) = self.job.poll_effect() {
            match effect {
                Effect::Rotate { credential } => {
                    assert_eq!(self.to_replace.replace(credential), None, "one replacement at a time");
                }
                Effect::RevokePrior { credential: _, issue } => {
                    self.is_replacing = false;
                    self.live.retain(|live| *live >= issue);
                }
                Effect::Revoke => {
                    // An end that has waited for the value to be the job's has waited already.
                    let waited = std::mem::take(&mut self.is_replacing);
                    self.to_withdraw = self.to_withdraw.or(self.over_since.filter(|_| waited)).or(Some(now));
                }
                Effect::IssueChild { .. }
                | Effect::StartChild { .. }
                | Effect::CancelChild { .. }
                | Effect::Release => others.push(effect),
                Effect::Dispatch
                | Effect::Acknowledge { .. }
                | Effect::Cancel { .. }
                | Effect::Kill { .. }
                | Effect::TellCredentials { .. }
                | Effect::RefuseChild { .. }
                | Effect::Answer { .. } => {}
            }
        }
        others
    }

    /// An upstream has issued another value, or not. Answers whether the job takes it.
    pub(super) fn replace(
        &mut self,
        now: Timestamp,
        issue: CredentialId,
        good_until: Timestamp,
        is_issued: bool,
    ) -> bool {
        let Some(credential) = self.to_replace.take() else { return false };
        if !is_issued {
            self.job.handle_not_rotated(now);
            return false;
        }
        let takes = self.job.handle_rotated(now, CredentialRotated { credential, issue, good_until });
        if takes {
            self.is_replacing = true;
            self.live.insert(issue);
        }
        takes
    }

    /// The upstream has withdrawn everything.
    pub(super) fn withdraw(&mut self, now: Timestamp) {
        if self.to_withdraw.is_some() {
            self.live.clear();
            self.job.handle_revoked(now);
        }
    }

    /// The gateway is killed: of what the store was offered it has all or nothing, and a new gateway reads the rest. What
    /// was issued and no record tells of is withdrawn by it.
    pub(super) fn crash(&mut self, journal: &mut Journal, committed: bool) {
        if let (Some(batch), true) = (self.offered.take(), committed) {
            journal.append(batch);
        }
    }

    /// The next gateway reads the job's records. Answers `false` if there are none: the job never began.
    pub(super) fn recover(&mut self, now: Timestamp, journal: &Journal) -> bool {
        let id = self.job.id();
        let Ok(job) = Job::recover(now, id, journal.of(StreamId::Job(id)).cloned(), LIMITS) else { return false };
        self.job = job;
        (self.to_replace, self.to_withdraw, self.over_since, self.is_replacing) = (None, None, None, false);
        let mut named: BTreeSet<_> =
            self.job.accepted().credentials.iter().map(|provisioned| provisioned.issue).collect();
        for fact in facts(journal, id) {
            if let Fact::CredentialRotated(rotated) = fact {
                // The one before may have been withdrawn, or is by now.
                named = [rotated.issue].into();
            }
        }
        self.live.retain(|issue| named.contains(issue));
        true
    }
}

pub(super) fn facts(journal: &Journal, job: moorline_types::JobId) -> impl Iterator<Item = Fact> + '_ {
    journal.of(StreamId::Job(job)).map(|entry| Fact::decode(entry.get()).unwrap())
}

pub(super) fn worker() -> WorkerId {
    WorkerId::mint(Timestamp::from_unix_millis(1), [3; 10])
}
