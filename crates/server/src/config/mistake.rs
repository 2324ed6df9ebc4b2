//! What is wrong with a configuration, where, and what to do about it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use moorline_types::{AgentName, AgentRefError, ResolvedAgent};

use super::agents::{MAX_AGENT_CAPACITY, MAX_AGENT_DESCRIPTION_BYTES, MAX_AGENTS};
use super::locate::MAX_CONFIG_FILE_BYTES;
use super::option::ConfigOption;
use super::origin::Origin;

/// One thing that is wrong, and where.
#[derive(Debug)]
pub struct Mistake {
    /// Where it came from.
    pub origin: Origin,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A key, flag or variable that does not exist.
    #[error("unknown option {name:?}")]
    Unknown {
        /// What was written.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A value that its option does not take.
    #[error("{found} is no value for {}, which takes {}", option.key, option.accepts())]
    Value {
        /// The option.
        option: &'static ConfigOption,
        /// What was given, as it would be written.
        found: String,
        /// The word that was probably meant.
        nearest: Option<String>,
    },
    /// A value that stands where a table of options belongs.
    #[error("{name:?} is a table of options, not {found}")]
    NotTable {
        /// The table.
        name: String,
        /// What was found, by its article and name.
        found: &'static str,
    },
    /// A variable whose value is not UTF-8.
    #[error("the value is not UTF-8 text")]
    NotUnicode,
    /// The default cannot be computed in this process.
    #[error("{} is not given and its default ({}) cannot be computed here", option.key, option.default_shown())]
    NoDefault {
        /// The option.
        option: &'static ConfigOption,
        /// What the default is made of.
        needs: &'static str,
    },
    /// A certificate without a key, or a key without a certificate.
    #[error("{} is given without {}", given.key, missing.key)]
    HalfTls {
        /// The one that is there.
        given: &'static ConfigOption,
        /// The one that is not.
        missing: &'static ConfigOption,
    },
    /// Certificates of clients without what they need, or what somebody may do of whom no certificate is.
    #[error("{} is given without {}", given.key, missing.key)]
    HalfClientCerts {
        /// The one that is there.
        given: &'static ConfigOption,
        /// The one that is not.
        missing: &'static ConfigOption,
    },
    /// Tokens of others without what they need to be trusted.
    #[error("{} is given without {}", given.key, missing.key)]
    HalfJwt {
        /// The one that is there.
        given: &'static ConfigOption,
        /// The one that is not.
        missing: &'static ConfigOption,
    },
    /// Credentials for upstreams without what is needed to issue them.
    #[error("{} is given without {}", given.key, missing.key)]
    HalfCredentials {
        /// The one that is there.
        given: &'static ConfigOption,
        /// The one that is not.
        missing: &'static ConfigOption,
    },
    /// What belongs to the export of spans, without a collector.
    #[error("{} is given without {}", given.key, missing.key)]
    HalfOtlp {
        /// The one that is there.
        given: &'static ConfigOption,
        /// The one that is not.
        missing: &'static ConfigOption,
    },
    /// A back end without what it needs.
    #[error("{} names a back end that needs {}", given.key, missing.key)]
    HalfBackend {
        /// The option that names it.
        given: &'static ConfigOption,
        /// The one that is not there.
        missing: &'static ConfigOption,
    },
    /// Two options that say different things about one.
    #[error("both {} and {} are given", first.key, second.key)]
    Both {
        /// The one.
        first: &'static ConfigOption,
        /// The other.
        second: &'static ConfigOption,
    },
    /// API keys would travel unencrypted over a network.
    #[error("listening on {listen} without TLS would send API keys in the clear to other machines")]
    PlaintextBeyondLoopback {
        /// The address.
        listen: SocketAddr,
    },
    /// What jobs say would travel unencrypted over a network.
    #[error("workers that attach at {listen} without TLS would send what their jobs say in the clear")]
    PlaintextWorkers {
        /// The address.
        listen: SocketAddr,
    },
    /// What sessions say, and keys, would travel unencrypted over a network.
    #[error("a session gateway at {listen} without TLS would send API keys and values in the clear to other machines")]
    PlaintextGateway {
        /// The address.
        listen: SocketAddr,
    },
    /// What is told of jobs, and the collector's headers, would travel unencrypted over a network.
    #[error("spans would be sent in the clear to another machine")]
    PlaintextSpans,
    /// A worker would outlive all that is known about it.
    #[error("workers of other machines outlive the gateway, and a journal in memory does not")]
    ForgetfulWorkers,
    /// The file that was named does not exist.
    #[error("there is no such file")]
    FileMissing,
    /// The file cannot be read.
    #[error("the file cannot be read: {source}")]
    FileUnreadable {
        /// Why.
        source: io::Error,
    },
    /// The file is too large to be a configuration.
    #[error("the file is larger than {MAX_CONFIG_FILE_BYTES} bytes")]
    FileTooLarge,
    /// The file is not UTF-8.
    #[error("the file is not UTF-8 text")]
    FileNotText,
    /// The file is not TOML.
    #[error("not TOML: {}", message.replace('\n', ", "))]
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// Something is wrong with an `[[agents]]` table.
    #[error(transparent)]
    Agent(#[from] AgentProblem),
}

/// What is wrong with an `[[agents]]` table.
#[derive(Debug, thiserror::Error)]
pub enum AgentProblem {
    /// `agents` is no array of tables.
    #[error("\"agents\" is an array of tables, not {found}")]
    NotTables {
        /// What was found, by its article and name.
        found: &'static str,
    },
    /// There are too many.
    #[error("more than {MAX_AGENTS} agents are configured")]
    TooMany,
    /// A key that no agent has.
    #[error("an agent has no {name:?}")]
    UnknownField {
        /// What was written.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A key that every agent has is not there.
    #[error("the agent has no {field:?}")]
    MissingField {
        /// The key.
        field: &'static str,
    },
    /// A value that the key does not take.
    #[error("{found} is no value for {field:?}, which takes {accepts}")]
    Field {
        /// The key.
        field: &'static str,
        /// What was given.
        found: String,
        /// What the key takes.
        accepts: &'static str,
    },
    /// The name or the version is outside the grammar.
    #[error("{found:?}: {source}")]
    Reference {
        /// What was given.
        found: String,
        /// What the grammar says.
        source: AgentRefError,
    },
    /// The same version of the same agent twice.
    #[error("{agent} is configured twice")]
    Duplicate {
        /// The agent.
        agent: ResolvedAgent,
    },
    /// Two default versions of one agent.
    #[error("{name} has more than one default version")]
    SecondDefault {
        /// The agent.
        name: AgentName,
    },
    /// There is no such program at this path.
    #[error("there is no program at {}", path.display())]
    ProgramMissing {
        /// The path.
        path: PathBuf,
    },
    /// There is no such program on the search path.
    #[error("there is no program {name:?} on PATH")]
    ProgramNotFound {
        /// What was searched for.
        name: String,
    },
    /// What is at the path cannot be run.
    #[error("{} is not an executable file", path.display())]
    ProgramNotExecutable {
        /// The path.
        path: PathBuf,
    },
    /// The working directory is no directory.
    #[error("there is no directory {}", path.display())]
    NoDirectory {
        /// The path.
        path: PathBuf,
    },
}

impl Problem {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Unknown { nearest, .. } => did_you_mean(nearest.as_deref())
                .unwrap_or_else(|| "remove it; `moorline config show` lists every option".to_owned()),
            Self::Value { nearest, option, .. } => {
                did_you_mean(nearest.as_deref()).unwrap_or_else(|| format!("give a value such as {}", option.example))
            }
            Self::NotTable { name, .. } => format!("write the options below a [{name}] heading"),
            Self::NotUnicode => "give the value as UTF-8".to_owned(),
            Self::NoDefault { option, needs } => {
                format!("provide {needs}, or give --{} or {}", option.flag(), option.environment())
            }
            Self::HalfTls { given, missing } => {
                format!("give --{} as well, or remove {}", missing.flag(), given.key)
            }
            Self::HalfClientCerts { given, missing }
            | Self::HalfJwt { given, missing }
            | Self::HalfCredentials { given, missing }
            | Self::HalfBackend { given, missing }
            | Self::HalfOtlp { given, missing } => {
                format!("give --{} as well, or remove {}", missing.flag(), given.key)
            }
            Self::Both { first, second } => format!("remove {} or {}", first.key, second.key),
            Self::PlaintextBeyondLoopback { .. } | Self::PlaintextGateway { .. } => {
                "give --tls-cert and --tls-key; or, if something in front of the \
                gateway encrypts, allow it with --insecure-plaintext"
                    .to_owned()
            }
            Self::PlaintextWorkers { .. } => {
                "give --workers-tls-cert and --workers-tls-key, or --tls-cert and --tls-key; \
                or, if something in front of the gateway encrypts, allow it with --insecure-plaintext"
                    .to_owned()
            }
            Self::PlaintextSpans => {
                "give an address with https://, or run a collector on this machine that passes on; or, if \
                nobody else reads on the way, allow it with --otlp-insecure-plaintext"
                    .to_owned()
            }
            Self::ForgetfulWorkers => "leave workers.listen out, or keep the journal in sqlite".to_owned(),
            Self::FileMissing => "correct the path, or do without --config and MOORLINE_CONFIG".to_owned(),
            Self::FileUnreadable { .. } => "make it readable for the user that runs the gateway".to_owned(),
            Self::FileTooLarge => "name the configuration file; this one is something else".to_owned(),
            Self::FileNotText => "save the file as UTF-8".to_owned(),
            Self::Syntax { .. } => "correct the line; strings stand in double quotes".to_owned(),
            Self::Agent(problem) => problem.remedy(),
        }
    }
}

impl AgentProblem {
    fn remedy(&self) -> String {
        match self {
            Self::NotTables { .. } => "begin each agent with an [[agents]] heading".to_owned(),
            Self::TooMany => "run another gateway for the rest".to_owned(),
            Self::UnknownField { nearest, .. } => {
                let known = super::agents::FIELDS.map(|field| field.name).join(", ");
                did_you_mean(nearest.as_deref()).unwrap_or_else(|| format!("an agent has {known}"))
            }
            Self::MissingField { field } => format!("add {}", super::agents::example(field)),
            Self::Field { field, .. } => match *field {
                "capacity" => format!("give a number from 1 to {MAX_AGENT_CAPACITY}"),
                "description" => format!("give a text of at most {MAX_AGENT_DESCRIPTION_BYTES} bytes"),
                field => format!("for example {}", super::agents::example(field)),
            },
            Self::Reference { .. } => "for example name = \"indexer\" and version = \"1.0.0\"".to_owned(),
            Self::Duplicate { .. } => "give one of them another version, or remove it".to_owned(),
            Self::SecondDefault { .. } => "leave `default = true` at one version only".to_owned(),
            Self::ProgramMissing { .. } => {
                "correct the path (a relative one is relative to the configuration file's directory); arguments are \
                 further elements of the array: command = [\"program\", \"argument\"]"
                    .to_owned()
            }
            Self::ProgramNotFound { .. } => "install it, or give its path; arguments are further elements of the \
                array: command = [\"program\", \"argument\"]"
                .to_owned(),
            Self::ProgramNotExecutable { path } => {
                format!("run: chmod +x {}, or name the interpreter first in the array", path.display())
            }
            Self::NoDirectory { path } => format!("run: mkdir -p {}, or leave cwd out", path.display()),
        }
    }
}

fn did_you_mean(nearest: Option<&str>) -> Option<String> {
    nearest.map(|nearest| format!("did you mean {nearest:?}?"))
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.origin)?;
        writeln!(f, "  {}", self.problem)?;
        write!(f, "  remedy: {}", self.problem.remedy())
    }
}

/// Everything that is wrong with a configuration: at least one thing.
#[derive(Debug)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// All of them, in the order: file, environment and flags, what an option does not take, what does not fit
    /// together.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }

    /// What was found, which is at least one thing.
    pub(super) fn new(found: Vec<Mistake>) -> Self {
        debug_assert!(!found.is_empty(), "whoever has no value for an option has noted why");
        Self(found)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => writeln!(f, "1 mistake in the configuration")?,
            count => writeln!(f, "{count} mistakes in the configuration")?,
        }
        self.iter().try_for_each(|mistake| write!(f, "\n{mistake}\n"))
    }
}

impl std::error::Error for Mistakes {}
