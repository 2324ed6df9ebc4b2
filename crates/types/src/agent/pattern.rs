//! Patterns of agents' names: what a worker of another machine may offer, what a key may submit to.

use std::fmt;
use std::str::FromStr;

use super::AgentName;

/// An agent's name, the beginning of one followed by `*`, or `*` alone for any.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AgentPattern {
    start: Box<str>,
    is_open: bool,
}

/// A text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pattern is the name of an agent, or the beginning of one followed by *")]
pub struct AgentPatternError;

impl AgentPattern {
    /// Whether it means an agent of this name.
    pub fn matches(&self, name: &AgentName) -> bool {
        if self.is_open { name.as_str().starts_with(&*self.start) } else { *name.as_str() == *self.start }
    }
}

impl FromStr for AgentPattern {
    type Err = AgentPatternError;

    fn from_str(text: &str) -> Result<Self, AgentPatternError> {
        let (start, is_open) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
        let is_name = start.parse::<AgentName>().is_ok() || (is_open && start.is_empty());
        if is_name { Ok(Self { start: start.into(), is_open }) } else { Err(AgentPatternError) }
    }
}

impl fmt::Display for AgentPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.start)?;
        if self.is_open { f.write_str("*") } else { Ok(()) }
    }
}

impl fmt::Debug for AgentPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for AgentPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for AgentPattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <std::borrow::Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "**", "*x", "a*b", "Echo", "echo@1", "a b", "-a*"] {
            assert_eq!(text.parse::<AgentPattern>(), Err(AgentPatternError), "{text:?}");
        }
    }

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_names() {
        for (pattern, name, expected) in [
            ("echo", "echo", true),
            ("echo", "echoes", false),
            ("echo*", "echo", true),
            ("echo*", "echoes", true),
            ("echo*", "ech", false),
            ("*", "anything", true),
        ] {
            let parsed: AgentPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(&name.parse().unwrap()), expected, "{pattern} {name}");
            assert_eq!(parsed.to_string(), pattern);
        }
    }
}
