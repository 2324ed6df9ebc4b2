//! Commands for a job's agent that it has not taken up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::limits::MAX_WAITING_COMMANDS;
use crate::message::Command;

/// The commands of one job, in the order in which they came. Cheap to clone; clones are the same queue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commands(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<VecDeque<Command>>,
    more: Notify,
}

impl Commands {
    /// Adds a command; `false` if there are too many.
    pub(crate) fn push(&self, command: Command) -> bool {
        let mut waiting = self.lock();
        let fits = waiting.len() < MAX_WAITING_COMMANDS;
        if fits {
            waiting.push_back(command);
        }
        drop(waiting);
        self.0.more.notify_one();
        fits
    }

    /// The next command, when there is one. May be cancelled without loss.
    pub(crate) async fn next(&self) -> Command {
        loop {
            let next = self.lock().pop_front();
            match next {
                Some(command) => return command,
                None => self.0.more.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Command>> {
        // Nothing panics between two changes of the queue.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use moorline_types::Json;

    use super::*;

    fn command(number: usize) -> Command {
        Command::new(Json::parse(&format!("{{\"secret\":{number}}}")).unwrap())
    }

    #[tokio::test]
    async fn commands_are_taken_up_in_order_and_one_too_many_is_refused() {
        let commands = Commands::default();
        for number in 0..MAX_WAITING_COMMANDS {
            assert!(commands.push(command(number)));
        }
        assert!(!commands.push(command(0)));
        assert_eq!(commands.next().await, command(0));
        assert!(commands.push(command(7)));
        assert_eq!(commands.next().await, command(1));
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let commands = Commands::default();
        let (taken, ()) = tokio::join!(commands.next(), async { assert!(commands.push(command(1))) });
        assert_eq!(taken, command(1));
    }

    #[test]
    fn what_a_command_says_is_not_shown() {
        assert_eq!(format!("{:?}", command(1)), "Command { bytes: 12, .. }");
    }
}
