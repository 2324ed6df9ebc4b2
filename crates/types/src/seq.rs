//! Sequences: where something stands, and in which of several numberings.
//!
//! Each numbering is a type of its own so that one can never be compared with another by accident.

use std::fmt;
use std::str::FromStr;

use crate::Timestamp;
use crate::id::Entropy;
use crate::ulid::Ulid;

macro_rules! sequences {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Before the first: nothing has been numbered yet.
            pub const ZERO: Self = Self(0);
            /// The first number that is given out.
            pub const FIRST: Self = Self(1);

            /// The position with this number.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The position after this one. At a million a second the numbers last for 584,000 years.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }

            /// The position before this one; before the first there is only [`Self::ZERO`].
            #[must_use]
            pub const fn previous(self) -> Self {
                Self(self.0.saturating_sub(1))
            }

            /// How many positions lie between `earlier` (exclusive) and this one (inclusive).
            pub const fn since(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )*};
}

sequences! {
    /// A record's position in the whole journal. Minted by the store, dense, from 1.
    Offset;
    /// A record's position within its stream, from 1. A job's is what the design calls `job_seq`.
    StreamSeq;
    /// What a session calls the records it sees: `event_seq` on the wire (spec 8.3), dense, from 1.
    EventSeq;
    /// A worker's own number for a report about one job, from 1. Reports are deduplicated by (job, worker sequence).
    WorkerSeq;
    /// Minted at each attach of a worker. A report that carries another fence is stale.
    Fence;
}

/// Names the lineage of a journal. A restored or replaced journal has another epoch, so that its numbers are never
/// taken for the old ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(Ulid);

impl Epoch {
    /// Makes the epoch of a journal that begins at `now`.
    pub fn mint(now: Timestamp, entropy: Entropy) -> Self {
        Self(Ulid::new(now, entropy))
    }

    /// The 128 bits, for a store.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }

    /// The epoch that [`Self::to_bytes`] was taken from.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Ulid::from_bytes(bytes))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Epoch {
    type Err = EpochError;

    fn from_str(text: &str) -> Result<Self, EpochError> {
        Ulid::parse(text).map(Self).ok_or(EpochError)
    }
}

/// A text is no epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a ULID: 26 characters of Crockford's base 32")]
pub struct EpochError;

impl serde::Serialize for Epoch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Epoch {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <std::borrow::Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({})", self.0)
    }
}
