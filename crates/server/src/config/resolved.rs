//! What a configuration was resolved to and who gave it: `config show`.
//!
//! The text is itself a configuration file that resolves to the same values, except that the environment of an agent,
//! which may hold secrets, is redacted.

use std::fmt;
use std::path::PathBuf;

use super::agents::AgentConfig;
use super::kind::quoted;
use super::option::ConfigOption;
use super::origin::Origin;

/// Stands for a value that is not shown.
const REDACTED: &str = "[redacted]";

/// The value of one option, for display.
#[derive(Debug)]
pub struct Row {
    /// The option.
    pub option: &'static ConfigOption,
    /// Its value as TOML; `None` if it is not set.
    pub literal: Option<String>,
    /// Who gave it.
    pub origin: Origin,
}

/// The values of all options, for display.
#[derive(Debug)]
pub struct Resolved {
    /// One row per option, in the order of the documentation.
    pub rows: Vec<Row>,
    /// The agents of the configuration file.
    pub agents: Vec<AgentConfig>,
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
}

impl fmt::Display for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(path) => writeln!(f, "# configuration file: {}", path.display())?,
            None => writeln!(f, "# configuration file: none")?,
        }
        let width = self.rows.iter().map(|row| assignment(row).chars().count()).max().unwrap_or(0);
        for row in &self.rows {
            writeln!(f, "{:width$}  # {}", assignment(row), row.origin)?;
        }
        self.agents.iter().try_for_each(|agent| write_agent(f, agent))
    }
}

fn assignment(row: &Row) -> String {
    match &row.literal {
        Some(literal) => format!("{} = {literal}", row.option.key),
        None => format!("# {}: {}", row.option.key, row.option.default_shown()),
    }
}

fn write_agent(f: &mut fmt::Formatter<'_>, agent: &AgentConfig) -> fmt::Result {
    let program = agent.program.to_string_lossy();
    let command: Vec<String> =
        std::iter::once(&*program).chain(agent.args.iter().map(String::as_str)).map(quoted).collect();
    writeln!(f, "\n[[agents]]  # {}", agent.origin)?;
    writeln!(f, "name = {}", quoted(agent.agent.name.as_str()))?;
    writeln!(f, "version = {}", quoted(agent.agent.version.as_str()))?;
    writeln!(f, "command = [{}]", command.join(", "))?;
    if let Some(description) = &agent.description {
        writeln!(f, "description = {}", quoted(description))?;
    }
    if let Some(cwd) = &agent.cwd {
        writeln!(f, "cwd = {}", quoted(&cwd.to_string_lossy()))?;
    }
    writeln!(f, "capacity = {}", agent.capacity)?;
    writeln!(f, "answers = {}", agent.answers)?;
    writeln!(f, "default = {}", agent.is_default)?;
    for name in agent.env.keys() {
        writeln!(f, "env.{} = {}", quoted_key(name), quoted(REDACTED))?;
    }
    Ok(())
}

fn quoted_key(name: &str) -> String {
    toml_edit::Key::new(name).to_string()
}
