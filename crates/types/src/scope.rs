//! What an identity may do: words, and sets of them.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// One thing that an identity may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// Submit jobs.
    Submit,
    /// Observe and list its own jobs, and what carries one of its tags.
    Observe,
    /// Cancel its own jobs.
    Cancel,
    /// Observe everybody's jobs.
    ObserveAll,
    /// Cancel everybody's jobs.
    ControlAll,
    /// Administer the gateway: its keys, its audit trail, and what is removed from its journal. Whoever has it can make
    /// a key with any other scope.
    Administer,
}

/// A text names neither a scope nor a usual set of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no scope; there are submit, observe, cancel, observe_all, control_all and administer, and for short jobs (the first three) and admin (all)"
)]
pub struct ScopeError;

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] =
        [Self::Submit, Self::Observe, Self::Cancel, Self::ObserveAll, Self::ControlAll, Self::Administer];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Observe => "observe",
            Self::Cancel => "cancel",
            Self::ObserveAll => "observe_all",
            Self::ControlAll => "control_all",
            Self::Administer => "administer",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Some scopes. Its words are those of [`Scope`], and two for short: `jobs` and `admin`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// None.
    pub const NONE: Self = Self(0);
    /// `jobs`: submit jobs, and observe and cancel one's own.
    pub const JOBS: Self = Self(Scope::Submit.bit() | Scope::Observe.bit() | Scope::Cancel.bit());
    /// `admin`: everything.
    pub const ADMIN: Self =
        Self(Self::JOBS.0 | Scope::ObserveAll.bit() | Scope::ControlAll.bit() | Scope::Administer.bit());

    /// These and another.
    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// These and others.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is among these.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each, in the order of their declaration.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl From<Scope> for Scopes {
    fn from(scope: Scope) -> Self {
        Self::NONE.with(scope)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::NONE, Self::with)
    }
}

/// One word.
impl FromStr for Scopes {
    type Err = ScopeError;

    fn from_str(word: &str) -> Result<Self, ScopeError> {
        match word {
            "jobs" => Ok(Self::JOBS),
            "admin" => Ok(Self::ADMIN),
            word => Scope::ALL.into_iter().find(|scope| scope.as_str() == word).map(Self::from).ok_or(ScopeError),
        }
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl serde::Serialize for Scopes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Scope::as_str))
    }
}

/// An array of words. One that is not known is refused: to pass it over might be to grant something else.
impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;

        impl<'de> Visitor<'de> for Words {
            type Value = Scopes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of scopes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<Scopes, A::Error> {
                let mut scopes = Scopes::NONE;
                while let Some(word) = words.next_element::<std::borrow::Cow<'de, str>>()? {
                    scopes = scopes.union(word.parse().map_err(A::Error::custom)?);
                }
                Ok(scopes)
            }
        }

        deserializer.deserialize_seq(Words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_scope_is_refused() {
        for word in ["", "all", "Submit", "submit ", "observe-all", "root"] {
            assert_eq!(word.parse::<Scopes>(), Err(ScopeError), "{word:?}");
        }
        for text in [r#"["submit","everything"]"#, r#""submit""#, "[1]", "{}"] {
            assert!(serde_json::from_str::<Scopes>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_words_of_older_records_mean_sets() {
        for (text, expected) in [
            (r#"["jobs"]"#, vec![Scope::Submit, Scope::Observe, Scope::Cancel]),
            (r#"["admin"]"#, Scope::ALL.to_vec()),
            (r#"["jobs","admin"]"#, Scope::ALL.to_vec()),
            ("[]", Vec::new()),
        ] {
            let scopes: Scopes = serde_json::from_str(text).unwrap();
            assert_eq!(scopes.iter().collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn every_set_reads_back() {
        for bits in 0..1 << Scope::ALL.len() {
            let scopes = Scopes(bits);
            let text = serde_json::to_string(&scopes).unwrap();
            assert_eq!(serde_json::from_str::<Scopes>(&text).unwrap(), scopes, "{text}");
            assert_eq!(scopes.iter().collect::<Scopes>(), scopes);
        }
    }
}
