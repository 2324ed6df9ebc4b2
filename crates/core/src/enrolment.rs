//! What a worker of another machine may offer: patterns of agents' names, given when it is enrolled.

use std::fmt;
use std::str::FromStr;

use moorline_types::AgentName;

/// An agent's name, the beginning of one followed by `*`, or `*` alone for any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPattern {
    start: Box<str>,
    is_open: bool,
}

/// A text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pattern is the name of an agent, or the beginning of one followed by *")]
pub struct AgentPatternError;

impl AgentPattern {
    /// Whether an agent of this name may be offered.
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
