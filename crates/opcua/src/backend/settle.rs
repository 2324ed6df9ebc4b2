//! What a command is answered with that the server says a moment later.

use std::time::Duration;

use moorline_backend::contract::{Command, CommandResult, Done, ItemAt, Revision};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::items::Advice;
use super::{Connected, MAX_EVENTS};

/// How long the server is waited for when items were advised. A round trip and some: what takes longer is an event.
const PATIENCE: Duration = Duration::from_secs(2);

impl Connected {
    /// How an item is told, if the server has said so.
    pub(super) fn told(&mut self, at: ItemAt) -> Result<Option<Revision>, CommandResult> {
        let Some(Advice { supervisory, handle }) = self.servers.item(at)?.advice else { return Ok(None) };
        Ok(self.link_of(at.server, supervisory)?.told(handle))
    }

    /// Answers the commands that have advised an item with how it is told.
    pub(super) async fn tell_revisions(&mut self, done: &mut [(&Command, &mut CommandResult)]) {
        let until = Instant::now() + PATIENCE;
        for (advised, waits) in std::mem::take(&mut self.advising) {
            let Some(revision) = self.wait_for(waits, until).await else { continue };
            let of_it = done.iter_mut().filter(|(command, result)| {
                result.success && matches!(command, Command::Advise { at, .. } if *at == advised)
            });
            of_it.for_each(|(_, result)| result.done = Done::Advised(Box::new(revision)));
        }
    }

    /// Waits for what a link says to whoever asked. What it says to everybody meanwhile is kept, so that it need not wait for
    /// that to be taken; within bounds, beyond which it waits and so do we, until the time is over.
    pub(super) async fn wait_for<T>(&mut self, mut waits: oneshot::Receiver<T>, until: Instant) -> Option<T> {
        loop {
            tokio::select! {
                biased;
                told = &mut waits => return told.ok(),
                Some(event) = self.events.recv(), if self.own.len() < MAX_EVENTS => self.own.push_back(event),
                () = tokio::time::sleep_until(until) => {
                    // What is said at this very moment is not lost.
                    waits.close();
                    return waits.try_recv().ok();
                }
            }
        }
    }
}
