//! Which streams are over, in the order in which they ended, so that what is kept longest goes first.
//!
//! A stream that ended in a crash may be here twice, under two moments; removing it twice is removing it.

use std::sync::Arc;

use bytes::Bytes;
use moorline_store::{Collection, DocKey, Expect, PutError, ReadError, Store};
use moorline_types::{JobId, PrincipalId, SessionId, StreamId, Timestamp};

/// Digits of a moment in milliseconds: they last until the year 2286, and sort as numbers do.
const DIGITS: usize = 13;

/// See the module's documentation. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    store: Arc<dyn Store>,
}

/// A stream that is over.
#[derive(Debug, Clone)]
pub(crate) struct EndedStream {
    key: DocKey,
    pub(crate) at: Timestamp,
    pub(crate) stream: StreamId,
    /// Whose job it was; absent for a session.
    pub(crate) owner: Option<PrincipalId>,
}

impl Ended {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    pub(crate) async fn add_job(&self, at: Timestamp, job: JobId, owner: &PrincipalId) -> Result<(), PutError> {
        self.add(at, StreamId::Job(job), Bytes::copy_from_slice(owner.as_str().as_bytes())).await
    }

    pub(crate) async fn add_session(&self, at: Timestamp, session: SessionId) -> Result<(), PutError> {
        self.add(at, StreamId::Session(session), Bytes::new()).await
    }

    async fn add(&self, at: Timestamp, stream: StreamId, owner: Bytes) -> Result<(), PutError> {
        let key = format!("{:0DIGITS$}/{stream}", at.as_unix_millis());
        let key = DocKey::new(Collection::Ended, key).expect("a number and an id are a valid key by their form");
        self.store.put(&key, owner, Expect::Any).await.map(drop)
    }

    /// Some of those that ended first.
    pub(crate) async fn first(&self, limit: usize) -> Result<Vec<EndedStream>, ReadError> {
        let documents = self.store.list(Collection::Ended, None, limit).await?;
        Ok(documents.into_iter().filter_map(|(key, found)| read(key, &found.value)).collect())
    }

    /// It is removed. If the note of it stays, it is removed again.
    pub(crate) async fn forget(&self, ended: &EndedStream) {
        if let Err(error) = self.store.delete(&ended.key, Expect::Any).await {
            tracing::debug!(stream = %ended.stream, %error, "a stream that was removed is still noted");
        }
    }
}

fn read(key: DocKey, owner: &[u8]) -> Option<EndedStream> {
    let (millis, stream) = key.key().split_once('/')?;
    let at = Timestamp::from_unix_millis(millis.parse().ok()?);
    let job = stream.parse::<JobId>().map(StreamId::Job);
    let stream = job.or_else(|_| stream.parse::<SessionId>().map(StreamId::Session)).ok()?;
    let owner = std::str::from_utf8(owner).ok()?.parse().ok();
    Some(EndedStream { key, at, stream, owner })
}
