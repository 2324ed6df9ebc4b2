//! What is under way about a job's credentials, beside everything else that its task does.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use moorline_core::credential::Provisioned;
use moorline_core::record::{Accepted, CredentialRotated};
use moorline_store::{Change, CommittedBatch};
use moorline_types::{Batch, CredentialId, JobId, RecordKind};

use crate::credentials::{Credentials, Pending};

/// See the module's documentation.
pub(super) struct JobCredentials {
    credentials: Credentials,
    /// Nothing for nearly all jobs, which have no credentials.
    under_way: Vec<BoxFuture<'static, Done>>,
    /// A new value, until the record that tells of it is committed.
    replacement: Option<Pending>,
}

/// What came of it.
pub(super) enum Done {
    /// The job has no credential any more.
    Withdrawn,
    /// A new value was issued.
    Replaced(Box<Pending>),
    /// None was.
    NotReplaced,
}

/// What a job's records tell of a new value.
pub(super) fn rotated(pending: &Pending) -> Option<CredentialRotated> {
    let Provisioned { id, issue, good_until, .. } = pending.provisioned()?;
    Some(CredentialRotated { credential: *id, issue: *issue, good_until: *good_until })
}

impl JobCredentials {
    pub(super) const fn new(credentials: Credentials) -> Self {
        Self { credentials, under_way: Vec::new(), replacement: None }
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
                .map_or(Done::NotReplaced, |pending| Done::Replaced(Box::new(pending)))
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

    /// What is to be committed with these records.
    pub(super) fn change(&self, batch: &Batch) -> Option<Change> {
        let tells = batch.records.iter().any(|record| record.kind == RecordKind::JobCredentialRotated);
        self.replacement.as_ref().filter(|_| tells).map(Pending::change)
    }

    /// These records are committed.
    pub(super) fn handle_committed(&mut self, committed: &CommittedBatch) {
        let tells = committed.records().iter().any(|record| record.kind == RecordKind::JobCredentialRotated);
        self.replacement.take_if(|_| tells).into_iter().for_each(Pending::keep);
    }

    /// The job's task ends. What a job that is over still has is withdrawn; what another has is left to the next start.
    pub(super) fn finish(self, job: JobId, over: bool) {
        if over {
            self.credentials.withdraw_later(job);
        } else {
            self.replacement.into_iter().for_each(Pending::leave);
        }
    }
}

impl std::fmt::Debug for JobCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobCredentials").field("under_way", &self.under_way.len()).finish_non_exhaustive()
    }
}
