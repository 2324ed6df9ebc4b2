//! Kinds of values: how each is read from text or TOML, described, and written back.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::human::{format_duration, format_size, parse_duration, parse_size};
use super::words::Word;
use crate::logging::LogFilter;

/// A value as it was given, before anybody knows what it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Raw {
    /// Text: from a flag, the environment, or a TOML string.
    Text(String),
    /// A TOML boolean.
    Switch(bool),
    /// A TOML integer.
    Number(i64),
    /// A TOML array of strings.
    List(Vec<String>),
    /// A TOML table.
    Table(serde_json::Map<String, serde_json::Value>),
    /// Something that no option takes, by its article and name: `a date`.
    Other(&'static str),
}

impl Raw {
    /// The value as a message shows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Switch(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::List(values) => format!("{values:?}"),
            Self::Table(_) => "a table".to_owned(),
            Self::Other(name) => (*name).to_owned(),
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Switch(_) | Self::Number(_) | Self::List(_) | Self::Table(_) | Self::Other(_) => None,
        }
    }
}

/// What an option's values are.
pub(super) trait Kind {
    /// A value that was accepted.
    type Value;

    /// What stands for a value in a usage line.
    const VALUE_NAME: &'static str;

    /// Which values are accepted, as a noun phrase.
    fn accepts(&self) -> String;

    /// The value, if it is acceptable. A relative path is relative to `base`.
    fn read(&self, raw: &Raw, base: &Path) -> Option<Self::Value>;

    /// The value of an option that nobody gave and that has no default.
    fn absent(&self) -> Option<Self::Value> {
        None
    }

    /// The value as TOML; `None` if it stands for an option that is not set.
    fn literal(&self, value: &Self::Value) -> Option<String>;

    /// The words to choose from, if there are any, for a suggestion.
    fn words(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// A TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

/// An address and port.
pub(super) struct Address;

impl Kind for Address {
    type Value = SocketAddr;
    const VALUE_NAME: &'static str = "ADDRESS:PORT";

    fn accepts(&self) -> String {
        "an IP address and a port; port 0 takes a free one".to_owned()
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<SocketAddr> {
        raw.text()?.parse().ok()
    }

    fn literal(&self, value: &SocketAddr) -> Option<String> {
        Some(quoted(&value.to_string()))
    }
}

/// A path, made absolute.
pub(super) struct AnyPath;

impl Kind for AnyPath {
    type Value = PathBuf;
    const VALUE_NAME: &'static str = "PATH";

    fn accepts(&self) -> String {
        "a path (\"~\" is not expanded)".to_owned()
    }

    fn read(&self, raw: &Raw, base: &Path) -> Option<PathBuf> {
        let text = raw.text()?;
        let home = text == "~" || text.starts_with("~/");
        (!text.is_empty() && !text.contains('\0') && !home).then(|| absolute(base, text))
    }

    fn literal(&self, value: &PathBuf) -> Option<String> {
        Some(quoted(&value.to_string_lossy()))
    }
}

/// A path from `base`, without `.` components.
pub(super) fn absolute(base: &Path, path: &str) -> PathBuf {
    base.join(path).components().collect()
}

/// True or false.
pub(super) struct Switch;

impl Kind for Switch {
    type Value = bool;
    const VALUE_NAME: &'static str = "BOOL";

    fn accepts(&self) -> String {
        "true or false".to_owned()
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<bool> {
        match raw {
            Raw::Switch(value) => Some(*value),
            Raw::Text(text) => text.parse().ok(),
            Raw::Number(_) | Raw::List(_) | Raw::Table(_) | Raw::Other(_) => None,
        }
    }

    fn literal(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }
}

/// One word of a closed set.
pub(super) struct Choice<W>(PhantomData<W>);

impl<W> Choice<W> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<W: Word> Kind for Choice<W> {
    type Value = W;
    const VALUE_NAME: &'static str = "WORD";

    fn accepts(&self) -> String {
        format!("one of {}", W::words().join(", "))
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<W> {
        W::find(raw.text()?)
    }

    fn literal(&self, value: &W) -> Option<String> {
        Some(quoted(value.word()))
    }

    fn words(&self) -> Vec<&'static str> {
        W::words()
    }
}

/// Several words of a closed set: a TOML array, or text with commas between them; `none` for no word at all, because
/// an empty variable is more often an oversight than a decision.
pub(super) struct Choices<W>(PhantomData<W>);

impl<W> Choices<W> {
    /// The text for an empty set.
    const NONE: &str = "none";

    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<W: Word> Kind for Choices<W> {
    type Value = BTreeSet<W>;
    const VALUE_NAME: &'static str = "WORDS";

    fn accepts(&self) -> String {
        let words = W::words().join(", ");
        format!("an array of {words} (as a flag or variable: words with commas between them, or {:?})", Self::NONE)
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<BTreeSet<W>> {
        match raw {
            Raw::Text(text) if text == Self::NONE => Some(BTreeSet::new()),
            Raw::Text(text) => text.split(',').map(|word| W::find(word.trim())).collect(),
            Raw::List(words) => words.iter().map(|word| W::find(word)).collect(),
            Raw::Switch(_) | Raw::Number(_) | Raw::Table(_) | Raw::Other(_) => None,
        }
    }

    fn literal(&self, value: &BTreeSet<W>) -> Option<String> {
        let words: Vec<String> = value.iter().map(|word| quoted(word.word())).collect();
        Some(format!("[{}]", words.join(", ")))
    }

    fn words(&self) -> Vec<&'static str> {
        W::words()
    }
}

/// A length of time between two bounds, both included.
pub(super) struct Length {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

impl Kind for Length {
    type Value = Duration;
    const VALUE_NAME: &'static str = "DURATION";

    fn accepts(&self) -> String {
        let (min, max) = (format_duration(self.min), format_duration(self.max));
        format!("a length of time with its unit (ms, s, m, h, d) from {min} to {max}")
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<Duration> {
        parse_duration(raw.text()?).filter(|length| (self.min..=self.max).contains(length))
    }

    fn literal(&self, value: &Duration) -> Option<String> {
        Some(quoted(&format_duration(*value)))
    }
}

/// A number of bytes between two bounds, both included.
pub(super) struct Size {
    pub(super) min: usize,
    pub(super) max: usize,
}

impl Kind for Size {
    type Value = NonZeroUsize;
    const VALUE_NAME: &'static str = "SIZE";

    fn accepts(&self) -> String {
        let (min, max) = (format_size(self.min as u64), format_size(self.max as u64));
        format!("a size in bytes or with its unit (KiB, MiB, GiB) from {min} to {max}")
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<NonZeroUsize> {
        let bytes = match raw {
            Raw::Text(text) => usize::try_from(parse_size(text)?).ok()?,
            Raw::Number(number) => usize::try_from(*number).ok()?,
            Raw::Switch(_) | Raw::List(_) | Raw::Table(_) | Raw::Other(_) => return None,
        };
        NonZeroUsize::new(bytes).filter(|bytes| (self.min..=self.max).contains(&bytes.get()))
    }

    fn literal(&self, value: &NonZeroUsize) -> Option<String> {
        Some(quoted(&format_size(value.get() as u64)))
    }
}

/// A number between 1 and a bound, both included.
pub(super) struct Count {
    pub(super) max: usize,
}

impl Kind for Count {
    type Value = NonZeroUsize;
    const VALUE_NAME: &'static str = "NUMBER";

    fn accepts(&self) -> String {
        format!("a number from 1 to {}", self.max)
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<NonZeroUsize> {
        let number = match raw {
            Raw::Text(text) => text.parse().ok()?,
            Raw::Number(number) => usize::try_from(*number).ok()?,
            Raw::Switch(_) | Raw::List(_) | Raw::Table(_) | Raw::Other(_) => return None,
        };
        NonZeroUsize::new(number).filter(|number| number.get() <= self.max)
    }

    fn literal(&self, value: &NonZeroUsize) -> Option<String> {
        Some(value.to_string())
    }
}

/// A number from 0 to a bound, both included.
pub(super) struct Amount {
    pub(super) max: usize,
}

impl Kind for Amount {
    type Value = usize;
    const VALUE_NAME: &'static str = "NUMBER";

    fn accepts(&self) -> String {
        format!("a number from 0 to {}", self.max)
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<usize> {
        let number = match raw {
            Raw::Text(text) => text.parse().ok()?,
            Raw::Number(number) => usize::try_from(*number).ok()?,
            Raw::Switch(_) | Raw::List(_) | Raw::Table(_) | Raw::Other(_) => return None,
        };
        (number <= self.max).then_some(number)
    }

    fn literal(&self, value: &usize) -> Option<String> {
        Some(value.to_string())
    }
}

/// A filter of log lines.
pub(super) struct Filter;

impl Kind for Filter {
    type Value = LogFilter;
    const VALUE_NAME: &'static str = "FILTER";

    fn accepts(&self) -> String {
        "a level (error, warn, info, debug, trace) and, after commas, target=level pairs".to_owned()
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<LogFilter> {
        raw.text()?.parse().ok()
    }

    fn literal(&self, value: &LogFilter) -> Option<String> {
        Some(quoted(value.as_str()))
    }
}

/// An option that need not be set.
pub(super) struct Maybe<K>(pub(super) K);

impl<K: Kind> Kind for Maybe<K> {
    type Value = Option<K::Value>;
    const VALUE_NAME: &'static str = K::VALUE_NAME;

    fn accepts(&self) -> String {
        self.0.accepts()
    }

    fn read(&self, raw: &Raw, base: &Path) -> Option<Option<K::Value>> {
        self.0.read(raw, base).map(Some)
    }

    fn absent(&self) -> Option<Option<K::Value>> {
        Some(None)
    }

    fn literal(&self, value: &Option<K::Value>) -> Option<String> {
        self.0.literal(value.as_ref()?)
    }

    fn words(&self) -> Vec<&'static str> {
        self.0.words()
    }
}

#[cfg(test)]
mod tests;
