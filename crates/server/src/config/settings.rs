//! What a gateway was configured to be, in a form that may be kept and shown: for the audit trail.
//!
//! Of an agent's program neither the arguments nor the values of its environment are told, which may be secrets. That
//! arguments have changed is told by a digest of them; the environment counts by its names.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::agents::AgentConfig;
use super::origin::Origin;
use super::resolved::{Resolved, Row};

/// The longest value that is told in full, in bytes. All settings and the largest number of agents fit one document.
const MAX_SHOWN_BYTES: usize = 120;

/// See the module's documentation. Settings by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, Setting>);

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its value as it is told; `None` if it has none.
    pub value: Option<String>,
    /// Who gave it.
    pub origin: Origin,
}

impl Settings {
    /// Every setting, by name.
    pub const fn all(&self) -> &BTreeMap<String, Setting> {
        &self.0
    }
}

impl Resolved {
    /// What may be kept and shown of it.
    pub fn settings(&self) -> Settings {
        let option = |row: &Row| {
            let value = row.literal.as_deref().map(|literal| told(literal, literal));
            (row.option.key.to_owned(), Setting { value, origin: row.origin.clone() })
        };
        let agent = |agent: &AgentConfig| {
            let setting = Setting { value: Some(program(agent)), origin: agent.origin.clone() };
            (format!("agents.{}", agent.agent), setting)
        };
        Settings(self.rows.iter().map(option).chain(self.agents.iter().map(agent)).collect())
    }
}

fn program(agent: &AgentConfig) -> String {
    let AgentConfig { agent: _, description, program, args, env, cwd, capacity, answers, is_default, origin: _ } =
        agent;
    let names: Vec<&str> = env.keys().map(String::as_str).collect();
    let shown = format!("{}, {} arguments, capacity {capacity}", program.display(), args.len());
    told(&shown, &format!("{program:?} {args:?} {names:?} {cwd:?} {description:?} {capacity} {answers} {is_default}"))
}

/// The text, or its beginning; with a digest of all there is if that is more.
fn told(shown: &str, whole: &str) -> String {
    if shown == whole && shown.len() <= MAX_SHOWN_BYTES {
        return shown.to_owned();
    }
    let mut end = shown.len().min(MAX_SHOWN_BYTES);
    while !shown.is_char_boundary(end) {
        end -= 1;
    }
    let digest = Sha256::digest(whole.as_bytes());
    let digest: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{} #{digest}", shown.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_in_full_is_told_apart_by_a_digest() {
        assert_eq!(told("10s", "10s"), "10s");
        let long = "é".repeat(MAX_SHOWN_BYTES);
        let (one, other) = (told(&long, &long), told(&long, &format!("{long}x")));
        assert!(one != other && one.len() <= MAX_SHOWN_BYTES + 10, "{one} {other}");
        assert!(!told("sh, 1 arguments", "sh --token=secret").contains("secret"));
    }
}
