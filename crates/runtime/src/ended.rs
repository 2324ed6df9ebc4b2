//! Which streams are over, in the order in which they ended, so that what is kept longest goes first.
//!
//! A stream that ended in a crash may be here twice, under two moments; removing it twice is removing it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use moorline_store::{Change, Collection, DocKey, Expect, PutError, ReadError, Store};
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
    /// Whose it was. Earlier versions did not note it of a session.
    pub(crate) owner: Option<PrincipalId>,
    /// How many bytes it was counted with ([`crate::stored`]). Earlier versions did not note it.
    pub(crate) bytes: Option<u64>,
}

/// A place in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place(Box<str>);

/// What is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a place is a moment and a stream")]
pub(crate) struct PlaceError;

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        split(text).map(|_| Self(text.into())).ok_or(PlaceError)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl EndedStream {
    /// Where it is in the order of ends.
    pub(crate) fn place(&self) -> Place {
        Place(self.key.key().into())
    }
}

impl Ended {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The entry of a job, to be committed with what else is noted of its end.
    pub(crate) fn job(at: Timestamp, job: JobId, owner: &PrincipalId, bytes: u64) -> Change {
        Change::put(key(at, StreamId::Job(job)), note(owner, bytes), Expect::Any)
    }

    pub(crate) async fn add_session(
        &self,
        at: Timestamp,
        session: SessionId,
        owner: &PrincipalId,
        bytes: u64,
    ) -> Result<(), PutError> {
        self.store.put(&key(at, StreamId::Session(session)), note(owner, bytes), Expect::Any).await.map(drop)
    }

    /// Some of those that ended first, of those after this place.
    pub(crate) async fn first(&self, after: Option<&Place>, limit: usize) -> Result<Vec<EndedStream>, ReadError> {
        let after = after.map(|place| place.0.as_ref());
        let documents = self.store.list(Collection::Ended, after, limit).await?;
        Ok(documents.into_iter().filter_map(|(key, found)| read(key, &found.value)).collect())
    }

    /// It is removed. If the note of it stays, which is answered, it is removed again.
    pub(crate) async fn forget(&self, ended: &EndedStream) -> bool {
        let deleted = self.store.delete(&ended.key, Expect::Any).await;
        if let Err(error) = &deleted {
            tracing::debug!(stream = %ended.stream, %error, "a stream that was removed is still noted");
        }
        deleted.is_ok()
    }
}

/// Owner and bytes. No name of a principal has a space.
fn note(owner: &PrincipalId, bytes: u64) -> Bytes {
    Bytes::from(format!("{owner} {bytes}"))
}

fn read(key: DocKey, note: &[u8]) -> Option<EndedStream> {
    let (at, stream) = split(key.key())?;
    let note = std::str::from_utf8(note).ok()?;
    let (owner, bytes) = note.split_once(' ').map_or((note, None), |(owner, bytes)| (owner, bytes.parse().ok()));
    Some(EndedStream { key, at, stream, owner: owner.parse().ok(), bytes })
}

fn key(at: Timestamp, stream: StreamId) -> DocKey {
    let key = format!("{:0DIGITS$}/{stream}", at.as_unix_millis());
    DocKey::new(Collection::Ended, key).expect("a number and an id are a valid key by their form")
}

fn split(key: &str) -> Option<(Timestamp, StreamId)> {
    let (millis, stream) = key.split_once('/')?;
    let is_number = millis.len() >= DIGITS && millis.bytes().all(|byte| byte.is_ascii_digit());
    let at = Timestamp::from_unix_millis(millis.parse().ok().filter(|_| is_number)?);
    let job = stream.parse::<JobId>().map(StreamId::Job);
    let stream = job.or_else(|_| stream.parse::<SessionId>().map(StreamId::Session)).ok()?;
    Some((at, stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_this_version_and_of_earlier_ones_is_read() {
        let job = StreamId::Job(JobId::mint(Timestamp::from_unix_millis(5), [1; 10]));
        let at = Timestamp::from_unix_millis(7);
        let ada: PrincipalId = "ada".parse().unwrap();
        for (value, owner, bytes) in [
            (note(&ada, 0), Some("ada"), Some(0)),
            (note(&ada, u64::MAX), Some("ada"), Some(u64::MAX)),
            (Bytes::from("ada"), Some("ada"), None),
            (Bytes::new(), None, None),
            (Bytes::from("ada x"), Some("ada"), None),
        ] {
            let read = read(key(at, job), &value).unwrap();
            assert_eq!((read.owner.as_ref().map(PrincipalId::as_str), read.bytes), (owner, bytes), "{value:?}");
            assert_eq!((read.at, read.stream), (at, job));
        }
    }
}
