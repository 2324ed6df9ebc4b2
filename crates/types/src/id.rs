//! Identifiers: a prefix that says what is named, and a ULID (48 bits of time, 80 bits of entropy).
//!
//! The wire form is `<prefix>_<26 upper-case Crockford characters>` for what we mint. Parsing accepts only
//! that form, because an identifier that we are asked about is one that we have minted; a peer's own identifiers
//! (`MessageId`) are opaque text.

use std::fmt;
use std::str::FromStr;

use crate::ulid::{self, Ulid};
use crate::{Timestamp, limits};

/// Random bytes for one identifier, drawn by the caller.
pub type Entropy = [u8; 10];

/// Bytes of entropy in one [`Entropy`] value, for callers that fill a buffer.
pub const ENTROPY_BYTES: usize = size_of::<Entropy>();

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text does not begin with the prefix of the identifier's kind.
    #[error("an identifier of this kind starts with {prefix:?}")]
    Prefix {
        /// The prefix that was expected, with its underscore.
        prefix: &'static str,
    },
    /// What follows the prefix is not a ULID.
    #[error("what follows {prefix:?} must be 26 Crockford base-32 characters")]
    Ulid {
        /// The prefix of the identifier's kind.
        prefix: &'static str,
    },
    /// The text is empty, too long, or holds control characters.
    #[error("must be 1 to {max} printable characters")]
    Text {
        /// The longest text that is accepted, in bytes.
        max: usize,
    },
}

macro_rules! ulid_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// What its text form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes the identifier of something that begins at `now`.
            pub fn mint(now: Timestamp, entropy: Entropy) -> Self {
                Self(Ulid::new(now, entropy))
            }

            /// What [`fmt::Display`] writes, without going through it.
            pub fn to_text(self) -> IdText<{ $prefix.len() + ulid::TEXT_LENGTH }> {
                IdText::new($prefix, self.0)
            }

            /// The 128 bits, for a store's key.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }

            /// When it was minted.
            pub fn minted_at(self) -> Timestamp {
                self.0.minted_at()
            }

            /// The identifier that [`Self::to_bytes`] was taken from.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Ulid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let ulid = text.strip_prefix($prefix).ok_or(IdError::Prefix { prefix: $prefix })?;
                Ulid::parse(ulid).map(Self).ok_or(IdError::Ulid { prefix: $prefix })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <std::borrow::Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ulid_ids! {
    /// An ARCP session of one principal. Outlives its connections.
    SessionId = "sess_";
    /// One unit of work.
    JobId = "job_";
    /// A result that is streamed in chunks (spec 8.4).
    ResultId = "res_";
    /// A process that hosts agents.
    WorkerId = "wrk_";
    /// An API key. Names it in lists and in the audit trail; proves nothing.
    KeyId = "key_";
    /// A credential for an upstream (spec 9.8). Names it; proves nothing.
    CredentialId = "cred_";
}

/// The id of one envelope, chosen by its sender: opaque text of bounded length.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MessageId(Box<str>);

impl MessageId {
    /// What the ids that we mint begin with.
    pub const PREFIX: &'static str = "msg_";

    /// Makes the id of an envelope that we send.
    pub fn mint(now: Timestamp, entropy: Entropy) -> Self {
        Self(Self::mint_text(now, entropy).as_str().into())
    }

    /// What [`MessageId::mint`] makes, for who needs its text only.
    pub fn mint_text(now: Timestamp, entropy: Entropy) -> MintedText {
        IdText::new(Self::PREFIX, Ulid::new(now, entropy))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text of an envelope's id that we mint.
pub type MintedText = IdText<{ MessageId::PREFIX.len() + ulid::TEXT_LENGTH }>;

/// The text of an identifier of ours, of this many bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdText<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> IdText<BYTES> {
    fn new(prefix: &str, ulid: Ulid) -> Self {
        let mut text = [0; BYTES];
        text[..prefix.len()].copy_from_slice(prefix.as_bytes());
        text[prefix.len()..].copy_from_slice(&ulid.to_text());
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The text, for who copies it: it is ASCII.
    pub const fn as_ascii(&self) -> &[u8; BYTES] {
        &self.0
    }
}

impl FromStr for MessageId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let max = limits::MAX_MESSAGE_ID_BYTES;
        if text.is_empty() || text.len() > max || text.chars().any(char::is_control) {
            return Err(IdError::Text { max });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text_and_its_bytes() {
        let id = JobId::mint(Timestamp::from_unix_millis(1_700_000_000_000), [7; 10]);
        assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
        assert_eq!(id.to_text().as_str(), id.to_string());
        assert_eq!(id.to_text().as_ascii(), id.to_string().as_bytes());
        assert_eq!(JobId::from_bytes(id.to_bytes()), id);
        assert_eq!(id.minted_at(), Timestamp::from_unix_millis(1_700_000_000_000));
        assert_eq!(id.to_string().len(), "job_".len() + 26);
    }

    #[test]
    fn ids_sort_by_the_time_they_were_minted() {
        let early = JobId::mint(Timestamp::from_unix_millis(1_000), [0xff; 10]);
        let late = JobId::mint(Timestamp::from_unix_millis(1_001), [0; 10]);
        assert!(early < late);
    }

    #[test]
    fn text_that_is_no_id_is_refused_with_the_reason() {
        for (text, expected) in [
            ("", IdError::Prefix { prefix: "job_" }),
            ("sess_01HF7YAT00000000000000000", IdError::Prefix { prefix: "job_" }),
            ("job_", IdError::Ulid { prefix: "job_" }),
            ("job_01HF7YAT0000000000000000!0", IdError::Ulid { prefix: "job_" }),
        ] {
            assert_eq!(text.parse::<JobId>().unwrap_err(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_message_id_is_any_short_printable_text() {
        assert!("01HF7YAT".parse::<MessageId>().is_ok());
        assert!("x".repeat(limits::MAX_MESSAGE_ID_BYTES).parse::<MessageId>().is_ok());
        for bad in ["", "a\nb", &"x".repeat(limits::MAX_MESSAGE_ID_BYTES + 1)] {
            assert!(bad.parse::<MessageId>().is_err(), "{bad:?}");
        }
    }
}
