//! Which jobs have not ended, and whose they are, in the store, so that a start finds them without reading every job there ever was.
//!
//! The entry is committed with the job's first record, and removed in the commit that notes the job's end. In a journal of an earlier version it
//! was written before that record, so there may be an entry without a job.

use std::sync::Arc;

use bytes::Bytes;
use moorline_store::{Change, Collection, DocKey, Expect, ReadError, Store};
use moorline_types::{JobId, PrincipalId};

/// Entries that are read at once.
const PAGE: usize = 256;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct OpenJobs {
    store: Arc<dyn Store>,
}

impl OpenJobs {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The entry of a job, to be committed with its first record.
    pub(crate) fn entry(job: JobId, owner: &PrincipalId) -> Change {
        Change::put(key(job), Bytes::copy_from_slice(owner.as_str().as_bytes()), Expect::Any)
    }

    /// The entry's removal, to be committed with what is noted of the job's end.
    pub(crate) fn removal(job: JobId) -> Change {
        Change::delete(key(job), Expect::Any)
    }

    /// Whose job an entry is of.
    pub(crate) async fn owner(&self, job: JobId) -> Result<Option<PrincipalId>, ReadError> {
        let entry = self.store.get(&key(job)).await?;
        Ok(entry.and_then(|entry| std::str::from_utf8(&entry.value).ok()?.parse().ok()))
    }

    /// Removes the entry. If that fails the next start does it.
    pub(crate) async fn remove(&self, job: JobId) {
        if let Err(error) = self.store.delete(&key(job), Expect::Any).await {
            tracing::warn!(%job, %error, "the entry of a job that is over stays until the next start");
        }
    }

    /// Every entry.
    pub(crate) async fn all(&self) -> Result<Vec<JobId>, ReadError> {
        let mut jobs = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.list(Collection::OpenJobs, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(jobs) };
            after = Some(last.key().to_owned());
            jobs.extend(page.iter().filter_map(|(key, _)| key.key().parse::<JobId>().ok()));
        }
    }
}

fn key(job: JobId) -> DocKey {
    DocKey::new(Collection::OpenJobs, job.to_string()).expect("a job's id is a valid key by its form")
}
