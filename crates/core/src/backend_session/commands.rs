//! Commands that wait for their answers.

use moorline_types::{Fence, Millis, Timestamp};

use super::{BackendSession, Effect, Refused, State, StateNeeded};

/// Names a command within the life of one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandNumber(u64);

impl CommandNumber {
    pub(super) const FIRST: Self = Self(1);
}

/// How a command is answered that its worker does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Not in time. Whether it was carried out is not known; with its name it can be asked for again.
    TimedOut {
        /// How long was waited.
        after: Millis,
    },
    /// The session is over, or is being closed.
    SessionOver {
        /// Where it stands.
        state: State,
    },
}

#[derive(Debug)]
pub(super) struct Pending {
    timeout: Millis,
    deadline: Timestamp,
}

impl BackendSession {
    /// A client invokes a command, whose answer may take so long if it says. Nothing waits for a place: one too many is
    /// refused at once.
    ///
    /// # Errors
    /// Why it is not handed to the worker.
    pub fn handle_invoke(&mut self, now: Timestamp, timeout: Option<Millis>) -> Result<CommandNumber, Refused> {
        let fence = self.ready()?;
        let limit = self.options.max_pending_commands;
        if self.pending.len() >= limit {
            return Err(Refused::PendingCommandLimit { limit });
        }
        let timeout = timeout.unwrap_or(self.options.command_timeout);
        let command = self.next_command;
        self.next_command = CommandNumber(command.0 + 1);
        self.pending.insert(command, Pending { timeout, deadline: now + timeout });
        self.handle_activity(now);
        self.effects.push_back(Effect::Send { command, fence });
        Ok(command)
    }

    /// The worker has answered. Answers whether anybody waits for it.
    pub fn handle_answer(&mut self, command: CommandNumber) -> bool {
        self.pending.remove(&command).is_some()
    }

    /// Commands that are not answered.
    pub fn pending_commands(&self) -> usize {
        self.pending.len()
    }

    /// The attachment over which commands go: the session and its worker must both be ready, and which of them is not is
    /// said.
    pub(super) fn ready(&self) -> Result<Fence, Refused> {
        match (&self.state, self.fence) {
            (State::Ready, Some(fence)) => Ok(fence),
            (State::Reattaching, _) | (State::Ready, None) => Err(Refused::WorkerAway),
            (State::Faulted(fault), _) => Err(Refused::Faulted { fault: fault.clone() }),
            (State::StartingWorker | State::Handshaking | State::Closing(_) | State::Closed(_), _) => {
                Err(Refused::NotReady { state: self.state.clone(), needed: StateNeeded::Ready })
            }
        }
    }

    /// The worker is attached anew: it may not have got what it was sent before. It knows each command by its name.
    pub(super) fn send_again(&mut self, fence: Fence) {
        self.effects.extend(self.pending.keys().map(|command| Effect::Send { command: *command, fence }));
    }

    pub(super) fn answer_all(&mut self) {
        let state = self.state.clone();
        for (command, _) in std::mem::take(&mut self.pending) {
            let answer = Answer::SessionOver { state: state.clone() };
            self.effects.push_back(Effect::Answer { command, answer });
        }
    }

    /// Answers those whose time is over.
    pub(super) fn time_out(&mut self, now: Timestamp) {
        let late = self.pending.extract_if(.., |_, pending| pending.deadline <= now);
        let answers = late.map(|(command, pending)| {
            let answer = Answer::TimedOut { after: pending.timeout };
            Effect::Answer { command, answer }
        });
        self.effects.extend(answers);
    }

    pub(super) fn next_command_deadline(&self) -> Option<Timestamp> {
        self.pending.values().map(|pending| pending.deadline).min()
    }
}
