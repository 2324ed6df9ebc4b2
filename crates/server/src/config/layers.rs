//! The low stage: what each layer gives for each option, and the choice between them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::kind::{Kind, Raw};
use super::locate::CONFIG_VARIABLE;
use super::mistake::{Mistake, Problem};
use super::option::{ConfigOption, DefaultValue, ENVIRONMENT_PREFIX};
use super::origin::Origin;
use super::resolved::Row;
use super::sources::Sources;
use super::suggest::nearest;
use super::tracing;

/// Variables with our prefix that are somebody else's: the client's, the file's place.
const FOREIGN_VARIABLES: [&str; 3] = ["MOORLINE_URL", "MOORLINE_TOKEN", CONFIG_VARIABLE];

/// What the variables that a worker finds in its environment begin with. A worker may start a client or a gateway.
const WORKER_PREFIX: &str = "MOORLINE_WORKER_";

/// A value as it was given.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

/// What one layer gives, by key.
pub(super) type Layer = BTreeMap<&'static str, Given>;

/// A value that was accepted, and who gave it.
#[derive(Debug)]
pub(super) struct Setting<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
}

/// Every layer, and the mistakes found so far.
#[derive(Debug)]
pub(super) struct Layers {
    flags: Layer,
    environment: Layer,
    file: Layer,
    cwd: PathBuf,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) rows: Vec<Row>,
}

impl Layers {
    /// The layers above the file's, which was read already, with its mistakes.
    pub(super) fn new(sources: &Sources<'_>, file: Layer, mut mistakes: Vec<Mistake>) -> Self {
        let mut environment = environment(sources, &mut mistakes);
        let flags = flags(sources, &mut mistakes);
        let is_given = |key: &str| [&file, &environment, &flags].iter().any(|layer| layer.contains_key(key));
        let standard = tracing::standard(&sources.env, is_given, &mut mistakes);
        environment.extend(standard);
        Self { flags, environment, file, cwd: sources.cwd.clone(), mistakes, rows: Vec::new() }
    }

    /// The value of an option: the highest layer's. Values of lower layers are checked all the same.
    pub(super) fn read<K: Kind>(
        &mut self,
        option: &'static ConfigOption,
        kind: &K,
        sources: &Sources<'_>,
    ) -> Option<Setting<K::Value>> {
        let mut chosen = None;
        let mut given = false;
        for layer in [&self.file, &self.environment, &self.flags] {
            let Some(Given { raw, origin }) = layer.get(option.key) else { continue };
            given = true;
            match kind.read(raw, self.base(origin)) {
                Some(value) => chosen = Some(Setting { value, origin: origin.clone() }),
                None => self.mistakes.push(Mistake { origin: origin.clone(), problem: refused(option, kind, raw) }),
            }
        }
        let setting = if given { chosen? } else { self.default(option, kind, sources)? };
        let literal = kind.literal(&setting.value);
        self.rows.push(Row { option, literal, origin: setting.origin.clone() });
        Some(setting)
    }

    fn default<K: Kind>(
        &mut self,
        option: &'static ConfigOption,
        kind: &K,
        sources: &Sources<'_>,
    ) -> Option<Setting<K::Value>> {
        let read = |text: String| kind.read(&Raw::Text(text), &self.cwd);
        let (value, needs) = match option.default {
            DefaultValue::Text(text) => (read(text.to_owned()), "a default"),
            DefaultValue::Computed { value, needs, .. } => (value(sources).and_then(read), needs),
            DefaultValue::Unset { .. } => (kind.absent(), "a default"),
        };
        if value.is_none() {
            self.mistakes.push(Mistake { origin: Origin::Default, problem: Problem::NoDefault { option, needs } });
        }
        value.map(|value| Setting { value, origin: Origin::Default })
    }

    /// The directory that a relative path is relative to: its file's, or the working directory.
    fn base<'a>(&'a self, origin: &'a Origin) -> &'a Path {
        match origin {
            Origin::File { path, .. } | Origin::WholeFile(path) => path.parent().unwrap_or(path),
            Origin::Default | Origin::Flag(_) | Origin::Environment(_) => &self.cwd,
        }
    }
}

fn refused<K: Kind>(option: &'static ConfigOption, kind: &K, raw: &Raw) -> Problem {
    let nearest = match raw {
        Raw::Text(text) => nearest(text, kind.words()),
        Raw::Switch(_) | Raw::Number(_) | Raw::List(_) | Raw::Table(_) | Raw::Other(_) => None,
    };
    Problem::Value { option, found: raw.shown(), nearest }
}

fn environment(sources: &Sources<'_>, mistakes: &mut Vec<Mistake>) -> Layer {
    let known: BTreeMap<String, &'static ConfigOption> =
        ConfigOption::all().iter().map(|option| (option.environment(), option)).collect();
    let mut layer = Layer::new();
    for (name, value) in sources.env.iter().filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX)) {
        let origin = Origin::Environment(name.clone());
        let problem = match (known.get(name), value.to_str()) {
            (Some(option), Some(text)) => {
                layer.insert(option.key, Given { raw: Raw::Text(text.to_owned()), origin });
                continue;
            }
            (None, _) if is_foreign(name) => continue,
            (Some(_), None) => Problem::NotUnicode,
            (None, _) => {
                let names = known.keys().map(String::as_str).chain(FOREIGN_VARIABLES);
                Problem::Unknown { name: name.clone(), nearest: nearest(name, names) }
            }
        };
        mistakes.push(Mistake { origin, problem });
    }
    layer
}

fn is_foreign(name: &str) -> bool {
    FOREIGN_VARIABLES.contains(&name) || name.starts_with(WORKER_PREFIX)
}

fn flags(sources: &Sources<'_>, mistakes: &mut Vec<Mistake>) -> Layer {
    let known: BTreeMap<String, &'static ConfigOption> =
        ConfigOption::all().iter().map(|option| (option.flag(), option)).collect();
    let mut layer = Layer::new();
    for (name, value) in &sources.flags {
        let origin = Origin::Flag(name.clone());
        match known.get(name) {
            Some(option) => {
                layer.insert(option.key, Given { raw: Raw::Text(value.clone()), origin });
            }
            None => {
                let nearest = nearest(name, known.keys().map(String::as_str));
                mistakes.push(Mistake { origin, problem: Problem::Unknown { name: name.clone(), nearest } });
            }
        }
    }
    layer
}
