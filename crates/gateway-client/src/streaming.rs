//! A stream that is asked for again when its connection is lost.
//!
//! What it goes on behind is its source's to know. Nothing is read ahead: the next item is taken from the connection when
//! the program asks for it, so a program that is slow holds back what is sent, and the rest stays in the gateway's journal.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use futures_util::stream::{FusedStream, Stream};
use moorline_gateway_proto::v1::ErrorCode;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::call::{Caller, Patience, Repeat, entropy};
use crate::error::{CallError, Lost, Verdict};
use crate::options::ReconnectPolicy;

/// How it stands with a stream's connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Link {
    /// There is one.
    Connected {
        /// Which one: 1 is the first.
        connection: u32,
    },
    /// It was lost, and another one is sought.
    Seeking {
        /// Why it was lost.
        cause: Lost,
    },
    /// The stream is over.
    Over,
}

/// Where items come from.
pub(crate) trait Source: Send + 'static {
    /// What the gateway sends.
    type Response: Send + 'static;
    /// What the program is handed.
    type Item;

    /// Asks for what follows.
    fn open(&self, caller: Caller, ask: Ask)
    -> BoxFuture<'static, Result<tonic::Streaming<Self::Response>, CallError>>;

    /// What the program is handed for this, if anything.
    fn take(&mut self, response: Self::Response) -> Option<Self::Item>;

    /// What the program is handed because the stream was asked for again, if anything.
    fn reopened(&mut self) -> Option<Self::Item>;
}

/// How a stream is asked for.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) repeat: Repeat,
    pub(crate) patience: Patience,
    pub(crate) backoff: Backoff,
}

type Opening<R> = BoxFuture<'static, Result<tonic::Streaming<R>, CallError>>;

enum Phase<R> {
    Open(Box<tonic::Streaming<R>>),
    Seeking(Opening<R>),
    Over,
}

/// See the module's documentation.
pub(crate) struct Resuming<S: Source> {
    source: S,
    caller: Caller,
    phase: Phase<S::Response>,
    /// Grows from one loss to the next until something has come.
    backoff: Backoff,
    connections: u32,
    link: watch::Sender<Link>,
}

impl<S: Source> Resuming<S> {
    /// Asks for the stream a first time.
    pub(crate) async fn open(caller: Caller, source: S) -> Result<Self, CallError> {
        let ask =
            Ask { repeat: Repeat::Look, patience: Patience::of(caller.call_timeout()), backoff: Backoff::default() };
        let phase = Phase::Open(Box::new(source.open(caller.clone(), ask).await?));
        let (link, _) = watch::channel(Link::Connected { connection: 1 });
        Ok(Self { source, caller, phase, backoff: Backoff::default(), connections: 1, link })
    }

    pub(crate) const fn source(&self) -> &S {
        &self.source
    }

    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// The connection was lost: another one is sought, or the stream ends with this error.
    fn seek(&mut self, cause: Lost) -> Option<CallError> {
        if self.caller.reconnect() == ReconnectPolicy::Never {
            return Some(self.end(match cause {
                Lost::Unanswered(refused) => CallError::Refused(refused),
                Lost::NotConnected(_) | Lost::Disconnected(_) | Lost::Timeout { .. } => CallError::Unreachable(cause),
            }));
        }
        tracing::info!(%cause, "a stream is asked for again");
        let hint = match &cause {
            Lost::Unanswered(refused) => refused.retry_after,
            Lost::NotConnected(_) | Lost::Disconnected(_) | Lost::Timeout { .. } => None,
        };
        let wait = self.backoff.next(entropy(), hint);
        let patience = Patience { attempt: self.caller.call_timeout(), total: self.caller.reconnect().patience() };
        let ask = Ask { repeat: Repeat::Return, patience, backoff: self.backoff };
        let opening = self.source.open(self.caller.clone(), ask);
        self.link.send_replace(Link::Seeking { cause });
        self.phase = Phase::Seeking(Box::pin(async move {
            sleep(wait).await;
            opening.await
        }));
        None
    }

    fn end(&mut self, error: CallError) -> CallError {
        self.over();
        error
    }

    fn over(&mut self) {
        self.phase = Phase::Over;
        self.link.send_replace(Link::Over);
    }
}

/// What follows from a status that has ended a stream: that it is lost, or an error.
fn lost(status: tonic::Status) -> Result<Lost, CallError> {
    match Verdict::from(status) {
        Verdict::NotSent(lost) | Verdict::Lost(lost) => Ok(lost),
        Verdict::Later(refused) => Ok(Lost::Unanswered(refused)),
        // The rest is in the journal, or its absence is told.
        Verdict::Final(refused) if refused.reason == ErrorCode::EventQueueOverflow => Ok(Lost::Unanswered(refused)),
        Verdict::Final(refused) | Verdict::Unknown(refused) => Err(CallError::Refused(refused)),
    }
}

impl<S: Source + Unpin> Stream for Resuming<S> {
    type Item = Result<S::Item, CallError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let failed = match &mut this.phase {
                Phase::Over => return Poll::Ready(None),
                Phase::Open(stream) => match ready!(Pin::new(stream).poll_next(context)) {
                    None => {
                        this.over();
                        return Poll::Ready(None);
                    }
                    Some(Ok(response)) => {
                        this.backoff = Backoff::default();
                        match this.source.take(response) {
                            Some(item) => return Poll::Ready(Some(Ok(item))),
                            None => continue,
                        }
                    }
                    Some(Err(status)) => match lost(status) {
                        Ok(cause) => this.seek(cause),
                        Err(error) => Some(this.end(error)),
                    },
                },
                Phase::Seeking(opening) => match ready!(opening.as_mut().poll(context)) {
                    Ok(stream) => {
                        this.phase = Phase::Open(Box::new(stream));
                        this.connections = this.connections.saturating_add(1);
                        this.link.send_replace(Link::Connected { connection: this.connections });
                        match this.source.reopened() {
                            Some(item) => return Poll::Ready(Some(Ok(item))),
                            None => continue,
                        }
                    }
                    Err(error) => Some(this.end(error)),
                },
            };
            if let Some(error) = failed {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl<S: Source + Unpin> FusedStream for Resuming<S> {
    fn is_terminated(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }
}
