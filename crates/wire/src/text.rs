//! Text of bounded length that is never empty: several peers refuse a frame with an empty string.

use std::fmt;
use std::str::FromStr;

use moorline_types::limits::{MAX_CLIENT_TEXT_BYTES, MAX_REASON_BYTES};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// What somebody or something calls itself.
pub type Name = Text<MAX_CLIENT_TEXT_BYTES>;

/// Why, in the words of the one who asked.
pub type Reason = Text<MAX_REASON_BYTES>;

/// 1 to `MAX` bytes of UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const MAX: usize>(Box<str>);

/// Why a text cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It has no characters.
    #[error("must not be empty")]
    Empty,
    /// It is longer than its bound.
    #[error("must be at most {max} bytes long")]
    TooLong {
        /// The bound, in bytes.
        max: usize,
    },
}

impl<const MAX: usize> Text<MAX> {
    /// As much of `text` as fits, cut between two characters; `None` if it is empty.
    pub fn cut(text: &str) -> Option<Self> {
        let cut = &text[..text.floor_char_boundary(MAX)];
        (!cut.is_empty()).then(|| Self(cut.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> FromStr for Text<MAX> {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        if text.is_empty() {
            Err(TextError::Empty)
        } else if text.len() > MAX {
            Err(TextError::TooLong { max: MAX })
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MAX: usize> Serialize for Text<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<const MAX: usize>;

        impl<const MAX: usize> Visitor<'_> for Read<MAX> {
            type Value = Text<MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<MAX>, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_neither_empty_nor_longer_than_its_bound() {
        assert_eq!("".parse::<Text<4>>(), Err(TextError::Empty));
        assert_eq!("fives".parse::<Text<4>>(), Err(TextError::TooLong { max: 4 }));
        assert_eq!("four".parse::<Text<4>>().unwrap().as_str(), "four");
    }

    #[test]
    fn text_that_is_cut_ends_between_two_characters() {
        assert_eq!(Text::<4>::cut("abcé").unwrap().as_str(), "abc");
        assert_eq!(Text::<4>::cut(""), None);
        assert_eq!(Text::<1>::cut("é"), None);
    }
}
