//! Records: what the journal is made of.
//!
//! A record belongs to one stream (a job's or a session's), has a dense position in it that the machine which owns the
//! stream has minted, and gets its position in the whole journal, the [`Offset`], from the store when it is committed.
//! What its body means is known to `moorline-core` only; a store keeps bytes.

use std::fmt;

use bytes::Bytes;

use crate::{JobId, Offset, SessionId, StreamSeq, Timestamp};

/// Whose record it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamId {
    /// A job's: what happened in it.
    Job(JobId),
    /// A session's: what it watches, from when.
    Session(SessionId),
}

impl StreamId {
    /// 17 bytes for a store's key: one for the kind, sixteen for the id.
    pub fn to_bytes(self) -> [u8; 17] {
        let (kind, id) = match self {
            Self::Job(id) => (b'j', id.to_bytes()),
            Self::Session(id) => (b's', id.to_bytes()),
        };
        let mut bytes = [kind; 17];
        bytes[1..].copy_from_slice(&id);
        bytes
    }

    /// The stream that [`Self::to_bytes`] was taken from; `None` if the bytes are no stream's.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, id) = bytes.split_first()?;
        let id = <[u8; 16]>::try_from(id).ok()?;
        match kind {
            b'j' => Some(Self::Job(JobId::from_bytes(id))),
            b's' => Some(Self::Session(SessionId::from_bytes(id))),
            _ => None,
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(id) => fmt::Display::fmt(id, f),
            Self::Session(id) => fmt::Display::fmt(id, f),
        }
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A number that no record kind has: the journal was written by a newer version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record kind {0} is unknown to this version")]
pub struct UnknownRecordKind(pub u8);

macro_rules! record_kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $visible:literal;)*) => {
        /// What a record says. The numbers are durable: they are never reused.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum RecordKind {
            $($(#[$doc])* $name,)*
        }

        impl RecordKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The durable number.
            pub const fn number(self) -> u8 {
                match self { $(Self::$name => $number,)* }
            }

            /// Whether nothing of the stream follows the record: a job's end.
            pub const fn is_last(self) -> bool {
                matches!(self, Self::JobResult | Self::JobError)
            }

            /// Whether a session that watches the stream sees the record, which gives it an `event_seq`.
            pub const fn is_visible(self) -> bool {
                match self { $(Self::$name => $visible,)* }
            }
        }

        impl TryFrom<u8> for RecordKind {
            type Error = UnknownRecordKind;

            fn try_from(number: u8) -> Result<Self, UnknownRecordKind> {
                match number {
                    $($number => Ok(Self::$name),)*
                    other => Err(UnknownRecordKind(other)),
                }
            }
        }
    };
}

record_kinds! {
    /// A job was accepted: the first record of its stream.
    JobAccepted = 1, false;
    /// A worker took the job up.
    JobStarted = 2, false;
    /// The job's agent reported an event: `job.event`.
    JobEvent = 3, true;
    /// Somebody with the right to asked for the job's end.
    JobCancelRequested = 4, false;
    /// The job ended with success: `job.result`. The last record of its stream.
    JobResult = 5, true;
    /// The job ended otherwise: `job.error`. The last record of its stream.
    JobError = 6, true;
    /// A part of the job's budget was set aside for a child.
    JobReserved = 7, false;
    /// What was set aside for a child was settled, because it has ended.
    JobSettled = 8, false;
    /// A credential of the job has another value: `job.event`, with the value for the submitter only.
    JobCredentialRotated = 9, true;
    /// The job has delegated to a child, whose first record is committed with this one: `job.event` of kind `delegate`.
    JobDelegated = 10, true;
    /// The job was to delegate, and may not or cannot: `job.event` of kind `tool_result`, with an error.
    JobDelegationRefused = 11, true;
    /// A child of the job has ended: `job.event` of kind `tool_result`.
    JobChildEnded = 12, true;
    /// The job is to delegate to a child, as soon as that one's credential is issued.
    JobDelegationHeld = 13, false;
    /// A session was opened: the first record of its stream.
    SessionOpened = 16, false;
    /// From here on the session sees a job live.
    SessionAttached = 17, false;
    /// Here the session sees a stretch of a job's history.
    SessionHistory = 18, false;
    /// From here on the session does not see a job.
    SessionDetached = 19, false;
    /// The session was closed by its client.
    SessionClosed = 20, false;
    /// The session is to see a job's history; the stretches of it follow.
    SessionSubscribed = 21, false;
    /// The gateway tells this session, and nobody else, something about a job: `job.event`.
    SessionNotice = 22, true;
}

/// A record as its owner made it, numbered in its stream. In the journal it is a `Committed<Record>`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Whose it is.
    pub stream: StreamId,
    /// Its position in the stream.
    pub seq: StreamSeq,
    /// When it was made.
    pub at: Timestamp,
    /// What it says.
    pub kind: RecordKind,
    /// What it says in full, encoded by `moorline-core`.
    pub body: Bytes,
}

/// Records that become durable together: all of them, in this order, or none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// The records, in the order in which they get their offsets.
    pub records: Vec<Record>,
}

impl Batch {
    /// The size of all bodies, in bytes, by which stores and buffers are bounded.
    pub fn body_bytes(&self) -> usize {
        self.records.iter().map(|record| record.body.len()).sum()
    }
}

impl From<Vec<Record>> for Batch {
    fn from(records: Vec<Record>) -> Self {
        Self { records }
    }
}

/// Proof that something is durable, and where. Whatever is delivered, acknowledged or acted upon is wrapped in this.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed<T> {
    offset: Offset,
    value: T,
}

impl<T> Committed<T> {
    /// Claims that `value` is durable at `offset`. For stores, and for tests that stand in for one; clippy refuses
    /// it everywhere else.
    pub const fn attest(offset: Offset, value: T) -> Self {
        Self { offset, value }
    }

    /// The position in the journal.
    pub const fn offset(&self) -> Offset {
        self.offset
    }

    /// What is durable.
    pub const fn get(&self) -> &T {
        &self.value
    }

    /// What is durable, without the proof.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> std::ops::Deref for Committed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_number_of_its_own_and_reads_back_from_it() {
        for kind in RecordKind::ALL {
            assert_eq!(RecordKind::try_from(kind.number()), Ok(*kind));
        }
        assert_eq!(RecordKind::try_from(0), Err(UnknownRecordKind(0)));
    }

    #[test]
    fn a_stream_reads_back_from_its_key() {
        for stream in [
            StreamId::Job(JobId::mint(Timestamp::from_unix_millis(5), [1; 10])),
            StreamId::Session(SessionId::mint(Timestamp::from_unix_millis(5), [2; 10])),
        ] {
            assert_eq!(StreamId::from_bytes(&stream.to_bytes()), Some(stream));
        }
        assert_eq!(StreamId::from_bytes(b"x123456789abcdef0"), None);
        assert_eq!(StreamId::from_bytes(b"j"), None);
    }
}
