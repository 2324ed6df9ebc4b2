//! Agent references: `name` or `name@version` (spec 7.5).

use std::fmt;
use std::str::FromStr;

use crate::limits::{MAX_AGENT_NAME_BYTES, MAX_AGENT_VERSION_BYTES};

mod pattern;
pub use pattern::{AgentPattern, AgentPatternError};

/// Why a text names no agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentRefError {
    /// The name has other characters than the grammar allows.
    #[error("an agent name is [a-z0-9][a-z0-9._-]* of at most {MAX_AGENT_NAME_BYTES} characters")]
    Name,
    /// The version has other characters than the grammar allows.
    #[error("an agent version is [a-zA-Z0-9.+_-]+ of at most {MAX_AGENT_VERSION_BYTES} characters")]
    Version,
}

macro_rules! agent_text {
    ($($(#[$doc:meta])* $name:ident, $valid:ident, $error:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = AgentRefError;

            fn from_str(text: &str) -> Result<Self, AgentRefError> {
                if $valid(text) { Ok(Self(text.into())) } else { Err($error) }
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
    )*};
}

agent_text! {
    /// What an agent is called: `[a-z0-9][a-z0-9._-]*`.
    AgentName, valid_name, AgentRefError::Name;
    /// One version of an agent, opaque to the protocol: `[a-zA-Z0-9.+_-]+`.
    AgentVersion, valid_version, AgentRefError::Version;
}

fn valid_name(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let rest = |byte: u8| first(byte) || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= MAX_AGENT_NAME_BYTES && text.bytes().next().is_some_and(first) && text.bytes().all(rest)
}

fn valid_version(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'_' | b'-');
    !text.is_empty() && text.len() <= MAX_AGENT_VERSION_BYTES && text.bytes().all(allowed)
}

/// What a client asks for: an agent, and perhaps one version of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AgentRef {
    /// The agent.
    pub name: AgentName,
    /// The version asked for; without one the default version is meant.
    pub version: Option<AgentVersion>,
}

impl FromStr for AgentRef {
    type Err = AgentRefError;

    fn from_str(text: &str) -> Result<Self, AgentRefError> {
        match text.split_once('@') {
            None => Ok(Self { name: text.parse()?, version: None }),
            Some((name, version)) => Ok(Self { name: name.parse()?, version: Some(version.parse()?) }),
        }
    }
}

impl fmt::Display for AgentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            None => write!(f, "{}", self.name),
            Some(version) => write!(f, "{}@{version}", self.name),
        }
    }
}

/// One version of one agent: what a job runs, fixed once it is accepted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ResolvedAgent {
    /// The agent.
    pub name: AgentName,
    /// Its version.
    pub version: AgentVersion,
}

impl FromStr for ResolvedAgent {
    type Err = AgentRefError;

    fn from_str(text: &str) -> Result<Self, AgentRefError> {
        let AgentRef { name, version } = text.parse()?;
        Ok(Self { name, version: version.ok_or(AgentRefError::Version)? })
    }
}

impl fmt::Display for ResolvedAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_reads_back_as_it_was_written() {
        for text in ["echo", "echo@1.0.0", "0-a.b_c@V1+rc.2_x-y"] {
            assert_eq!(text.parse::<AgentRef>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_the_grammar_does_not_allow_is_refused() {
        for (text, error) in [
            ("", AgentRefError::Name),
            ("Echo", AgentRefError::Name),
            (".echo", AgentRefError::Name),
            ("e cho", AgentRefError::Name),
            ("@1", AgentRefError::Name),
            ("echo@", AgentRefError::Version),
            ("echo@1@2", AgentRefError::Version),
            (&"e".repeat(MAX_AGENT_NAME_BYTES + 1), AgentRefError::Name),
        ] {
            assert_eq!(text.parse::<AgentRef>().unwrap_err(), error, "{text:?}");
        }
    }
}
