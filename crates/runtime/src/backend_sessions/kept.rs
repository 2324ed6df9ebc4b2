//! Which sessions there are, in the store: those that nobody has closed.
//!
//! A session whose job is open is found with the open jobs. One that has faulted has no such job any more, and is shown
//! until it is closed; this is how the next start knows of it. The entry is written before the session's client is told
//! of it, and removed before whoever closes it is told that it is closed.

use std::sync::Arc;

use bytes::Bytes;
use moorline_store::{Collection, DocKey, Expect, PutError, ReadError, Store};
use moorline_types::JobId;

/// Entries that are read at once: more than there may be sessions, as they are configured by default.
const PAGE: usize = 256;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    store: Arc<dyn Store>,
}

impl Kept {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// There is this session.
    pub(super) async fn put(&self, job: JobId) -> Result<(), PutError> {
        self.store.put(&key(job), Bytes::new(), Expect::Any).await.map(drop)
    }

    /// It is closed. If that is not noted, the next start sees it from the job's end, or shows the fault once more.
    pub(super) async fn remove(&self, job: JobId) {
        if let Err(error) = self.store.delete(&key(job), Expect::Any).await {
            tracing::warn!(%job, %error, "a gateway session that is closed is still noted");
        }
    }

    /// Every one.
    pub(super) async fn all(&self) -> Result<Vec<JobId>, ReadError> {
        let mut jobs = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.list(Collection::GatewaySessions, after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(jobs) };
            after = Some(last.key().to_owned());
            jobs.extend(page.iter().filter_map(|(key, _)| key.key().parse::<JobId>().ok()));
        }
    }
}

fn key(job: JobId) -> DocKey {
    DocKey::new(Collection::GatewaySessions, job.to_string()).expect("a job's id is a valid key by its form")
}
