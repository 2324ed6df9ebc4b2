//! How writes and operations have ended, for those who wait for that and for those who ask again.
//!
//! A command that begins something is answered when the back end has taken it in; how that has ended is an event with the
//! command's name. Who waits for it is answered with both. The event may have come before its command is asked for again,
//! with another connection or another gateway, so the last ones are kept.

use std::collections::{BTreeMap, VecDeque};

use moorline_backend::contract::{Answer, Command, CommandResult, Done, Event, EventBody, ItemAt, Status};
use moorline_types::{Json, WorkerSeq};

/// Ends that are kept: more than the commands that a client has under way when it loses its connection, and as many as
/// one bulk can begin.
const MAX_KEPT: usize = 1_024;

/// How a write or an operation has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The number of the event that says so.
    pub worker_seq: WorkerSeq,
    /// Of which item.
    pub at: Option<ItemAt>,
    /// What the back end says of it.
    pub statuses: Vec<Status>,
}

/// The last ones, by the name of their command.
#[derive(Debug, Default)]
pub(super) struct Completions {
    kept: BTreeMap<Box<str>, Vec<Completion>>,
    /// The commands, one for each end that is kept, the oldest first.
    order: VecDeque<Box<str>>,
}

impl Completions {
    pub(super) fn note(&mut self, command: &str, completion: Completion) {
        self.kept.entry(command.into()).or_default().push(completion);
        self.order.push_back(command.into());
        if self.order.len() > MAX_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            // With some of a bulk's ends the others say nothing: whoever asks again waits, and is told that it took too long.
            self.kept.remove(&oldest);
        }
    }

    pub(super) fn of(&self, command: &str) -> Vec<Completion> {
        self.kept.get(command).cloned().unwrap_or_default()
    }
}

/// What a command that waits until all that it began has ended waits for.
#[derive(Debug)]
pub(super) struct Awaited {
    answer: Option<(Answer, WorkerSeq)>,
    completions: Vec<Completion>,
}

impl Awaited {
    /// Of a command for which these have come already.
    pub(super) const fn after(completions: Vec<Completion>) -> Self {
        Self { answer: None, completions }
    }

    /// The worker has answered. An answer that is repeated says nothing new.
    pub(super) fn answered(&mut self, answer: &Answer, seq: WorkerSeq) {
        self.answer.get_or_insert_with(|| (answer.clone(), seq));
    }

    pub(super) fn completed(&mut self, completion: Completion) {
        self.completions.push(completion);
    }

    /// The answer with all the ends, if all are there.
    pub(super) fn take(&mut self, command: &Command) -> Option<(Answer, WorkerSeq, Vec<Completion>)> {
        let (answer, _) = self.answer.as_ref()?;
        if self.completions.len() < begun(command, &answer.result) {
            return None;
        }
        let (answer, seq) = self.answer.take()?;
        Some((answer, seq, std::mem::take(&mut self.completions)))
    }
}

/// How many writes and operations the back end has taken in.
fn begun(command: &Command, result: &CommandResult) -> usize {
    if let (Command::Bulk { commands }, Done::Results(results)) = (command, &result.done) {
        return commands.iter().zip(results).map(|(command, result)| begun(command, result)).sum();
    }
    let ends_later = matches!(command, Command::Write(_) | Command::Suspend(_) | Command::Activate(_));
    usize::from(ends_later && result.success)
}

/// How something has ended, with the name of its command, if that is what an event says.
pub(super) fn completion(seq: WorkerSeq, body: &Json) -> Option<(Box<str>, Completion)> {
    let Event { at, statuses, said, .. } = body.to().ok()?;
    let (EventBody::WriteComplete { command } | EventBody::OperationComplete { command }) = said else { return None };
    Some((command, Completion { worker_seq: seq, at, statuses }))
}

/// The families of the events that say so.
pub(super) const FAMILIES: [&str; 2] = ["write_complete", "operation_complete"];

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(seq: u64) -> Completion {
        Completion { worker_seq: WorkerSeq::new(seq), at: None, statuses: vec![Status::OK] }
    }

    fn answer(done: Done) -> Answer {
        Answer { id: "a".into(), result: CommandResult::done(done), repeated: false, backend: "test".into() }
    }

    fn suspend() -> Command {
        serde_json::from_str(r#"{"op":"suspend","server":1,"item":1}"#).unwrap()
    }

    #[test]
    fn whoever_waits_is_answered_when_all_has_ended_that_was_begun() {
        let bulk = Command::Bulk { commands: vec![suspend(), Command::RefreshAlarms, suspend(), suspend()] };
        let done = || CommandResult::done(Done::Nothing);
        let results = Done::Results(vec![done(), done(), CommandResult::invalid("no"), done()]);
        let mut awaited = Awaited::after(vec![ended(3)]);
        assert!(awaited.take(&bulk).is_none(), "it is not answered");
        awaited.answered(&answer(results), WorkerSeq::new(2));
        assert!(awaited.take(&bulk).is_none(), "one that was begun has not ended");
        awaited.completed(ended(4));
        let (_, seq, completions) = awaited.take(&bulk).unwrap();
        assert_eq!((seq, completions), (WorkerSeq::new(2), vec![ended(3), ended(4)]));
    }

    #[test]
    fn what_begins_nothing_is_answered_at_once() {
        let failed = Answer { result: CommandResult::invalid("no"), ..answer(Done::Nothing) };
        for (command, answer) in [(Command::RefreshAlarms, answer(Done::Nothing)), (suspend(), failed)] {
            let mut awaited = Awaited::after(Vec::new());
            awaited.answered(&answer, WorkerSeq::new(2));
            assert!(awaited.take(&command).is_some(), "{command:?}");
        }
    }

    #[test]
    fn the_last_ends_are_kept_and_no_more() {
        let mut completions = Completions::default();
        for number in 0..MAX_KEPT as u64 + 2 {
            completions.note(&number.to_string(), ended(number));
        }
        assert_eq!(completions.of("1"), []);
        assert_eq!(completions.of("2"), [ended(2)]);
        assert_eq!((completions.kept.len(), completions.order.len()), (MAX_KEPT, MAX_KEPT));
    }
}
