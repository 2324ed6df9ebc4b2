//! The commands that a session knows by name, so that none is carried out twice.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::contract::{CommandResult, CommandState};

/// Commands whose names are known. A client that repeats a command does so after a lost connection, with what it had
/// under way then: far fewer than this.
pub const MAX_KNOWN_COMMANDS: usize = 4096;

/// The JSON of results that is kept to be said again, in bytes. What came of a command whose result had to go is said to
/// be so, and it is not carried out again.
const MAX_KEPT_BYTES: usize = 4 * 1024 * 1024;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Known {
    commands: HashMap<Box<str>, Entry>,
    /// The oldest first.
    order: VecDeque<Box<str>>,
    /// Those with a result, the oldest first.
    kept: VecDeque<(Box<str>, usize)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    digest: u64,
    finished: bool,
    result: Option<CommandResult>,
}

/// What a command is.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// It was not seen before.
    New,
    /// It is being carried out.
    UnderWay,
    /// It was carried out, and this came of it.
    Finished(CommandResult),
    /// It was carried out, and what came of it is not kept.
    Forgotten,
    /// It has the name of another command.
    Other,
}

impl Known {
    /// What a command is that comes with this name and text. A new one is known from here on.
    pub(super) fn look_up(&mut self, id: &str, text: &str) -> Kind {
        let digest = digest(text);
        match self.commands.get(id) {
            Some(entry) if entry.digest != digest => Kind::Other,
            Some(Entry { finished: false, .. }) => Kind::UnderWay,
            Some(Entry { result: Some(result), .. }) => Kind::Finished(result.clone()),
            Some(_) => Kind::Forgotten,
            None => {
                self.commands.insert(id.into(), Entry { digest, finished: false, result: None });
                self.order.push_back(id.into());
                if self.order.len() > MAX_KNOWN_COMMANDS
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.commands.remove(&oldest);
                }
                Kind::New
            }
        }
    }

    /// A command was carried out. `bytes` is what its result takes up.
    pub(super) fn finish(&mut self, id: &str, result: &CommandResult, bytes: usize) {
        let Some(entry) = self.commands.get_mut(id) else { return };
        entry.finished = true;
        entry.result = Some(result.clone());
        self.kept.push_back((id.into(), bytes));
        self.bytes += bytes;
        while self.bytes > MAX_KEPT_BYTES
            && let Some((oldest, bytes)) = self.kept.pop_front()
        {
            self.bytes -= bytes;
            if let Some(entry) = self.commands.get_mut(&oldest) {
                entry.result = None;
            }
        }
        // Of those that are not known any more nothing is kept either.
        while let Some((oldest, bytes)) = self.kept.front()
            && !self.commands.contains_key(oldest)
        {
            self.bytes -= bytes;
            self.kept.pop_front();
        }
    }

    /// All of them, the oldest first.
    pub(super) fn states(&self) -> Box<[CommandState]> {
        let is_finished = |id: &str| self.commands.get(id).is_some_and(|entry| entry.finished);
        self.order.iter().map(|id| CommandState { id: id.clone(), finished: is_finished(id) }).collect()
    }
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Done;

    #[test]
    fn a_command_is_known_with_what_came_of_it() {
        let mut known = Known::default();
        let result = CommandResult::done(Done::Nothing);
        assert_eq!(known.look_up("a", "write 1"), Kind::New);
        assert_eq!(known.look_up("a", "write 1"), Kind::UnderWay);
        known.finish("a", &result, 10);
        assert_eq!(known.look_up("a", "write 1"), Kind::Finished(result));
        assert_eq!(known.look_up("a", "write 2"), Kind::Other);
        assert_eq!(*known.states(), [CommandState { id: "a".into(), finished: true }]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut known = Known::default();
        let result = CommandResult::done(Done::Nothing);
        for number in 0..MAX_KNOWN_COMMANDS + 10 {
            let id = number.to_string();
            assert_eq!(known.look_up(&id, ""), Kind::New);
            known.finish(&id, &result, MAX_KEPT_BYTES / 100);
        }
        assert_eq!((known.commands.len(), known.order.len()), (MAX_KNOWN_COMMANDS, MAX_KNOWN_COMMANDS));
        assert!(known.kept.len() <= 100 && known.bytes <= MAX_KEPT_BYTES);
        assert_eq!(known.look_up("10", ""), Kind::Forgotten, "its result went, its name did not");
        assert_eq!(known.look_up("0", ""), Kind::New, "its name went too");
    }
}
