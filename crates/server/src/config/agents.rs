//! The agents of the configuration file: `[[agents]]` tables.

mod program;
mod read;

pub(super) use read::read;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;
use std::path::PathBuf;

use moorline_types::ResolvedAgent;

use super::origin::Origin;

/// The most agents of one gateway. Each may be a process of its own; a machine with more has another problem.
pub const MAX_AGENTS: usize = 256;

/// The most jobs that one agent may be given at once. Each is a process where the agent is a program, and this many
/// already exceed the usual bound on the processes of one user.
pub const MAX_AGENT_CAPACITY: u16 = 1024;

/// Jobs of one agent at once unless configured otherwise: what a small machine runs without thrashing.
const DEFAULT_CAPACITY: NonZeroU16 = NonZeroU16::new(4).unwrap();

/// The longest description, in bytes. It is sent to every client in its welcome.
pub const MAX_AGENT_DESCRIPTION_BYTES: usize = 1024;

/// An agent that is a program.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Its name and version.
    pub agent: ResolvedAgent,
    /// What it does, for people.
    pub description: Option<String>,
    /// The program, absolute; it exists and can be executed.
    pub program: PathBuf,
    /// The program's arguments.
    pub args: Vec<String>,
    /// Variables that the program finds in its environment, which is otherwise empty but for a few.
    pub env: BTreeMap<String, EnvValue>,
    /// The program's working directory, absolute; without one it gets a scratch directory of its own.
    pub cwd: Option<PathBuf>,
    /// Jobs at once.
    pub capacity: NonZeroU16,
    /// Whether the program's standard input stays open and brings answers.
    pub answers: bool,
    /// Whether this version is meant where none is asked for.
    pub is_default: bool,
    /// Where its table begins.
    pub origin: Origin,
}

/// The value of an agent's environment variable. It may be a secret, so only [`Self::expose`] shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvValue(Box<str>);

impl EnvValue {
    /// Keeps a value.
    pub fn new(value: &str) -> Self {
        Self(value.into())
    }

    /// The value, for the process that it is meant for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EnvValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnvValue([redacted])")
    }
}

/// What is known about one key of an agent's table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) accepts: &'static str,
    pub(super) default: &'static str,
    pub(super) example: &'static str,
    pub(super) doc: &'static str,
}

/// The keys of an agent's table, in the order of the documentation.
pub(super) const FIELDS: [Field; 9] = [
    Field {
        name: "name",
        accepts: "a text of [a-z0-9._-]",
        default: "required",
        example: "\"indexer\"",
        doc: "What the agent is called.",
    },
    Field {
        name: "version",
        accepts: "a text of [a-zA-Z0-9.+_-]",
        default: "required",
        example: "\"1.0.0\"",
        doc: "Which version of it this is. Several versions of one agent may be configured.",
    },
    Field {
        name: "command",
        accepts: "a path or a non-empty array of texts",
        default: "required",
        example: "[\"./indexer.py\", \"--fast\"]",
        doc: "The program and its arguments. A name without a slash is looked for on `PATH`; a relative path is relative \
              to the configuration file's directory. A plain text is one path without arguments.",
    },
    Field {
        name: "description",
        accepts: "a text",
        default: "none",
        example: "\"Builds the search index\"",
        doc: "What the agent does, for people.",
    },
    Field {
        name: "env",
        accepts: "a table of texts",
        default: "empty",
        example: "{ API_TOKEN = \"...\" }",
        doc: "Environment variables for the program. Their values are treated as secrets and never shown.",
    },
    Field {
        name: "cwd",
        accepts: "the path of a directory (\"~\" is not expanded)",
        default: "a scratch directory of the agent's own",
        example: "\"/srv/indexer\"",
        doc: "The program's working directory.",
    },
    Field {
        name: "capacity",
        accepts: "a number from 1 to 1024",
        default: "4",
        example: "4",
        doc: "How many jobs it is given at once.",
    },
    Field {
        name: "answers",
        accepts: "true or false",
        default: "false",
        example: "true",
        doc: "Whether the program's standard input stays open and brings answers to what it asks. Without it the input \
              ends after the job's line.",
    },
    Field {
        name: "default",
        accepts: "true or false",
        default: "false",
        example: "true",
        doc: "Whether this version is meant where a job names none. At most one version of an agent says so.",
    },
];

/// How a key is written with an example value.
pub(super) fn example(name: &str) -> String {
    let value = FIELDS.iter().find(|field| field.name == name).map_or("...", |field| field.example);
    format!("{name} = {value}")
}

#[cfg(test)]
mod tests;
