//! Documents: small keyed values with compare-and-set, beside the journal.
//!
//! A document is for what is looked up by name and replaced whole: an API key, an idempotency claim, a worker in the
//! manifest. What happened belongs into the journal.

use std::fmt;

use bytes::Bytes;

use crate::error::PutError;
use crate::limits::{MAX_DOCUMENT_BYTES, MAX_KEY_BYTES};

macro_rules! collections {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A kind of documents. The names are durable: they are never reused for something else.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Collection {
            $($(#[$doc])* $name,)*
        }

        impl Collection {
            /// Every collection.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The durable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

collections! {
    /// Hashed bearer keys and what their principals may do.
    ApiKeys = "api_keys";
    /// The jobs that have not ended, so that a start need not read every job there ever was.
    OpenJobs = "open_jobs";
    /// What a session needs beside its stream: resume tokens, checkpoints.
    Sessions = "sessions";
    /// Which job an idempotency key was used for, under a digest of principal and key.
    Idempotency = "idempotency";
    /// What stands in the place of records that have left a job's stream while it runs, by job.
    Prologues = "prologues";
    /// Every job, by principal and in the order of creation.
    JobIndex = "job_index";
    /// Whose each job is, of everybody's and of those with one tag, in the order of creation.
    JobLists = "job_lists";
    /// Streams that are over, in the order in which they ended.
    Ended = "ended";
    /// From where on a session can be read, if not from its beginning.
    SessionFloors = "session_floors";
    /// The manifest of workers that may be adopted.
    Workers = "workers";
    /// What workers of other machines have offered.
    ExternalWorkers = "external_workers";
    /// Gateway sessions that nobody has closed, also those that have faulted.
    GatewaySessions = "gateway_sessions";
    /// Credentials that upstreams have or may have, under the name of each issue.
    Credentials = "credentials";
    /// The audit trail, keyed by an id that begins with the time.
    Audit = "audit";
    /// What there is one of.
    Meta = "meta";
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names one document.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DocKey {
    collection: Collection,
    key: Box<str>,
}

/// A text that cannot be a document's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a document's key is 1 to {MAX_KEY_BYTES} bytes without control characters")]
pub struct DocKeyError;

impl DocKey {
    /// The name of the document `key` in `collection`.
    ///
    /// # Errors
    /// If `key` is empty, longer than [`MAX_KEY_BYTES`], or holds control characters.
    pub fn new(collection: Collection, key: impl Into<Box<str>>) -> Result<Self, DocKeyError> {
        let key = key.into();
        if key.is_empty() || key.len() > MAX_KEY_BYTES || key.chars().any(char::is_control) {
            return Err(DocKeyError);
        }
        Ok(Self { collection, key })
    }

    /// The kind of the document.
    pub const fn collection(&self) -> Collection {
        self.collection
    }

    /// The name within its collection.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for DocKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection, self.key)
    }
}

/// Which change of a document. Grows with every change in the whole store and is never given twice, so that a document
/// that was deleted and made anew is not taken for the old one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Revision(u64);

impl Revision {
    /// The revision with this number. For stores, and for owners that wrote one down.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A document as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    /// Which change of it this is.
    pub revision: Revision,
    /// What it says, encoded by its owner.
    pub value: Bytes,
}

/// What must be there for a change to happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Expect {
    /// Whatever is there.
    Any,
    /// Nothing.
    Absent,
    /// The document at this revision.
    Revision(Revision),
}

impl Expect {
    /// Decides about a change of a document whose revision is `found`.
    ///
    /// # Errors
    /// [`PutError::Conflict`] with what was found.
    pub fn check(self, found: Option<Revision>) -> Result<(), PutError> {
        let met = match self {
            Self::Any => true,
            Self::Absent => found.is_none(),
            Self::Revision(expected) => found == Some(expected),
        };
        if met { Ok(()) } else { Err(PutError::Conflict { found }) }
    }
}

/// A change of a document that is made together with an append ([`Store::append_with`](crate::Store::append_with)).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Which document.
    pub key: DocKey,
    /// What it is to say; `None` removes it.
    pub value: Option<Bytes>,
    /// What must be there.
    pub expect: Expect,
}

impl Change {
    /// Makes or replaces a document.
    pub const fn put(key: DocKey, value: Bytes, expect: Expect) -> Self {
        Self { key, value: Some(value), expect }
    }

    /// Removes a document.
    pub const fn delete(key: DocKey, expect: Expect) -> Self {
        Self { key, value: None, expect }
    }
}

/// Decides about the size of a value, for stores.
///
/// # Errors
/// [`PutError::TooLarge`] if it exceeds [`MAX_DOCUMENT_BYTES`].
pub fn check_value(value: &Bytes) -> Result<(), PutError> {
    if value.len() > MAX_DOCUMENT_BYTES {
        return Err(PutError::TooLarge { bytes: value.len(), max: MAX_DOCUMENT_BYTES });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_key_that_is_empty_or_too_long_or_unprintable_is_refused() {
        for bad in ["", "a\nb", "\0", &"x".repeat(MAX_KEY_BYTES + 1)] {
            assert_eq!(DocKey::new(Collection::Meta, bad), Err(DocKeyError), "{bad:?}");
        }
        for good in ["a", "job_01/é", &"x".repeat(MAX_KEY_BYTES)] {
            assert_eq!(DocKey::new(Collection::Meta, good).unwrap().key(), good);
        }
    }

    #[test]
    fn every_collection_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Collection::ALL.iter().map(|collection| collection.as_str()).collect();
        assert_eq!(names.len(), Collection::ALL.len());
    }

    #[test]
    fn a_condition_is_met_or_says_what_was_found() {
        let (one, two) = (Revision::new(1), Revision::new(2));
        for (expect, found, met) in [
            (Expect::Any, None, true),
            (Expect::Any, Some(one), true),
            (Expect::Absent, None, true),
            (Expect::Absent, Some(one), false),
            (Expect::Revision(one), Some(one), true),
            (Expect::Revision(one), Some(two), false),
            (Expect::Revision(one), None, false),
        ] {
            match expect.check(found) {
                Ok(()) => assert!(met, "{expect:?} {found:?}"),
                Err(PutError::Conflict { found: reported }) => {
                    assert!(!met, "{expect:?} {found:?}");
                    assert_eq!(reported, found);
                }
                Err(other) => panic!("{expect:?} {found:?}: {other}"),
            }
        }
    }
}
