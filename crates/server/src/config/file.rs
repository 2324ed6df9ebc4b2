//! Reading `moorline.toml`: which value stands where.

use std::ops::Range;
use std::path::Path;

use toml_edit::{Document, Item, TableLike, TomlError, Value};

use super::agents::{self, AgentConfig};
use super::kind::Raw;
use super::layers::{Given, Layer};
use super::mistake::{Mistake, Problem};
use super::option::ConfigOption;
use super::origin::Origin;
use super::sources::Sources;
use super::suggest::nearest;

/// The key of the array of agents.
const AGENTS: &str = "agents";

/// A file and its text, to turn a span into a line and a column.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    /// Where a span begins, as a person counts.
    pub(super) fn origin(self, span: Option<Range<usize>>) -> Origin {
        let path = self.path.to_owned();
        let Some(before) = span.and_then(|span| self.text.get(..span.start)) else { return Origin::WholeFile(path) };
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        Origin::File { path, line, column }
    }

    /// The directory that paths in the file are relative to.
    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(self.path)
    }
}

/// What the text of the configuration file gives.
pub(super) fn read(
    path: &Path,
    text: &str,
    sources: &Sources<'_>,
    mistakes: &mut Vec<Mistake>,
) -> (Layer, Vec<AgentConfig>) {
    let place = Place { path, text };
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            mistakes.push(syntax(place, &error));
            return (Layer::new(), Vec::new());
        }
    };
    let mut walk = Walk { place, layer: Layer::new(), mistakes };
    walk.table("", document.as_table());
    let layer = walk.layer;
    let agents = document.get(AGENTS).map(|item| agents::read(item, place, sources, mistakes));
    (layer, agents.unwrap_or_default())
}

fn syntax(place: Place<'_>, error: &TomlError) -> Mistake {
    let message = error.message().trim().to_owned();
    Mistake { origin: place.origin(error.span()), problem: Problem::Syntax { message } }
}

/// Walks the tables of a file down to the options.
struct Walk<'a> {
    place: Place<'a>,
    layer: Layer,
    mistakes: &'a mut Vec<Mistake>,
}

impl Walk<'_> {
    /// Reads a table whose key, with a dot at its end, is `prefix`. As deep as the deepest option's key.
    fn table(&mut self, prefix: &str, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            let key = format!("{prefix}{name}");
            let key_span = table.get_key_value(name).and_then(|(key, _)| key.span());
            if let Some(option) = ConfigOption::find(&key) {
                let origin = self.place.origin(item.span().or(key_span));
                self.layer.insert(option.key, Given { raw: raw(item), origin });
            } else if is_table_of_options(&key) {
                match item.as_table_like() {
                    Some(table) => self.table(&format!("{key}."), table),
                    None => self.wrong(key_span, Problem::NotTable { name: key, found: article(item) }),
                }
            } else if key != AGENTS {
                let nearest = nearest_key(&key, name);
                self.wrong(key_span, Problem::Unknown { name: key, nearest });
            }
        }
    }

    fn wrong(&mut self, span: Option<Range<usize>>, problem: Problem) {
        self.mistakes.push(Mistake { origin: self.place.origin(span), problem });
    }
}

fn is_table_of_options(key: &str) -> bool {
    let below = |option: &ConfigOption| option.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    ConfigOption::all().iter().any(below)
}

/// The key that was probably meant: a similar one, or the same name in another table.
fn nearest_key(key: &str, name: &str) -> Option<String> {
    let keys = || ConfigOption::all().iter().map(|option| option.key);
    let tables = keys().filter_map(|key| Some(key.split_once('.')?.0));
    let elsewhere = || {
        let mut same = keys().filter(|key| key.rsplit('.').next() == Some(name));
        same.next().filter(|_| same.next().is_none())
    };
    nearest(key, keys().chain(tables).chain([AGENTS])).or_else(|| elsewhere().map(str::to_owned))
}

/// A value as it was given.
pub(super) fn raw(item: &Item) -> Raw {
    if let Some(table) = item.as_table_like() {
        return json_table(table).map_or(Raw::Other(article(item)), Raw::Table);
    }
    match item.as_value() {
        Some(Value::String(text)) => Raw::Text(text.value().clone()),
        Some(Value::Boolean(value)) => Raw::Switch(*value.value()),
        Some(Value::Integer(value)) => Raw::Number(*value.value()),
        Some(Value::Array(values)) => {
            let texts: Option<Vec<String>> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
            texts.map_or(Raw::Other(article(item)), Raw::List)
        }
        Some(Value::Float(_) | Value::Datetime(_) | Value::InlineTable(_)) | None => Raw::Other(article(item)),
    }
}

/// A table, if there is nothing in it that JSON does not have.
fn json_table(table: &dyn TableLike) -> Option<serde_json::Map<String, serde_json::Value>> {
    table.iter().map(|(name, item)| Some((name.to_owned(), json(item)?))).collect()
}

fn json(item: &Item) -> Option<serde_json::Value> {
    if let Some(table) = item.as_table_like() {
        return json_table(table).map(serde_json::Value::Object);
    }
    match item.as_value()? {
        Value::String(text) => Some(text.value().as_str().into()),
        Value::Boolean(value) => Some((*value.value()).into()),
        Value::Integer(value) => Some((*value.value()).into()),
        Value::Array(values) => values.iter().map(|value| json(&Item::Value(value.clone()))).collect(),
        Value::Float(_) | Value::Datetime(_) | Value::InlineTable(_) => None,
    }
}

/// What kind of value something is, with its article.
pub(super) fn article(item: &Item) -> &'static str {
    match item {
        Item::Value(Value::String(_)) => "a string",
        Item::Value(Value::Integer(_)) => "an integer",
        Item::Value(Value::Float(_)) => "a float",
        Item::Value(Value::Boolean(_)) => "a boolean",
        Item::Value(Value::Datetime(_)) => "a date",
        Item::Value(Value::Array(_)) | Item::ArrayOfTables(_) => "an array",
        Item::Value(Value::InlineTable(_)) | Item::Table(_) => "a table",
        Item::None => "nothing",
    }
}
