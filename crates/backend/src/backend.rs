//! What a back end does.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use moorline_types::Json;

use crate::contract::{Command, CommandResult, Event};

/// Opens back ends of one kind: one for each session.
#[async_trait]
pub trait Opener: Send + Sync + 'static {
    /// What they are.
    fn info(&self) -> BackendInfo;

    /// Opens one, set up with these options, which are an object.
    async fn open(&self, options: Option<&Json>) -> Result<Opened, OpenError>;
}

/// A back end that is open.
pub type Opened = Box<dyn Backend>;

/// What a kind of back end is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendInfo {
    /// Its name, which every answer carries, so that nobody takes a simulated one for a real one.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

/// One session with a back end. It is told one thing at a time.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Carries out a command that is neither several, nor [`Command::SessionState`]'s part about commands, nor
    /// [`Command::WorkerInfo`]. `id` is the command's name, which completions refer to; `by` on whose behalf it is.
    async fn execute(&mut self, id: &str, by: Option<&str>, command: &Command) -> CommandResult;

    /// What carries a command out that changes nothing, and depends on nothing that other commands change: it may be
    /// waited for while commands that come after it are carried out, and may be dropped. `None` for every other command,
    /// and for those that are answered at once: they are carried out by [`Backend::execute`].
    fn look(&self, _command: &Command) -> Option<BoxFuture<'static, CommandResult>> {
        None
    }

    /// Completes what came of commands, all of one invocation together, before they are answered: what the back end says
    /// of them only a moment later may be waited for here, once for all.
    async fn settle(&mut self, _done: &mut [(&Command, &mut CommandResult)]) {}

    /// What it says next. May be cancelled without loss.
    ///
    /// # Errors
    /// If the session cannot go on.
    async fn next_event(&mut self) -> Result<Event, BackendFault>;

    /// Ends the session with the back end in order.
    async fn close(&mut self);
}

/// A back end could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options are not those of this kind of back end.
    #[error("backend_options_json: {reason}")]
    Options {
        /// What is wrong with them.
        reason: String,
    },
    /// The back end does not answer, or not as it should.
    #[error("the back end cannot be opened: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}

/// A session with a back end cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the back end has failed: {reason}")]
pub struct BackendFault {
    /// Why.
    pub reason: String,
}
