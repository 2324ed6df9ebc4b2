//! Ids as a peer writes them.
//!
//! An id that a client names may be one that we have never minted, and a runtime that a client talks to mints ids of
//! its own form. Both decode: an id on the wire is text of bounded length, and [`JobRef::known`] tells whether it has
//! the form of ours. One that has not simply does not exist here.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use moorline_types::limits::MAX_MESSAGE_ID_BYTES;
use moorline_types::{IdError, JobId, SessionId};
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

/// The longest id of a job, session or result that is read, in bytes: the same as an envelope's.
pub const MAX_ID_BYTES: usize = MAX_MESSAGE_ID_BYTES;

macro_rules! peer_ids {
    ($($(#[$doc:meta])* $name:ident is $ours:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// Cheap to clone.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id, if it has the form of those that we mint.
            pub fn known(&self) -> Option<$ours> {
                self.0.parse().ok()
            }

            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<$ours> for $name {
            fn from(id: $ours) -> Self {
                Self(id.to_string().into())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                if text.is_empty() || text.len() > MAX_ID_BYTES || text.chars().any(char::is_control) {
                    return Err(IdError::Text { max: MAX_ID_BYTES });
                }
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <std::borrow::Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

peer_ids! {
    /// A job as a peer names it.
    JobRef is JobId;
    /// A session as a peer names it.
    SessionRef is SessionId;
}

#[cfg(test)]
mod tests {
    use moorline_types::Timestamp;

    use super::*;

    #[test]
    fn an_id_of_our_own_is_known_and_another_is_only_text() {
        let ours = JobId::mint(Timestamp::from_unix_millis(1), [3; 10]);
        assert_eq!(JobRef::from(ours).known(), Some(ours));
        assert_eq!("job-17".parse::<JobRef>().unwrap().known(), None);
        for bad in ["", "a\u{0}b", &"x".repeat(MAX_ID_BYTES + 1)] {
            assert!(bad.parse::<JobRef>().is_err(), "{bad:?}");
        }
    }
}
