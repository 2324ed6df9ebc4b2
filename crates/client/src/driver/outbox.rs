//! Frames on their way into the socket.

use std::collections::{HashSet, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};

use futures_util::Sink;
use moorline_types::MessageId;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

/// Frames that may wait. When so many do, the runtime does not read, and no further call is taken nor frame answered.
const MAX_WAITING: usize = 64;

/// A queue that is written while other things happen.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// With the call that each is, if it is one.
    waiting: VecDeque<(Message, Option<MessageId>)>,
    /// Whether something was handed to the socket that it may still hold.
    unflushed: bool,
}

impl Outbox {
    pub(super) fn push(&mut self, message: Message, call: Option<MessageId>) {
        self.waiting.push_back((message, call));
    }

    /// Forgets everything, since the socket is gone. Answers which calls the runtime cannot have seen.
    pub(super) fn abandon(&mut self) -> HashSet<MessageId> {
        self.unflushed = false;
        self.waiting.drain(..).filter_map(|(_, call)| call).collect()
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING
    }

    /// Whether there is nothing to write.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.unflushed
    }

    /// Writes everything. Cancel safe: what was not handed over stays in the queue.
    pub(super) async fn flush<K>(&mut self, sink: &mut K) -> Result<(), WsError>
    where
        K: Sink<Message, Error = WsError> + Unpin,
    {
        poll_fn(|context| {
            let mut sink = Pin::new(&mut *sink);
            while !self.waiting.is_empty() {
                ready!(sink.as_mut().poll_ready(context))?;
                if let Some((message, _)) = self.waiting.pop_front() {
                    self.unflushed = true;
                    sink.as_mut().start_send(message)?;
                }
            }
            ready!(sink.as_mut().poll_flush(context))?;
            self.unflushed = false;
            Poll::Ready(Ok(()))
        })
        .await
    }
}
