//! What is known about one option: its names, its default, its documentation.

use super::kind::{Kind, Switch};
use super::options::OPTIONS;
use super::sources::Sources;

/// What the environment variables of every option begin with.
pub(super) const ENVIRONMENT_PREFIX: &str = "MOORLINE_";

/// What holds when nobody gives an option.
#[derive(Clone, Copy, Debug)]
pub enum DefaultValue {
    /// This text, read like one that was given.
    Text(&'static str),
    /// A text that depends on the process.
    Computed {
        /// How the documentation describes it.
        shown: &'static str,
        /// What it is made of, as a noun phrase for a message.
        needs: &'static str,
        /// The text; `None` if what it depends on is missing.
        value: fn(&Sources<'_>) -> Option<String>,
    },
    /// The option is then not set.
    Unset {
        /// What that means.
        shown: &'static str,
    },
}

/// One option of the gateway.
#[derive(Debug)]
pub struct ConfigOption {
    /// Its key in `moorline.toml`, with dots between tables: `tls.cert`.
    pub key: &'static str,
    /// What stands for its value in a usage line: `DURATION`.
    pub value_name: &'static str,
    /// What holds when nobody gives it.
    pub default: DefaultValue,
    /// What it does, in a sentence or a few.
    pub doc: &'static str,
    /// A value that is accepted.
    pub example: &'static str,
    /// Which values are accepted, as a noun phrase.
    pub(super) accepts: fn() -> String,
    /// Whether a text is accepted.
    pub(super) takes: fn(&str) -> bool,
}

impl ConfigOption {
    /// Every option, in the order of the documentation.
    pub fn all() -> &'static [Self] {
        OPTIONS
    }

    /// The option with this key.
    pub fn find(key: &str) -> Option<&'static Self> {
        Self::all().iter().find(|option| option.key == key)
    }

    /// Its flag, without the dashes: `tls-cert` for `tls.cert`.
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// Its environment variable: `MOORLINE_TLS_CERT` for `tls.cert`.
    pub fn environment(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.key.replace('.', "_").to_uppercase())
    }

    /// Which values are accepted, as a noun phrase: `a number from 1 to 1000`.
    pub fn accepts(&self) -> String {
        (self.accepts)()
    }

    /// Whether a text, as from a flag, is a value of this option.
    pub fn takes(&self, text: &str) -> bool {
        (self.takes)(text)
    }

    /// Whether the flag may stand without a value, which then means `true`.
    pub fn is_switch(&self) -> bool {
        self.value_name == <Switch as Kind>::VALUE_NAME
    }

    /// The default as the documentation shows it.
    pub fn default_shown(&self) -> &'static str {
        match self.default {
            DefaultValue::Text(text) => text,
            DefaultValue::Computed { shown, .. } | DefaultValue::Unset { shown } => shown,
        }
    }

    /// The help text of the flag: what it does, its default and its environment variable.
    pub fn help(&self) -> String {
        format!("{} [default: {}] [env: {}]", self.doc, self.default_shown(), self.environment())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_options_share_a_name() {
        for name in [|option: &ConfigOption| option.key.to_owned(), ConfigOption::flag, ConfigOption::environment] {
            let names: BTreeSet<String> = ConfigOption::all().iter().map(name).collect();
            assert_eq!(names.len(), ConfigOption::all().len());
        }
    }

    #[test]
    fn the_names_of_an_option_follow_from_its_key() {
        let option = ConfigOption::find("session.heartbeat_interval").unwrap();
        assert_eq!(option.flag(), "session-heartbeat-interval");
        assert_eq!(option.environment(), "MOORLINE_SESSION_HEARTBEAT_INTERVAL");
    }
}
