//! A session's events, from a number on.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::{FusedStream, Stream, StreamExt as _};
use moorline_gateway_proto::v1;
use moorline_gateway_proto::v1::stream_events_response::Item as Told;
use tokio::sync::watch;

use crate::call::Caller;
use crate::error::CallError;
use crate::event::{Event, Gap, GapCause, Next};
use crate::streaming::{Ask, Link, Resuming, Source};

/// How far a stream has come. A program that is to go on after its own restart keeps this beside what it has made of
/// the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The last number that was handed out.
    pub sequence: u64,
    /// The epoch in which it was given: numbers of another one say nothing. Empty if it is not known.
    pub epoch: String,
}

/// Where a stream begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    Now,
    /// Behind what was seen.
    After(Position),
}

/// A session's events. See [`crate::Session::events`].
///
/// Dropping it is leaving. Waiting for the next item may be given up at any time, and nothing is lost by it.
pub struct EventStream(Resuming<Events>);

impl EventStream {
    pub(crate) async fn open(caller: Caller, session_id: Arc<str>, position: Position) -> Result<Self, CallError> {
        Ok(Self(Resuming::open(caller, Events { session_id, position }).await?))
    }

    /// What comes next; `None` at the session's end, and after an error.
    ///
    /// # Errors
    /// Why the stream is over: what was refused, or that there was no connection for as long as one was sought.
    pub async fn next(&mut self) -> Option<Result<Next, CallError>> {
        self.0.next().await
    }

    /// How far it has come.
    pub const fn position(&self) -> &Position {
        &self.0.source().position
    }

    /// How it stands with the connection.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.0.link()
    }
}

impl Stream for EventStream {
    type Item = Result<Next, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl FusedStream for EventStream {
    fn is_terminated(&self) -> bool {
        self.0.is_terminated()
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("position", self.position()).finish_non_exhaustive()
    }
}

struct Events {
    session_id: Arc<str>,
    position: Position,
}

impl Source for Events {
    type Response = v1::StreamEventsResponse;
    type Item = Next;

    fn open(
        &self,
        caller: Caller,
        ask: Ask,
    ) -> BoxFuture<'static, Result<tonic::Streaming<Self::Response>, CallError>> {
        let request = v1::StreamEventsRequest {
            session_id: self.session_id.to_string(),
            after_worker_sequence: self.position.sequence,
            epoch: self.position.epoch.clone(),
        };
        Box::pin(async move {
            let attempt = |mut api: crate::connect::Api| {
                let request = request.clone();
                async move { api.stream_events(request).await }
            };
            caller.call(ask.repeat, ask.patience, ask.backoff, attempt).await
        })
    }

    fn take(&mut self, response: v1::StreamEventsResponse) -> Option<Next> {
        match response.item? {
            Told::ReplayGap(gap) => {
                let told = Gap::from(&gap);
                self.position.sequence = gap.oldest_available_sequence.saturating_sub(1);
                self.position.epoch = gap.epoch;
                Some(Next::Gap(told))
            }
            // What was handed out is not handed out again, whatever the gateway does.
            Told::Event(event) if event.worker_sequence <= self.position.sequence => None,
            Told::Event(event) => {
                self.position.sequence = event.worker_sequence;
                Some(Next::Event(Event::from(event)))
            }
        }
    }

    fn reopened(&mut self) -> Option<Next> {
        let cause = GapCause::NoNumber;
        (self.position.sequence == 0).then_some(Next::Gap(Gap { after: 0, oldest_available: 1, cause }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(sequence: u64) -> Events {
        Events { session_id: "session-1".into(), position: Position { sequence, epoch: "ep_1".to_owned() } }
    }

    fn event(worker_sequence: u64) -> v1::StreamEventsResponse {
        let event = v1::Event { worker_sequence, ..Default::default() };
        v1::StreamEventsResponse { item: Some(Told::Event(event)) }
    }

    #[test]
    fn what_was_handed_out_is_not_handed_out_again() {
        let mut events = events(5);
        let told: Vec<_> = [4, 5, 6, 6, 9].into_iter().map(|number| events.take(event(number)).is_some()).collect();
        assert_eq!(told, [false, false, true, false, true]);
        assert_eq!(events.position.sequence, 9);
    }

    #[test]
    fn a_stream_goes_on_behind_a_gap_and_in_its_epoch() {
        let mut events = events(500);
        let gap = v1::ReplayGap {
            requested_after_sequence: 500,
            oldest_available_sequence: 7,
            epoch: "ep_2".to_owned(),
            cause: v1::ReplayGapCause::Epoch.into(),
        };
        let told = events.take(v1::StreamEventsResponse { item: Some(Told::ReplayGap(gap)) });
        let cause = GapCause::OtherJournal;
        assert_eq!(told, Some(Next::Gap(Gap { after: 500, oldest_available: 7, cause })));
        assert_eq!(events.position, Position { sequence: 6, epoch: "ep_2".to_owned() });
        assert!(events.take(event(7)).is_some(), "numbers begin anew with the epoch");
    }

    #[test]
    fn a_stream_that_has_no_number_to_go_on_behind_says_so() {
        let told = events(0).reopened();
        assert!(matches!(told, Some(Next::Gap(Gap { cause: GapCause::NoNumber, .. }))), "{told:?}");
        assert_eq!(events(1).reopened(), None);
    }
}
