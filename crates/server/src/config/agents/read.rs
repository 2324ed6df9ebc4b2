//! From `[[agents]]` tables to agents that can be started.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::ops::Range;
use std::path::PathBuf;

use moorline_types::{AgentName, AgentRefError, ResolvedAgent};
use toml_edit::{Item, TableLike};

use super::{AgentConfig, DEFAULT_CAPACITY, EnvValue, FIELDS, MAX_AGENTS, program};
use super::{MAX_AGENT_CAPACITY, MAX_AGENT_DESCRIPTION_BYTES};
use crate::config::file::{Place, article, raw};
use crate::config::files::Entry;
use crate::config::kind::{AnyPath, Kind};
use crate::config::mistake::{AgentProblem, Mistake, Problem};
use crate::config::origin::Origin;
use crate::config::sources::Sources;
use crate::config::suggest::nearest;

/// Reads every agent; what is wrong with one does not keep the others from being looked at.
pub(in crate::config) fn read(
    item: &Item,
    place: Place<'_>,
    sources: &Sources<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<AgentConfig> {
    let whole = match tables(item) {
        None => Some(AgentProblem::NotTables { found: article(item) }),
        Some(tables) if tables.len() > MAX_AGENTS => Some(AgentProblem::TooMany),
        Some(_) => None,
    };
    if let Some(problem) = whole {
        mistakes.push(Mistake { origin: place.origin(item.span()), problem: Problem::Agent(problem) });
        return Vec::new();
    }
    let mut seen = Seen::default();
    let tables = tables(item).into_iter().flatten();
    tables
        .filter_map(|(span, table)| {
            Reader { table, origin: place.origin(span), place, sources, mistakes }.read(&mut seen)
        })
        .collect()
}

/// A table and where it is.
type Spanned<'a> = (Option<Range<usize>>, &'a dyn TableLike);

/// The tables of `[[agents]]`, or of an array of inline tables; `None` if there is something else.
fn tables(item: &Item) -> Option<Vec<Spanned<'_>>> {
    if let Some(tables) = item.as_array_of_tables() {
        return Some(tables.iter().map(|table| (table.span(), table as &dyn TableLike)).collect());
    }
    item.as_array()?.iter().map(|value| Some((value.span(), value.as_inline_table()? as &dyn TableLike))).collect()
}

/// The agents so far, for what must not be there twice.
#[derive(Default)]
struct Seen {
    agents: BTreeSet<ResolvedAgent>,
    defaults: BTreeSet<AgentName>,
}

/// Reads one agent's table.
struct Reader<'a> {
    table: &'a dyn TableLike,
    origin: Origin,
    place: Place<'a>,
    sources: &'a Sources<'a>,
    mistakes: &'a mut Vec<Mistake>,
}

impl Reader<'_> {
    /// The agent, if nothing is wrong with it. Everything is read before the first mistake ends this.
    fn read(mut self, seen: &mut Seen) -> Option<AgentConfig> {
        self.unknown_fields();
        let agent = self.agent();
        let command = self.command();
        let description = self.description();
        let env = self.env();
        let cwd = self.cwd();
        let capacity = self.capacity();
        let answers = self.optional("answers", false, Item::as_bool);
        let is_default = self.optional("default", false, Item::as_bool);
        if let Some(agent) = &agent {
            self.check_seen(seen, agent, is_default == Some(true));
        }
        let (program, args) = command?;
        Some(AgentConfig {
            agent: agent?,
            description: description?,
            program,
            args,
            env: env?,
            cwd: cwd?,
            capacity: capacity?,
            answers: answers?,
            is_default: is_default?,
            origin: self.origin,
        })
    }

    fn unknown_fields(&mut self) {
        let names = || FIELDS.iter().map(|field| field.name);
        for (name, _) in self.table.iter().filter(|(name, _)| !names().any(|known| known == *name)) {
            let span = self.table.get_key_value(name).and_then(|(key, _)| key.span());
            let problem = AgentProblem::UnknownField { name: name.to_owned(), nearest: nearest(name, names()) };
            self.mistakes.push(Mistake { origin: self.place.origin(span), problem: Problem::Agent(problem) });
        }
    }

    fn agent(&mut self) -> Option<ResolvedAgent> {
        let name = self.reference("name");
        let version = self.reference("version");
        Some(ResolvedAgent { name: name?, version: version? })
    }

    fn reference<T: std::str::FromStr<Err = AgentRefError>>(&mut self, field: &'static str) -> Option<T> {
        let text = self.required(field, |item| item.as_str().map(str::to_owned))?;
        let parsed = text.parse();
        parsed.map_err(|source| self.wrong(field, AgentProblem::Reference { found: text, source })).ok()
    }

    fn command(&mut self) -> Option<(PathBuf, Vec<String>)> {
        let words = self.required("command", |item| match item.as_str() {
            Some(path) => Some(vec![path.to_owned()]),
            None => texts(item),
        })?;
        let (name, args) = words.split_first()?;
        let base = self.place.directory();
        match program::find(name, base, self.sources) {
            Ok(program) => Some((program, args.to_vec())),
            Err(problem) => {
                self.wrong("command", problem);
                None
            }
        }
    }

    fn description(&mut self) -> Option<Option<String>> {
        self.optional("description", None, |item| {
            let text = item.as_str().filter(|text| text.len() <= MAX_AGENT_DESCRIPTION_BYTES)?;
            (!text.is_empty()).then(|| Some(text.to_owned()))
        })
    }

    fn env(&mut self) -> Option<BTreeMap<String, EnvValue>> {
        self.optional("env", BTreeMap::new(), |item| {
            let variables = item.as_table_like()?.iter();
            variables.map(|(name, value)| variable(name, value.as_str()?)).collect()
        })
    }

    fn cwd(&mut self) -> Option<Option<PathBuf>> {
        let base = self.place.directory().to_owned();
        let cwd = self.optional("cwd", None, |item| Some(Some(AnyPath.read(&raw(item), &base)?)))?;
        match cwd {
            Some(path) if self.sources.files.entry(&path) != Entry::Directory => {
                self.wrong("cwd", AgentProblem::NoDirectory { path });
                None
            }
            cwd => Some(cwd),
        }
    }

    fn capacity(&mut self) -> Option<NonZeroU16> {
        self.optional("capacity", DEFAULT_CAPACITY, |item| {
            let number = NonZeroU16::new(u16::try_from(item.as_integer()?).ok()?)?;
            (number.get() <= MAX_AGENT_CAPACITY).then_some(number)
        })
    }

    fn check_seen(&mut self, seen: &mut Seen, agent: &ResolvedAgent, is_default: bool) {
        if !seen.agents.insert(agent.clone()) {
            self.wrong("version", AgentProblem::Duplicate { agent: agent.clone() });
        } else if is_default && !seen.defaults.insert(agent.name.clone()) {
            self.wrong("default", AgentProblem::SecondDefault { name: agent.name.clone() });
        }
    }

    /// A field that must be there; `None` if it is not, or not what `read` takes.
    fn required<T>(&mut self, field: &'static str, read: impl FnOnce(&Item) -> Option<T>) -> Option<T> {
        if self.table.get(field).is_none() {
            self.wrong(field, AgentProblem::MissingField { field });
            return None;
        }
        self.optional(field, None, |item| read(item).map(Some))?
    }

    /// A field, or what stands for it if it is not there; `None` if it is not what `read` takes.
    fn optional<T>(&mut self, field: &'static str, absent: T, read: impl FnOnce(&Item) -> Option<T>) -> Option<T> {
        let Some(item) = self.table.get(field) else { return Some(absent) };
        let value = read(item);
        if value.is_none() {
            let accepts = FIELDS.iter().find(|known| known.name == field).map_or("", |known| known.accepts);
            // Values of the environment may be secrets, wherever they were put by mistake.
            let found = if field == "env" { article(item).to_owned() } else { raw(item).shown() };
            self.wrong(field, AgentProblem::Field { field, found, accepts });
        }
        value
    }

    /// Notes a mistake at a field, or at the table if the field is not there.
    fn wrong(&mut self, field: &str, problem: AgentProblem) {
        let origin = match self.table.get(field).and_then(Item::span) {
            Some(span) => self.place.origin(Some(span)),
            None => self.origin.clone(),
        };
        self.mistakes.push(Mistake { origin, problem: Problem::Agent(problem) });
    }
}

/// The texts of a non-empty array.
fn texts(item: &Item) -> Option<Vec<String>> {
    let words: Option<Vec<String>> = item.as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect();
    words.filter(|words| !words.is_empty() && !words.iter().any(|word| word.contains('\0')))
}

/// A variable as a process can have it.
fn variable(name: &str, value: &str) -> Option<(String, EnvValue)> {
    let possible = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
    possible.then(|| (name.to_owned(), EnvValue::new(value)))
}
