//! Closed sets of words on the wire, each spelled once.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

/// One of a closed set of words.
pub trait Word: Copy + Sized + 'static {
    /// Every word of the set, in the order of its table.
    const ALL: &'static [Self];

    /// What an error message says was expected.
    const EXPECTED: &'static str;

    /// The word with this spelling, or with another that peers are known to use.
    fn read(text: &str) -> Option<Self>;

    /// The spelling that we write.
    fn as_str(self) -> &'static str;
}

/// A word as a peer sent it: one that we know, or its text.
///
/// A runtime may be newer than its client, so a client reads every word; what it does not know it can still show.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Received<T> {
    /// One of the set.
    Known(T),
    /// Another, as it was spelled.
    Unknown(Box<str>),
}

impl<T: Word> Received<T> {
    /// The word, if it is one of the set.
    pub const fn known(&self) -> Option<T> {
        match self {
            Self::Known(word) => Some(*word),
            Self::Unknown(_) => None,
        }
    }

    /// How it was or will be spelled.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(word) => word.as_str(),
            Self::Unknown(text) => text,
        }
    }
}

impl<T> From<T> for Received<T> {
    fn from(word: T) -> Self {
        Self::Known(word)
    }
}

impl<T: Word> fmt::Display for Received<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<T: Word> fmt::Debug for Received<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<T: Word> Serialize for Received<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, T: Word> Deserialize<'de> for Received<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Reader(PhantomData))
    }
}

/// Reads a word that has to be one of its set.
pub(crate) fn deserialize_word<'de, T: Word, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let word = Received::<T>::deserialize(deserializer)?;
    word.known().ok_or_else(|| D::Error::invalid_value(Unexpected::Other("another word"), &T::EXPECTED))
}

/// Looks at a word where it stands: every event has one, and it is nearly always known.
struct Reader<T>(PhantomData<T>);

impl<T: Word> Visitor<'_> for Reader<T> {
    type Value = Received<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Received<T>, E> {
        Ok(T::read(text).map_or_else(|| Received::Unknown(text.into()), Received::Known))
    }
}

/// Declares a closed set of words: variant, spelling, other spellings that are read, documentation.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident {
        $($(#[$doc:meta])* $variant:ident = $text:literal $(| $alias:literal)*;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every word, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The spelling on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl $crate::word::Word for $name {
            const ALL: &'static [Self] = Self::ALL;
            const EXPECTED: &'static str = concat!("one of:" $(, " ", $text)*);

            fn read(text: &str) -> Option<Self> {
                match text {
                    $($text $(| $alias)* => Some(Self::$variant),)*
                    _ => None,
                }
            }

            fn as_str(self) -> &'static str {
                self.as_str()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::word::deserialize_word(deserializer)
            }
        }
    };
}
