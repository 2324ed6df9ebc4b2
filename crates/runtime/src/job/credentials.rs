//! What is under way about a job's credentials, beside everything else that its task does.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use moorline_core::Refusal;
use moorline_core::credential::{Provisioned, Sharing};
use moorline_core::record::{Accepted, CredentialRotated};
use moorline_store::{Change, CommittedBatch};
use moorline_types::{Batch, CredentialId, JobId, Record, RecordKind, StreamId};

use crate::credentials::{Credentials, Pending};

/// See the module's documentation.
pub(super) struct JobCredentials {
    credentials: Credentials,
    /// Nothing for nearly all jobs, which have no credentials.
    under_way: Vec<BoxFuture<'static, Done>>,
    /// A new value, until the record that tells of it is committed.
    replacement: Option<Pending>,
    /// Those of children, until their first records are committed.
    of_children: BTreeMap<JobId, Pending>,
}

/// What came of it.
pub(super) enum Done {
    /// The job has no credential any more.
    Withdrawn,
    /// A new value was issued.
    Replaced(Box<Pending>),
    /// None was, for this reason.
    NotReplaced(Refusal),
    /// The upstream has answered for a child that is to be.
    Issued { child: JobId, issued: Result<Option<Box<Pending>>, Refusal> },
}

/// What a job's records tell of a new value.
pub(super) fn rotated(pending: &Pending) -> Option<CredentialRotated> {
    let Provisioned { id, issue, good_until, .. } = pending.provisioned()?;
    Some(CredentialRotated { credential: *id, issue: *issue, good_until: *good_until })
}

impl JobCredentials {
    pub(super) const fn new(credentials: Credentials) -> Self {
        Self { credentials, under_way: Vec::new(), replacement: None, of_children: BTreeMap::new() }
    }

    pub(super) fn withdraw_all(&mut self, job: JobId) {
        let credentials = self.credentials.clone();
        self.under_way.push(Box::pin(async move {
            credentials.withdraw_all(job).await;
            Done::Withdrawn
        }));
    }

    pub(super) fn withdraw_prior(&self, job: JobId, credential: CredentialId, issue: CredentialId) {
        self.credentials.withdraw_prior(job, credential, issue);
    }

    pub(super) fn rotate(&mut self, credential: CredentialId, job: JobId, accepted: &Accepted) {
        let (credentials, accepted) = (self.credentials.clone(), Arc::new(accepted.clone()));
        self.under_way.push(Box::pin(async move {
            credentials
                .replace(credential, job, &accepted)
                .await
                .map_or_else(Done::NotReplaced, |pending| Done::Replaced(Box::new(pending)))
        }));
    }

    /// The job shares its budget with its children in this way from now on.
    pub(super) fn share(&self, job: JobId, sharing: Sharing) {
        self.credentials.share(job, sharing);
    }

    /// Has one issued for a child that is to be.
    pub(super) fn issue(&mut self, child: JobId, accepted: Box<Accepted>) {
        let credentials = self.credentials.clone();
        self.under_way.push(Box::pin(async move {
            let issued = credentials.issue_for_child(child, &accepted).await;
            Done::Issued { child, issued: issued.map(|pending| pending.map(Box::new)) }
        }));
    }

    /// The next thing that came of it. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Done {
        if self.under_way.is_empty() {
            return std::future::pending().await;
        }
        let (done, at, _) = futures_util::future::select_all(self.under_way.iter_mut()).await;
        drop(self.under_way.swap_remove(at));
        done
    }

    /// The value is the job's with the commit of the record that tells of it.
    pub(super) fn commit(&mut self, replacement: Pending) {
        replacement.announce();
        self.replacement = Some(replacement);
    }

    /// It is the child's with the commit of the child's first record.
    pub(super) fn commit_of(&mut self, child: JobId, issued: Option<Box<Pending>>) {
        if let Some(pending) = issued {
            pending.announce();
            self.of_children.insert(child, *pending);
        }
    }

    /// What is to be committed with these records.
    pub(super) fn changes(&self, batch: &Batch) -> Vec<Change> {
        let told = batch.records.iter().filter_map(|record| {
            if record.kind == RecordKind::JobCredentialRotated {
                return self.replacement.as_ref();
            }
            job_of(record).filter(|_| record.kind == RecordKind::JobAccepted).and_then(|job| self.of_children.get(&job))
        });
        told.map(Pending::change).collect()
    }

    /// These records are committed.
    pub(super) fn handle_committed(&mut self, committed: &CommittedBatch) {
        for record in committed.records() {
            if record.kind == RecordKind::JobCredentialRotated {
                self.replacement.take().into_iter().for_each(Pending::keep);
            } else if record.kind == RecordKind::JobAccepted {
                let told = job_of(record).and_then(|job| self.of_children.remove(&job));
                told.into_iter().for_each(Pending::keep);
            }
        }
    }

    /// The job's task ends. What a job that is over still has is withdrawn; what another has is left to the next start.
    pub(super) fn finish(self, job: JobId, over: bool) {
        if over {
            self.credentials.withdraw_later(job);
        } else {
            self.replacement.into_iter().chain(self.of_children.into_values()).for_each(Pending::leave);
        }
    }
}

fn job_of(record: &Record) -> Option<JobId> {
    match record.stream {
        StreamId::Job(job) => Some(job),
        StreamId::Session(_) => None,
    }
}

impl std::fmt::Debug for JobCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobCredentials").field("under_way", &self.under_way.len()).finish_non_exhaustive()
    }
}
